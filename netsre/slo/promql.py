"""SLOs that a Prometheus answers: time in pieces, what to ask about them, and what the answers come to.

An expression estimates events per second over one piece, at its end; pieces tile time, so that every event
is in one of them, and a budget stays a ratio of sums. What the two expressions say of one piece is joined by
group. A group without bad events has none where there is a total: a series of failures is often born with
the first of them. Without a total nothing is known, and bad events without one are an anomaly, as in
`indicators`. What is no number, or is negative, is not measured, and said.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.levels import SLO, PromqlIndicator, Slices
from netsre.model.samples import Labels, Points
from netsre.slo import exact, promql_specs, slices
from netsre.slo.history import History
from netsre.slo.indicators import Anomaly, Measure
from netsre.slo.track import NOTHING, Sums

_AT_ONCE: Final = clock.DAY
_NOISE: Final = Decimal("1.000000001")
"""Two sums of the same floats in another order differ by less than this, which is no contradiction."""


class Piece(NamedTuple):
    """What the answers say of one group in one piece."""

    slo: int
    """Its place among the SLOs of an engine."""
    group: Labels
    end: Timestamp
    measure: Measure


class Filling(NamedTuple):
    """Events of whole minutes, to be counted in them."""

    begin: Timestamp
    end: Timestamp
    group: Labels
    measure: Measure


def indicator(slo: SLO) -> PromqlIndicator | None:
    """Return the expressions of an SLO; None when it has another indicator."""
    return slo.indicator if isinstance(slo.indicator, PromqlIndicator) else None


def asked(of: PromqlIndicator) -> tuple[str, str]:
    """Return what is asked for bad events and for all: the expressions with the length of a piece."""
    window = clock.duration_text(of.every)
    return promql_specs.over(of.bad, window), promql_specs.over(of.total, window)


def unit(slo: SLO, of: PromqlIndicator) -> int:
    """Return the milliseconds that are counted together: a piece, or the pieces of one slice."""
    return of.every if slo.slices is None else slo.slices.length


def due(slo: SLO, of: PromqlIndicator, counted_until: Timestamp | None, now: Timestamp, settle: int) -> range:
    """Return the ends of the pieces to ask about now, oldest first: a range with a step of one piece.

    A piece is due when it has been over for `settle` ms, so that a Prometheus has its last samples; of a
    budget of slices, when its slice has. Pieces that ended before the reach of the SLO never are.
    """
    whole = unit(slo, of)
    oldest = (now - slo.reach) // whole * whole
    begin = oldest if counted_until is None else max(oldest, -(-counted_until // whole) * whole)
    end = (now - settle) // whole * whole
    return range(begin + of.every, end + 1, of.every)


def batches(ends: range) -> Iterator[range]:
    """Cut the ends of pieces into what is asked, counted and kept together; oldest first.

    Each but the last ends with a day: of what is long past whole hours are kept, and from half of one nobody
    could tell after a crash which pieces were counted.
    """
    at = ends.start
    while at < ends.stop:
        until = -(-at // _AT_ONCE) * _AT_ONCE + 1
        yield range(at, min(until, ends.stop), ends.step)
        at += -(-(until - at) // ends.step) * ends.step


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one of the expressions says."""

    events: dict[Labels, dict[Timestamp, Decimal]]
    """By group and end."""
    anomalies: dict[tuple[Labels, Timestamp], frozenset[Anomaly]]

    def add(self, group: Labels, values: Iterable[tuple[Timestamp, Decimal]], seconds: Decimal) -> None:
        """Add one series of a group, of pieces of so many seconds."""
        events = self.events.setdefault(group, {})
        for end, rate in values:
            usable = exact.is_usable(rate)
            if usable and rate >= 0:
                more = exact.multiply(rate, seconds)
                events[end] = exact.add(events[end], more) if end in events else more
            else:
                what = Anomaly.NEGATIVE if usable else Anomaly.NOT_A_NUMBER
                self.anomalies[group, end] = self.anomalies.get((group, end), frozenset()) | {what}


def join(index: int, slo: SLO, bad: Iterable[Points], total: Iterable[Points]) -> tuple[Piece, ...]:
    """Return what the answers to both expressions say of an SLO, by group and end.

    `index` is its place among the SLOs of an engine. Series of one group are added up; a label that a series
    does not have is the empty text.
    """
    of = indicator(slo)
    if of is None:
        return ()
    failed, events = (_answer(points, slo, of.every) for points in (bad, total))
    anomalies = dict(failed.anomalies)
    for key, found in events.anomalies.items():
        anomalies[key] = anomalies.get(key, frozenset()) | found
    pieces: list[Piece] = []
    for group in sorted({**events.events, **failed.events}):
        some, every = failed.events.get(group, {}), events.events.get(group, {})
        for end in {**every, **some}:
            if (group, end) not in anomalies:
                measure = _measure(some.get(end, exact.ZERO), every.get(end))
                if measure is not None:
                    pieces.append(Piece(index, group, end, measure))
    nothing = (exact.ZERO, exact.ZERO)
    pieces += (Piece(index, group, end, Measure(*nothing, why)) for (group, end), why in anomalies.items())
    return tuple(pieces)


def _answer(points: Iterable[Points], slo: SLO, every: int) -> _Answer:
    seconds, names = Decimal(every // clock.SECOND), sorted(slo.group_by)
    answer = _Answer({}, {})
    for one in points:
        labels = dict(one.labels)
        answer.add(tuple((name, labels.get(name, "")) for name in names), one.values, seconds)
    return answer


def _measure(bad: Decimal, total: Decimal | None) -> Measure | None:
    """Return what numbers say; None where bad events are none, and of all nothing is known."""
    if total is None and not bad:
        return None
    events = total or exact.ZERO
    if bad <= events:
        return Measure(bad, events)
    if bad <= events * _NOISE:
        return Measure(bad, bad)
    return Measure(bad, bad, frozenset({Anomaly.BAD_EXCEEDS_TOTAL}))


def is_measured(measure: Measure) -> bool:
    """Tell whether a measure says anything of events, also that there were none."""
    return bool(measure.total) or not measure.anomalies


def fillings(slo: SLO, pieces: Iterable[Piece]) -> Iterator[Filling]:
    """Yield what is to be counted of the pieces of one SLO, which of a budget of slices are whole slices.

    A slice is one event, in its first minute; a piece without a number is left out.
    """
    of = indicator(slo)
    measured = [piece for piece in pieces if is_measured(piece.measure)]
    if of is None:
        return
    if slo.slices is not None:
        yield from _slices(slo.slices, of.every, measured)
        return
    for piece in measured:
        yield Filling(Timestamp(piece.end - of.every), piece.end, piece.group, piece.measure)


def _slices(sliced: Slices, every: int, pieces: Iterable[Piece]) -> Iterator[Filling]:
    held: dict[tuple[int, Labels], Sums] = {}
    for _, group, end, measure in pieces:
        begin = (end - every) // sliced.length * sliced.length
        held[begin, group] = held.get((begin, group), NOTHING) + Sums(measure.bad, measure.total, 1)
    for (begin, group), sums in sorted(held.items(), key=lambda one: one[0]):
        yield Filling(Timestamp(begin), Timestamp(begin + clock.MINUTE), group, slices.judge(sliced, sums))


def counted(slos: Iterable[SLO], history: History) -> dict[str, Timestamp]:
    """Return the end of the last piece of each SLO, by name, that is in a history.

    Where nothing but a coarser slot is left of a time, all of it counts as counted: what is asked for twice
    would be counted twice.
    """
    units = {slo.name: unit(slo, of) for slo in slos if (of := indicator(slo)) is not None}
    ends = history.read_until(units.keys()) if units else {}
    return {name: Timestamp(-(-end // units[name]) * units[name]) for name, end in ends.items()}
