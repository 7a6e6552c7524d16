"""Plans with something on trial: what decides until its end and after it, wherever they are stopped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre.datapath.policy import reconcile, sync
from netsre.datapath.policy.encode import Encoded
from netsre.datapath.policy.layouts import SLOTS, Map, Revision
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.sync import KEPT, NoRoom, Switch, Trial
from netsre.errors import BadInput
from tests import thorough
from tests.unit.policy import generated
from tests.unit.policy.maps import Maps
from tests.unit.policy.test_sync import BATCH, ROOM, copy, decisions, encoded, on_port, some_policies, stops

END = 1_000
TIMES = (0, END - 1, END, END + 1)


def tried(maps: Maps, lasting: Encoded | None, revision: Encoded, until_ns: int = END) -> None:
    """Plan a trial and carry it out; the plan says truly what comes of it, and one more has nothing to do."""
    trial = Trial(revision, until_ns)
    plan = sync.plan(maps.held(), lasting, ROOM, BATCH, trial)
    maps.apply(plan.operations)
    assert maps.held() == plan.after
    assert not sync.plan(maps.held(), lasting, ROOM, BATCH, trial).operations


def at(maps: Maps, asked: list[tuple[str, str, str]], now_ns: int) -> list[object]:
    """Return what decides at a time."""
    return decisions(maps, asked, now_ns)


def several(count: int, first: int = 80) -> list[Encoded]:
    """Return revisions one after the other, each of another port."""
    found: list[Encoded] = []
    for number in range(count):
        found.append(encoded(on_port(first + number), found[-1].numbers if found else Numbers()))
    return found


def put(maps: Maps, revision: Encoded) -> None:
    """Put a revision into force."""
    maps.apply(sync.plan(maps.held(), revision, ROOM, BATCH).operations)


@settings(max_examples=thorough.cases(15))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_plan_with_a_trial_that_is_stopped_anywhere_shows_no_mixture_at_any_time(seed: int) -> None:
    """With nothing on trial or something, before and after: the old decisions of a time, or the new ones."""
    chance = generated.chance_of(seed)
    asked = [one for one in generated.questions(chance, 12) if one[0] != one[1]]
    numbers, before = Numbers(), Maps()

    def made() -> Encoded:
        nonlocal numbers
        revision = encoded(some_policies(chance, 3), numbers)
        numbers = revision.numbers
        return revision

    for _ in range(chance.randint(1, 10)):
        put(before, made())
    if chance.random() < 0.6:
        tried(before, chance.choice((None, made())), made(), END - 1)
    lasting = chance.choice((None, made()))
    trial = chance.choice((None, Trial(made(), END)))
    operations = sync.plan(before.held(), lasting, ROOM, BATCH, trial).operations
    after = copy(before)
    after.apply(operations)
    both = {now: (at(before, asked, now), at(after, asked, now)) for now in TIMES}

    switched = False
    for place, operation in enumerate(operations):
        switched |= isinstance(operation, Switch)
        for stopped in stops(before, operations[:place], operation, chance):
            assert {now: at(stopped, asked, now) for now in TIMES} == {
                now: pair[switched] for now, pair in both.items()
            }
            stopped.apply(sync.plan(stopped.held(), lasting, ROOM, BATCH, trial).operations)
            assert {now: at(stopped, asked, now) for now in TIMES} == {
                now: pair[1] for now, pair in both.items()
            }


def test_a_trial_decides_until_its_end_and_then_what_was_before() -> None:
    """By the time alone; what lasts is not written again, and is what is gone back to."""
    first, second = several(2)
    maps = Maps()
    put(maps, first)
    tried(maps, None, second)
    held = maps.held()

    assert [held.decides(now).number for now in TIMES] == [2, 2, 1, 1]
    assert [held.trial(now) is not None for now in TIMES] == [True, True, False, False]
    assert maps.slots[maps.in_force] == Revision(2, second.addresses, second.endpoints, END, held.lasting)
    assert [one.number for one in held.kept.values()] == [1]
    maps.apply(sync.rollback(held, 1).operations)
    assert [maps.held().decides(now).number for now in TIMES] == [1] * 4


def test_what_is_on_trial_cannot_be_gone_back_to_and_is_taken_away_by_the_next_change() -> None:
    """Its tables, too; numbers go on above its own."""
    first, second, third = several(3)
    maps = Maps()
    put(maps, first)
    tried(maps, None, second)
    with pytest.raises(BadInput, match="revision 2 is not kept; kept are 1"):
        sync.rollback(maps.held(), 2)
    put(maps, third)

    assert sorted(one.number for one in maps.slots if one.is_whole) == [1, 3]
    assert set(maps.raw[Map.ENTRIES]) == {
        key
        for one in (first, third)
        for entries in one.parts[Map.ENTRIES].values()
        for key in entries
    }  # fmt: skip


def test_the_policies_of_a_trial_can_be_made_to_last() -> None:
    """They are written into a slot of their own, and nothing of them anew."""
    first, second = several(2)
    maps = Maps()
    put(maps, first)
    tried(maps, None, second)
    plan = sync.plan(maps.held(), second, ROOM, BATCH)
    maps.apply(plan.operations)

    assert not [one for one in plan.operations if isinstance(one, sync.Put)]
    assert [maps.held().decides(now).number for now in TIMES] == [3] * 4


def test_a_trial_after_any_number_of_changes_finds_a_slot() -> None:
    """With eight revisions kept, one in force that is older than these, and a trial for another one."""
    known = several(KEPT + 8)
    maps = Maps()
    for one in known[:KEPT]:
        put(maps, one)
    maps.apply(sync.rollback(maps.held(), 1).operations)
    for number, one in enumerate(known[KEPT:-1]):
        tried(maps, one if number % 2 else None, known[-1], END + number)
        assert sum(each.is_whole for each in maps.slots) < SLOTS - 2

    assert len(maps.held().kept) <= KEPT + 1


def test_where_there_is_no_room_for_both_it_is_refused_before_anything_is_done() -> None:
    """What is on trial, what comes after it and what is to come have to fit at once."""
    first, second, third = several(3)
    maps = Maps()
    put(maps, first)
    tried(maps, None, second)

    with pytest.raises(NoRoom, match="no room for what is on trial"):
        sync.plan(maps.held(), third, {**ROOM, Map.ENDPOINTS: 36}, BATCH)


def test_numbers_of_what_is_on_trial_stay_known() -> None:
    """So that what comes next does not use them for something else."""
    first, second = several(2)
    maps = Maps()
    put(maps, first)
    tried(maps, None, second)
    numbers = reconcile.reconciled(second.numbers, maps.held())

    assert numbers.tables.known == second.numbers.tables.known
    assert numbers.rules.known == second.numbers.rules.known
