"""Whose the counts are: from clients by number to totals by name that only ever grow.

The kernel numbers namespaces by inode, cgroups by id, and gives the number of a namespace that is gone to
the next; a name may come to be known after the first connection. A total that moved from one name to another
would look like new events to everyone who reads counters. So each increase is added to the name that its
client has at that moment, and stays there.
"""

import collections
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from netsre.conventions import OTHER
from netsre.datapath.workloads import Names

MOST_NAMES: Final = 256
"""Names kept apart at most, first come, first served; all others are `~other`. A bound on series."""

Kind = TypeVar("Kind", bound=tuple[Any, ...])
"""What a probe keeps apart of one client; its fields sort."""
Key = TypeVar("Key", bound=Hashable)
"""What a counter is known by."""


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


@dataclass(slots=True, eq=False)
class Counter(Generic[Kind]):
    """A counter of a probe, the same in every reading: nothing about it is worked out twice."""

    client: Client
    kind: Kind
    count: int = 0
    """So much of it is in the totals."""
    sum_ns: int = 0
    total: _Amount | None = None
    """Where it is counted; None until it was."""
    named: int = 0
    """The state of all names by which that was found out."""


class Reading(NamedTuple, Generic[Kind]):
    """What counters say at one moment.

    In columns: an object for each of 65,536 rows takes the collector of garbage longer than all else.
    """

    counters: list[Counter[Kind]]
    counts: list[int]
    sums_ns: list[int]

    def without(self, clients: frozenset[Client]) -> "Reading[Kind]":
        """Return the same without what is some clients'."""
        kept = Reading[Kind]([], [], [])
        for counter, count, sum_ns in zip(*self, strict=True):
            if counter.client not in clients:
                kept.put(counter, count, sum_ns)
        return kept

    def put(self, counter: Counter[Kind], count: int, sum_ns: int) -> None:
        """Add what one counter says."""
        self.counters.append(counter)
        self.counts.append(count)
        self.sums_ns.append(sum_ns)


class Counters(dict[Key, Counter[Kind]]):
    """The counters of a table by their keys: whoever asks for one that is new has it made."""

    def __init__(self, made: Callable[[Key], Counter[Kind]]) -> None:
        """Begin with none."""
        super().__init__()
        self._made = made

    def __missing__(self, key: Key) -> Counter[Kind]:
        """Make one."""
        counter = self[key] = self._made(key)
        return counter

    def retire(self, clients: frozenset[Client]) -> None:
        """Forget those of some clients."""
        for key in [key for key, counter in self.items() if counter.client in clients]:
            del self[key]


@dataclass(slots=True)
class Totals(Generic[Kind]):
    """Totals by name since the probe was attached."""

    _counters: Counters[tuple[Client, Kind], Kind] = field(
        default_factory=lambda: Counters(lambda key: Counter(*key))
    )
    """Of those who bring no counters of their own."""
    _totals: dict[tuple[str, Kind], _Amount] = field(default_factory=dict)
    _sorted: bool = True
    _admitted_names: set[str] = field(default_factory=set)
    _names: Names | None = None
    _named: int = 0
    """How often names have changed."""
    _sources: dict[Client, str] = field(default_factory=dict)
    """Names of clients, as they are now."""

    def add(self, counts: Iterable[Counted[Kind]], names: Names) -> frozenset[Client]:
        """Add what is new since the last reading; return the clients that had anything new.

        As `take`, of a probe that keeps no counters. `counts` may name one kind several times.
        """
        return self.take(self.reading(counts), names)

    def reading(self, counts: Iterable[Counted[Kind]]) -> Reading[Kind]:
        """Return what was counted of each client and kind."""
        summed: dict[tuple[Client, Kind], list[int]] = {}
        for counted in counts:
            amount = summed.setdefault((counted.client, counted.kind), [0, 0])
            amount[0] += counted.count
            amount[1] += counted.sum_ns
        found = Reading[Kind]([], [], [])
        for key, amount in summed.items():
            found.put(self._counters[key], *amount)
        return found

    def take(self, reading: Reading[Kind], names: Names) -> frozenset[Client]:
        """Add what is new of some counters; return the clients that had anything new.

        Who is in no known namespace (0) is never among them, because nobody can say that it is gone. A count
        lower than before (its table was emptied) begins again from zero.
        """
        if names != self._names:
            self._forget_names()
        self._names = names
        named, active = self._named, set()
        for counter, count, sum_ns in zip(*reading, strict=True):
            if count == counter.count:
                continue
            if count < counter.count:
                counter.count = counter.sum_ns = 0
                if not count:
                    continue
            total = counter.total
            if total is None or counter.named != named:
                total = self._total_of(counter, names)
            total.count += count - counter.count
            total.sum_ns += sum_ns - counter.sum_ns
            counter.count, counter.sum_ns = count, sum_ns
            active.add(counter.client)
        return frozenset(client for client in active if client.netns)

    def _total_of(self, counter: Counter[Kind], names: Names) -> _Amount:
        name = self._sources.get(counter.client)
        if name is None:
            name = self._sources[counter.client] = self._admitted(names.source(*counter.client))
        key = (name, counter.kind)
        total = self._totals.get(key)
        if total is None:
            total = self._totals[key] = _Amount()
            self._sorted = False
        counter.total, counter.named = total, self._named
        return total

    def forget(self, gone: frozenset[Client], living_names: Iterable[str]) -> None:
        """Drop the readings of clients that are gone, and the totals of names that nobody has any more.

        The total of `~other` stays: it belongs to nobody and must not fall.
        """
        self._counters.retire(gone)
        kept = {*living_names, OTHER}
        for name, kind in list(self._totals):
            if name not in kept:
                del self._totals[(name, kind)]
        self._admitted_names &= kept
        self._forget_names()

    def _forget_names(self) -> None:
        self._named += 1
        self._sources.clear()

    def _admitted(self, name: str) -> str:
        if name not in self._admitted_names and len(self._admitted_names) >= MOST_NAMES:
            return OTHER
        self._admitted_names.add(name)
        return name

    def amounts(self) -> "list[Amount[Kind]]":
        """Return every total, in order."""
        if not self._sorted:
            self._totals = dict(sorted(self._totals.items(), key=lambda item: item[0]))
            self._sorted = True
        return [
            Amount(name, kind, amount.count, amount.sum_ns) for (name, kind), amount in self._totals.items()
        ]

    def sums(self, word: Callable[[Kind], str]) -> collections.Counter[str]:
        """Return the totals of all names together, by a word about what is counted."""
        found = collections.Counter[str]()
        for (_, kind), amount in self._totals.items():
            found[word(kind)] += amount.count
        return found

    def strangers(self, reading: Reading[Kind], names: Names) -> frozenset[Client]:
        """Return who has counts that were not read yet, and no name; a number may be another's by now."""
        counts = zip(reading.counters, reading.counts, strict=True)
        fresh = {counter.client for counter, count in counts if count != counter.count}
        return frozenset(client for client in fresh if client.netns and not names.knows(*client))


@dataclass(frozen=True, slots=True)
class Amount(Generic[Kind]):
    """The total of one name."""

    name: str
    kind: Kind
    count: int
    sum_ns: int
