"""What an SLO measures, in a word: minutes of one definition are never added to those of another.

Name, objective, window, policy and words of an SLO may change, and its history stays. What it counts and by
which labels may not: a sum over two different questions answers neither.
"""

import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal

from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    Matcher,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.slo import slices
from netsre.slo.buckets import Bucket

_LENGTH = 12


def of(slo: SLO) -> str:
    """Return the definition of an SLO: equal for equal measurements, however they are written."""
    sliced = "" if slo.slices is None else f" in slices of {slo.slices.length} ms, target {slo.slices.target}"
    return _digest(_question(slo) + sliced)


def of_events(slo: SLO) -> str:
    """Return the definition of the events of an SLO, whatever its budget makes of them."""
    return _digest(_question(slo))


def _question(slo: SLO) -> str:
    return f"{_indicator(slo)} by {','.join(sorted(slo.group_by))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def current(slos: Iterable[SLO], buckets: Iterable[Bucket]) -> Iterator[Bucket]:
    """Yield the buckets of what these SLOs measure now; SLOs and definitions that are gone have none."""
    asked = tuple(slos)
    definitions = {slo.name: of(slo) for slo in asked}
    definitions |= {slices.events_of(slo.name): of_events(slo) for slo in asked if slo.slices is not None}
    return (bucket for bucket in buckets if bucket.definition == definitions.get(bucket.slo))


def _indicator(slo: SLO) -> str:
    match slo.indicator:
        case RatioIndicator(bad, total):
            return f"ratio {_selector(bad)} of {_selector(total)}"
        case LatencyIndicator(selector, below):
            return f"latency {_selector(selector)} below {_number(below)}"
        case ThresholdIndicator(selector, op, value):
            return f"threshold {_selector(selector)} {op} {_number(value)}"
        case PromqlIndicator(bad, total, every):
            # As they are written: what spaces, or an order, mean in them is for a Prometheus to say.
            return f"promql {bad.strip()} of {total.strip()} every {every} ms"


def _selector(selector: Selector) -> str:
    def order(matcher: Matcher) -> tuple[str, str, str]:
        return matcher.label, matcher.op, matcher.value

    return str(Selector(selector.metric, tuple(sorted(set(selector.matchers), key=order))))


def _number(value: Decimal) -> str:
    return f"{value.normalize():f}"
