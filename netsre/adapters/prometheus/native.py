"""Native histograms become the counters that classic ones are, so that nothing above knows of them.

`X` becomes `X_count` and, for each bound that somebody asks for, `X_bucket`. The bound is spelled `+0.25`,
which no exporter writes: where a target changes from one kind to the other all its buckets then have other
labels, which makes a first scrape (`slo.targets`); where it has both, the classic ones, read later, count.

| between two samples of a series                  | what the bucket gains                                |
|--------------------------------------------------|------------------------------------------------------|
| the bound is one of both                         | exactly what the buckets below it gained             |
| the same bucket has it inside                    | and its share of what that one gained                |
| another bucket has it inside: the resolution     | the same, for the least span that ends at bounds of  |
| changed, the zero bucket grew                    | both                                                 |
| the count fell                                   | all: it began anew                                   |
| a part (below, in, above that span) fell, though | all: it began anew, and has counted more since than  |
| the count did not                                | before                                               |
| a count is no number                             | nothing; both counters are no number either          |

So a bucket never gains more than the count does, and never falls while no part of the histogram fell. An
estimate is rounded down to whole events, once, not at each sample. Samples of a series are given in the order
of time. Those of the last minutes may be given again, and become what they were; any other that is not later
than the last begins anew.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from netsre import clock
from netsre.adapters.prometheus import answers, histograms
from netsre.adapters.prometheus.histograms import Histogram, Span
from netsre.clock import Timestamp
from netsre.model.samples import RecordedSeries, Series
from netsre.slo import exact
from netsre.slo.questions import NativeSelector

ESTIMATED: Final = "estimated"
BOTH_KINDS: Final = "classic_and_native"

_REMEMBERED: Final = 5 * clock.MINUTE
"""For how long a sample may be given again: who follows the present asks for some of the past each time."""
_NOT_A_NUMBER: Final = Decimal("NaN")


@dataclass(frozen=True, slots=True)
class Remark:
    """What people are told about numbers that they can trust nevertheless."""

    reason: str
    about: str


@dataclass(slots=True)
class _Bucket:
    """How far the counter of one bound has come."""

    quick: Decimal
    estimated: bool
    told: Decimal = exact.ZERO

    def tell(self) -> Decimal:
        """Return the value of the counter, which never falls."""
        whole = self.quick.to_integral_value(ROUND_FLOOR) if self.estimated else self.quick
        self.told = max(self.told, whole)
        return self.told


@dataclass(slots=True)
class _Track:
    """How far one series was read."""

    at: Timestamp
    last: Histogram
    buckets: dict[Decimal, _Bucket] = field(default_factory=dict)
    told: dict[Timestamp, dict[Decimal, Decimal]] = field(default_factory=dict)
    """The counters of all bounds at the times of the last minutes, in order."""

    def tell(self) -> dict[Decimal, Decimal]:
        """Return the counters of all bounds, and remember them."""
        told = self.told[self.at] = {bound: bucket.tell() for bound, bucket in self.buckets.items()}
        while next(iter(self.told)) < self.at - _REMEMBERED:
            del self.told[next(iter(self.told))]
        return told


@dataclass(slots=True)
class Conversions:
    """Every native histogram that was read, and what has to be said of them."""

    _tracks: dict[Series, _Track] = field(default_factory=dict)
    _remarks: dict[tuple[str, str], Remark] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What people have to be told, once for each metric."""
        return tuple(self._remarks.values())

    def read(
        self, selector: NativeSelector, series: Series, samples: list[tuple[Timestamp, object]]
    ) -> tuple[RecordedSeries, ...]:
        """Return the counters of a series; raises `ValueError` for a sample that is no histogram."""
        counts: list[tuple[Timestamp, Decimal]] = []
        quick: dict[Decimal, list[tuple[Timestamp, Decimal]]] = {bound: [] for bound in selector.bounds}
        raw, found = None, None
        for at, value in samples:
            # Of a quiet series most samples repeat the one before, all its buckets with it.
            if raw is None or value != raw:
                raw, found = value, histograms.parse(value, answers.number)
            counts.append((at, _NOT_A_NUMBER if found is None else found.count))
            told = {} if found is None else self._advance(series, at, found, selector.bounds)
            for bound, values in quick.items():
                values.append((at, told.get(bound, _NOT_A_NUMBER)))
        made = {Series(f"{series.name}_count", series.labels): counts}
        for bound, values in quick.items():
            pairs = sorted((*series.labels, ("le", f"+{exact.text(bound)}")))
            made[Series(f"{series.name}_bucket", tuple(pairs))] = values
        return tuple(RecordedSeries(one, tuple(values)) for one, values in made.items() if values)

    def forget(self, before: Timestamp) -> None:
        """Forget series of which nothing came since a time."""
        self._tracks = {series: track for series, track in self._tracks.items() if track.at >= before}

    def both(self, selectors: Iterable[NativeSelector], known: Iterable[Series]) -> None:
        """Note which of these metrics some targets have as a classic and as a native histogram."""
        names = {selector.metric: f"{selector.metric}_count" for selector in selectors}
        series = frozenset(known)
        for name, count in names.items():
            found = sum(one.name == name and Series(count, one.labels) in series for one in series)
            if found:
                self._remark(BOTH_KINDS, name, f"{found} series are both; the classic one counts where it is")

    def _advance(
        self, series: Series, at: Timestamp, found: Histogram, bounds: Iterable[Decimal]
    ) -> dict[Decimal, Decimal]:
        """Return the counters of all bounds after one more sample."""
        track = self._tracks.get(series)
        if track is not None and at in track.told:
            return track.told[at]
        if track is None or at < track.at or found.count < track.last.count:
            track = self._tracks[series] = _Track(at, found)
        elif found != track.last:
            for bound in tuple(track.buckets):
                self._gain(series.name, track, found, bound)
        for bound in bounds:
            if bound not in track.buckets:
                track.buckets[bound] = self._begin(series.name, found, bound)
        track.at, track.last = at, found
        return track.tell()

    def _gain(self, name: str, track: _Track, found: Histogram, bound: Decimal) -> None:
        """Add what a bucket gained since the last sample, or begin anew."""
        around = histograms.span((track.last, found), bound)
        before, after = (histograms.split(one, around) for one in (track.last, found))
        if any(now < then for then, now in zip(before, after, strict=True)):
            track.buckets[bound] = self._begin(name, found, bound)
            return
        bucket, gained = track.buckets[bound], exact.subtract(after.inside, before.inside)
        estimate = self._estimate(name, gained, around, bound)
        bucket.quick = exact.add(bucket.quick, exact.subtract(after.below, before.below))
        bucket.quick = exact.add(bucket.quick, estimate)
        bucket.estimated |= gained > 0

    def _begin(self, name: str, found: Histogram, bound: Decimal) -> _Bucket:
        around = histograms.span((found,), bound)
        parts = histograms.split(found, around)
        estimate = self._estimate(name, parts.inside, around, bound)
        return _Bucket(exact.add(parts.below, estimate), estimated=parts.inside > 0)

    def _estimate(self, name: str, events: Decimal, around: Span, bound: Decimal) -> Decimal:
        if not events:
            return exact.ZERO
        if (ESTIMATED, name) not in self._remarks:
            lower, upper = around
            ends = f"{float(lower):.4g} to {float(upper):.4g} s"
            about = f"no bucket ends at {exact.text(bound)} s; events from {ends} are shared out"
            self._remark(ESTIMATED, name, about)
        return exact.multiply(events, histograms.share(around, bound))

    def _remark(self, reason: str, name: str, about: str) -> None:
        self._remarks.setdefault((reason, name), Remark(reason, f"{name}: {about}"))
