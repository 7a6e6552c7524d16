"""BPF maps of a node: what can be counted of each kind, and how many series come of them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netsre.conventions import OTHER

MOST_SERIES: Final = 256
"""Pairs of map and owner kept apart at most, those with the most memory; a bound on series, not on maps."""
KERNEL: Final = "~kernel"
"""The owner of a map that no process holds: a program that is attached does, or a file that we cannot see."""
UNNAMED: Final = "~unnamed"

# Numbers of `enum bpf_map_type`.
_ARRAYS: Final = frozenset({2, 6})
_BATCHED: Final = frozenset({1, 5, 9, 10, 11})
"""Hash tables and the prefix trie: the kernel hands their keys out in batches."""
_EVICTING: Final = frozenset({9, 10})
"""LRU hash tables: the newest entry takes the place of one that nobody asked for."""
_WALKED: Final = frozenset({13, 18, 25})
"""A hash of maps, of sockets, of devices: one key at a time."""
_PER_CPU: Final = frozenset({5, 6, 10, 21})
_OF_BYTES: Final = frozenset({27, 31, 33})
"""Ring buffers and arenas: their size is no number of entries."""


@dataclass(frozen=True, slots=True)
class MapFacts:
    """What the kernel says of one map; all but its memory stays for its life."""

    number: int
    """Its id, which the kernel gives to no other map for a very long time."""
    name: str
    kind: int
    key_size: int
    value_size: int
    max_entries: int
    memory_bytes: int

    @property
    def capacity(self) -> int | None:
        """How many entries it can hold; None where that is no number of entries, or has no limit."""
        return None if self.kind in _OF_BYTES or not self.max_entries else self.max_entries

    @property
    def full_by_nature(self) -> bool:
        """Whether every entry exists from the beginning."""
        return self.kind in _ARRAYS

    @property
    def batched(self) -> bool:
        """Whether its keys come in batches."""
        return self.kind in _BATCHED

    @property
    def countable(self) -> bool:
        """Whether its entries come and go, and can be counted."""
        return self.capacity is not None and (self.batched or self.kind in _WALKED)

    @property
    def evicts(self) -> bool:
        """Whether it makes room by itself, and refuses nothing when it is full."""
        return self.kind in _EVICTING

    def stride(self, cpus: int) -> int:
        """Return the bytes of one value as user space sees it."""
        return (self.value_size + 7) // 8 * 8 * cpus if self.kind in _PER_CPU else self.value_size


@dataclass(frozen=True, slots=True)
class MapState:
    """One map as it was when it was last looked at."""

    facts: MapFacts
    owner: str
    entries: int | None
    """None while they are not counted, or cannot be."""


@dataclass(frozen=True, slots=True)
class MapSeries:
    """All maps of one name and owner together: two of them would be one series twice."""

    name: str
    owner: str
    maps: int
    entries: int | None
    """Their sum; None unless all of them are counted."""
    capacity: int | None
    """Their sum; None unless all of them have one."""
    memory_bytes: int
    pressure: float | None
    """Of the fullest one: a sum would hide it behind the empty ones. None where nothing can fill up."""
    exhaustion: float | None
    """Of the fullest one that refuses when it is full."""


def series(states: Iterable[MapState], most: int = MOST_SERIES) -> list[MapSeries]:
    """Return what is exposed: maps of equal name and owner are one, and all beyond the bound are `~other`."""
    groups: dict[tuple[str, str], list[MapState]] = defaultdict(list)
    for state in states:
        groups[(state.facts.name, state.owner)].append(state)
    ranked = sorted(groups.items(), key=lambda group: (-_memory(group[1]), group[0]))
    rest = [state for _, group in ranked[most:] for state in group]
    shown = [_folded(name, owner, group) for (name, owner), group in ranked[:most]]
    if rest:
        shown.append(_folded(OTHER, OTHER, rest))
    return sorted(shown, key=lambda one: (one.name, one.owner))


def _memory(states: Iterable[MapState]) -> int:
    return sum(state.facts.memory_bytes for state in states)


def _folded(name: str, owner: str, states: list[MapState]) -> MapSeries:
    entries = [_entries(state) for state in states]
    capacities = [state.facts.capacity for state in states]
    pressures = [
        (state.entries / state.facts.max_entries, state.facts.evicts)
        for state in states
        if state.entries is not None and state.facts.countable
    ]
    return MapSeries(
        name,
        owner,
        len(states),
        _sum(entries),
        _sum(capacities),
        _memory(states),
        max((pressure for pressure, _ in pressures), default=None),
        max((pressure for pressure, evicts in pressures if not evicts), default=None),
    )


def _entries(state: MapState) -> int | None:
    return state.facts.capacity if state.facts.full_by_nature else state.entries


def _sum(numbers: list[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None
