"""The balancer of services in the kernel: whole revisions of what is balanced, one of which is in force.

What there is is read from its maps; beside them only the numbers of tables and the names of services are to
be remembered. Whoever changes anything must be alone. Not thread safe.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from netsre.adapters.bpf.balance_programs import TABLE
from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.syscalls import BpfMap, MapFull, wait_for_programs
from netsre.datapath.balance import contents, layouts
from netsre.datapath.balance import programs as names
from netsre.datapath.balance.contents import Content, Encoded, Numbers
from netsre.datapath.balance.frontends import Frontend

NOTHING: Final = 0
"""The number of the revision in which nothing is balanced; it is always there."""
_THERE: Final = b"\1"
_MADE_AT_ONCE: Final = 128
"""Tables whose descriptors are open at a time, while a revision is written."""
_BATCH: Final = 1_024
"""Entries of one call."""
_FIRST: Final = layouts.NUMBER.pack(0)


class BalanceCount(NamedTuple):
    """What one backend of a service was given, summed over CPUs."""

    service: str
    place: str
    """Where the service was asked."""
    backend: str
    """Empty where it was refused, for want of one."""
    connections: int
    datagrams: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A revision that can be switched to."""

    slot: int
    content: Content
    until_ns: int = 0
    """When another revision decides instead, on CLOCK_BOOTTIME; 0 for never."""
    after: int = NOTHING
    """That one, by number."""


def _quiet(made: int, of: int) -> None:
    del made, of


class Balance:
    """What is balanced, and what could be."""

    def __init__(self, maps: Mapping[str, BpfMap], numbers: Numbers | None = None) -> None:
        """Read what there is; `numbers` are those that are remembered of it. Raises `OSError`."""
        self.maps = maps
        self.numbers = numbers if numbers is not None else Numbers()
        self.kept: dict[int, Kept] = {NOTHING: Kept(0, contents.NOTHING)}
        """By number."""
        self._last = NOTHING
        sets = contents.by_set(maps[names.SERVICES].entries(), self._keys(names.MEMBERS))
        for slot in range(layouts.REVISIONS):
            value = maps[names.REVISIONS].lookup(layouts.NUMBER.pack(slot)) or bytes(layouts.REVISION.size)
            number, numbered, after, until_ns = layouts.REVISION.unpack(value)
            self._last = max(self._last, number)
            if numbered:
                self.kept[number] = Kept(slot, sets.get(numbered, contents.NOTHING), until_ns, after)
        in_force = maps[names.ACTIVE].lookup(_FIRST)
        slots = {layouts.NUMBER.pack(one.slot): number for number, one in self.kept.items()}
        self.active = slots.get(in_force or _FIRST, NOTHING)
        """The revision that was switched to."""
        self._number()

    def in_force(self, now_ns: int) -> int:
        """Return the revision that decides; `now_ns` is CLOCK_BOOTTIME."""
        one = self.kept[self.active]
        return one.after if one.until_ns and one.until_ns <= now_ns else self.active

    @property
    def lasting(self) -> list[int]:
        """Return the revisions that can be gone to, the oldest first: those without an end."""
        return sorted(number for number, one in self.kept.items() if number and not one.until_ns)

    @property
    def needed(self) -> frozenset[int]:
        """Return the revisions that decide, now or later."""
        return frozenset({NOTHING, self.active, self.kept[self.active].after})

    def encode(self, frontends: Iterable[Frontend]) -> Encoded:
        """Return a revision as it would be written; what has no number yet gets one."""
        return contents.encode(frontends, self.numbers)

    def find(self, content: Content) -> int | None:
        """Return the revision that is kept and has this content."""
        return next((number for number in self.lasting if self.kept[number].content == content), None)

    def lacking(self, encoded: Encoded, beside: Iterable[int]) -> Mapping[str, tuple[int, int]]:
        """Return the maps without room for a revision beside these: how many are wanted, and how many fit."""
        every = [self.kept[number].content for number in {NOTHING, *beside}] + [encoded.content]
        wanted = {
            names.REVISIONS: len(every),
            names.SERVICES: sum(len(one.services) for one in every),
            names.MEMBERS: sum(len(one.members) for one in every),
            names.TABLES: len(frozenset().union(*(one.tables for one in every))),
            names.BACKENDS: len(frozenset().union(*(one.backends for one in every))),
            names.COUNTS: len(frozenset().union(*(one.counts for one in every))),
        }
        found = {name: (count, self.maps[name].capacity) for name, count in wanted.items()}
        return {name: (count, most) for name, (count, most) in found.items() if count > most}

    @property
    def following(self) -> int:
        """Return the number that the next revision will have."""
        return self._last + 1

    def write(
        self,
        encoded: Encoded,
        done: Callable[[int, int], None] = _quiet,
        until_ns: int = 0,
        after: int = NOTHING,
    ) -> int:
        """Write a revision beside those that are there, and return its number; nothing decides by it yet.

        With an end (CLOCK_BOOTTIME), one that is kept decides from then on.
        `done` is told after each table how many are made, and of how many. Raises `MapFull`, also for a
        revision too many, and then nothing of it is left.
        """
        free = set(range(layouts.REVISIONS)) - {one.slot for one in self.kept.values()}
        if not free:
            raise MapFull(0, f"{layouts.REVISIONS} revisions are kept; drop one")
        self.collect(encoded.content)
        number, slot, content = self.following, min(free), encoded.content
        try:
            self._make_tables(encoded, done)
            prefix = layouts.NUMBER.pack(number)
            self._put(names.BACKENDS, encoded.ends)
            self._put(names.MEMBERS, {prefix + pair: _THERE for pair in content.members})
            self._put(names.SERVICES, {prefix + place: value for place, value in content.services.items()})
        except BaseException:
            self.collect()
            raise
        packed = layouts.REVISION.pack(number, number, after, until_ns)
        self.maps[names.REVISIONS].put(layouts.NUMBER.pack(slot), packed)
        self._last, self.kept[number] = number, Kept(slot, content, until_ns, after)
        return number

    def switch(self, number: int) -> None:
        """Decide by this revision from now on, whole, and by no other; raises `KeyError` for none."""
        slot = layouts.NUMBER.pack(self.kept[number].slot)
        self.maps[names.ACTIVE].put(_FIRST, slot)
        self.active = number

    def drop(self, *numbers: int) -> None:
        """Free what is only in these revisions, none of which may be needed; raises `KeyError` for none."""
        if self.needed.intersection(numbers):
            raise ValueError(f"revision {self.active} is in force")
        gone = [(number, self.kept.pop(number).slot) for number in numbers]
        if not gone:
            return
        # A run that began before the last switch may still decide by one.
        wait_for_programs()
        for number, slot in gone:
            # The number stays, so that the next one is above every one that ever was.
            self.maps[names.REVISIONS].put(layouts.NUMBER.pack(slot), layouts.REVISION.pack(number, 0, 0, 0))
        self.collect()

    def collect(self, wanted: Content = contents.NOTHING) -> None:
        """Free what no revision has, as somebody leaves it who is killed; `wanted` is about to be written."""
        every = [wanted, *(one.content for one in self.kept.values())]
        sets = {layouts.NUMBER.pack(number) for number in self.kept}
        living: Mapping[str, AbstractSet[bytes]] = {
            names.TABLES: frozenset().union(*(one.tables for one in every)),
            names.BACKENDS: frozenset().union(*(one.backends for one in every)),
            names.COUNTS: frozenset().union(*(one.counts for one in every)),
        }
        for name in (names.SERVICES, names.MEMBERS):
            self._delete(name, [key for key in self._keys(name) if key[: layouts.NUMBER.size] not in sets])
        for name, keys in living.items():
            self._delete(name, [key for key in self._keys(name) if key not in keys])
        numbered = (self.numbers.tables, names.TABLES), (self.numbers.backends, names.BACKENDS)
        for numbering, name in numbered:
            numbering.keep({number for key in living[name] for (number,) in [layouts.NUMBER.unpack(key)]})
        services = {number for key in living[names.COUNTS] for number, _ in [layouts.COUNT_KEY.unpack(key)]}
        self.numbers.services.keep(services)
        for number in self.numbers.names.keys() - services:
            del self.numbers.names[number]

    def counts(self) -> list[BalanceCount]:
        """Return what was given to each backend, and what was refused, in the revisions that are kept."""
        called: dict[bytes, tuple[str, str, str]] = {}
        for one in self.kept.values():
            called |= contents.named(one.content, self.numbers)
        return sorted(
            BalanceCount(*called[key], *layouts.count(value))
            for key, value in self.maps[names.COUNTS].entries()
            if key in called
        )

    def strays(self, now_ns: int) -> Mapping[int, tuple[bytes, bytes]]:
        """Return the cookies of sockets that were given who is no member now, with its address and port.

        `now_ns` is CLOCK_BOOTTIME.
        """
        wait_for_programs()
        members = self.kept[self.in_force(now_ns)].content.members
        found = {}
        for key, value in self.maps[names.PEERS].entries():
            cookie, _, _ = layouts.PEER_KEY.unpack(key)
            _, given, _, service, backend = layouts.PEER.unpack(value)
            if layouts.COUNT_KEY.pack(service, backend) not in members:
                address, port, _ = layouts.END.unpack(given)
                found[cookie] = address, port
        return found

    def events(self) -> Mapping[str, int]:
        """Return how often what happened beside that, since the maps were made."""
        values = (
            self.maps[names.EVENTS].lookup(layouts.NUMBER.pack(number)) or b""
            for number in range(len(layouts.EVENTS))
        )
        return dict(zip(layouts.EVENTS, map(layouts.total, values), strict=True))

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full each table is that fills up by itself."""
        events = self.events()
        for name in (names.PEERS, names.COUNTS):
            table = self.maps[name]
            overflows = events[f"{name.removeprefix('balance_')}_full"]
            yield MapUsage(name, sum(1 for _ in self._keys(name)), table.capacity, table.memory(), overflows)

    def _number(self) -> None:
        """Take over the numbers that the kernel has; no other thing may have any of them."""
        numbers, there = self.numbers, [one.content for one in self.kept.values()]
        for content in there:
            for place, value in content.services.items():
                numbers.services.know(place, layouts.SERVICE.unpack(value)[0])
        for key, end in self.maps[names.BACKENDS].entries():
            numbers.backends.know(end, layouts.NUMBER.unpack(key)[0])
        tables = {layouts.NUMBER.unpack(key)[0] for key in self._keys(names.TABLES)}
        numbers.tables.keep(tables)
        numbers.tables.last = max([numbers.tables.last, *tables])
        # A socket remembers numbers of services and backends that are long gone.
        for _, peer in self.maps[names.PEERS].entries():
            *_, service, backend = layouts.PEER.unpack(peer)
            numbers.services.last = max(numbers.services.last, service)
            numbers.backends.last = max(numbers.backends.last, backend)

    def _make_tables(self, encoded: Encoded, done: Callable[[int, int], None]) -> None:
        """Give the kernel the tables that it has not: one by one each would be a wait for all programs."""
        there = frozenset(self._keys(names.TABLES))
        missing = [(key, table) for key, table in encoded.tables.items() if key not in there]
        for begin in range(0, len(missing), _MADE_AT_ONCE):
            made: dict[bytes, bytes] = {}
            fds: list[int] = []
            try:
                for key, table in missing[begin : begin + _MADE_AT_ONCE]:
                    inner = BpfMap.create("balance_table", TABLE, 1)
                    fds.append(inner.fd)
                    inner.put(_FIRST, table.packed())
                    made[key] = layouts.NUMBER.pack(inner.fd)
                    done(begin + len(made), len(missing))
                self.maps[names.TABLES].put_many(made)
            finally:
                for fd in fds:
                    os.close(fd)

    def _put(self, name: str, entries: Mapping[bytes, bytes]) -> None:
        listed = list(entries.items())
        for begin in range(0, len(listed), _BATCH):
            self.maps[name].put_many(dict(listed[begin : begin + _BATCH]))

    def _delete(self, name: str, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.maps[name].delete(key)

    def _keys(self, name: str) -> Iterator[bytes]:
        return (key for key, _ in self.maps[name].entries())
