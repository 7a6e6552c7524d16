"""Counts of a probe by the name of whose they are, and how full its maps are."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic

from netsre import conventions as c
from netsre.adapters.bpf.counters import CounterProbe, MapUsage
from netsre.app.sensors.places import Places
from netsre.datapath.attribution import Amount, Client, Kind, Reading, Totals
from netsre.datapath.workloads import Names
from netsre.metrics.readings import Readings

_REST: Final = 50
"""Of all time, no more than one part in so many is spent on counting between scrapes: tables may be full."""
_RETIRE_SECONDS: Final = 300.0
"""A client unseen for this long is gone: its counters were read many times by then."""


class Pace:
    """Has something done as often as it is asked for, unless it takes long: then it rests in proportion."""

    def __init__(self, rest: int = _REST) -> None:
        """Begin with what is due at once; `rest` is how many times as long as the work took."""
        self._rest = rest
        self._due = float("-inf")

    def turn(self, now: float, work: Callable[[], None]) -> None:
        """Do it if it is due."""
        if now >= self._due:
            began = time.monotonic()
            work()
            self._due = now + self._rest * (time.monotonic() - began)


class Counting(Generic[Kind]):
    """Totals of one probe, and the care of what belongs to clients that are gone."""

    def __init__(
        self,
        places: Places,
        retire: Callable[[frozenset[Client]], None],
        names: Callable[[Names], Names] = lambda names: names,
    ) -> None:
        """Begin at nothing; `retire` has the probe forget clients, `names` says which are given."""
        self._places = places
        self._retire = retire
        self._given = names
        self._seen: dict[Client, float] = {}
        self._totals = Totals[Kind]()

    def take(self, reading: Reading[Kind], now: float) -> None:
        """Add what the probe counted since the last time to the totals by name."""
        strangers = self._totals.strangers(reading, self._places.names)
        if not self._places.refresh(now, unknown=bool(strangers)) and strangers:
            # Counted under another name they would stay there: the next look is half a second away.
            reading = reading.without(strangers)
        names = self._given(self._places.names)
        active = self._totals.take(reading, names)
        living = [client for client in self._seen if names.knows(*client)]
        self._seen |= dict.fromkeys((*living, *active), now)

    def forget_gone(self, now: float) -> None:
        """Drop what belongs to clients that were not there for a while."""
        gone = frozenset(client for client, at in self._seen.items() if now - at > _RETIRE_SECONDS)
        if gone:
            self._retire(gone)
            for client in gone:
                del self._seen[client]
            names = self._given(self._places.names)
            self._totals.forget(gone, {names.source(*client) for client in self._seen})

    def amounts(self) -> list[Amount[Kind]]:
        """Return the totals."""
        return self._totals.amounts()

    def sums(self, word: Callable[[Kind], str]) -> Counter[str]:
        """Return the totals of all names together, by a word about what is counted."""
        return self._totals.sums(word)


class CounterSensor(Generic[Kind]):
    """Reads a probe all of whose counters are one table."""

    def __init__(
        self,
        name: str,
        probe: CounterProbe[Kind],
        counting: Counting[Kind],
        put: Callable[[Readings, Sequence[Amount[Kind]]], None],
    ) -> None:
        """Read a probe that is attached; `put` makes readings of its totals."""
        self.name = name
        self._probe = probe
        self._counting = counting
        self._put = put
        self._pace = Pace()

    def scan(self, now: float) -> None:
        """Count while the names are known, and forget those that are gone."""
        self._pace.turn(now, lambda: self._counting.take(self._probe.named(), now))
        self._counting.forget_gone(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add the totals, and how full the table is."""
        self._counting.take(self._probe.reading(), now)
        self._put(readings, self._counting.amounts())
        put_usage(readings, self._probe.usage())


def put_usage(readings: Readings, usages: Iterable[MapUsage]) -> None:
    """Add how full maps are, and what found them full."""
    for usage in usages:
        readings.put(c.BPF_MAP_ENTRIES, (usage.name, c.OWNER), usage.entries)
        readings.put(c.BPF_MAP_CAPACITY, (usage.name, c.OWNER), usage.capacity)
        readings.put(c.BPF_MAP_MEMORY, (usage.name, c.OWNER), usage.memory_bytes)
        readings.put(c.BPF_MAP_PRESSURE, (usage.name, c.OWNER), usage.entries / usage.capacity)
        readings.put(c.BPF_MAP_OVERFLOWS, (usage.name,), usage.overflows)
