"""A loop is planned by what each round sees, ends, and is taken back whole, whatever dies in between."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

import hypothesis
import pytest
from hypothesis import strategies

from netsre import clock
from netsre.app import runbooks, step_lines
from netsre.model.effects import Block, Flush, Limit, Standing
from netsre.model.runbooks import Approval, JournalKind, Manner, Retry, Runbook, RunState
from netsre.runbook import plan, progress
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.plan import Kind
from netsre.runbook.progress import Finish
from tests import thorough
from tests.unit.runbook import given, test_parsing
from tests.unit.runbook.given import MemoryNode
from tests.unit.runbook.machine import Machine

TEXT = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: conntrack-exhaustion}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: auto}
  steps:
    - repeat:
        times: 3
        until: 'not still(alert)'
        wait: 10s
        steps:
          - action: evidence.collect
            with: {what: [top-sources]}
            timeout: 30s
            retry: {times: 2, wait: 5s}
          - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
          - action: conntrack.flush
            if: 'evidence.top_source != ""'
            with: {source: '${evidence.top_source}'}
    - {action: conntrack.tune, if: 'still(alert)', with: {limit: x2, max: 1048576, ttl: 1h}, onFailure: stop}
  verify: {slo: headroom, window: 15s, samples: 3}
"""
BOOK = dataclasses.replace(test_parsing.read(TEXT), verify=given.VERIFY)
FIRST, SECOND, THIRD = "10.0.0.7", "10.0.0.8", "10.0.0.9"


def several() -> MemoryNode:
    """Return a node that the blocks of two sources cure."""
    return MemoryNode(sources={FIRST: 400, SECOND: 390, THIRD: 380})


def one() -> MemoryNode:
    """Return a node that one block cures."""
    return MemoryNode()


def many() -> MemoryNode:
    """Return a node with more sources than there are rounds, for which the limit is raised after all."""
    return MemoryNode(sources={f"10.0.0.{last}": 300 for last in range(1, 7)})


def masked() -> MemoryNode:
    """Return a node of which one source stands out, and the rest is spread: the second round finds nobody."""
    return MemoryNode(sources={FIRST: 300, **{f"10.0.1.{last}": 40 for last in range(20)}})


def hopeless() -> MemoryNode:
    """Return a node on which nothing helps: three blocks, then everything is taken back."""
    return MemoryNode(sources={f"10.0.0.{last}": 300 for last in range(1, 7)}, most=1_001, blocks_help=False)


SCENARIOS: Mapping[str, tuple[Callable[[], MemoryNode], Finish, Sequence[str]]] = {
    "one": (one, Finish(RunState.SUCCEEDED, "verified"), ["run1/1", "run1/2"]),
    "several": (
        several, Finish(RunState.SUCCEEDED, "verified"), ["run1/1", "run1/2", "run1/4", "run1/5"],
    ),
    "many": (
        many, Finish(RunState.SUCCEEDED, "verified"),
        ["run1/1", "run1/2", "run1/4", "run1/5", "run1/7", "run1/8", "run1/9"],
    ),
    "masked": (masked, Finish(RunState.SUCCEEDED, "verified"), ["run1/1", "run1/2", "run1/9"]),
    "hopeless": (
        hopeless, Finish(RunState.UNDONE, "verify_failed"),
        ["run1/1", "run1/2", "run1/4", "run1/5", "run1/7", "run1/8", "run1/9"],
    ),
}  # fmt: skip
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


def machine(name: str, **more: object) -> Machine:
    """Return a run of the loop on a node."""
    return Machine(SCENARIOS[name][0](), BOOK, **more)  # type: ignore[arg-type]


def check(lived: Machine, finish: Finish) -> None:
    """Check what holds for every run, however it went."""
    node = lived.node
    assert len(node.applications) == len(set(node.applications)), "an effect happened twice"
    intents = [str(e.data["key"]) for e in lived.entries if e.kind is JournalKind.INTENT and "key" in e.data]
    assert set(intents) >= set(node.applications), "an effect without intent"
    asked = [e for e in lived.entries if e.kind is JournalKind.GATES and e.step >= 0]
    assert len(asked) >= len(intents), "an intent that no gate was asked about"
    if finish.state is RunState.UNDONE:
        assert not node.effects()
        assert node.limit_now == MemoryNode().limit_now


def test_a_loop_is_as_many_steps_as_its_rounds_have() -> None:
    """Each with its place, what it goes by, and how it is gone about."""
    assert [step.action.rpartition(".")[2] for step in BOOK.steps] == [
        *["collect", "block_source", "flush"] * 3,
        "tune",
    ]
    assert BOOK.steps[0].manner == Manner(30_000, Retry(2, 5_000), round=BOOK.steps[0].manner.round)
    assert [step.manner.sees for step in BOOK.steps[3:6]] == [(), (("top_source", 3),), (("top_source", 3),)]
    rounds = [step.manner.round for step in BOOK.steps[:9]]
    assert [(r.loop, r.number, r.first) for r in rounds if r is not None] == [
        (0, number, place == 0) for number in (1, 2, 3) for place in range(3)
    ]
    assert BOOK.steps[9].manner == Manner(on_failure="stop")


def test_the_plan_has_the_first_round_and_the_bound() -> None:
    """What further rounds do is not known yet, and the plan says so."""
    views = given.MemoryViews(several())
    made = plan.make(BOOK, given.SUBJECT, {0: {"top_source": FIRST}}, views, ACTIONS)

    assert [step.kind for step in made.steps] == [
        Kind.OBSERVE, Kind.APPLY, Kind.APPLY,
        *[Kind.OBSERVE, Kind.LATER, Kind.LATER] * 2,
        Kind.APPLY,
    ]  # fmt: skip
    assert plan.read(json.loads(json.dumps(made.document()))).hash == made.hash
    longer = dataclasses.replace(made, steps=made.steps[:6] + made.steps[9:])
    assert longer.hash != made.hash


@every_scenario
def test_a_loop_goes_round_until_it_helped_and_no_further(name: str) -> None:
    """What each round does is what that round saw."""
    _, expected, applied = SCENARIOS[name]
    lived = machine(name)

    assert lived.live() == expected
    assert lived.node.applications == applied
    check(lived, expected)


def test_each_round_blocks_whom_it_saw() -> None:
    """Not whom the round before saw."""
    lived = machine("several")
    lived.live()

    effects = [lived.node.effects_by_key[key] for key in lived.node.applications]
    assert effects == [
        Block("lab", "eth0", FIRST, 600_000), Flush("lab", FIRST),
        Block("lab", "eth0", SECOND, 600_000), Flush("lab", SECOND),
    ]  # fmt: skip


def test_a_round_rests_before_it_looks_again() -> None:
    """So long as the loop says, from the end of the round before."""
    lived = machine("several")
    lived.live()

    flushed = max(e.at for e in lived.entries if e.step == 2)
    looked = min(e.at for e in lived.entries if e.step == 3)
    assert looked - flushed >= 10 * clock.SECOND


def test_where_nobody_stands_out_the_loop_ends_and_its_effects_are_judged() -> None:
    """The round that found nobody is one line, and the steps after the loop have their turn."""
    lived = machine("masked")
    lived.live()

    left_out = [e.data for e in lived.entries if 3 <= e.step <= 8 and "skipped" in e.data]
    assert left_out == [{"ok": True, "skipped": "no_source", "over": True}]
    assert isinstance(lived.node.effects_by_key["run1/9"], Limit)


def test_all_rounds_are_taken_back_from_the_last_to_the_first() -> None:
    """Like the steps of one."""
    lived = machine("hopeless")
    lived.live()

    undone = [e.step for e in lived.entries if e.kind is JournalKind.UNDO_INTENT]
    assert undone == [9, 7, 4, 1]
    assert Standing.APPLIED not in {lived.node.standings[f"run1/{step}"] for step in undone}


@every_scenario
def test_killed_at_any_one_point_a_loop_ends_the_same(name: str) -> None:
    """Before and after lines of each kind, and before and after effects."""
    whole = machine(name)
    expected = whole.live()

    for point in thorough.some(whole.points):
        lived = machine(name, dies_at=frozenset({point}))
        assert lived.live() == expected, f"killed at point {point}"
        assert lived.node.applications == whole.node.applications, f"killed at point {point}"
        check(lived, expected)


@hypothesis.settings(max_examples=thorough.cases(60))
@hypothesis.given(
    name=strategies.sampled_from(sorted(SCENARIOS)),
    points=strategies.frozensets(strategies.integers(1, 90), max_size=8),
    down=strategies.integers(0, 10 * clock.MINUTE),
)
def test_killed_again_and_again_a_loop_ends_and_does_nothing_twice(
    name: str, points: frozenset[int], down: int
) -> None:
    """It may end otherwise, because time passed."""
    lived = machine(name, dies_at=points, down=down)

    check(lived, lived.live())


def asks(book: Runbook = BOOK) -> Runbook:
    """Return the loop of a runbook that may be denied."""
    return dataclasses.replace(book, mode="veto", approval=Approval((), 1, clock.MINUTE))


def test_a_round_that_does_what_nobody_was_asked_about_is_not_made() -> None:
    """People said yes, by their silence, to one block; the second is another one."""
    lived = Machine(several(), asks())
    lived.run = dataclasses.replace(lived.run)

    assert lived.live() == Finish(RunState.UNDONE, "plan_changed")
    assert lived.node.applications == ["run1/1", "run1/2"]
    assert not lived.node.effects()


def test_a_round_that_does_what_people_were_asked_about_is_made() -> None:
    """The same effect once more is what they said yes to."""
    node = MemoryNode(sources={FIRST: 900}, blocks_help=False, most=1_001)
    lived = Machine(node, asks())
    lived.live()

    assert {"run1/4", "run1/5", "run1/7", "run1/8"} <= set(node.applications)


BODY = "      - {action: conntrack.flush, with: {source: 192.0.2.1}}\n"
SMALL = TEXT[: TEXT.index("    - repeat")] + (
    "    - repeat:\n        times: 2\n        until: 'not still(alert)'\n        steps:\n    " + BODY
    + TEXT[TEXT.index("  verify") :]
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("times: 2", "times: 1", "RUN020 spec.steps[0].repeat.times 1 is outside 2 to 10"),
        ("times: 2", "times: 11", "RUN020 spec.steps[0].repeat.times 11 is outside 2 to 10"),
        ("times: 2", "times: 2\n        wait: 6m", "RUN020 spec.steps[0].repeat.wait 6m is outside 1s to 5m"),
        ("        until: 'not still(alert)'\n", "", "spec.steps[0].repeat.until is missing"),
        ("not still(alert)", "not stil(alert)", "RUN001 spec.steps[0].repeat.until cannot be read"),
        ("not still(alert)", 'evidence.top == "x"', "RUN010 spec.steps[0].repeat.until asks evidence.top,"),
        ("not still(alert)'", "not still(alert)'\n        forever: 1", "SPEC004 key spec.steps[0].rep"),
        (
            "{action: conntrack.flush, with: {source: 192.0.2.1}}",
            "{action: evidence.collect, with: {what: [flows]}}",
            "RUN020 spec.steps[0].repeat.steps change nothing",
        ),
        (
            "{action: conntrack.flush, with: {source: 192.0.2.1}}",
            "{repeat: {times: 2}}",
            "RUN020 spec.steps[0].repeat.steps[0].repeat stands inside of another loop",
        ),
        (
            "{action: conntrack.flush, with: {source: 192.0.2.1}}",
            "{action: conntrack.flush, with: {source: '${evidence.top_source}'}}",
            "RUN010 spec.steps[0].repeat.steps[0].with source refers to evidence.top_source",
        ),
        (
            "source: 192.0.2.1}}",
            "source: 192.0.2.1}, if: 'evidence.top == \"x\"'}",
            "RUN010 spec.steps[0].repeat.steps[0].if asks evidence.top, which",
        ),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, timeout: 6m}", "RUN021 spec.steps[0].repeat.ste"),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, retry: {times: 11, wait: 1s}}", "RUN021"),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, retry: {times: 1, wait: 11m}}", "wait 11m is"),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, retry: {times: 1}}", "retry.wait is missing"),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, onFailure: go}", "'go' is not one of stop, undo"),
        ("source: 192.0.2.1}}", "source: 192.0.2.1}, onFailure: continue}", "RUN022 spec.steps[0].repeat"),
        ("    - repeat:", "    - x: 1\n      repeat:", "SPEC004 key spec.steps[0].x is unknown"),
    ],
)  # fmt: skip
def test_every_mistake_of_a_loop_has_its_place_and_its_code(old: str, new: str, expected: str) -> None:
    """What would go round for ever, or blindly, is a finding."""
    assert test_parsing.read(SMALL).steps[1].manner.round is not None
    found = test_parsing.findings(SMALL.replace(old, new, 1))

    assert any(expected in finding for finding in found), found


def test_loops_have_so_many_steps_together_and_no_more() -> None:
    """However they are written."""
    many_steps = SMALL.replace(BODY, BODY * 1 + ("    " + BODY) * 6).replace("times: 2", "times: 9")

    found = test_parsing.findings(many_steps)
    assert found == ["look.yaml:8: RUN020 spec.steps has 63 steps in all rounds together, at most 60"]


def test_asked_twice_a_loop_answers_the_same() -> None:
    """The journal alone decides."""
    lived = machine("many")
    while not isinstance(command := lived.next(), progress.Finish):
        assert lived.next() == command
        lived.carry_out(command)


def test_people_are_told_a_loop_once() -> None:
    """Its steps by the numbers of the first round, then how often, and until when."""
    told = [text for key, text in runbooks.lines(BOOK) if not key or key == "steps"]

    collect, block, flush, loop, tune = told[-5:]
    assert collect == (
        "0 evidence.collect {what: [top-sources]}, waits 30s for an answer, tried again 2 times, 5s apart"
    )
    assert block == "1 datapath.block_source {source: ${evidence.top_source}, ttl: 10m}"
    assert flush.endswith(', only if not evidence.top_source == ""')
    assert loop == "  steps 0 to 2: up to 3 rounds, 10s apart, until not still(alert)"
    assert tune.startswith("9 conntrack.tune")
    assert tune.endswith(", only if still(alert), stop when it fails")


def test_people_who_are_asked_hear_of_the_rounds() -> None:
    """Their yes is for what is there, and they know what else there may be."""
    made = plan.make(BOOK, given.SUBJECT, {0: {"top_source": FIRST}}, given.MemoryViews(several()), ACTIONS)

    assert step_lines.further(made) == [
        "again from step 0, up to 3 rounds, 10s apart, until not still(alert)"
    ]


SILENCE = "    - {action: alertmanager.silence, with: {matchers: {alertname: Slow}, ttl: 30m}}\n"


@pytest.mark.parametrize("approval", ["{mode: propose}", "{veto: 2m}"])
def test_nobody_is_asked_about_a_round_that_no_plan_can_tell(approval: str) -> None:
    """After a change, also the first round goes by what is seen then: every yes would end `plan_changed`."""
    asks = TEXT.replace("{mode: auto}", approval)

    found = test_parsing.findings(asks.replace("  steps:\n", f"  steps:\n{SILENCE}", 1))

    assert [line.partition(" and what")[0] for line in found] == [
        "look.yaml:8: RUN026 spec.steps ask people about step 2, datapath.block_source,",
        "look.yaml:8: RUN026 spec.steps ask people about step 3, conntrack.flush,",
    ]
    assert test_parsing.read(asks).steps == BOOK.steps
    assert test_parsing.read(TEXT.replace("  steps:\n", f"  steps:\n{SILENCE}", 1)).steps
