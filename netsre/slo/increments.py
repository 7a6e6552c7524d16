"""Counters become increases: what was counted since the last scrape of a source, exactly once.

| situation                                   | counted                                              |
|---------------------------------------------|------------------------------------------------------|
| first scrape of a source                    | nothing: when its counts happened is unknown         |
| same incarnation                            | value minus the value before                         |
| series was absent before                    | all of it: it was born at zero since                 |
| series was not followed before              | nothing: its counts may be older than the last scrape|
| value fell, same incarnation                | all of it, reported as a reset                       |
| source restarted (see `_restarted`)         | all of every series: they began at zero              |
| scrape older than the last one              | as any other: the clock was set back, and the        |
|                                             | counters alone say how far their source has come     |
| scrape of the same time as the last one     | nothing; the cursor stays                            |
| value negative, infinite or NaN             | nothing; the series stays where it was               |

A series that vanishes keeps its last value while the source lives: counters of a living source do not die, so
the scrape was incomplete, and counting the series anew when it returns would count its events twice. When the
source restarts, nothing old can return and everything is forgotten.

Scrapes of one source are given in the order in which they were read; their times need not be in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Final

from netsre.clock import Timestamp
from netsre.model.samples import Scrape, Series
from netsre.slo import exact

MOST_VANISHED: Final = 10_000
"""Vanished series whose value is kept; beyond it the longest absent go first. Bounds the cursor."""

JITTER: Final = 500
"""Milliseconds by which the start of one life may differ between two scrapes."""

_BUCKET: Final = "_bucket"


class Reason(StrEnum):
    """Why a scrape was counted, or was not."""

    COUNTED = "counted"
    BASELINE = "baseline"
    """First scrape of the source: later ones are compared with it."""
    DUPLICATE = "duplicate"
    """Same time as the last scrape."""
    CLOCK_SET_BACK = "clock_set_back"
    """Counted, and older than the last scrape, which was read before."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the counters of one source were counted."""

    node: str
    at: Timestamp
    started_at: Timestamp
    followed: frozenset[str]
    """Keys (`key_of`) of the series that were followed; a series of another key has no past here."""
    values: Mapping[Series, Decimal]
    """Last value of every followed series; vanished ones first, the longest absent at the front."""


@dataclass(frozen=True, slots=True)
class Increments:
    """What was counted between two scrapes of one source."""

    reason: Reason
    since: Timestamp | None
    """The events happened after this time; None when nothing can be said to have happened."""
    until: Timestamp
    values: Mapping[Series, Decimal]
    """Increase of every followed series, also when it is 0: the series was there."""
    resets: tuple[Series, ...] = ()
    unusable: tuple[Series, ...] = ()


def key_of(series: Series) -> str:
    """Return what decides whether a series is followed: its sample name, and the bound of a bucket."""
    if not series.name.endswith(_BUCKET):
        return series.name
    bound = next((value for name, value in series.labels if name == "le"), "")
    return bucket_key(series.name.removesuffix(_BUCKET), bound)


def bucket_key(metric: str, bound: str | Decimal) -> str:
    """Return the key of a histogram's bucket; `0.25`, `0.250` and `2.5e-1` are one bound."""
    number = parse_bound(bound) if isinstance(bound, str) else bound
    # What no 64-bit float holds stands for itself: written out it may be a million digits, or none at all.
    text = bound if number is None or not exact.is_usable(number) else exact.text(number)
    return f"{metric}{_BUCKET}{{le={text}}}"


def parse_bound(text: str) -> Decimal | None:
    """Return the value of an `le` label as a number; `+Inf` is infinite, nonsense is None."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        return None
    return None if number.is_nan() else number


def advance(previous: Cursor | None, scrape: Scrape, followed: frozenset[str]) -> tuple[Increments, Cursor]:
    """Count what a scrape adds, for the series whose `key_of` is followed, and move the cursor."""
    if previous is not None and previous.node != scrape.node:
        raise ValueError(f"cursor of {previous.node!r} cannot follow a scrape of {scrape.node!r}")
    if previous is not None and scrape.at == previous.at:
        return Increments(Reason.DUPLICATE, None, scrape.at, {}), previous
    known = {} if previous is None or previous.followed != followed else previous.values
    present = {
        series: value
        for series, value in scrape.values.items()
        # Most were followed before, and what they are called did not change since.
        if series in known or key_of(series) in followed
    }
    good = {series: value for series, value in present.items() if exact.is_usable(value) and value >= 0}
    unusable = tuple(series for series in present if series not in good)
    cursor = Cursor(scrape.node, scrape.at, scrape.started_at, followed, good)
    if previous is None:
        return Increments(Reason.BASELINE, None, scrape.at, {}, unusable=unusable), cursor
    reason = Reason.CLOCK_SET_BACK if scrape.at < previous.at else Reason.COUNTED
    if _restarted(previous, scrape.started_at, good):
        # Nothing of a source happened before it started; its clock may run ahead of ours.
        since = Timestamp(min(max(previous.at, scrape.started_at), scrape.at))
        return Increments(reason, since, scrape.at, good, unusable=unusable), cursor
    values, resets = _increases(previous, good)
    begin = previous.at if reason is Reason.COUNTED else None
    increments = Increments(reason, begin, scrape.at, values, resets, unusable)
    kept = {**_vanished(previous, good, followed), **good}
    # The latest start of a life is its own: an earlier one comes from a clock that was set.
    started_at = max(previous.started_at, scrape.started_at)
    return increments, replace(cursor, started_at=started_at, values=kept)


def _restarted(previous: Cursor, started_at: Timestamp, values: Mapping[Series, Decimal]) -> bool:
    """Tell whether the counters began anew since the last scrape.

    A later start says so by itself. An earlier one is a clock that was set back: under the same life when
    every counter is still there and none fell, else under a new one.
    """
    later = started_at - previous.started_at
    if abs(later) <= JITTER:
        return False
    return later > 0 or any(
        series not in values or values[series] < before for series, before in previous.values.items()
    )


def _increases(
    previous: Cursor, values: Mapping[Series, Decimal]
) -> tuple[dict[Series, Decimal], tuple[Series, ...]]:
    increases: dict[Series, Decimal] = {}
    resets: list[Series] = []
    for series, value in values.items():
        before = previous.values.get(series)
        if before is None:
            if key_of(series) in previous.followed:
                increases[series] = value
        elif value < before:
            increases[series] = value
            resets.append(series)
        else:
            increases[series] = exact.subtract(value, before)
    return increases, tuple(resets)


def _vanished(
    previous: Cursor, present: Mapping[Series, Decimal], followed: frozenset[str]
) -> dict[Series, Decimal]:
    absent = {
        series: value
        for series, value in previous.values.items()
        if series not in present and key_of(series) in followed
    }
    return dict(islice(absent.items(), max(0, len(absent) - MOST_VANISHED), None))
