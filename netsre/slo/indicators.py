"""Increases and readings become bad and total events, by SLO and group.

A group is the values of the SLO's `groupBy` labels; `node` is the scraped node, whatever a series says. A
label that a series does not have is the empty text, as in PromQL.

What cannot be is never clipped in silence. It is an anomaly, and the count errs on the side of the failure:
more bad events than events means that every event counted was bad; a bucket above its histogram's count means
no slow event; a histogram without the bucket of the SLO is not counted at all, because nobody knows which of
its events were slow.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from netsre import conventions
from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.model.samples import Labels, Scrape, Series
from netsre.slo import exact, selectors
from netsre.slo.increments import Increments, bucket_key, key_of

_NODE_ONLY: Final = frozenset({conventions.NODE})


class Anomaly(StrEnum):
    """A reading that contradicts itself."""

    BAD_EXCEEDS_TOTAL = "bad_exceeds_total"
    GOOD_EXCEEDS_TOTAL = "good_exceeds_total"
    BUCKET_MISSING = "bucket_missing"
    NOT_A_NUMBER = "not_a_number"


@dataclass(frozen=True, slots=True)
class Measure:
    """Events of one group in one scrape; 0 <= bad <= total."""

    bad: Decimal
    total: Decimal
    anomalies: frozenset[Anomaly] = frozenset()


@dataclass(slots=True)
class _Tally:
    bad: Decimal = exact.ZERO
    total: Decimal = exact.ZERO
    anomalies: set[Anomaly] = field(default_factory=set)

    def add(self, bad: Decimal, total: Decimal) -> None:
        self.bad = exact.add(self.bad, bad)
        self.total = exact.add(self.total, total)

    def measure(self) -> Measure:
        anomalies = set(self.anomalies)
        if self.bad > self.total:
            anomalies.add(Anomaly.BAD_EXCEEDS_TOTAL)
        return Measure(self.bad, max(self.bad, self.total), frozenset(anomalies))


class _Tallies:
    """Tallies by group, for one SLO and one scrape."""

    def __init__(self, slo: SLO, node: str) -> None:
        self._group_by = sorted(slo.group_by)
        self._node = node
        self._by_group: dict[Labels, _Tally] = {}

    def known_beforehand(self) -> None:
        """Add the group that needs no series to be known, if the SLO groups by nothing but the node."""
        if _NODE_ONLY.issuperset(self._group_by):
            self.of({})

    def of(self, labels: Mapping[str, str]) -> _Tally:
        group = selectors.group_of(labels, self._group_by, self._node)
        return self._by_group.setdefault(group, _Tally())

    def selects(self, selector: Selector, labels: Mapping[str, str]) -> bool:
        return selectors.selects(selector, labels, self._node)

    def measures(self) -> dict[Labels, Measure]:
        return {group: tally.measure() for group, tally in sorted(self._by_group.items())}


def followed(slos: Iterable[SLO]) -> frozenset[str]:
    """Return the keys (`increments.key_of`) of all series whose increases these SLOs need."""
    keys: set[str] = set()
    for slo in slos:
        match slo.indicator:
            case RatioIndicator(bad, total):
                keys.update((bad.metric, total.metric))
            case LatencyIndicator(selector, below):
                keys.update((f"{selector.metric}_count", bucket_key(selector.metric, below)))
            case ThresholdIndicator():
                pass
    return frozenset(keys)


def measure(slo: SLO, scrape: Scrape, increments: Increments) -> Mapping[Labels, Measure]:
    """Return the events of every group that this scrape measured, also where nothing happened.

    A group that the node alone decides is measured by every scrape; any other by a scrape that shows one of
    the series of its total. Readings of a gauge are measured where the gauge is.
    """
    tallies = _Tallies(slo, scrape.node)
    match slo.indicator:
        case RatioIndicator():
            _count_ratio(slo.indicator, increments, tallies)
        case LatencyIndicator():
            _count_latency(slo.indicator, increments, tallies)
        case ThresholdIndicator():
            _count_readings(slo.indicator, scrape, tallies)
    return tallies.measures()


def _count_ratio(indicator: RatioIndicator, increments: Increments, tallies: _Tallies) -> None:
    tallies.known_beforehand()
    bad, total = indicator.bad, indicator.total
    for series, increase in increments.values.items():
        if series.name not in (bad.metric, total.metric):
            continue
        labels = dict(series.labels)
        if series.name == total.metric and tallies.selects(total, labels):
            tallies.of(labels).add(exact.ZERO, increase)
        if increase and series.name == bad.metric and tallies.selects(bad, labels):
            tallies.of(labels).add(increase, exact.ZERO)


def _count_latency(indicator: LatencyIndicator, increments: Increments, tallies: _Tallies) -> None:
    tallies.known_beforehand()
    metric = indicator.selector.metric
    wanted = bucket_key(metric, indicator.below)
    quick = {
        _without_bound(series): increase
        for series, increase in increments.values.items()
        if series.name == f"{metric}_bucket" and key_of(series) == wanted
    }
    for series, total in increments.values.items():
        labels = dict(series.labels)
        if series.name != f"{metric}_count" or not tallies.selects(indicator.selector, labels):
            continue
        tally, good = tallies.of(labels), quick.get(series.labels)
        if good is None:
            if total:
                tally.anomalies.add(Anomaly.BUCKET_MISSING)
        elif good > total:
            tally.anomalies.add(Anomaly.GOOD_EXCEEDS_TOTAL)
            tally.add(exact.ZERO, total)
        else:
            tally.add(exact.subtract(total, good), total)


def _without_bound(series: Series) -> Labels:
    return tuple(pair for pair in series.labels if pair[0] != "le")


def _count_readings(indicator: ThresholdIndicator, scrape: Scrape, tallies: _Tallies) -> None:
    holds = exact.COMPARE[indicator.op]
    for series, value in scrape.values.items():
        if series.name != indicator.selector.metric:
            continue
        labels = dict(series.labels)
        if not tallies.selects(indicator.selector, labels):
            continue
        if not exact.is_usable(value):
            tallies.of(labels).anomalies.add(Anomaly.NOT_A_NUMBER)
            continue
        tallies.of(labels).add(Decimal(0 if holds(value, indicator.value) else 1), Decimal(1))
