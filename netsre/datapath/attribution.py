"""Whose the counts are: from clients by number to totals by name that only ever grow.

The kernel numbers namespaces by inode, cgroups by id, and gives the number of a namespace that is gone to
the next; a name may come to be known after the first connection. A total that moved from one name to another
would look like new events to everyone who reads counters. So each increase is added to the name that its
client has at that moment, and stays there.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from netsre.conventions import OTHER
from netsre.datapath.workloads import Names

MOST_NAMES: Final = 256
"""Names kept apart at most, first come, first served; all others are `~other`. A bound on series."""

Kind = TypeVar("Kind", bound=tuple[Any, ...])
"""What a probe keeps apart of one client; its fields sort."""


class Client(NamedTuple):
    """Whose a count is: who connects, or the end that is here."""

    netns: int
    """Inode number of the network namespace; 0 when it is not known."""
    cgroup: int = 0
    """Id of the cgroup; 0 when it is not known."""


@dataclass(frozen=True, slots=True)
class Counted(Generic[Kind]):
    """One counter of a probe, summed over CPUs."""

    client: Client
    kind: Kind
    count: int
    sum_ns: int = 0
    """Of what is timed."""


@dataclass(slots=True)
class _Amount:
    count: int = 0
    sum_ns: int = 0


@dataclass(slots=True)
class Totals(Generic[Kind]):
    """Totals by name since the probe was attached."""

    _read: dict[tuple[Client, Kind], _Amount] = field(default_factory=dict)
    """What the kernel said last."""
    _totals: dict[tuple[str, Kind], _Amount] = field(default_factory=lambda: defaultdict(_Amount))
    _names: set[str] = field(default_factory=set)

    def add(self, counts: Iterable[Counted[Kind]], names: Names) -> frozenset[Client]:
        """Add what is new since the last reading; return the clients that had anything new.

        Who is in no known namespace (0) is never among them, because nobody can say that it is gone.
        `counts` may name one kind several times. A count lower than before (its table was emptied) begins
        again from zero.
        """
        active = set()
        for (client, kind), now in _sum(counts).items():
            last = self._read.get((client, kind), _Amount())
            if now.count < last.count:
                last = _Amount()
            self._read[(client, kind)] = now
            if now.count > last.count:
                active.add(client)
                total = self._totals[(self._admitted(names.source(*client)), kind)]
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
        for name, kind in list(self._totals):
            if name not in kept:
                del self._totals[(name, kind)]
        self._names &= kept

    def _admitted(self, name: str) -> str:
        if name not in self._names and len(self._names) >= MOST_NAMES:
            return OTHER
        self._names.add(name)
        return name

    def amounts(self) -> "list[Amount[Kind]]":
        """Return every total, in order."""
        return [
            Amount(name, kind, amount.count, amount.sum_ns)
            for (name, kind), amount in sorted(self._totals.items(), key=lambda item: item[0])
        ]

    def strangers(self, counts: Iterable[Counted[Kind]], names: Names) -> frozenset[Client]:
        """Return who has counts that were never read, and no name yet."""
        read = {client for client, _ in self._read}
        clients = {counted.client for counted in counts if counted.client.netns} - read
        return frozenset(client for client in clients if not names.knows(*client))


@dataclass(frozen=True, slots=True)
class Amount(Generic[Kind]):
    """The total of one name."""

    name: str
    kind: Kind
    count: int
    sum_ns: int


def _sum(counts: Iterable[Counted[Kind]]) -> dict[tuple[Client, Kind], _Amount]:
    summed: dict[tuple[Client, Kind], _Amount] = defaultdict(_Amount)
    for counted in counts:
        amount = summed[(counted.client, counted.kind)]
        amount.count += counted.count
        amount.sum_ns += counted.sum_ns
    return summed
