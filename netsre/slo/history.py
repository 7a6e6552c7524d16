"""What was measured, by minute: bad events, all events, and readings, for every SLO and group.

Sums over any span take two binary searches, because running sums are kept beside the minutes.
"""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels
from netsre.slo import exact
from netsre.slo.indicators import Measure

LONG_GAP: Final = 2 * clock.MINUTE
"""Events of a longer gap between scrapes are spread over it: they did not all happen in its last minute."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One minute of one SLO and group."""

    slo: str
    group: Labels
    minute: Timestamp
    """Where the minute begins."""
    bad: Decimal
    total: Decimal
    readings: int
    """Successful readings of a source in this minute; 0 where events of a gap were spread."""
    definition: str
    """What was measured under the name of the SLO (`definition.of`)."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over a span of minutes."""

    bad: Decimal
    total: Decimal
    measured: int
    """Minutes with at least one reading."""


NOTHING: Final = Sums(exact.ZERO, exact.ZERO, 0)


class _Track:
    """The minutes of one SLO and group; `x[i + 1] - x[i]` is what minute `i` holds."""

    def __init__(self) -> None:
        self.minutes: list[int] = []
        self.readings: list[int] = []
        self.bad = [exact.ZERO]
        self.total = [exact.ZERO]
        self.measured = [0]

    def add(self, minute: int, bad: Decimal, total: Decimal, readings: int) -> None:
        at = bisect_left(self.minutes, minute)
        if at == len(self.minutes) or self.minutes[at] != minute:
            self.minutes.insert(at, minute)
            self.readings.insert(at, 0)
            self.bad.insert(at + 1, self.bad[at])
            self.total.insert(at + 1, self.total[at])
            self.measured.insert(at + 1, self.measured[at])
        newly_measured = int(readings > 0 and self.readings[at] == 0)
        self.readings[at] += readings
        # Nearly always the last minute, so that this is one step.
        for later in range(at + 1, len(self.bad)):
            self.bad[later] = exact.add(self.bad[later], bad)
            self.total[later] = exact.add(self.total[later], total)
            self.measured[later] += newly_measured

    def sums(self, since: int, until: int) -> Sums:
        low, high = bisect_left(self.minutes, since), bisect_left(self.minutes, until)
        if low == high:
            return NOTHING
        return Sums(
            exact.subtract(self.bad[high], self.bad[low]),
            exact.subtract(self.total[high], self.total[low]),
            self.measured[high] - self.measured[low],
        )

    def prune(self, before: int) -> None:
        count = bisect_left(self.minutes, before)
        for values in (self.minutes, self.readings, self.bad, self.total, self.measured):
            del values[:count]


class History:
    """Minutes of every SLO and group."""

    def __init__(self, buckets: Iterable[Bucket] = (), keep: int = 92 * clock.DAY) -> None:
        """Start from stored buckets, each minute once; events older than `keep` ms are not kept."""
        self._keep = keep
        self._tracks: dict[str, dict[Labels, _Track]] = {}
        self.load(buckets)

    def load(self, buckets: Iterable[Bucket]) -> None:
        """Add stored buckets to what is here."""
        for bucket in sorted(buckets, key=lambda bucket: bucket.minute):
            self._track(bucket.slo, bucket.group).add(
                bucket.minute, bucket.bad, bucket.total, bucket.readings
            )

    def add(
        self,
        slo: str,
        definition: str,
        group: Labels,
        since: Timestamp | None,
        until: Timestamp,
        measure: Measure,
    ) -> tuple[Bucket, ...]:
        """Add the events of one reading, made at `until`, that happened after `since`.

        Returns every minute that changed, with all it holds now. The reading itself belongs to the minute of
        `until`: minutes of a gap are known by their events and still count as not measured.
        """
        track = self._track(slo, group)
        here = minute_of(until)
        touched = {here}
        good = exact.subtract(measure.total, measure.bad)
        # Good and bad apart, so that no minute gets more bad events than events.
        for minute, bad in apportion(measure.bad, since, until, until - self._keep):
            track.add(minute, bad, bad, 0)
            touched.add(minute)
        for minute, share in apportion(good, since, until, until - self._keep):
            track.add(minute, exact.ZERO, share, 0)
            touched.add(minute)
        track.add(here, exact.ZERO, exact.ZERO, 1)
        return tuple(_bucket(slo, definition, group, track, minute) for minute in sorted(touched))

    def sums(self, slo: str, group: Labels, since: Timestamp, until: Timestamp) -> Sums:
        """Return the sums over the minutes that begin in `[since, until)`."""
        track = self._tracks.get(slo, {}).get(group)
        return track.sums(since, until) if track else NOTHING

    def groups(self, slo: str) -> tuple[Labels, ...]:
        """Return the groups of an SLO that have any minute, sorted."""
        return tuple(sorted(self._tracks.get(slo, {})))

    def last_reading(self, slo: str, group: Labels) -> Timestamp | None:
        """Return the last minute in which a group was read; None when it never was."""
        track = self._tracks.get(slo, {}).get(group)
        if track is None:
            return None
        pairs = zip(reversed(track.minutes), reversed(track.readings), strict=True)
        return next((Timestamp(minute) for minute, readings in pairs if readings), None)

    def prune(self, before: Timestamp) -> None:
        """Forget every minute that begins before a time, and groups without any minute left."""
        for tracks in self._tracks.values():
            for group, track in list(tracks.items()):
                track.prune(before)
                if not track.minutes:
                    del tracks[group]

    def _track(self, slo: str, group: Labels) -> _Track:
        tracks = self._tracks.setdefault(slo, {})
        if group not in tracks:
            tracks[group] = _Track()
        return tracks[group]


def _bucket(slo: str, definition: str, group: Labels, track: _Track, minute: int) -> Bucket:
    at = bisect_left(track.minutes, minute)
    sums = track.sums(minute, minute + 1)
    return Bucket(slo, group, Timestamp(minute), sums.bad, sums.total, track.readings[at], definition)


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
