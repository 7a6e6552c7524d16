"""Increases and readings become bad and total events, by SLO and group.

A group is the values of the SLO's `groupBy` labels; `node` is the scraped node, whatever a series says. A
label that a series does not have is the empty text, as in PromQL.

What cannot be is never clipped in silence. It is an anomaly, and the count errs on the side of the failure:
more bad events than events means that every event counted was bad; a bucket above its histogram's count means
no slow event; a histogram without the bucket of the SLO is not counted at all, because nobody knows which of
its events were slow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, StrEnum, auto
from typing import Final, NamedTuple

from netsre import conventions
from netsre.metrics import registry
from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.model.samples import Labels, Scrape, Series
from netsre.slo import exact, selectors
from netsre.slo.increments import Increments, bucket_key, key_of

_NODE_ONLY: Final = frozenset({conventions.NODE})
_ONE: Final = Decimal(1)
_MOST_MATCHES: Final = 1_000_000
"""Series that are remembered; with more than that all are found out anew."""


class Anomaly(StrEnum):
    """A reading that contradicts itself."""

    BAD_EXCEEDS_TOTAL = "bad_exceeds_total"
    GOOD_EXCEEDS_TOTAL = "good_exceeds_total"
    BUCKET_MISSING = "bucket_missing"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE = "negative"


class Measure(NamedTuple):
    """Events of one group in one scrape; 0 <= bad <= total."""

    bad: Decimal
    total: Decimal
    anomalies: frozenset[Anomaly] = frozenset()


@dataclass(slots=True)
class _Tally:
    bad: Decimal = exact.ZERO
    total: Decimal = exact.ZERO
    anomalies: frozenset[Anomaly] = frozenset()

    def note(self, anomaly: Anomaly) -> None:
        self.anomalies |= {anomaly}

    def add(self, bad: Decimal, total: Decimal) -> None:
        self.bad = exact.add(self.bad, bad)
        self.total = exact.add(self.total, total)

    def measure(self) -> Measure:
        if self.bad > self.total:
            self.note(Anomaly.BAD_EXCEEDS_TOTAL)
        return Measure(self.bad, max(self.bad, self.total), self.anomalies)


class Role(Enum):
    """What a series is to an SLO."""

    BAD = auto()
    TOTAL = auto()
    QUICK = auto()
    """The bucket of a histogram whose events are good."""
    COUNT = auto()
    """The count of a histogram."""
    READING = auto()


_PLAIN: Final = frozenset({Role.BAD, Role.TOTAL})
"""What says nothing by itself where nothing happened; of a histogram, bucket and count may contradict."""


@dataclass(frozen=True, slots=True)
class Part:
    """Series that an indicator is made of."""

    name: str
    """Of their samples."""
    selector: Selector
    role: Role
    bound: str = ""
    """Of a bucket: the key that it must have (`increments.key_of`)."""

    @property
    def key(self) -> str:
        """Return the key of the series (`increments.key_of`)."""
        return self.bound or self.name


def parts(slo: SLO) -> Iterator[Part]:
    """Yield every series that an SLO is made of; of what only a Prometheus answers there are none."""
    match slo.indicator:
        case RatioIndicator(bad, total):
            yield Part(total.metric, total, Role.TOTAL)
            yield Part(bad.metric, bad, Role.BAD)
        case LatencyIndicator(selector, below):
            yield Part(f"{selector.metric}_count", selector, Role.COUNT)
            # What selects the histogram selects its buckets, which have one label more.
            bound = bucket_key(selector.metric, below)
            yield Part(f"{selector.metric}_bucket", selector, Role.QUICK, bound)
        case ThresholdIndicator(selector, _, _):
            yield Part(selector.metric, selector, Role.READING)
        case PromqlIndicator():
            return  # nothing that a scrape shows


def needs_datapath(slo: SLO) -> bool:
    """Tell whether an SLO is about what only a node with the policy datapath or a flow log shows."""
    return any(registry.of_datapath(part.selector.metric) for part in parts(slo))


def _is_shown_only(slo: SLO) -> bool:
    """Tell whether only a node with the datapath shows bad events of an SLO, and every node all of them.

    Of a node without it nothing is known: what is not there lets nothing through in good order either.
    """
    indicator = slo.indicator
    return (
        isinstance(indicator, RatioIndicator)
        and registry.of_datapath(indicator.bad.metric)
        and not registry.of_datapath(indicator.total.metric)
    )


def followed(slos: Iterable[SLO]) -> frozenset[str]:
    """Return the keys (`increments.key_of`) of all series whose increases these SLOs need."""
    return frozenset(part.key for slo in slos for part in parts(slo) if part.role is not Role.READING)


def counters(slos: Iterable[SLO]) -> frozenset[str]:
    """Return the names of the samples whose increases these SLOs need."""
    return frozenset(part.name for slo in slos for part in parts(slo) if part.role is not Role.READING)


def measure(slo: SLO, scrape: Scrape, increments: Increments) -> Mapping[Labels, Measure]:
    """Return the events of every group of one SLO that this scrape measured."""
    meter = Meter((slo,))
    quiet = {group: Measure(exact.ZERO, exact.ZERO) for _, group in meter.always(scrape.node)}
    return quiet | {group: found for _, group, found in meter.measure(scrape, increments)}


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which series one SLO asks for, and as what."""

    slo: int
    part: Part


_Match = tuple[int, Labels, Role]
"""Which SLO counts a series, in which group, and as what."""


class Meter:
    """Counts for many SLOs at once: which of them a series belongs to is found out once for each series."""

    def __init__(self, slos: Sequence[SLO]) -> None:
        """Count for these."""
        self._slos = tuple(slos)
        self._wishes: dict[str, _Wishes] = {}
        for index, slo in enumerate(self._slos):
            for part in parts(slo):
                self._wishes.setdefault(part.name, _Wishes()).add(_Wish(index, part))
        self._gauges = frozenset(
            slo.indicator.selector.metric for slo in slos if isinstance(slo.indicator, ThresholdIndicator)
        )
        self._by_node = [
            isinstance(slo.indicator, RatioIndicator | LatencyIndicator)
            and _NODE_ONLY.issuperset(slo.group_by)
            # A node that lacks the datapath measures nothing of it, however often it is read.
            and not needs_datapath(slo)
            for slo in self._slos
        ]
        self._shown_only = frozenset(index for index, slo in enumerate(self._slos) if _is_shown_only(slo))
        """Those of which a scrape says nothing that does not show the series of their bad events."""
        self._bad_names = {
            part.name
            for index in self._shown_only
            for part in parts(self._slos[index])
            if part.role is Role.BAD
        }
        self._always: dict[str, list[tuple[int, Labels]]] = {}
        self._matches: dict[tuple[str, Series], tuple[_Match, ...]] = {}

    def measure(self, scrape: Scrape, increments: Increments) -> list[tuple[int, Labels, Measure]]:
        """Return index of the SLO, group and events, in that order; nothing of groups that were quiet.

        A group that the node alone decides is measured by every scrape (`always`), and here where something
        happened; any other by a scrape that shows one of the series of its total. Readings of a gauge are
        measured where the gauge is.
        """
        tallies: dict[tuple[int, Labels], _Tally] = {}
        self._count(increments, scrape.node, tallies)
        self._leave_out(increments, scrape.node, tallies)
        self._read_gauges(scrape, tallies)
        return [(index, group, tallies[index, group].measure()) for index, group in sorted(tallies)]

    def always(self, node: str) -> Sequence[tuple[int, Labels]]:
        """Return index and group of what every scrape of a node measures, also one without its series."""
        known = self._always.get(node)
        if known is None:
            known = self._always[node] = [
                (index, selectors.group_of({}, slo.group_by, node))
                for index, slo in enumerate(self._slos)
                if self._by_node[index]
            ]
        return known

    def _count(self, increments: Increments, node: str, tallies: dict[tuple[int, Labels], _Tally]) -> None:
        quick: dict[tuple[int, Labels], Decimal] = {}
        counts: list[tuple[int, Labels, Series, Decimal]] = []
        for series, increase in increments.values.items():
            for index, group, role in self._of(series, node):
                if not increase and self._by_node[index] and role in _PLAIN:
                    continue
                if role is Role.TOTAL:
                    tally = _tally(tallies, index, group)
                    tally.total = exact.add(tally.total, increase)
                elif role is Role.BAD and increase:
                    tally = _tally(tallies, index, group)
                    tally.bad = exact.add(tally.bad, increase)
                elif role is Role.QUICK:
                    quick[index, _without_bound(series)] = increase
                elif role is Role.COUNT:
                    counts.append((index, group, series, increase))
        for index, group, series, total in counts:
            good = quick.get((index, series.labels))
            if total or good or not self._by_node[index]:
                _add_slow(_tally(tallies, index, group), good, total)

    def _leave_out(
        self, increments: Increments, node: str, tallies: dict[tuple[int, Labels], _Tally]
    ) -> None:
        """Say nothing of what only a datapath counts as bad where there is none."""
        unsure = {index for index, _ in tallies if index in self._shown_only}
        if not unsure:
            return
        for series in increments.values:
            if series.name in self._bad_names:
                unsure -= {index for index, _, role in self._of(series, node) if role is Role.BAD}
        for key in [key for key in tallies if key[0] in unsure]:
            del tallies[key]

    def _read_gauges(self, scrape: Scrape, tallies: dict[tuple[int, Labels], _Tally]) -> None:
        for series, value in scrape.values.items() if self._gauges else ():
            if series.name not in self._gauges:
                continue
            for index, group, role in self._of(series, scrape.node):
                indicator = self._slos[index].indicator
                if role is not Role.READING or not isinstance(indicator, ThresholdIndicator):
                    continue
                tally = _tally(tallies, index, group)
                if not exact.is_usable(value):
                    tally.note(Anomaly.NOT_A_NUMBER)
                    continue
                good = exact.COMPARE[indicator.op](value, indicator.value)
                tally.add(exact.ZERO if good else _ONE, _ONE)

    def _of(self, series: Series, node: str) -> tuple[_Match, ...]:
        known = self._matches.get((node, series))
        if known is None:
            if len(self._matches) >= _MOST_MATCHES:
                self._matches.clear()
            known = self._matches[node, series] = self._find(series, node)
        return known

    def _find(self, series: Series, node: str) -> tuple[_Match, ...]:
        wishes, labels = self._wishes.get(series.name), dict(series.labels)
        if wishes is None:
            return ()
        return tuple(
            (wish.slo, selectors.group_of(labels, self._slos[wish.slo].group_by, node), wish.part.role)
            for wish in wishes.candidates(labels, node)
            if (not wish.part.bound or wish.part.bound == key_of(series))
            and selectors.selects(wish.part.selector, labels, node)
        )


class _Wishes:
    """What is asked of the series of one name, by the value of a label that they must have, if any."""

    def __init__(self) -> None:
        self._by_value: dict[tuple[str, str], list[_Wish]] = {}
        self._rest: list[_Wish] = []

    def add(self, wish: _Wish) -> None:
        fixed = next((m for m in wish.part.selector.matchers if m.op == "=" and m.value), None)
        place = self._rest if fixed is None else self._by_value.setdefault((fixed.label, fixed.value), [])
        place.append(wish)

    def candidates(self, labels: Mapping[str, str], node: str) -> Iterator[_Wish]:
        yield from self._rest
        for pair in ({**labels, conventions.NODE: node}).items():
            yield from self._by_value.get(pair, ())


def _tally(tallies: dict[tuple[int, Labels], _Tally], index: int, group: Labels) -> _Tally:
    tally = tallies.get((index, group))
    if tally is None:
        tally = tallies[index, group] = _Tally()
    return tally


def _add_slow(tally: _Tally, good: Decimal | None, total: Decimal) -> None:
    """Add the events of a histogram, of which `good` were quick enough; None when it lacks that bucket."""
    if good is None:
        if total:
            tally.note(Anomaly.BUCKET_MISSING)
    elif good > total:
        tally.note(Anomaly.GOOD_EXCEEDS_TOTAL)
        tally.add(exact.ZERO, total)
    else:
        tally.add(exact.subtract(total, good), total)


def _without_bound(series: Series) -> Labels:
    return tuple(pair for pair in series.labels if pair[0] != "le")
