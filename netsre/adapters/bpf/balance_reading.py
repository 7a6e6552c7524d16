"""What the balancer says of itself where it is pinned, read without changing anything.

Its files are root's, with mode 600: root may open them without any capability. They may come and go, and be
others, from one call to the next.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import balance_pins, pinned, syscalls
from netsre.adapters.bpf.balance_programs import MAPS
from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.datapath.balance import contents, layouts
from netsre.datapath.balance import programs as names
from netsre.datapath.balance.contents import Content
from netsre.datapath.balance.programs import PROGRAMS

_LONGEST_COUNT: Final = 2.0
_FIRST: Final = layouts.NUMBER.pack(0)


@dataclass(frozen=True, slots=True)
class InForce:
    """What does not change while one revision is in force."""

    balancer: int
    """The kernel's number of one of its maps: another balancer has another."""
    revision: int
    """0 for none."""
    written: tuple[int, ...]
    """The numbers in all slots: whether anything was written or dropped since."""
    content: Content
    every: Content
    """Of all revisions that are kept, together."""
    backends: Mapping[bytes, int]
    """Their numbers by end."""


@dataclass(frozen=True, slots=True)
class Said:
    """Everything at about one moment."""

    now: InForce
    counts: Mapping[bytes, tuple[int, int]]
    """Connections and datagrams, by the key of the map."""
    events: Mapping[str, int]


def read(directory: Path, known: InForce | None, now_ns: int) -> Said | None:
    """Return what is said in a directory of pinned objects; None where there is no balancer.

    `known` is what was said before, and is said again where it is the same. Raises `OSError` for a balancer
    of another version, too. `now_ns` is CLOCK_BOOTTIME.
    """
    with contextlib.ExitStack() as stack:
        try:
            maps = {
                name: stack.enter_context(_opened(directory, name))
                for name in (names.ACTIVE, names.REVISIONS, names.COUNTS, names.EVENTS)
            }
            now = _in_force(directory, maps, known, now_ns)
        except FileNotFoundError:
            return None
        counts = {key: layouts.count(value) for key, value in maps[names.COUNTS].entries()}
        events = [layouts.total(value) for value in maps[names.EVENTS].slots()]
    return Said(now, counts, dict(zip(layouts.EVENTS, events, strict=True)))


def usage(directory: Path, events: Mapping[str, int]) -> Iterator[MapUsage]:
    """Yield how full each table is that fills up by itself; raises `OSError`."""
    for name in (names.PEERS, names.COUNTS):
        with _opened(directory, name) as table:
            entries = pinned.count(table, _LONGEST_COUNT)
            overflows = events[f"{name.removeprefix('balance_')}_full"]
            yield MapUsage(name, entries, table.capacity, table.memory(), overflows)


def is_attached(directory: Path) -> bool:
    """Say whether every hook has its program, at a cgroup that is there; raises `OSError`."""
    links = balance_pins.Pins(directory).links()
    return sum(link.cgroup != 0 for link in links) == len(PROGRAMS)


def _in_force(directory: Path, maps: Mapping[str, BpfMap], known: InForce | None, now_ns: int) -> InForce:
    balancer = int(syscalls.fdinfo(maps[names.ACTIVE].fd)["map_id"])
    (slot,) = layouts.NUMBER.unpack(maps[names.ACTIVE].lookup(_FIRST) or _FIRST)
    slots = [layouts.REVISION.unpack(value) for value in maps[names.REVISIONS].slots()]
    _, numbered, after, until_ns = slots[slot]
    # A set has the number of its revision.
    numbered = after if until_ns and until_ns <= now_ns else numbered
    # One that is dropped keeps its number, and loses its set.
    written = tuple(number if used else -number for number, used, *_ in slots)
    mark = balancer, numbered, written
    if known is not None and (known.balancer, known.revision, known.written) == mark:
        return known
    with contextlib.ExitStack() as stack:
        services, members, backends = (
            list(stack.enter_context(_opened(directory, name)).entries())
            for name in (names.SERVICES, names.MEMBERS, names.BACKENDS)
        )
    sets = contents.by_set(services, (key for key, _ in members))
    return InForce(
        *mark,
        sets.get(numbered, contents.NOTHING) if numbered else contents.NOTHING,
        Content(
            {place: value for one in sets.values() for place, value in one.services.items()},
            frozenset().union(*(one.members for one in sets.values())),
        ),
        {end: layouts.NUMBER.unpack(key)[0] for key, end in backends},
    )


@contextlib.contextmanager
def _opened(directory: Path, name: str) -> Iterator[BpfMap]:
    with pinned.opened_as(balance_pins.map_path(directory, name), MAPS[name], "balancer") as found:
        yield found
