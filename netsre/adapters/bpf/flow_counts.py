"""The counters of a probe of attempts: those that the kernel keeps, and those that only its reader can.

Not thread safe; the agent calls it under one lock.
"""

import collections
import dataclasses
from collections.abc import Iterable, Iterator

from netsre.adapters.bpf.counters import MapUsage, read
from netsre.adapters.bpf.session import Session
from netsre.datapath import drops, flows
from netsre.datapath.attribution import Client, Counter, Counters, Reading
from netsre.datapath.flows import FlowCount, FlowKind
from netsre.datapath.workloads import RULES, Names, Workload, rules


class FlowCounts:
    """What was counted since the probe was attached."""

    def __init__(self, session: Session, table: str) -> None:
        """Read a table of the session; what finds it full is in another with the ending `_overflow`."""
        self.session = session
        self._words = drops.words_of(session.enums)
        self._table = session.maps[table]
        self._overflow = session.maps[f"{table}_overflow"]
        self._in_use = 0
        self._goals = Names({})
        self._counters = Counters[bytes | FlowCount, FlowKind](self._counter)
        # Counted here and not in the kernel: nobody but the reader notices that nothing happens.
        self._noticed: collections.Counter[FlowCount] = collections.Counter()

    def _notice(self, kind: FlowCount) -> None:
        """Count one more of a kind, which has none of its own."""
        self._noticed[kind] += 1

    def counts(self) -> list[FlowCount]:
        """Return every counter: the kernel's, those without detail, and what was noticed."""
        found = list(flows.decode_flows(self._table.entries(), self._words))
        return [*found, *self._without_entries()]

    def reading(self) -> Reading[FlowKind]:
        """Return the same for totals by name."""
        found = read(self._table, self._counters.__getitem__)
        self._in_use = len(found.counters)
        for count in self._without_entries():
            found.put(self._counters[dataclasses.replace(count, count=0)], count.count, count.sum_ns)
        return found

    def _without_entries(self) -> Iterator[FlowCount]:
        yield from self._overflowed()
        for kind, count in self._noticed.items():
            yield dataclasses.replace(kind, count=count)

    def _counter(self, key: bytes | FlowCount) -> Counter[FlowKind]:
        flow = flows.decode_flow(key, self._words) if isinstance(key, bytes) else key
        return flow.counter(self._goals)

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone, so that they cannot fill the table."""
        gone = frozenset(clients)
        if not gone:
            return
        for key, _ in list(self._table.entries()):
            if flows.client_of(key) in gone:
                self._table.delete(key)
        self._counters.retire(gone)
        for kind in [kind for kind in self._noticed if kind.client in gone]:
            del self._noticed[kind]

    def name_destinations(self, workloads: Iterable[Workload]) -> None:
        """Have destinations counted by these names from now on; asked once, before anything is counted."""
        self._goals = Names({}, {}, tuple(workloads))
        entries = rules(self._goals.workloads)
        for key, value in entries:
            self.session.maps["workloads"].put(key, value)
        self.session.maps["workload_rules"].put(bytes(4), RULES.pack(len(entries)))

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full the table was when it was last read."""
        table, lost = self._table, sum(count.count for count in self._overflowed())
        yield MapUsage(table.name, self._in_use, table.capacity, table.memory(), lost)

    def _overflowed(self) -> list[FlowCount]:
        # What is nothing is not decoded: mostly that is all.
        slots = enumerate(self._overflow.slots())
        return [flows.decode_overflow(slot, value) for slot, value in slots if any(value)]
