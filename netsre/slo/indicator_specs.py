"""The `indicator` part of an SLO file: which series, and what makes an event bad."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, cast

from netsre.model import linting, literals, values
from netsre.model.levels import (
    Indicator,
    LatencyIndicator,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.slo import codes, exact, promql_specs, selectors, spec_parts

Bounds = Mapping[str, Sequence[Decimal]]
"""Finite bucket bounds in seconds, ascending, by histogram."""

LIMIT: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(us|ms|s)", re.ASCII)
_UNITS: Final[Mapping[str, Decimal]] = {"us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}


def read(indicator: values.Mapping, bounds: Bounds) -> Indicator | None:
    """Read the one indicator that is written; None when anything in it is wrong."""
    kind = indicator.one_of("ratio", "latency", "threshold", "promql")
    indicator.end()
    body = indicator.mapping(kind) if kind else None
    if body is None:
        return None
    match kind:
        case "ratio":
            return _ratio(body)
        case "latency":
            return _latency(body, bounds)
        case "promql":
            return promql_specs.read(body)
        case _:
            return _threshold(body)


def metrics_of(indicator: Indicator) -> tuple[str, ...]:
    """Return the metrics of ours that an indicator reads, each once; expressions are about anybody's."""
    match indicator:
        case RatioIndicator():
            return tuple(dict.fromkeys((indicator.total.metric, indicator.bad.metric)))
        case LatencyIndicator() | ThresholdIndicator():
            return (indicator.selector.metric,)
        case PromqlIndicator():
            return ()


def _ratio(body: values.Mapping) -> RatioIndicator | None:
    parts: dict[str, Selector | None] = {}
    for key in ("bad", "total"):
        part = body.mapping(key)
        parts[key] = spec_parts.selector(part, "counter") if part else None
        if part:
            part.end()
    body.end()
    bad, total = parts["bad"], parts["total"]
    if bad is None or total is None:
        return None
    stray = _stray(bad, total)
    if stray:
        message = f"asks for {stray}, which total leaves out; every bad event must be part of total"
        body.wrong("bad", codes.BAD_OUTSIDE_TOTAL, message)
    return RatioIndicator(bad, total)


def _stray(bad: Selector, total: Selector) -> str | None:
    """Return a condition of the bad events that the total certainly refuses."""
    if bad.metric != total.metric:
        return None
    fixed = [matcher for matcher in bad.matchers if matcher.op == "="]
    for matcher in fixed:
        same = (other for other in total.matchers if other.label == matcher.label)
        if not all(selectors.matches(other, matcher.value) for other in same):
            return f"{matcher.label}={literals.shown(matcher.value)}"
    return None


def _latency(body: values.Mapping, bounds: Bounds) -> LatencyIndicator | None:
    selector = spec_parts.selector(body, "histogram")
    scalar = body.scalar("below")
    below = _seconds(scalar) if scalar else None
    body.end()
    if selector is None or below is None:
        return None
    known = bounds.get(selector.metric)
    if known is None:
        message = f"{selector.metric} has no bounds that this program knows; use another histogram"
        body.wrong("metric", codes.BOUNDS_UNKNOWN, message)
    elif below not in known:
        around = [
            max((b for b in known if b < below), default=None),
            min((b for b in known if b > below), default=None),
        ]
        near = " or ".join(_limit_text(bound) for bound in around if bound is not None)
        message = f"{_limit_text(below)} is not a bucket bound of {selector.metric}; write {near}"
        body.wrong("below", codes.NOT_A_BOUND, message)
    return LatencyIndicator(selector, below)


def _seconds(scalar: values.Scalar) -> Decimal | None:
    parts = LIMIT.fullmatch(scalar.value)
    if parts is None:
        message = f"{literals.shown(scalar.value)} is not a latency; write one such as 500us, 250ms or 2.5s"
        scalar.wrong(linting.DURATION, message)
        return None
    return Decimal(parts[1]) * _UNITS[parts[2]]


def _limit_text(seconds: Decimal) -> str:
    unit = "s" if seconds >= 1 else "ms" if seconds >= _UNITS["ms"] else "us"
    return f"{(seconds / _UNITS[unit]).normalize():f}{unit}"


def _threshold(body: values.Mapping) -> ThresholdIndicator | None:
    selector = spec_parts.selector(body, "gauge")
    op = body.choice("op", *exact.COMPARE)
    scalar = body.scalar("value")
    value = scalar.exact() if scalar else None
    body.end()
    if selector is None or op is None or scalar is None or value is None:
        return None
    return ThresholdIndicator(selector, cast('Literal["<", "<=", ">", ">="]', op), Decimal(scalar.value))
