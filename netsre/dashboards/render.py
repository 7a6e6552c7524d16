"""A board becomes Grafana's JSON: the templates give the form, this gives the same bytes every time."""

import json
from collections.abc import Mapping
from typing import Final

import jinja2

from netsre import conventions
from netsre.dashboards import panels
from netsre.dashboards.panels import Board
from netsre.dashboards.promql import Unit
from netsre.errors import BadInput

TEMPLATE: Final = "board.json.j2"
MAX_BYTES: Final = 256 * 1024
"""The most that `kubectl apply` takes in a ConfigMap, which is how boards reach Grafana in a cluster."""

UNIT_IDS: Final[Mapping[Unit, str]] = {
    "count": "short",
    "ratio": "percentunit",
    "seconds": "s",
    "bytes": "bytes",
    "per_second": "cps",
    "bytes_per_second": "Bps",
}
"""Grafana's name of each unit."""

NODE_QUERY: Final = f"label_values({conventions.BUILD_INFO}, {conventions.NODE})"

_DASHES: Final = ({"fill": "solid"}, {"fill": "dash", "dash": [10, 6]}, {"fill": "dot", "dash": [2, 6]})
"""Lines of different queries also differ in their stroke: colour is never the only signal."""


def render(board: Board, templates: Mapping[str, str]) -> bytes:
    """Return the board as JSON text; raises `BadInput` when the templates do not make a sound board of it."""
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(dict(templates)),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # JSON, not HTML; every value goes through tojson
        keep_trailing_newline=True,
    )
    environment.filters["grafana_unit"] = UNIT_IDS.__getitem__
    environment.filters["letter"] = _letter
    environment.globals |= {"palette": panels.PALETTE, "dashes": _DASHES, "node_query": NODE_QUERY}
    try:
        text = environment.get_template(TEMPLATE).render(board=board, panels=panels.place(board))
        document = json.loads(text)
    except jinja2.TemplateError as error:
        raise BadInput(f"board {board.uid}: template {TEMPLATE}: {error}; repair the template") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"board {board.uid}: template {TEMPLATE} makes no JSON: {error}") from error
    return _sound(board.uid, document)


def _sound(uid: str, document: object) -> bytes:
    if _has_null(document):
        raise BadInput(f"board {uid} has a null, which Grafana's types refuse; repair the template")
    # The template's order is kept, one value per line for a diff; indentation would take two fifths.
    content = json.dumps(document, indent=0, ensure_ascii=False).encode() + b"\n"
    if len(content) > MAX_BYTES:
        limit = f"more than {MAX_BYTES} a ConfigMap can hold"
        raise BadInput(f"board {uid} has {len(content)} bytes, {limit}; generate it from fewer SLOs")
    return content


def _has_null(value: object) -> bool:
    match value:
        case None:
            return True
        case dict():
            return any(map(_has_null, value.values()))
        case list():
            return any(map(_has_null, value))
        case _:
            return False


def _letter(index: int) -> str:
    """Return Grafana's name of a query, a letter."""
    return chr(ord("A") + index)
