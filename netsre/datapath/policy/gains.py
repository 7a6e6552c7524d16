"""What counters that are older than whoever reads them have gained since he began to."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Counts = tuple[float, ...]
"""What is counted together; all of it only ever grows."""

NOWHERE: Final = 0
"""In the place of the number of a table: there is none."""


class Gains(Generic[Key]):
    """Follows one table of counters, and the one that takes its place.

    What was counted before the first look counts nowhere: whoever reads the readings takes them to begin with
    the reader. A table that came later counts from its own beginning.
    """

    def __init__(self) -> None:
        """Begin without having looked."""
        self._table: int | None = None
        self._last: Mapping[Key, Counts] = {}

    def take(self, table: int, counts: Mapping[Key, Counts]) -> Iterator[tuple[Key, Counts]]:
        """Yield what gained anything since the last look, and at the first one all there is, by nothing.

        `table` is another number for another table. A counter that fell began anew.
        """
        first, before = self._table is None, self._table
        last = self._last if table == before else {}
        self._table, self._last = table, counts
        for key, now in counts.items():
            was = now if first else last.get(key)
            if was == now and not first:
                continue
            yield key, _gained(was, now)

    @property
    def followed(self) -> Iterable[Key]:
        """Return the counters that were there at the last look, and were not taken out since."""
        return self._last.keys()

    def end(self, counts: Mapping[Key, Counts]) -> Iterator[tuple[Key, Counts]]:
        """Yield what counters gained until they were taken out of the table that was looked at last."""
        for key, now in counts.items():
            yield key, _gained(self._last.get(key), now)
        self._last = {key: was for key, was in self._last.items() if key not in counts}


def _gained(was: Counts | None, now: Counts) -> Counts:
    if was is None or any(one < other for one, other in zip(now, was, strict=True)):
        return now
    return tuple(one - other for one, other in zip(now, was, strict=True))
