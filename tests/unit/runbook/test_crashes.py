"""Killed anywhere, a run comes to the same end, and no effect happens twice."""

from collections.abc import Callable

import hypothesis
import pytest
from hypothesis import strategies

from netsre import clock
from netsre.model.effects import Limit, Standing
from netsre.model.runbooks import JournalKind, RunState
from netsre.runbook import progress
from netsre.runbook.progress import Finish
from tests import thorough
from tests.unit.runbook.given import NOISY, MemoryNode
from tests.unit.runbook.machine import Machine

SPREAD = {f"10.0.1.{last}": 46 for last in range(20)}


def flood() -> MemoryNode:
    """Return a node that blocking the source cures."""
    return MemoryNode()


def growth() -> MemoryNode:
    """Return a node on which only a higher limit gives room."""
    return MemoryNode(sources={NOISY: 450, **{f"10.0.1.{n}": 45 for n in range(10)}}, blocks_help=False)


def hopeless() -> MemoryNode:
    """Return a node that nothing helps: the limit may hardly be raised."""
    return MemoryNode(most=1_010, blocks_help=False)


def nobody() -> MemoryNode:
    """Return a node whose load is spread: there is no source to block."""
    return MemoryNode(sources=dict(SPREAD))


SCENARIOS: dict[str, tuple[Callable[[], MemoryNode], Finish]] = {
    "flood": (flood, Finish(RunState.SUCCEEDED, "verified")),
    "growth": (growth, Finish(RunState.SUCCEEDED, "verified")),
    "hopeless": (hopeless, Finish(RunState.UNDONE, "verify_failed")),
    "nobody": (nobody, Finish(RunState.REFUSED, "no_source")),
}


def end(machine: Machine) -> tuple[Finish, dict[str, Standing], int]:
    """Return how a run ends, and how it leaves the node."""
    return machine.live(), dict(machine.node.standings), machine.node.limit_now


def check(machine: Machine, finish: Finish) -> None:
    """Check what holds for every run, however it went."""
    node = machine.node
    assert len(node.applications) == len(set(node.applications)), "an effect happened twice"
    passed = [line.data["verdict"] for line in machine.entries if line.kind is JournalKind.SAMPLE]
    if finish.state is RunState.SUCCEEDED:
        assert passed[-3:] == ["pass"] * 3
    if finish.state is RunState.UNDONE:
        assert not node.effects()
        assert node.limit_now == MemoryNode().limit_now
    intents = [line for line in machine.entries if line.kind is JournalKind.INTENT and "key" in line.data]
    assert {str(line.data["key"]) for line in intents} >= set(node.applications), "an effect without intent"


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_without_a_crash_a_run_ends_as_it_should(name: str) -> None:
    """The four ways of the shipped runbook."""
    make, expected = SCENARIOS[name]
    machine = Machine(make())

    finish = machine.live()

    assert finish == expected
    check(machine, finish)


def test_the_limit_is_raised_only_when_the_alert_still_stands_after_the_flush() -> None:
    """Judged by a reading made after the last change; by the one before it always stands."""
    cured, grown = Machine(flood()), Machine(growth())
    cured.live()
    grown.live()

    assert not any(isinstance(effect, Limit) for effect in cured.node.effects_by_key.values())
    assert [line.data for line in cured.entries if line.step == 3] == [
        {"ok": True, "skipped": "condition_false"}
    ]
    assert grown.node.limit_now == 2000


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_killed_at_any_one_point_a_run_ends_the_same(name: str) -> None:
    """Before and after lines of each kind, and before and after effects."""
    make, _ = SCENARIOS[name]
    whole = Machine(make())
    expected = end(whole)

    for point in thorough.some(whole.points):
        machine = Machine(make(), dies_at=frozenset({point}))
        assert end(machine) == expected, f"killed at point {point}"
        check(machine, expected[0])


@hypothesis.settings(max_examples=thorough.cases(60))
@hypothesis.given(
    name=strategies.sampled_from(sorted(SCENARIOS)),
    points=strategies.frozensets(strategies.integers(1, 60), max_size=8),
    down=strategies.integers(0, 10 * clock.MINUTE),
)
def test_killed_again_and_again_a_run_ends_and_does_nothing_twice(
    name: str, points: frozenset[int], down: int
) -> None:
    """It may end otherwise, because time passed; never unverified, and never with an effect left over."""
    make, _ = SCENARIOS[name]
    machine = Machine(make(), dies_at=points, down=down)

    check(machine, machine.live())


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_prefix_of_a_journal_leads_to_the_same_end(name: str) -> None:
    """The journal alone decides: whoever reads it up to any line goes on from there."""
    make, expected = SCENARIOS[name]
    whole = Machine(make())
    whole.live()

    for length in range(1, len(whole.entries)):
        machine = Machine(make())
        machine.entries = []
        for line in whole.entries[:length]:
            machine.entries.append(line)
            # The node knows what the journal says it did.
            if line.kind is JournalKind.OUTCOME and "result" in line.data:
                key = f"run1/{line.step}"
                machine.node.apply(key, whole.node.effects_by_key[key])
            if line.kind is JournalKind.UNDO_OUTCOME:
                key = f"run1/{line.step}"
                machine.node.undo(key, whole.node.effects_by_key[key])
        machine.pass_time(whole.entries[length - 1].at - machine.now)
        finish = machine.live()
        assert finish == expected, f"after {length} lines"
        assert machine.node.standings == whole.node.standings


def test_one_journal_gives_one_command() -> None:
    """Asked twice, the answer is the same: nothing is kept anywhere else."""
    machine = Machine(growth())
    while not isinstance(command := machine.next(), progress.Finish):
        assert machine.next() == command
        machine.carry_out(command)
