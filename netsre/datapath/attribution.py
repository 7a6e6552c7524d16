"""Whose the counts are: from namespaces by number to totals by name that only ever grow.

The kernel numbers namespaces by inode and gives the number of one that is gone to the next; a name may come
to be known after the first connection. A total that moved from one name to another would look like new events
to everyone who reads counters. So each increase is added to the name that its namespace has at that moment,
and stays there.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.flows import FlowCount

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

    _read: dict[tuple[int, FlowKind], _Amount] = field(default_factory=dict)
    """What the kernel said last, by namespace number; the name in the key is left empty."""
    _totals: dict[FlowKind, _Amount] = field(default_factory=lambda: defaultdict(_Amount))
    _names: set[str] = field(default_factory=set)

    def add(self, counts: Iterable[FlowCount], names: Mapping[int, str]) -> frozenset[int]:
        """Add what is new since the last reading; return the numbers of the namespaces that had anything new.

        What belongs to no namespace (0) is never among them, because it cannot go away with one.
        `counts` may name one kind several times. A count lower than before (its table was emptied) begins
        again from zero.
        """
        active = set()
        for (netns, kind), now in _sum(counts).items():
            last = self._read.get((netns, kind), _Amount())
            if now.count < last.count:
                last = _Amount()
            self._read[(netns, kind)] = now
            if now.count > last.count:
                active.add(netns)
                total = self._totals[kind._replace(src=self._admitted(names.get(netns, OTHER)))]
                total.count += now.count - last.count
                total.sum_ns += now.sum_ns - last.sum_ns
        return frozenset(active - {0})

    def forget(self, namespaces: frozenset[int], living_names: Iterable[str]) -> None:
        """Drop the readings of namespaces that are gone, and the totals of names that nobody has any more.

        The total of `~other` stays: it belongs to nobody and must not fall.
        """
        for netns, kind in list(self._read):
            if netns in namespaces:
                del self._read[(netns, kind)]
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

    def unknown(self, counts: Iterable[FlowCount], names: Mapping[int, str]) -> bool:
        """Say whether any namespace has counts that were never read and no name yet."""
        read = {netns for netns, _ in self._read}
        return any(count.netns and count.netns not in names and count.netns not in read for count in counts)


def _sum(counts: Iterable[FlowCount]) -> dict[tuple[int, FlowKind], _Amount]:
    summed: dict[tuple[int, FlowKind], _Amount] = defaultdict(_Amount)
    for flow in counts:
        kind = FlowKind("", flow.outcome, flow.reason, flow.destination, flow.bucket)
        amount = summed[(flow.netns, kind)]
        amount.count += flow.count
        amount.sum_ns += flow.sum_ns
    return summed
