"""Series of scenarios: `name{label="value"}: 0.92` stands there, `: 100/s` counts up, `: gone` is gone."""

import re
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from netsre.metrics.registry import REGISTRY
from netsre.model import literals, values
from netsre.model.samples import Series, labels
from netsre.model.scenarios import Curves, Level, Rate, Shape
from netsre.runbook import scenario_codes as codes
from netsre.slo import selectors

GONE: Final = "gone"
VALUE: Final = rf"{GONE}|[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?(?:/s)?"
_SERIES: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?", re.ASCII)
_SUFFIXES: Final = ("_bucket", "_sum", "_count")
"""Of the series of a histogram."""


def read(body: values.Mapping) -> Curves:
    """Read how series go on."""
    found: dict[Series, Shape] = {}
    for key in body.keys():  # noqa: SIM118 - it is no dict
        scalar = body.scalar(key)
        series = _series(body, key)
        if scalar is None or series is None:
            continue
        if re.fullmatch(VALUE, scalar.value) is None:
            message = f"{literals.shown(scalar.value)} is no value; write 0.92, 100/s or {GONE}"
            scalar.wrong(codes.SERIES, message)
            continue
        found[series] = _shape(scalar.value)
    return MappingProxyType(found)


def _shape(text: str) -> Shape:
    if text == GONE:
        return None
    if text.endswith("/s"):
        return Rate(Decimal(text.removesuffix("/s")))
    return Level(Decimal(text))


def _series(body: values.Mapping, key: str) -> Series | None:
    parts = _SERIES.fullmatch(key)
    if parts is None:
        body.wrong(key, codes.SERIES, 'is no series; write one such as netsre_flows_total{outcome="failed"}')
        return None
    name, text = parts[1], parts[2] or ""
    if not _known(name):
        body.wrong(key, codes.SERIES, f"is of a metric that does not exist{literals.nearest(name, REGISTRY)}")
    try:
        matchers = selectors.parse_matchers(text) if text.strip() else ()
    except ValueError as error:
        body.wrong(key, codes.SERIES, str(error))
        return None
    if any(one.op != "=" for one in matchers):
        body.wrong(key, codes.SERIES, 'has a label without a value; each is written as label="value"')
    return Series(name, labels({one.label: one.value for one in matchers}))


def _known(name: str) -> bool:
    whole = [name, *(name.removesuffix(end) for end in _SUFFIXES if name.endswith(end))]
    return any(one in REGISTRY for one in whole)
