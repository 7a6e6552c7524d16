"""A table of counters in the kernel, by whose they are and whatever else, and what found it full.

A per-CPU hash, and a per-CPU array of what belongs to nobody.
Not thread safe; the agent calls it under one lock.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Final, Generic

from netsre.adapters.bpf.syscalls import BpfMap, split
from netsre.datapath.attribution import Client, Counted, Counter, Counters, Kind, Reading
from netsre.datapath.flows import sums_per_cpu

_WORD: Final = 8


@dataclass(frozen=True, slots=True)
class MapUsage:
    """How full one map is."""

    name: str
    entries: int
    capacity: int
    memory_bytes: int
    overflows: int


def read(table: BpfMap, counter_of: Callable[[bytes], Counter[Kind]]) -> Reading[Kind]:
    """Return what a table says, as fast as can be: a full one is read twice a second.

    Its values are a count and, of what is timed, nanoseconds.
    """
    found = Reading[Kind]([], [], [])
    for keys, values in table.batches():
        entries = len(keys) // table.key_size
        counts, *sums_ns = sums_per_cpu(values, entries, table.value_size // _WORD)
        found.counters.extend(map(counter_of, split(keys, table.key_size)))
        found.counts.extend(counts)
        found.sums_ns.extend(sums_ns[0] if sums_ns else repeat(0, entries))
    return found


class CounterProbe(Generic[Kind]):
    """A probe all of whose counters are one table: what it has counted since it was attached."""

    def __init__(
        self,
        table: BpfMap,
        overflow: BpfMap,
        counter_of: Callable[[bytes], Counter[Kind]],
        counter_of_slot: Callable[[int], Counter[Kind]],
    ) -> None:
        """Read a table, and an array of what found it full; keys and slots mean these counters."""
        self._table = table
        self._overflow = overflow
        self._counters = Counters[bytes, Kind](counter_of)
        self._nobodys = Counters[int, Kind](counter_of_slot)
        self._entries = self._lost = 0

    def reading(self) -> Reading[Kind]:
        """Return what every counter says, also those without a namespace."""
        found = self.named()
        nothing, words = bytes(self._overflow.stride), self._overflow.value_size // _WORD
        self._lost = 0
        for slot, value in enumerate(self._overflow.slots()):
            if value != nothing:
                (count,), *sums_ns = sums_per_cpu(value, 1, words)
                found.put(self._nobodys[slot], count, *next(iter(sums_ns), (0,)))
                self._lost += count
        return found

    def named(self) -> Reading[Kind]:
        """Return the counters of namespaces: what is nobody's does not need to be looked at as often."""
        found = read(self._table, self._counters.__getitem__)
        self._entries = len(found.counters)
        return found

    def counts(self) -> list[Counted[Kind]]:
        """Return the same as `reading`, a row for each counter."""
        rows = zip(*self.reading(), strict=True)
        return [Counted(counter.client, counter.kind, count, sum_ns) for counter, count, sum_ns in rows]

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone, so that they cannot fill the table."""
        gone = frozenset(clients)
        if gone:
            self.named()  # To know of counters that came since the last reading.
        for key in [key for key, counter in self._counters.items() if counter.client in gone]:
            self._table.delete(key)
        self._counters.retire(gone)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        table = self._table
        yield MapUsage(table.name, self._entries, table.capacity, table.memory(), self._lost)
