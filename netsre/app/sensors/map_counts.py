"""How many entries each map has, counted a piece at a time, each map as often as it is worth."""

import heapq
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Final

from netsre.adapters.bpf.objects import Count, MapGone
from netsre.datapath.maps import MapFacts

_AGAIN_SECONDS: Final = 10.0
"""How old a number may grow before a map is counted again, where there is time for it."""
_AGAIN_CALM_SECONDS: Final = 30.0
"""The same for a map that is not half full."""
_HALF: Final = 0.5
_REST: Final = 100
"""After a piece, nothing more of that map for this many times its duration: other maps have their turn."""


class MapCounts:
    """The entries of maps, as they were when they were last counted."""

    def __init__(self, opened: Callable[[int], AbstractContextManager[int]]) -> None:
        """Begin without a number; `opened` opens a map for reading, or raises `MapGone` or `OSError`."""
        self._opened = opened
        self.entries: dict[int, int] = {}
        self._due: list[tuple[float, int]] = []
        self._running: dict[int, Count] = {}
        self._planned: set[int] = set()

    def plan(self, known: Mapping[int, MapFacts], now: float) -> None:
        """Count from now on what is new and can be counted; forget what is gone."""
        for gone in self._planned.difference(known):
            self.entries.pop(gone, None)
            self._running.pop(gone, None)
        self._planned.intersection_update(known)
        for number, facts in known.items():
            if facts.countable and number not in self._planned:
                self._planned.add(number)
                heapq.heappush(self._due, (now, number))

    def due(self, now: float) -> bool:
        """Say whether there is something to count now."""
        return bool(self._due) and self._due[0][0] <= now

    def step(self, known: Mapping[int, MapFacts], now: float) -> None:
        """Count the piece that is due first."""
        _, number = heapq.heappop(self._due)
        if number not in self._planned:
            return
        count = self._running.setdefault(number, Count(known[number]))
        began = time.perf_counter()
        try:
            with self._opened(number) as fd:
                finished = count.go_on(fd)
        except MapGone:
            return  # The next look at all maps takes note of it.
        except OSError:
            # Its owner lets nobody read it, or the kernel cannot list its keys. It stays without a number.
            del self._running[number]
            return
        rest = _REST * (time.perf_counter() - began)
        if finished:
            del self._running[number]
            self.entries[number] = count.entries
            rest = max(rest, _again(count))
        heapq.heappush(self._due, (now + rest, number))


def _again(count: Count) -> float:
    fuller = count.entries > _HALF * count.facts.max_entries
    return _AGAIN_SECONDS if fuller else _AGAIN_CALM_SECONDS
