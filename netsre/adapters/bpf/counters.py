"""A table of counters in the kernel, by whose they are and whatever else, and what found it full.

A per-CPU hash, and a per-CPU array of what belongs to nobody.
Not thread safe; the agent calls it under one lock.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic

from netsre.adapters.bpf.syscalls import BpfMap
from netsre.datapath.attribution import Client, Counted, Kind

_SLOT: Final = struct.Struct("<I")
_COUNT: Final = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class MapUsage:
    """How full one map is."""

    name: str
    entries: int
    capacity: int
    memory_bytes: int
    overflows: int


class CounterTable:
    """Counters as the kernel has them."""

    def __init__(self, table: BpfMap, overflow: BpfMap, client_of: Callable[[bytes], Client]) -> None:
        """Read both; their values begin with a 64-bit count, a key of the first says whose it is."""
        self._client_of = client_of
        self._table = table
        self._overflow = overflow
        self._entries = 0

    def entries(self) -> list[tuple[bytes, bytes]]:
        """Return every (key, value) of the table; a value has the slots of all CPUs."""
        found = list(self._table.entries())
        self._entries = len(found)
        return found

    def overflowed(self) -> list[tuple[int, bytes]]:
        """Return (slot, value) of what found the table full, where there was anything."""
        slots = ((_SLOT.unpack(key)[0], value) for key, value in self._overflow.entries())
        return [(slot, value) for slot, value in slots if any(value)]

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone, so that they cannot fill the table."""
        gone = frozenset(clients)
        for key, _ in list(self._table.entries()) if gone else ():
            if self._client_of(key) in gone:
                self._table.delete(key)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        table = self._table
        yield MapUsage(table.name, self._entries, table.capacity, table.memory(), self._lost())

    def _lost(self) -> int:
        each = (self._overflow.value_size + 7) // 8 * 8
        return sum(
            _COUNT.unpack_from(value, at)[0]
            for _, value in self.overflowed()
            for at in range(0, len(value), each)
        )


class CounterProbe(Generic[Kind]):
    """A probe all of whose counters are one table: what it has counted since it was attached."""

    def __init__(
        self,
        table: CounterTable,
        decode: Callable[[Iterable[tuple[bytes, bytes]]], Iterable[Counted[Kind]]],
        decode_overflow: Callable[[Iterable[tuple[int, bytes]]], Iterable[Counted[Kind]]],
    ) -> None:
        """Read a table whose entries, and those of what found it full, mean what is decoded."""
        self._table = table
        self._decode = decode
        self._decode_overflow = decode_overflow

    def counts(self) -> list[Counted[Kind]]:
        """Return every counter, those without a namespace too."""
        return [*self.named(), *self._decode_overflow(self._table.overflowed())]

    def named(self) -> list[Counted[Kind]]:
        """Return the counters of namespaces: what is nobody's does not need to be looked at as often."""
        return list(self._decode(self._table.entries()))

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone."""
        self._table.retire(clients)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        return self._table.usage()
