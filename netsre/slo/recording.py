"""Recorded samples become the scrapes that they once were, as they would out of a Prometheus (`targets`).

A source is the `node` of its series, or else their `instance`; without either there is one. What a file says
of it is taken in as it comes, series by series or time by time, and given out day by day.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.levels import SLO
from netsre.model.samples import Labels, Recorded, RecordedSeries, Series, labels
from netsre.slo import indicators, questions
from netsre.slo.increments import key_of
from netsre.slo.targets import INSTANCE, Chunk, Reading, Scrapes

ONE_SOURCE: Final = "recording"
"""What the source is called when nothing names it."""

_AT_ONCE: Final = clock.DAY


@dataclass(slots=True)
class _Track:
    """One series as recorded: when, and what; by time."""

    series: Series
    place: str
    at: "array[int]" = field(default_factory=lambda: array("q"))
    values: list[Decimal] = field(default_factory=list)

    def add(self, at: Timestamp, value: Decimal) -> None:
        self.at.append(at)
        # Most samples repeat the one before; one object then stands for all of them.
        self.values.append(self.values[-1] if self.values and self.values[-1] == value else value)

    def between(self, since: int, until: int) -> RecordedSeries:
        """Return the samples of `[since, until)`."""
        low, high = bisect_left(self.at, since), bisect_left(self.at, until)
        times = map(Timestamp, self.at[low:high])
        return RecordedSeries(self.series, tuple(zip(times, self.values[low:high], strict=True)))


def keys_of(slo: SLO) -> frozenset[str]:
    """Return the keys (`increments.key_of`) of the series that an SLO is made of."""
    return frozenset(part.key for part in indicators.parts(slo))


class Recording:
    """The series of some SLOs, of any number of sources."""

    def __init__(self, slos: Iterable[SLO]) -> None:
        """Keep what these SLOs are made of."""
        self._slos = tuple(slos)
        self._keys = frozenset().union(*map(keys_of, self._slos)) | {conventions.PROCESS_START_TIME}
        self._names = frozenset().union(*map(questions.names, self._slos)) | {conventions.PROCESS_START_TIME}
        self._followed: dict[Series, _Track] = {}
        self._starts: dict[Series, _Track] = {}
        self.keys: set[str] = set()
        """The keys of the followed series of which there is any sample."""

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
        start = key == conventions.PROCESS_START_TIME
        if start and not 0 < sample.value < clock.END // clock.SECOND:
            raise BadInput(f"{sample.place}: value {sample.value} is no time; write seconds since 1970")
        tracks = self._starts if start else self._followed
        track = tracks.get(sample.series)
        if track is None:
            track = tracks[sample.series] = _Track(_named(sample.series), sample.place)
            self.keys |= set() if start else {key}
        track.add(sample.at, sample.value)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the names of the sources, sorted."""
        return tuple(sorted({_source(track.series.labels) for track in self._followed.values()}))

    @property
    def without_start(self) -> tuple[str, ...]:
        """Return the sources that never said when they began."""
        known = {_source(track.series.labels) for track in self._starts.values()}
        return tuple(name for name in self.sources if name not in known)

    def times(self) -> list[Timestamp]:
        """Return the times at which any source was read, in order, each once."""
        found: set[int] = set()
        found.update(*(track.at for track in self._followed.values()))
        return [Timestamp(at) for at in sorted(found)]

    def readings(self) -> Iterator[Reading]:
        """Yield every scrape in the order of time.

        Raises `BadInput` where the series of two jobs or instances would be taken for one source.
        """
        tracks = self._followed.values()
        known = [track.series for track in tracks]
        # The name of the node is the scrape's, and no part of what it shows.
        kept = questions.labels(self._slos) - {conventions.NODE}
        made = Scrapes(conventions.NODE, known, indicators.counters(self._slos), kept)
        first = min((track.at[0] for track in tracks), default=0)
        last = max((track.at[-1] for track in tracks), default=-1)
        for since in range(first, last + 1, _AT_ONCE):
            until = since + _AT_ONCE
            starts = _part(self._starts.values(), since, until)
            yield from made.read(Chunk(_part(tracks, since, until), (), starts))
            for doubt in made.doubts:
                place = next((one.place for one in tracks if _source(one.series.labels) == doubt.node), "")
                raise BadInput(f"{place}: {doubt.about}; keep one of them, or give them a node label each")


def _part(tracks: Iterable[_Track], since: int, until: int) -> tuple[RecordedSeries, ...]:
    found = (track.between(since, until) for track in tracks)
    return tuple(one for one in found if one.samples)


def _named(series: Series) -> Series:
    """Return a series with the name of its source as its node."""
    pairs = dict(series.labels)
    return Series(series.name, labels(pairs | {conventions.NODE: _source(series.labels)}))


def _source(of: Labels) -> str:
    pairs = dict(of)
    return pairs.get(conventions.NODE) or pairs.get(INSTANCE) or ONE_SOURCE
