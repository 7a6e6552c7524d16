"""The page of an incident: made here and whole, so that it is there without a script.

Its template is read when this module is imported, because the controller drops its privileges afterwards.
"""

from importlib import resources
from typing import Any, Final

import jinja2

from netsre import clock
from netsre.app.control.incidents import lanes
from netsre.app.control.incidents.left import web_address
from netsre.app.control.incidents.shapes import IncidentView
from netsre.clock import Timestamp
from netsre.model.documents import canonical

_NONE: Final = "\N{EN DASH}"
REFRESH_SECONDS: Final = 10
"""How often the page of an open incident is read again."""
_SIGNS: Final = {
    "done": "✓",
    "skipped": "·",
    "failed": "▲",
    "undone": "↩",
    "not_undone": "▲",
    "unknown": "?",
    "running": "…",
    "waiting": "…",
    "not_reached": "·",
}
_MOMENTS: Final = (
    ("fault", "Fault"),
    ("detected", "Alert"),
    ("paged", "Paged"),
    ("first_effect", "First effect"),
    ("verified", "Verified"),
    ("closed", "Closed"),
)


def _environment() -> jinja2.Environment:
    template = resources.files(__name__.rpartition(".")[0]).joinpath("incident.html.j2")
    made = jinja2.Environment(
        loader=jinja2.DictLoader({"incident": template.read_text(encoding="utf-8")}),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"time": _time, "length": _length, "web": web_address, "json": _json, "word": _word}
    made.globals |= {"signs": _SIGNS, "moments": _MOMENTS, "refresh": REFRESH_SECONDS}
    return made


def _time(text: str | None) -> str:
    """Return the time of day of an RFC 3339 time."""
    return _NONE if text is None else text[11:19]


def _length(seconds: float | None) -> str:
    """Return a length of time in seconds, to the tenth where that matters."""
    if seconds is None:
        return _NONE
    sign, whole = ("-" if seconds < 0 else "+"), abs(seconds)
    if whole < 60:
        return f"{sign}{whole:.1f}s"
    return sign + clock.duration_text(int(whole) * clock.SECOND)


def _json(value: Any) -> str:  # noqa: ANN401 - JSON
    return canonical(value)


def _word(text: str) -> str:
    return text.replace("_", " ")


_TEMPLATE: Final = _environment().get_template("incident")


def render(incident: IncidentView, now: Timestamp) -> str:
    """Return the page of an incident as HTML; every text in it is escaped."""
    return _TEMPLATE.render(
        incident=incident,
        picture=lanes.draw(incident, now),
        now=clock.rfc3339(now),
        open=incident.state == "open",
    )
