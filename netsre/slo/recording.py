"""Recorded samples become the scrapes that they once were: one per source and time.

A source is the `node` of its series, or else their `instance`; without either there is one. These labels and
`job` were not the source's: who scraped it added them, and may have changed them since. They are taken off,
so that a counter goes on whatever its source was called. `process_start_time_seconds` says when a source
began; without it a restart shows as counters that fell.
"""

import heapq
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.levels import SLO, ThresholdIndicator
from netsre.model.samples import Labels, Recorded, Scrape, Series
from netsre.slo import indicators
from netsre.slo.increments import key_of

ONE_SOURCE: Final = "recording"
"""What the source is called when nothing names it."""

_INSTANCE: Final = "instance"
_ADDED: Final = frozenset({conventions.NODE, _INSTANCE, "job"})
_LATEST_START: Final = 253_402_300_800
"""The year 10000, in seconds since the Unix epoch: beyond it nothing is a time."""
_START: Final = Series(conventions.PROCESS_START_TIME, ())
_Row = tuple[Timestamp, str, int, "_Track", int]


@dataclass(slots=True)
class _Track:
    """One series as recorded: when, and what; by time."""

    series: Series
    added: Labels
    place: str
    at: "array[int]" = field(default_factory=lambda: array("q"))
    values: list[Decimal] = field(default_factory=list)

    def add(self, at: Timestamp, value: Decimal) -> None:
        self.at.append(at)
        # Most samples repeat the one before; one object then stands for all of them.
        self.values.append(self.values[-1] if self.values and self.values[-1] == value else value)


def keys_of(slo: SLO) -> frozenset[str]:
    """Return the keys (`increments.key_of`) of the series that an SLO is made of."""
    if isinstance(slo.indicator, ThresholdIndicator):
        return frozenset({slo.indicator.selector.metric})
    return indicators.followed([slo])


class Recording:
    """The series of some SLOs, of any number of sources."""

    def __init__(self, slos: Iterable[SLO]) -> None:
        """Keep what these SLOs are made of."""
        self._keys = frozenset().union(*map(keys_of, slos)) | {conventions.PROCESS_START_TIME}
        self._names = {key.partition("{")[0] for key in self._keys}
        self._tracks: dict[Series, _Track] = {}
        self._sources: dict[str, list[_Track]] = {}
        self.keys: set[str] = set()
        """The keys of which there is any sample."""

    def wants(self, name: str) -> bool:
        """Return whether samples of this name are of any use."""
        return name in self._names

    def add(self, sample: Recorded) -> None:
        """Keep a sample; those of a series come in the order of their time.

        Raises `BadInput` for a source that began at no time.
        """
        key = key_of(sample.series)
        if key not in self._keys:
            return
        if key == conventions.PROCESS_START_TIME and not 0 < sample.value < _LATEST_START:
            raise BadInput(f"{sample.place}: value {sample.value} is no time; write seconds since 1970")
        track = self._tracks.get(sample.series)
        if track is None:
            self.keys.add(key)
            track = self._tracks[sample.series] = _track(sample)
            self._sources.setdefault(_source(sample.series.labels), []).append(track)
        track.add(sample.at, sample.value)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources, sorted."""
        return tuple(sorted(self._used()))

    @property
    def without_start(self) -> tuple[str, ...]:
        """Return the sources that never said when they began."""
        return tuple(name for name, tracks in sorted(self._used().items()) if _first_start(tracks) is None)

    def times(self) -> list[Timestamp]:
        """Return the times at which any source was read, in order, each once."""
        found: set[int] = set()
        found.update(*(track.at for tracks in self._used().values() for track in tracks))
        return [Timestamp(at) for at in sorted(found)]

    def scrapes(self) -> Iterator[Scrape]:
        """Yield every scrape, by time and source.

        Raises `BadInput` where the series of two jobs or instances would be taken for one source.
        """
        used = self._used()
        rows = heapq.merge(
            *(
                _rows(name, number, track)
                for name, tracks in used.items()
                for number, track in enumerate(tracks)
            ),
            key=lambda row: row[:3],
        )
        lives = {name: _Life(name, _first_start(tracks)) for name, tracks in used.items()}
        for (at, name), group in groupby(rows, key=lambda row: row[:2]):
            yield lives[name].scrape(at, [(track, track.values[index]) for *_, track, index in group])

    def _used(self) -> dict[str, list[_Track]]:
        """Return the series by source, without those of jobs that only say when they began."""
        found: dict[str, list[_Track]] = {}
        for name, tracks in self._sources.items():
            jobs = {track.added for track in tracks if track.series != _START}
            if jobs:
                found[name] = [track for track in tracks if track.added in jobs]
        return found


@dataclass(slots=True)
class _Life:
    """A source as far as it was read."""

    name: str
    started_at: Timestamp | None
    added: list[Labels] = field(default_factory=list)

    def scrape(self, at: Timestamp, found: list[tuple[_Track, Decimal]]) -> Scrape:
        values: dict[Series, Decimal] = {}
        for track, value in found:
            self._check(track)
            if track.series in values:
                raise BadInput(f"{track.place}: {self._twice(track, self.added[-1])}")
            values[track.series] = value
            if track.series == _START:
                self.started_at = _milliseconds(value)
        return Scrape(at, self.name, self.started_at or Timestamp(0), values)

    def _check(self, track: _Track) -> None:
        """Follow a source that is called otherwise from some time on; two at once are two sources."""
        if self.added and self.added[-1] == track.added:
            return
        if track.added in self.added:
            raise BadInput(f"{track.place}: {self._twice(track, self.added[-1])}")
        self.added.append(track.added)

    def _twice(self, track: _Track, other: Labels) -> str:
        here, there = _text(track.added), _text(other)
        return (
            f"{track.series.name} of {self.name} is of {here} here, and of {there} at the same time; "
            "keep one of them, or give them a node label each"
        )


def _track(sample: Recorded) -> _Track:
    own = tuple(pair for pair in sample.series.labels if pair[0] not in _ADDED)
    added = tuple(pair for pair in sample.series.labels if pair[0] in _ADDED)
    return _Track(Series(sample.series.name, own), added, sample.place)


def _source(labels: Labels) -> str:
    pairs = dict(labels)
    return pairs.get(conventions.NODE) or pairs.get(_INSTANCE) or ONE_SOURCE


def _rows(name: str, number: int, track: _Track) -> Iterator[_Row]:
    return ((Timestamp(at), name, number, track, index) for index, at in enumerate(track.at))


def _first_start(tracks: Iterable[_Track]) -> Timestamp | None:
    starts = [track for track in tracks if track.series == _START]
    first = min(starts, key=lambda track: track.at[0], default=None)
    return _milliseconds(first.values[0]) if first else None


def _milliseconds(seconds: Decimal) -> Timestamp:
    return Timestamp(int(seconds * clock.SECOND))


def _text(added: Labels) -> str:
    return " ".join(f"{name}={value!r}" for name, value in added) or "no job"
