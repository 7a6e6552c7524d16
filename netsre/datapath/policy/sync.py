"""From what the kernel holds to what it is to hold: operations in an order in which none shows a mixture.

Entries are written under numbers that no revision in force refers to; then a slot that nobody reads gets the
numbers of the new revision; then one number is stored, that of the slot. Stopped after any operation, and in
the middle of one, the kernel decides by one whole revision, and a new plan from what it then holds ends in
the same state. Whoever carries out a plan must be alone, may wait after each operation, and is never asked to
write more than a batch at once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeVar

from netsre.datapath.policy import layouts
from netsre.datapath.policy.budget import CAPACITY
from netsre.datapath.policy.encode import Encoded, Entries, Parts
from netsre.datapath.policy.layouts import EMPTY, SLOTS, Map, Revision
from netsre.errors import BadInput, EnvironmentUnfit

KEPT: Final = 8
"""So many of the latest revisions can be returned to, beside the one in force."""
BATCH: Final = 1_024
"""Entries of one operation at most."""

_Item = TypeVar("_Item")
_NOTHING: Final[Entries] = MappingProxyType({})
_NO_PARTS: Final[Mapping[int, Entries]] = MappingProxyType({})


class NoRoom(EnvironmentUnfit):
    """What is on trial, and what lasts, would take more than the maps have; nothing was done."""


class NumbersAstray(EnvironmentUnfit):
    """A revision was encoded with numbers that stand for something else in the kernel; nothing was done."""


@dataclass(frozen=True, slots=True)
class Put:
    """Write entries, over those of the same keys."""

    where: Map
    entries: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove keys; one that is not there is none to remove."""

    where: Map
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WriteSlot:
    """Write a slot that is not in force."""

    slot: int
    revision: Revision


@dataclass(frozen=True, slots=True)
class Switch:
    """Put a slot into force."""

    slot: int


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until every run of a program that began before has ended: it may still use what was in force."""


Operation = Put | Remove | WriteSlot | Switch | Settle


@dataclass(frozen=True, slots=True)
class Held:
    """What the kernel holds."""

    slots: tuple[Revision, ...] = (EMPTY,) * SLOTS
    in_force: int = 0
    """The slot that decides, until its end where it is on trial."""
    parts: Parts = field(default_factory=lambda: MappingProxyType(dict.fromkeys(Map, _NO_PARTS)))

    @property
    def kept(self) -> Mapping[int, Revision]:
        """Return the revisions that are whole and on no trial, by their slots, the oldest first."""
        found = ((slot, one) for slot, one in enumerate(self.slots) if one.is_whole and not one.until_ns)
        return MappingProxyType(dict(sorted(found, key=lambda pair: pair[1].number)))

    @property
    def lasting(self) -> int:
        """Return the slot that decides when all that is on trial has ended."""
        one = self.slots[self.in_force]
        return one.afterwards if one.until_ns else self.in_force

    @property
    def seen(self) -> AbstractSet[int]:
        """Return the slots that programs look at, now or later."""
        return {self.in_force, self.lasting}

    def trial(self, now_ns: int) -> Revision | None:
        """Return the revision on trial that decides now, by CLOCK_BOOTTIME."""
        one = self.slots[self.in_force]
        return one if one.until_ns and not one.has_ended(now_ns) else None

    def decides(self, now_ns: int) -> Revision:
        """Return the revision that decides now, by CLOCK_BOOTTIME."""
        return self.trial(now_ns) or self.slots[self.lasting]


@dataclass(frozen=True, slots=True)
class Trial:
    """A revision that ends by itself, after which another one decides."""

    revision: Encoded
    until_ns: int
    """By CLOCK_BOOTTIME."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in this order."""

    operations: tuple[Operation, ...]
    after: Held
    """What the kernel holds then."""


def read(
    slots: Sequence[Revision], in_force: int, dumps: Mapping[Map, Iterable[tuple[bytes, bytes]]]
) -> Held:
    """Return what the kernel holds, from all entries of its maps."""
    parts: dict[Map, dict[int, dict[bytes, bytes]]] = {where: {} for where in Map}
    for where, dump in dumps.items():
        for key, value in dump:
            parts[where].setdefault(layouts.number_of(where, key), {})[key] = value
    return Held(tuple(slots), in_force, MappingProxyType(parts))


def plan(
    held: Held,
    wanted: Encoded | None,
    capacity: Mapping[Map, int] = CAPACITY,
    batch: int = BATCH,
    trial: Trial | None = None,
) -> Plan:
    """Return what puts a revision into force; raises `NumbersAstray` and `NoRoom`.

    `wanted` is to last, None for what lasts already; where there is a trial, that decides until its end. A
    revision that is kept is only switched to. Older ones are given up where the maps have no room for all.
    """
    revision = held.slots[held.lasting] if wanted is None else Revision(0, wanted.addresses, wanted.endpoints)
    parts = _together([*([wanted] if wanted else []), *([trial.revision] if trial else [])])
    staying = _with_room(held, parts, _slot_of(held, revision), capacity)
    _refuse_astray(held, parts, staying)
    begun = _Steps(held, batch)
    begun.forget(staying, parts)
    begun.put(parts)
    target = lasting = begun.add(revision)
    if trial is not None:
        sets = trial.revision.addresses, trial.revision.endpoints
        target = begun.add(Revision(0, *sets, trial.until_ns, lasting))
    begun.switch(target)
    kept = begun.held.kept
    begun.forget({target, lasting, *list(kept)[-KEPT:]}, {})
    return Plan(tuple(begun.operations), begun.held)


def rollback(held: Held, number: int) -> Plan:
    """Return what goes back, or forward, to a revision that is kept: one switch; raises `BadInput`.

    It lasts: what is on trial ends.
    """
    kept = held.kept
    for slot, one in kept.items():
        if one.number == number:
            steps = _Steps(held, BATCH)
            steps.switch(slot)
            return Plan(tuple(steps.operations), steps.held)
    known = ", ".join(str(one.number) for one in kept.values()) or "none"
    raise BadInput(f"revision {number} is not kept; kept are {known}")


class _Steps:
    """Operations so far, and what the kernel holds after them."""

    def __init__(self, held: Held, batch: int) -> None:
        self.held = held
        self.operations: list[Operation] = []
        self._batch = batch

    def add(self, revision: Revision) -> int:
        """Return the slot of a revision; one that is not there is written, under the next number."""
        if (known := _slot_of(self.held, revision)) is not None:
            return known
        slot = _free_slot(self.held)
        self.write(slot, revision._replace(number=max(one.number for one in self.held.slots) + 1))
        return slot

    def put(self, wanted: Parts) -> None:
        """Write what is missing: what is looked up last comes first."""
        for where in Map:
            there = self.held.parts[where]
            missing = (
                pair
                for number, entries in wanted[where].items()
                if there.get(number) is not entries and there.get(number) != entries
                for pair in entries.items()
                if there.get(number, _NOTHING).get(pair[0]) != pair[1]
            )
            self.operations += (Put(where, some) for some in _batches(missing, self._batch))
        self._hold({where: {**self.held.parts[where], **wanted[where]} for where in Map})

    def write(self, slot: int, revision: Revision) -> None:
        self.operations.append(WriteSlot(slot, revision))
        slots = (*self.held.slots[:slot], revision, *self.held.slots[slot + 1 :])
        self.held = replace(self.held, slots=slots)

    def switch(self, slot: int) -> None:
        if self.held.in_force != slot:
            self.operations.append(Switch(slot))
            self.held = replace(self.held, in_force=slot)

    def forget(self, staying: AbstractSet[int], wanted: Mapping[Map, Mapping[int, Entries]]) -> None:
        """Give up every revision in no such slot, and remove what none of the others refers to.

        A number that is wanted may have other entries: a plan that was stopped used it for something else.
        """
        given_up = [slot for slot, one in enumerate(self.held.slots) if one.is_whole and slot not in staying]
        refers = used(self.held, staying)
        removed: dict[Map, list[bytes]] = {where: [] for where in Map}
        parts: dict[Map, dict[int, Entries]] = {where: {} for where in Map}
        for where in Map:
            for number, entries in self.held.parts[where].items():
                right = entries if number in refers[where] else wanted.get(where, {}).get(number, _NOTHING)
                if right is not entries:
                    removed[where] += (key for key in entries if key not in right)
                    entries = {key: one for key, one in entries.items() if key in right}  # noqa: PLW2901
                if entries:
                    parts[where][number] = entries
        if given_up or any(removed.values()):
            self.operations.append(Settle())
        for slot in given_up:
            # The number stays, so that the next one is above every one that ever was.
            self.write(slot, Revision(self.held.slots[slot].number, 0, 0))
        for where in reversed(Map):
            keys = _batches(removed[where], self._batch)
            self.operations += (Remove(where, some) for some in keys)
        self._hold(parts)

    def _hold(self, parts: Mapping[Map, Mapping[int, Entries]]) -> None:
        self.held = replace(self.held, parts=MappingProxyType({**parts}))


def _slot_of(held: Held, wanted: Revision) -> int | None:
    """Return where a revision is that consists of the same sets, and so of the same tables.

    Of those on trial only the one that decides is looked at.
    """
    known = [*held.kept, held.in_force]
    return next((slot for slot in known if held.slots[slot][1:] == wanted[1:]), None)


def _together(revisions: Iterable[Encoded]) -> Parts:
    """Return what several revisions consist of."""
    known = tuple(revisions)
    return {where: {n: one for each in known for n, one in each.parts[where].items()} for where in Map}


def _free_slot(held: Held) -> int:
    """Return a slot that nobody reads: of those without a revision the one that is longest without."""
    free = [slot for slot, one in enumerate(held.slots) if not one.is_whole and slot not in held.seen]
    return min(free, key=lambda slot: (held.slots[slot].number, slot))


def _with_room(
    held: Held, wanted: Parts, target: int | None, capacity: Mapping[Map, int]
) -> AbstractSet[int]:
    """Return the slots of the revisions that can stay while new ones are built."""
    staying = [*held.kept, *(slot for slot in held.seen if slot not in held.kept)]
    while not _fits(held, wanted, {*staying}, capacity):
        spare = [slot for slot in staying if slot not in {*held.seen, target}]
        if not spare:
            # One revision beside that in force always fits, by the budget.
            raise NoRoom(
                "the maps have no room for what is on trial, what lasts and what is to come; wait for the "
                "trial, end it (netsre policy rollback), or let policies name fewer peers or ports"
            )
        staying.remove(spare[0])
    return {*staying}


def _fits(held: Held, wanted: Parts, staying: AbstractSet[int], capacity: Mapping[Map, int]) -> bool:
    refers = used(held, staying)
    return all(
        sum(len(held.parts[where].get(number, _NOTHING)) for number in refers[where] - wanted[where].keys())
        + sum(map(len, wanted[where].values()))
        <= capacity[where]
        for where in Map
    )


def used(held: Held, slots: AbstractSet[int]) -> Mapping[Map, AbstractSet[int]]:
    """Return the tables and sets that revisions refer to."""
    revisions = [held.slots[slot] for slot in slots]
    sets = {one.endpoints for one in revisions} - {0}
    tables, zones = set[int](), set[int]()
    for number in sets:
        ways = layouts.tables_of(held.parts[Map.ENDPOINTS].get(number, _NOTHING).values())
        tables |= ways[0]
        zones |= ways[1]
    return {
        Map.ENTRIES: tables - {0},
        Map.ZONES: zones - {0},
        Map.ENDPOINTS: sets,
        Map.ADDRESSES: {one.addresses for one in revisions} - {0},
    }


def _refuse_astray(held: Held, wanted: Parts, staying: AbstractSet[int]) -> None:
    refers = used(held, staying)
    for where in Map:
        for number in refers[where] & wanted[where].keys():
            there = held.parts[where].get(number, _NOTHING)
            if there is not wanted[where][number] and there != wanted[where][number]:
                raise NumbersAstray(
                    f"{where.value} {number} of a kept revision is not what was compiled under this number; "
                    "compile again with the numbers of what the kernel holds"
                )


def _batches(items: Iterable[_Item], most: int) -> Iterator[tuple[_Item, ...]]:
    some: list[_Item] = []
    for one in items:
        some.append(one)
        if len(some) == most:
            yield tuple(some)
            some = []
    if some:
        yield tuple(some)
