"""A native histogram as Prometheus tells it: events by bucket, and up to a bound.

A bound that is no bound of the buckets lies in one of them, whose events are then shared out as Prometheus 3
does it (`histogram_fraction`): evenly over the logarithm in an exponential bucket, evenly in the zero bucket
and in custom ones. The JSON does not say which it is: exponential is a bucket whose bounds are both powers of
two to a 256th, the finest schema there is. The zero bucket begins at zero where no bucket is below it. Of a
bucket without an end no event is taken to be quick. A share has twenty decimals.
"""

import decimal
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from netsre.slo import exact

_DIGITS: Final = decimal.Context(prec=40)
_SHARE: Final = Decimal(1).scaleb(-20)
_FINEST: Final = 256
"""Buckets from one power of two to the next, in the finest schema."""
_ON_GRID: Final = 1e-6
_RULES: Final = frozenset(range(4))


class Bucket(NamedTuple):
    """Events above `lower`, up to and with `upper`, in seconds."""

    lower: Decimal
    upper: Decimal
    events: Decimal


class Split(NamedTuple):
    """Events of a histogram below, in, and above a span."""

    below: Decimal
    inside: Decimal
    above: Decimal


@dataclass(frozen=True, slots=True)
class Histogram:
    """One sample: all events, those that are no number among them, and by bucket; ascending."""

    count: Decimal
    buckets: tuple[Bucket, ...]


Span = tuple[Decimal, Decimal]
"""Both in seconds; a bound that no bucket has inside is a span of nothing."""


def parse(value: object, number: Callable[[str], Decimal]) -> Histogram | None:
    """Return a histogram, None for one with a count that is no number; raises `ValueError` for none."""
    if not isinstance(value, dict) or not isinstance(value.get("count"), str):
        raise ValueError("has a histogram without a count")
    listed = value.get("buckets", [])
    if not isinstance(listed, list):
        raise ValueError("has a histogram without buckets")
    buckets: list[Bucket] = []
    for one in listed:
        match one:
            case [int() as rule, str() as lower, str() as upper, str() as events] if rule in _RULES:
                buckets.append(Bucket(_bound(lower), _bound(upper), number(events)))
                if buckets[-1].lower > buckets[-1].upper:
                    raise ValueError("has a bucket that ends before it begins")
            case _:
                raise ValueError("has a bucket of another shape")
    count = number(value["count"])
    if not all(one.is_finite() and one >= 0 for one in (count, *(bucket.events for bucket in buckets))):
        return None
    return Histogram(count, tuple(_from_zero(buckets)))


def span(histograms: Sequence[Histogram], bound: Decimal) -> Span:
    """Return the least span around a bound that ends at bounds of the buckets of all these histograms."""
    lower = upper = bound
    while True:
        wider = [
            bucket
            for histogram in histograms
            for bucket in histogram.buckets
            if bucket.lower < upper
            and lower < bucket.upper
            and (bucket.lower < lower or upper < bucket.upper)
        ]
        if not wider:
            return lower, upper
        lower = min(lower, *(bucket.lower for bucket in wider))
        upper = max(upper, *(bucket.upper for bucket in wider))


def split(histogram: Histogram, around: Span) -> Split:
    """Return the events below, in and above a span that ends at bounds of the buckets."""
    below = inside = above = exact.ZERO
    for bucket in histogram.buckets:
        # A zero bucket of no width lies in the wider one that begins there.
        if bucket.upper <= around[0] and bucket.lower < around[0]:
            below = exact.add(below, bucket.events)
        elif bucket.lower >= around[1]:
            above = exact.add(above, bucket.events)
        else:
            inside = exact.add(inside, bucket.events)
    return Split(below, inside, above)


@functools.lru_cache(maxsize=4_096)
def share(around: Span, bound: Decimal) -> Decimal:
    """Return the share of the events in a span that is taken to be up to a bound in it."""
    lower, upper = around
    if not (lower.is_finite() and upper.is_finite() and lower < upper):
        return exact.ZERO
    if _is_exponential(lower) and _is_exponential(upper):
        lower, upper, bound = (_DIGITS.ln(one) for one in (lower, upper, bound))
    part = _DIGITS.divide(_DIGITS.subtract(bound, lower), _DIGITS.subtract(upper, lower))
    return part.quantize(_SHARE, rounding=decimal.ROUND_HALF_EVEN, context=_DIGITS)


def _is_exponential(bound: Decimal) -> bool:
    if bound <= 0:
        return False
    steps = math.log2(bound) * _FINEST
    return abs(steps - round(steps)) < _ON_GRID


@functools.lru_cache(maxsize=16_384)
def _bound(text: str) -> Decimal:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise ValueError("has a bucket whose bound is no number")
    return Decimal(repr(value))


def _from_zero(buckets: list[Bucket]) -> Iterable[Bucket]:
    """Yield buckets; one around zero begins there when none is below it."""
    negative = any(bucket.upper <= 0 and bucket.lower < 0 for bucket in buckets)
    for bucket in buckets:
        around_zero = bucket.lower < 0 < bucket.upper
        yield bucket._replace(lower=exact.ZERO) if around_zero and not negative else bucket
