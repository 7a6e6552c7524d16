"""Plans: what comes of them, wherever they are stopped."""

import dataclasses
import random
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre.datapath.policy import encode, ends, reconcile, reference, resolve, sync
from netsre.datapath.policy.encode import Encoded
from netsre.datapath.policy.layouts import Map, Revision
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.sync import Held, NumbersAstray, Put, Remove, Settle, Switch, WriteSlot
from netsre.errors import BadInput
from netsre.model.policies import files
from netsre.model.policies.values import Policy
from tests import thorough
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, kubernetes, read
from tests.unit.policy.maps import Maps, said

BATCH = 7
ROOM = dict.fromkeys(Map, 100_000)


def encoded(policies: tuple[Policy, ...], numbers: Numbers) -> Encoded:
    """Return a revision of the cluster of the tables."""
    resolved = resolve.resolve(policies, ENDPOINTS, numbers.identities)
    return encode.encode(resolved, policies, ENDPOINTS, numbers)


def some_policies(chance: random.Random, most: int = 5) -> tuple[Policy, ...]:
    """Return generated policies."""
    return files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, most))})


def on_port(port: int) -> tuple[Policy, ...]:
    """Return a policy that lets one port in."""
    return read(kubernetes(f"podSelector: {{}}\ningress: [{{ports: [{{port: {port}}}]}}]"))


def decisions(maps: Maps, asked: Iterable[tuple[str, str, str]], now_ns: int = 0) -> list[object]:
    """Return what the maps decide at a time."""
    decider = maps.decider(now_ns)
    found: list[object] = []
    for source, destination, port in asked:
        one, other = ends.between(source, destination, ENDPOINTS)
        assert one.address is not None
        assert other.address is not None
        found.append(decider.answers(one.address, other.address, ends.service(port)))
    return found


def run(maps: Maps, revision: Encoded, capacity: Mapping[Map, int] = ROOM) -> None:
    """Plan and carry out; the plan says truly what comes of it, and one more has nothing to do."""
    plan = sync.plan(maps.held(), revision, capacity, BATCH)
    maps.apply(plan.operations)
    assert maps.held() == plan.after
    assert maps.largest <= BATCH
    assert not sync.plan(maps.held(), revision, capacity, BATCH).operations


@settings(max_examples=thorough.cases(15))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_plan_that_is_stopped_anywhere_shows_no_mixture_and_can_be_made_anew(seed: int) -> None:
    """After each operation, and in the middle of one: the old decisions or the new, and then the same end."""
    chance = generated.chance_of(seed)
    asked = [one for one in generated.questions(chance, 12) if one[0] != one[1]]
    numbers, before = Numbers(), Maps()
    for _ in range(chance.randint(0, 10)):
        revision = encoded(some_policies(chance, 2), numbers)
        numbers = revision.numbers
        run(before, revision)
    if before.held().kept and chance.random() < 0.5:
        back = chance.choice([one.number for one in before.held().kept.values()])
        before.apply(sync.rollback(before.held(), back).operations)
    capacity = chance.choice((ROOM, {**ROOM, Map.ENDPOINTS: 36}))
    wanted = encoded(some_policies(chance), numbers)
    operations = sync.plan(before.held(), wanted, capacity, BATCH).operations
    after = copy(before)
    after.apply(operations)
    both = [decisions(before, asked), decisions(after, asked)]

    switched = False
    for place, operation in enumerate(operations):
        switched |= isinstance(operation, Switch)
        for stopped in stops(before, operations[:place], operation, chance):
            assert decisions(stopped, asked) == both[switched]
            run(stopped, wanted, capacity)
            assert stopped.held() == after.held()


def copy(maps: Maps) -> Maps:
    """Return maps that may change alone."""
    raw = {where: dict(entries) for where, entries in maps.raw.items()}
    return Maps(raw, list(maps.slots), maps.in_force, maps.settled)


def stops(before: Maps, done: Iterable[object], last: object, chance: random.Random) -> list[Maps]:
    """Return the maps after the last operation, and, where it has parts, after some of them."""
    found = []
    parts = [last]
    if isinstance(last, Put):
        parts.append(Put(last.where, tuple(chance.sample(last.entries, len(last.entries) // 2))))
    elif isinstance(last, Remove):
        parts.append(Remove(last.where, tuple(chance.sample(last.keys, len(last.keys) // 2))))
    for part in parts:
        maps = copy(before)
        maps.apply([*done, part])  # type: ignore[list-item]
        found.append(maps)
    return found


@settings(max_examples=thorough.cases(25))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_another_revision_than_the_one_that_was_stopped_finds_nothing_of_it(seed: int) -> None:
    """Numbers that a stopped plan had begun to use mean something else to the next one."""
    chance = generated.chance_of(seed)
    numbers, maps = Numbers(), Maps()
    first = encoded(some_policies(chance), numbers)
    run(maps, first)
    lost, wanted = (encoded(some_policies(chance), first.numbers) for _ in range(2))
    operations = sync.plan(maps.held(), lost, ROOM, BATCH).operations
    maps.apply(operations[: chance.randint(0, sum(isinstance(one, Put) for one in operations))])
    run(maps, wanted)

    asked = [one for one in generated.questions(chance, 20) if one[0] != one[1]]
    alone = Maps()
    run(alone, wanted)
    assert decisions(maps, asked) == decisions(alone, asked)
    entries = set().union(
        *(part.keys() for one in (first, wanted) for part in one.parts[Map.ENTRIES].values())
    )
    assert maps.raw[Map.ENTRIES].keys() == entries


def test_a_first_revision_is_written_and_then_switched_to() -> None:
    """Nothing is removed, and the slot that was in force is not touched."""
    kinds = [type(one) for one in sync.plan(Held(), encoded(on_port(80), Numbers())).operations]

    assert kinds == [Put, Put, Put, WriteSlot, Switch]


def test_a_change_writes_only_what_is_new() -> None:
    """Addresses that both revisions have are not written again; nor is a table."""
    before = encoded(on_port(80), Numbers())
    maps = Maps()
    run(maps, before)
    after = encoded((*on_port(80), *read(kubernetes("podSelector: {}", "q", "y"))), before.numbers)
    operations = sync.plan(maps.held(), after).operations

    assert [one.where for one in operations if isinstance(one, Put)] == [Map.ENTRIES, Map.ENDPOINTS]
    assert after.parts[Map.ENTRIES].items() > before.parts[Map.ENTRIES].items()
    assert [type(one) for one in operations[2:]] == [WriteSlot, Switch]


def test_the_last_revisions_are_kept_and_nothing_of_others() -> None:
    """Eight of them; each goes back in one step, and decides what it decided then."""
    numbers, maps, plans = Numbers(), Maps(), []
    for port in range(80, 92):
        revision = encoded(on_port(port), numbers)
        numbers = revision.numbers
        plans.append(sync.plan(maps.held(), revision))
        maps.apply(plans[-1].operations)

    kept = [one.number for one in maps.held().kept.values()]
    assert kept == [5, 6, 7, 8, 9, 10, 11, 12]
    assert [len(maps.held().parts[where]) for where in Map] == [8, 0, 8, 1]
    assert [type(one) for one in plans[-1].operations[3:]] == [Switch, Settle, WriteSlot, Remove, Remove]
    for number in (5, 9, 12):
        (back,) = sync.rollback(maps.held(), number).operations
        maps.apply([back])
        assert maps.slots[maps.in_force].number == number
        expected = [reference.verdict(on_port(79 + number), *pair("x/a", "x/b"), ends.service("84"))]
        assert decisions(maps, [("x/a", "x/b", "84")]) == [
            said(one, dict(numbers.rules.known)) for one in expected
        ]
    with pytest.raises(BadInput, match="revision 4 is not kept; kept are 5, 6, 7, 8, 9, 10, 11, 12"):
        sync.rollback(maps.held(), 4)


def pair(source: str, destination: str) -> tuple[ends.End, ends.End]:
    """Return both ends."""
    return ends.between(source, destination, ENDPOINTS)


def test_what_is_in_force_is_kept_however_old_it_is() -> None:
    """Younger ones are given up before it; and a number is never given twice, whatever is gone back to."""
    numbers, maps = Numbers(), Maps()
    for port in (80, 81, 82):
        revision = encoded(on_port(port), numbers)
        numbers = revision.numbers
        run(maps, revision)
    maps.apply(sync.rollback(maps.held(), 1).operations)
    run(maps, encoded(on_port(83), numbers), {**ROOM, Map.ENDPOINTS: 36})

    assert [one.number for one in maps.held().kept.values()] == [1, 4]
    assert maps.slots[maps.in_force].number == 4


def test_older_revisions_are_given_up_where_there_is_no_room() -> None:
    """Before anything is written; the one in force and the new one always fit, by the budget."""
    numbers, maps = Numbers(), Maps()
    for port in range(80, 86):
        revision = encoded(on_port(port), numbers)
        numbers = revision.numbers
        run(maps, revision, {**ROOM, Map.ENDPOINTS: 36})
        assert len(maps.raw[Map.ENDPOINTS]) <= 36

    assert [one.number for one in maps.held().kept.values()] == [5, 6]


def test_what_is_kept_already_is_only_switched_to() -> None:
    """Policies that are taken back are the revision of before, under its number."""
    first = encoded(on_port(80), Numbers())
    second = encoded(on_port(81), first.numbers)
    maps = Maps()
    run(maps, first)
    run(maps, second)
    again = encoded(on_port(80), second.numbers)
    first_slot = next(iter(maps.held().kept))

    assert sync.plan(maps.held(), again).operations == (Switch(first_slot),)
    run(maps, again)
    assert maps.slots[maps.in_force] == Revision(1, again.addresses, again.endpoints)


def test_numbers_of_somebody_else_are_refused() -> None:
    """Before anything is written; with those of the kernel it goes on."""
    maps = Maps()
    run(maps, encoded(on_port(80), Numbers()))
    astray = encoded(on_port(81), Numbers())

    with pytest.raises(NumbersAstray, match="policy_entries 1 of a kept revision is not what was compiled"):
        sync.plan(maps.held(), astray)
    known = reconcile.reconciled(Numbers(), maps.held())
    run(maps, encoded(on_port(81), known))
    assert [one.number for one in maps.held().kept.values()] == [1, 2]


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_numbers_are_found_again_in_the_kernel(seed: int) -> None:
    """With the names that are known, exactly; without them, what is there is known by what is in it."""
    chance = generated.chance_of(seed)
    policies = some_policies(chance)
    revision = encoded(policies, Numbers())
    maps = Maps()
    run(maps, revision)
    known = reconcile.reconciled(revision.numbers, maps.held())
    lost = reconcile.reconciled(Numbers(identities=known.identities, rules=known.rules), maps.held())

    again = encoded(policies, known)
    assert again.parts == revision.parts
    for kind in ("tables", "zone_sets", "address_sets"):
        assert getattr(lost, kind) == getattr(known, kind)
    assert lost.endpoints == dataclasses.replace(known.endpoints, known={})
    assert encoded(policies, lost).addresses == revision.addresses


def test_what_nobody_refers_to_any_more_is_forgotten() -> None:
    """Names of rules that are gone, once no revision has them; their numbers are not given to others."""
    numbers, maps = Numbers(), Maps()
    for number in range(12):
        revision = encoded(read(kubernetes("podSelector: {}\ningress: [{}]", f"p{number}")), numbers)
        numbers = reconcile.reconciled(revision.numbers, maps.held())
        run(maps, revision)
        numbers = reconcile.reconciled(revision.numbers, maps.held())

    assert [*numbers.rules.known] == [f"x/p{number} ingress[0]" for number in range(4, 12)]
    assert [*numbers.rules.known.values()] == [*range(5, 13)]


def test_a_revision_without_endpoints_is_known_again() -> None:
    """Of its empty set the kernel has only the number; the next revision goes on from there."""
    maps = Maps()
    revision = encode.encode(resolve.resolve((), (), {}), (), (), Numbers())
    run(maps, revision)
    known = reconcile.reconciled(revision.numbers, maps.held())
    again = encode.encode(resolve.resolve((), (), known.identities), (), (), known)
    run(maps, again)
    run(maps, encoded(on_port(80), reconcile.reconciled(known, maps.held())))

    assert again.endpoints == revision.endpoints
    assert [one.number for one in maps.held().kept.values()] == [1, 2]
