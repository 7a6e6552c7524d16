"""Events of a gap between two readings, shared out over the minutes in which they may have happened."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.slo import exact
from netsre.slo.indicators import Measure
from netsre.slo.track import NOTHING, Sums

LONG_GAP: Final = 2 * clock.MINUTE
"""Events of a longer gap between scrapes are spread over it: they did not all happen in its last minute."""


def minute_of(at: int) -> Timestamp:
    """Return where the minute of a time begins."""
    return Timestamp(at - at % clock.MINUTE)


def apportion(
    amount: Decimal, since: Timestamp | None, until: Timestamp, oldest: int = 0
) -> list[tuple[Timestamp, Decimal]]:
    """Share an amount out over the minutes of a gap, evenly in time, in whole events; the sum is exact.

    A gap of up to two minutes, and one of unknown length, counts in its last minute. Minutes that begin
    before `oldest` get what is theirs and are left out.
    """
    if not amount:
        return []
    if since is None or until - since <= LONG_GAP:
        return [(minute_of(until), amount)]
    whole, length = int(amount), until - since
    shares: list[tuple[Timestamp, Decimal]] = []
    first = max(minute_of(since), minute_of(oldest))
    given = whole * max(0, first - since) // length
    for minute in range(first, until + 1, clock.MINUTE):
        due = whole * (min(minute + clock.MINUTE, until) - since) // length
        if due > given:
            shares.append((Timestamp(minute), Decimal(due - given)))
        given = due
    fraction = exact.subtract(amount, Decimal(whole))
    if fraction:
        shares.append((minute_of(until), fraction))
    return shares


def fill(
    begin: Timestamp, end: Timestamp, measures: Sequence[Measure]
) -> Iterator[tuple[Timestamp, list[Decimal], list[Decimal]]]:
    """Share events out evenly over whole minutes; yield each with the bad events and the events of all."""
    minutes = range(begin, end, clock.MINUTE)
    # Good and bad apart, so that no minute gets more bad events than events.
    bad = [_evenly(measure.bad, len(minutes)) for measure in measures]
    good = [_evenly(exact.subtract(measure.total, measure.bad), len(minutes)) for measure in measures]
    for at, minute in enumerate(map(Timestamp, minutes)):
        failed = [shares[at] for shares in bad]
        yield minute, failed, [exact.add(one, shares[at]) for one, shares in zip(failed, good, strict=True)]


def _evenly(amount: Decimal, minutes: int) -> list[Decimal]:
    """Share an amount out over some minutes, evenly, in whole events; what is no whole one is in the last."""
    whole = int(amount)
    upto = [whole * minute // minutes for minute in range(minutes + 1)]
    shares = [Decimal(after - before) for before, after in pairwise(upto)]
    shares[-1] = exact.add(shares[-1], exact.subtract(amount, Decimal(whole)))
    return shares


def spread(
    measured: Iterable[tuple[int, Measure]], since: Timestamp, until: Timestamp, oldest: int
) -> dict[Timestamp, dict[int, Sums]]:
    """Share the events of rows, each named once, out over the minutes of a gap; return them by minute."""
    minutes: dict[Timestamp, dict[int, Sums]] = {}
    for row, measure in measured:
        good = exact.subtract(measure.total, measure.bad)
        # Good and bad apart, so that no minute gets more bad events than events.
        for minute, bad in apportion(measure.bad, since, until, oldest):
            _put(minutes.setdefault(minute, {}), row, bad, bad)
        for minute, share in apportion(good, since, until, oldest):
            _put(minutes.setdefault(minute, {}), row, exact.ZERO, share)
    return minutes


def _put(rows: dict[int, Sums], row: int, bad: Decimal, total: Decimal) -> None:
    rows[row] = rows.get(row, NOTHING) + Sums(bad, total, 0)
