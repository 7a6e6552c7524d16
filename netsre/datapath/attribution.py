"""Whose the counts are: from clients by number to totals by name that only ever grow.

The kernel numbers namespaces by inode, cgroups by id, and gives the number of a namespace that is gone to
the next; a name may come to be known after the first connection. A total that moved from one name to another
would look like new events to everyone who reads counters. So each increase is added to the name that its
client has at that moment, and stays there.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.flows import Client, FlowCount
from netsre.datapath.workloads import Names

MOST_NAMES: Final = 256
"""Names kept apart at most, first come, first served; all others are `~other`. A bound on series."""


class FlowKind(NamedTuple):
    """What is kept apart under one name."""

    src: str
    outcome: str
    reason: str
    destination: str
    bucket: int


@dataclass(slots=True)
class _Amount:
    count: int = 0
    sum_ns: int = 0


@dataclass(slots=True)
class FlowTotals:
    """Totals by name since the probe was attached."""

    _read: dict[tuple[Client, FlowKind], _Amount] = field(default_factory=dict)
    """What the kernel said last, by client; its name in the key is left empty."""
    _totals: dict[FlowKind, _Amount] = field(default_factory=lambda: defaultdict(_Amount))
    _names: set[str] = field(default_factory=set)

    def add(self, counts: Iterable[FlowCount], names: Names) -> frozenset[Client]:
        """Add what is new since the last reading; return the clients that had anything new.

        Who is in no known namespace (0) is never among them, because nobody can say that it is gone.
        `counts` may name one kind several times. A count lower than before (its table was emptied) begins
        again from zero.
        """
        active = set()
        for (client, kind), now in _sum(counts, names).items():
            last = self._read.get((client, kind), _Amount())
            if now.count < last.count:
                last = _Amount()
            self._read[(client, kind)] = now
            if now.count > last.count:
                active.add(client)
                total = self._totals[kind._replace(src=self._admitted(names.source(*client)))]
                total.count += now.count - last.count
                total.sum_ns += now.sum_ns - last.sum_ns
        return frozenset(client for client in active if client.netns)

    def forget(self, gone: frozenset[Client], living_names: Iterable[str]) -> None:
        """Drop the readings of clients that are gone, and the totals of names that nobody has any more.

        The total of `~other` stays: it belongs to nobody and must not fall.
        """
        for client, kind in list(self._read):
            if client in gone:
                del self._read[(client, kind)]
        kept = {*living_names, OTHER}
        for kind in list(self._totals):
            if kind.src not in kept:
                del self._totals[kind]
        self._names &= kept

    def _admitted(self, name: str) -> str:
        if name not in self._names and len(self._names) >= MOST_NAMES:
            return OTHER
        self._names.add(name)
        return name

    def amounts(self) -> list[tuple[FlowKind, int, int]]:
        """Return (kind, count, nanoseconds) of every total, in order."""
        return [(kind, amount.count, amount.sum_ns) for kind, amount in sorted(self._totals.items())]

    def strangers(self, counts: Iterable[FlowCount], names: Names) -> frozenset[Client]:
        """Return who has counts that were never read, and no name yet."""
        read = {client for client, _ in self._read}
        clients = {count.client for count in counts if count.netns} - read
        return frozenset(client for client in clients if not names.knows(*client))


def _sum(counts: Iterable[FlowCount], names: Names) -> dict[tuple[Client, FlowKind], _Amount]:
    summed: dict[tuple[Client, FlowKind], _Amount] = defaultdict(_Amount)
    for flow in counts:
        goal = names.destination(flow.workload, flow.destination)
        kind = FlowKind("", flow.outcome, flow.reason, goal, flow.bucket)
        amount = summed[(flow.client, kind)]
        amount.count += flow.count
        amount.sum_ns += flow.sum_ns
    return summed
