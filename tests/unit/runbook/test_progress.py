"""What a run does next follows from its journal alone."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.model.runbooks import JournalEntry, JournalKind, Runbook, RunState, Step
from netsre.runbook import decide, journal, plan, progress
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.decide import Gate, KillSwitch
from netsre.runbook.journal import Line
from netsre.runbook.progress import Finish, Observe, Wait
from netsre.runbook.verify import NO_READING, Outcome, Sample
from tests.unit.runbook import given
from tests.unit.runbook.given import BOOK, T0, MemoryNode
from tests.unit.runbook.machine import Machine

LOOK = dataclasses.replace(
    BOOK, mode="observe", steps=(Step("evidence.collect", {"what": ("flows",)}),), verify=None
)
OBSERVED = journal.observed(0, "evidence.collect", {})
BLOCK, FLUSH, TUNE = "datapath.block_source", "conntrack.flush", "conntrack.tune"
LATER = Timestamp(T0 + 30 * clock.SECOND)
INTERVAL = 15 * clock.SECOND


def lines(*written: Line, at: Timestamp = T0) -> list[JournalEntry]:
    """Return lines as a journal, all written at one time."""
    return [
        JournalEntry("run1", number, at, line.kind, line.step, line.action, line.data)
        for number, line in enumerate(written, 1)
    ]


def ask(
    written: Sequence[Line],
    book: Runbook | None = BOOK,
    *,
    now: Timestamp = T0,
    still: bool | None = True,
    read_at: Timestamp | None = LATER,
    state: AlertState = AlertState.FIRING,
) -> progress.Command:
    """Return the command that follows lines written at the beginning."""
    alert = dataclasses.replace(given.ALERT, state=state)
    return progress.next_command(
        book, ACTIONS, lines(*written), now, progress.Present(alert, still, read_at, INTERVAL)
    )


def planned(book: Runbook = BOOK, node: MemoryNode | None = None) -> list[Line]:
    """Return the lines of a run until its plan was made."""
    views = given.MemoryViews(node or MemoryNode())
    made = plan.make(book, given.SUBJECT, {0: {"top_source": given.NOISY}}, views, ACTIONS)
    return [OBSERVED, made.line()]


def done(step: int, action: str) -> list[Line]:
    """Return the lines of a change that was applied."""
    return [begun(step, action), journal.applied(step, action, {})]


def begun(step: int, action: str) -> Line:
    """Return the intent of a change, with the effect that the plan gives it."""
    effect = plan.read(planned()[1].data).steps[step].effect
    assert effect is not None
    return journal.applying(step, action, f"run1/{step}", effect)


def gates(reason: Gate, step: int) -> Line:
    """Return what the gates say before a change."""
    accepted = reason is Gate.ACCEPTED
    answers = (decide.Answer(reason, accepted, ""),)
    return decide.Verdict(reason, "t", answers).line(step, "x")


def sampled(verdict: Outcome, read_at: int, reason: str = "met") -> Line:
    """Return a sample by a reading so many milliseconds after the beginning."""
    zero = given.HEADROOM.indicator.value  # type: ignore[union-attr]
    return Sample(verdict, zero, zero, reason, Timestamp(T0 + read_at)).line()


APPLIED = [
    *planned(),
    *done(1, BLOCK),
    *done(2, FLUSH),
    journal.skipped(3, TUNE, "at_bound"),
]
LEFT_OUT = [*APPLIED[:-1], journal.skipped(3, TUNE, "condition_false")]


def test_an_empty_journal_begins_the_first_step() -> None:
    """Nothing was done yet."""
    assert ask([], LOOK) == Observe(0, "evidence.collect", {"what": ("flows",)}, again=False)


def test_an_observation_without_an_outcome_is_made_again() -> None:
    """Looking has no effect, so that nobody needs to know how far it came."""
    intent = journal.observing(0, "evidence.collect", {})

    assert ask([intent], LOOK) == Observe(0, "evidence.collect", {"what": ("flows",)}, again=True)


def test_a_note_changes_nothing() -> None:
    """Only outcomes end a step."""
    journaled = [journal.observing(0, "evidence.collect", {}), journal.recovered(0, "evidence.collect")]

    assert isinstance(ask(journaled, LOOK), Observe)


def test_the_last_outcome_ends_a_run_that_only_looks() -> None:
    """Every step has a good outcome."""
    assert ask([OBSERVED], LOOK) == Finish(RunState.SUCCEEDED, "steps_done")


@pytest.mark.parametrize("bad", [{"ok": False}, {}, {"ok": "yes"}])
def test_the_first_bad_outcome_ends_the_run(bad: Document) -> None:
    """No step follows one that failed, and an outcome that does not say ok is bad."""
    outcome = Line(JournalKind.OUTCOME, 0, "evidence.collect", bad)

    assert ask([outcome], LOOK) == Finish(RunState.FAILED, "step_failed")


def test_the_plan_is_made_once_what_it_needs_was_seen() -> None:
    """Everything before the first change, and nothing after it."""
    command = ask([journal.observed(0, "evidence.collect", {"top_source": "10.0.0.9"})])

    assert command == progress.MakePlan({0: {"top_source": "10.0.0.9"}})


@pytest.mark.parametrize(
    ("book", "reason"),
    [
        (None, "runbook_removed"),
        (dataclasses.replace(BOOK, on_failure="stop"), "runbook_changed"),
    ],
)
@pytest.mark.parametrize("how_far", ["gated", "planned", "changed"])
def test_a_runbook_that_changed_ends_a_run_that_changed_nothing(
    book: Runbook | None, reason: str, how_far: str
) -> None:
    """Once something was changed, the run goes on by its plan instead, and needs no file."""
    verdict = decide.decide(BOOK, given.ALERT, Machine().circumstances()).line()
    journaled = [verdict] + ([] if how_far == "gated" else planned())
    if how_far == "changed":
        assert isinstance(ask([*journaled, begun(1, BLOCK)], book), progress.Settle)
        return
    assert ask(journaled, book) == Finish(RunState.FAILED, reason)


def test_a_run_of_before_gates_were_kept_goes_on() -> None:
    """No verdict in the journal says nothing about the file."""
    assert isinstance(ask([]), Observe)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (MemoryNode(protected="gateway"), "source_protected"),
        (MemoryNode(refuses="x"), None),
    ],
)
def test_a_plan_without_a_target_is_refused(node: MemoryNode, reason: str | None) -> None:
    """Before anything was changed."""
    command = ask(planned(node=node))

    if reason is None:
        assert isinstance(command, progress.Apply)
    else:
        assert command == Finish(RunState.REFUSED, reason)


def test_an_alert_that_ended_before_the_plan_needs_none() -> None:
    """It cured itself while the evidence was read."""
    assert ask([OBSERVED], state=AlertState.RESOLVED) == Finish(RunState.FAILED, "alert_resolved")


@pytest.mark.parametrize(
    ("reason", "before", "after"),
    [
        (Gate.KILL_SWITCH_ON, RunState.REFUSED, Finish(RunState.NEEDS_HUMAN, "kill_switch_on")),
        (
            Gate.KILL_SWITCH_UNREADABLE,
            RunState.REFUSED,
            Finish(RunState.NEEDS_HUMAN, "kill_switch_unreadable"),
        ),
        (Gate.ALERT_NOT_FIRING, RunState.FAILED, progress.Skip(2, FLUSH, "alert_resolved")),
        (Gate.BLIND, RunState.REFUSED, progress.Undo),
        (Gate.COMMON_CAUSE, RunState.REFUSED, progress.Undo),
        (Gate.ALREADY_RUNNING, RunState.REFUSED, progress.Undo),
    ],
)
def test_gates_that_shut_before_and_after_the_first_change(
    reason: Gate,
    before: RunState,
    after: Any,  # noqa: ANN401 - a command, or its type
) -> None:
    """Before it the run ends; after it, what was done is left to people, verified, or taken back."""
    word = "alert_resolved" if reason is Gate.ALERT_NOT_FIRING else reason.value
    first = ask([*planned(), gates(reason, 1)])
    later = ask([*planned(), *done(1, BLOCK), gates(reason, 2)])

    assert first == Finish(before, word)
    assert isinstance(later, after) if isinstance(after, type) else later == after


def test_gates_that_said_yes_are_asked_again_after_a_crash() -> None:
    """The intent was not written: what they said is of before."""
    assert isinstance(ask([*planned(), gates(Gate.ACCEPTED, 1)]), progress.Apply)


def test_an_intent_without_an_outcome_is_settled_not_repeated() -> None:
    """The node may have done it: that is what a crash leaves."""
    command = ask([*planned(), begun(1, BLOCK)])

    assert isinstance(command, progress.Settle)
    assert command.key == "run1/1"


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing.APPLIED, (progress.Apply, 2)),
        (Standing.ENDED, (progress.Apply, 2)),
        (Standing.ABSENT, (progress.Apply, 1)),
    ],
)
def test_what_the_node_says_settles_a_change(standing: Standing, expected: tuple[type, int]) -> None:
    """Applied or over: on to the next step. Never applied: it may be begun once more."""
    command = ask([*planned(), begun(1, BLOCK), journal.settled(1, BLOCK, standing)])

    assert (type(command), command.step) == expected  # type: ignore[union-attr]


def test_a_change_that_was_never_applied_twice_fails() -> None:
    """It is begun again once, and not for ever."""
    once = [begun(1, BLOCK), journal.settled(1, BLOCK, Standing.ABSENT)]

    assert ask([*planned(), *once, *once]) == Finish(RunState.FAILED, "not_applied")


def silent_at(*seconds: int, step: int = 1) -> list[JournalEntry]:
    """Return notes of a node that gave no answer so many seconds after the beginning."""
    note = journal.unanswered(step, BLOCK, "silent")
    return [
        JournalEntry("run1", 90 + number, Timestamp(T0 + second * 1000), note.kind, step, BLOCK, note.data)
        for number, second in enumerate(seconds)
    ]


@pytest.mark.parametrize(
    ("seconds", "now", "expected"),
    [
        ((0,), 0, Wait(Timestamp(T0 + 1000), "node")),
        ((0,), 1, progress.Settle),
        ((0, 1), 2, Wait(Timestamp(T0 + 3000), "node")),
        ((0, 1, 3, 7, 15, 23), 24, Wait(Timestamp(T0 + 31_000), "node")),
        ((0,), 3600, progress.Settle),
        ((0,), -3600, progress.Settle),
        ((0, 60), 60, Finish(RunState.NEEDS_HUMAN, "effect_unknown")),
        (tuple([1] * 40), 1, Finish(RunState.NEEDS_HUMAN, "effect_unknown")),
    ],
)
def test_a_silent_node_is_asked_for_a_minute_and_then_left_to_people(
    seconds: tuple[int, ...],
    now: int,
    expected: Any,  # noqa: ANN401 - a command, or its type
) -> None:
    """Ever more rarely; who slept for an hour asks once more, and a clock set back is not waited for."""
    journaled = lines(*planned(), begun(1, BLOCK)) + silent_at(*seconds)
    present = progress.Present(given.ALERT, still=True, read_at=LATER, interval=INTERVAL)

    command = progress.next_command(BOOK, ACTIONS, journaled, Timestamp(T0 + now * 1000), present)

    assert isinstance(command, expected) if isinstance(expected, type) else command == expected


@pytest.mark.parametrize("step", [-1, 0])
def test_a_silent_node_before_the_plan_ends_the_run_in_time(step: int) -> None:
    """Nothing was changed, so that nobody need look."""
    told = [] if step == 0 else [OBSERVED]
    journaled = lines(*told) + silent_at(0, 61, step=step)
    present = progress.Present(given.ALERT, still=True, read_at=LATER, interval=INTERVAL)

    command = progress.next_command(BOOK, ACTIONS, journaled, T0, present)

    failed = progress.Fail(0, "evidence.collect", "node_unreachable", "the node gave no answer")
    assert command == (failed if step == 0 else Finish(RunState.FAILED, "node_unreachable"))


STILL = [*planned(), *done(1, BLOCK), *done(2, FLUSH)]


@pytest.mark.parametrize(
    ("now", "still", "read_at", "expected"),
    [
        (1, True, LATER, progress.Replan),
        (1, False, LATER, progress.Skip(3, TUNE, "condition_false")),
        (1, True, T0, Wait),
        (1, None, LATER, Wait),
        (1, True, None, Wait),
        (60_000, True, T0, progress.Fail),
        (60_000, None, LATER, progress.Fail),
    ],
)
def test_whether_the_alert_stands_is_judged_by_a_reading_after_the_last_change(
    now: int,
    still: bool | None,
    read_at: Timestamp | None,
    expected: Any,  # noqa: ANN401 - a command, or its type
) -> None:
    """An older reading says what was before the change; without one for a minute, the run is blind."""
    command = ask(STILL, now=Timestamp(T0 + now), still=still, read_at=read_at)

    assert isinstance(command, expected) if isinstance(expected, type) else command == expected
    if isinstance(command, progress.Fail):
        assert command.reason == "blind"


@pytest.mark.parametrize(
    ("written", "still", "read_at", "expected"),
    [
        (LEFT_OUT, True, LATER, progress.Replan),
        (LEFT_OUT, True, T0, Wait),
        (LEFT_OUT, False, LATER, progress.Sample),
        (LEFT_OUT, None, LATER, progress.Sample),
        (APPLIED, True, LATER, progress.Sample),
    ],
)
def test_an_alert_that_stands_again_while_it_is_verified_has_its_step_done_after_all(
    written: Sequence[Line],
    still: bool | None,
    read_at: Timestamp | None,
    expected: type,
) -> None:
    """What looked enough right after the change was not; what could not be done then is not tried again."""
    command = ask(written, now=Timestamp(T0 + 1), still=still, read_at=read_at)

    assert isinstance(command, expected)


def test_a_step_that_was_left_out_is_not_begun_while_the_others_are_taken_back() -> None:
    """The way back has one direction."""
    effect = plan.read(planned()[1].data).steps[1].effect
    assert effect is not None
    back = journal.undoing(1, BLOCK, "run1/1", effect)

    assert isinstance(ask([*LEFT_OUT, back]), progress.SettleUndo)


def test_a_second_source_that_fills_the_table_anew_leads_to_a_higher_limit_once() -> None:
    """It is hardly seen by the reading after the flush; what it holds then fits below the higher limit."""
    machine = Machine()
    while not isinstance(machine.next(), progress.Sample):
        machine.carry_out(machine.next())
    machine.node.sources["10.0.0.3"] = 900
    machine.node.most = 2_000
    machine.pass_time(5 * clock.SECOND)
    while machine.node.limit_now == 1_000:
        machine.carry_out(machine.next())
    machine.node.sources["10.0.0.3"] = 1_900

    assert machine.live() == Finish(RunState.UNDONE, "verify_failed")
    assert machine.node.applications == ["run1/1", "run1/2", "run1/3"]
    assert (machine.node.limit_now, machine.node.effects()) == (1_000, ())


def replanned(**changes: Any) -> Line:
    """Return how the limit was planned anew."""
    step = plan.read(planned()[1].data).steps[3]
    return dataclasses.replace(step, **changes).line()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, progress.Apply),
        (
            {"kind": plan.Kind.SKIP, "effect": None, "reason": "at_bound"},
            progress.Skip(3, TUNE, "at_bound"),
        ),
        (
            {"kind": plan.Kind.REFUSE, "effect": None, "reason": "odd", "message": "why"},
            progress.Fail(3, TUNE, "odd", "why"),
        ),
    ],
)
def test_a_step_goes_by_its_latest_plan(changes: Document, expected: Any) -> None:  # noqa: ANN401
    """A limit at its bound is left as it is; what must not be done stops the run."""
    command = ask([*STILL, replanned(**changes)])

    assert isinstance(command, expected) if isinstance(expected, type) else command == expected


@pytest.mark.parametrize("age", [None, 3 * INTERVAL + 1, -3 * INTERVAL - 1])
def test_without_a_fresh_reading_a_change_waits_for_one(age: int | None) -> None:
    """A minute long from the last line: who just started, or whose agent did. Then it is the gates' word."""
    over = Timestamp(T0 + clock.MINUTE)

    def seen(now: Timestamp, ago: int | None) -> progress.Command:
        return ask(planned(), read_at=None if ago is None else Timestamp(now - ago), now=now)

    assert seen(T0, age) == Wait(over, "reading")
    assert seen(Timestamp(over - 1), age) == Wait(over, "reading")
    assert isinstance(seen(over, age), progress.Apply)
    assert isinstance(seen(T0, 3 * INTERVAL), progress.Apply)


@pytest.mark.parametrize(
    ("verdicts", "now", "expected"),
    [
        ("", 1, progress.Sample),
        ("ppp", 20_000, Finish(RunState.SUCCEEDED, "verified")),
        ("fppp", 20_000, Finish(RunState.SUCCEEDED, "verified")),
        ("ppfp", 20_000, progress.Sample),
        ("ppip", 20_000, progress.Sample),
        ("ppep", 20_000, progress.Sample),
        ("ppp", 200_000, Finish(RunState.SUCCEEDED, "verified")),
        ("ppf", 120_000, progress.Undo),
        ("", 120_000, progress.Undo),
        ("pp", -120_000, progress.Undo),
    ],
)
def test_only_passes_in_a_row_are_success(
    verdicts: str,
    now: int,
    expected: Any,  # noqa: ANN401 - a command, or its type
) -> None:
    """Whatever else a sample says begins the row anew, and the time for it is limited."""
    words = {"p": Outcome.PASS, "f": Outcome.FAIL, "i": Outcome.INCONCLUSIVE, "e": Outcome.ERROR}
    samples = [sampled(words[letter], 1000 * (n + 1)) for n, letter in enumerate(verdicts)]

    command = ask([*APPLIED, *samples], now=Timestamp(T0 + now))

    assert isinstance(command, expected) if isinstance(expected, type) else command == expected


def test_one_reading_is_one_sample() -> None:
    """Passes by the same reading, or by one made before the last change, are no row."""
    same = [sampled(Outcome.PASS, 1000)] * 3
    old = [sampled(Outcome.PASS, at) for at in (-2000, -1000, 0)]

    assert isinstance(ask([*APPLIED, *same]), progress.Sample)
    assert isinstance(ask([*APPLIED, *old]), progress.Sample)


def test_a_sample_waits_for_a_newer_reading() -> None:
    """Until the time for it is over."""
    command = ask([*APPLIED, sampled(Outcome.PASS, 30_000)], read_at=LATER)

    assert command == Wait(Timestamp(T0 + given.VERIFY.within), "reading")


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Outcome.FAIL, "verify_failed"),
        (Outcome.PASS, "verify_failed"),
        (Outcome.INCONCLUSIVE, "verify_inconclusive"),
        (Outcome.ERROR, "verify_error"),
        (None, "verify_inconclusive"),
    ],
)
@pytest.mark.parametrize("on_failure", ["undo", "stop"])
def test_what_does_not_help_is_taken_back_or_left_to_its_end(
    verdict: Outcome | None,
    reason: str,
    on_failure: Any,  # noqa: ANN401
) -> None:
    """The word says what the last sample said."""
    book = dataclasses.replace(BOOK, on_failure=on_failure)
    samples = [] if verdict is None else [sampled(verdict, 1000)]
    skipped = journal.skipped(3, TUNE, "condition_false")
    told = [*planned(book), *done(1, BLOCK), *done(2, FLUSH), skipped, *samples]
    late = Timestamp(T0 + given.VERIFY.within)
    if on_failure == "stop":
        assert ask(told, book, now=late) == Finish(RunState.FAILED, reason)
        return
    undo = ask(told, book, now=late)
    assert isinstance(undo, progress.Undo)
    assert undo.step == 1, "what was deleted cannot be taken back"
    told += [journal.undoing(1, BLOCK, undo.key, undo.effect), journal.undone(1, BLOCK, {})]
    # The clock was set back meanwhile: taking back is not reconsidered.
    assert ask(told, book, now=T0) == Finish(RunState.UNDONE, reason)


@pytest.mark.parametrize(
    ("last", "why", "word"),
    [
        (Outcome.INCONCLUSIVE, NO_READING, "verify_failed"),
        (Outcome.INCONCLUSIVE, "no_events", "verify_inconclusive"),
        (Outcome.ERROR, "slo_unknown", "verify_error"),
    ],
)
def test_who_has_just_started_does_not_unsay_what_samples_said(last: Outcome, why: str, word: str) -> None:
    """Its first reading has nothing to be compared with; whatever else a last sample says decides."""
    book = dataclasses.replace(BOOK, on_failure="stop")
    skipped = journal.skipped(3, TUNE, "condition_false")
    samples = [sampled(Outcome.FAIL, 1000, "missed"), sampled(last, 2000, why)]
    told = [*planned(book), *done(1, BLOCK), *done(2, FLUSH), skipped, *samples]
    late = Timestamp(T0 + given.VERIFY.within)

    assert ask(told, book, now=late) == Finish(RunState.FAILED, word)
    # Where no data is a failure, it is one.
    told[-1] = sampled(Outcome.FAIL, 2000, NO_READING)
    assert ask(told, book, now=late) == Finish(RunState.FAILED, "verify_failed")


def undoing(*after: Line) -> progress.Command:
    """Return the command after taking the block back was begun, at a time when verification failed."""
    told = [*APPLIED, journal.undoing(1, BLOCK, "run1/1", plan.read(planned()[1].data).steps[1].effect)]  # type: ignore[arg-type]
    return ask([*told, *after], now=Timestamp(T0 + given.VERIFY.within))


def test_taking_back_is_settled_by_looking() -> None:
    """Over or never there: it is done. Still in force: once more. Twice in vain: people."""
    still = journal.undo_settled(1, BLOCK, Standing.APPLIED)

    assert isinstance(undoing(), progress.SettleUndo)
    for gone in (Standing.ENDED, Standing.ABSENT):
        told = undoing(journal.undo_settled(1, BLOCK, gone))
        assert told == Finish(RunState.UNDONE, "verify_inconclusive")
    again = undoing(still)
    assert isinstance(again, progress.Undo)
    twice = undoing(still, journal.undoing(1, BLOCK, again.key, again.effect), still)
    assert twice == Finish(RunState.NEEDS_HUMAN, "undo_failed")


def test_an_effect_that_cannot_be_taken_back_needs_a_person() -> None:
    """The node refused it."""
    told = undoing(journal.undo_failed(1, BLOCK, "busy", "no"))

    assert told == Finish(RunState.NEEDS_HUMAN, "undo_failed")


def test_the_kill_switch_keeps_effects_until_their_own_end() -> None:
    """Taking back is a change as well."""
    told = ask([*APPLIED, gates(Gate.KILL_SWITCH_ON, 1)], now=Timestamp(T0 + given.VERIFY.within))

    assert told == Finish(RunState.NEEDS_HUMAN, "kill_switch_on")


def test_effects_are_taken_back_in_reverse_even_if_one_cannot_be() -> None:
    """The limit first, then the block."""
    machine = Machine(MemoryNode(most=1_010, blocks_help=False))
    machine.live()
    undone = [command.step for command in machine.commands if isinstance(command, progress.Undo)]
    stuck = Machine(MemoryNode(most=1_010, blocks_help=False, refuses_undo="busy"))

    assert undone == [3, 1]
    assert stuck.live() == Finish(RunState.NEEDS_HUMAN, "undo_failed")
    assert [command.step for command in stuck.commands if isinstance(command, progress.Undo)] == [3, 1]


def test_a_node_that_refuses_a_change_ends_the_run_by_its_word() -> None:
    """It did nothing, so that there is nothing to take back."""
    assert Machine(MemoryNode(refuses="not_allowed")).live() == Finish(RunState.FAILED, "not_allowed")


def test_a_run_that_had_nothing_to_do_is_no_success() -> None:
    """Its only step was left out; the word says why."""
    tune = dataclasses.replace(BOOK.steps[3], condition=None)
    book = dataclasses.replace(BOOK, steps=(BOOK.steps[0], tune))

    assert Machine(MemoryNode(most=1000), book).live() == Finish(RunState.FAILED, "at_bound")


def test_a_plan_that_cannot_be_read_any_more_needs_a_person() -> None:
    """Something was begun, and what else was to be done is lost."""
    told = [OBSERVED, begun(1, BLOCK), journal.applied(1, BLOCK, {})]
    broken = [Line(JournalKind.PLAN, -1, "", {"steps": 7}), *told]

    assert ask(told) == Finish(RunState.NEEDS_HUMAN, "plan_lost")
    assert ask(broken) == Finish(RunState.NEEDS_HUMAN, "plan_lost")


def test_a_node_that_falls_silent_between_plan_and_change_is_waited_for() -> None:
    """It is asked again, finds the effect under its key or not, and the run goes on."""
    machine = Machine()
    while not isinstance(machine.next(), progress.Apply):
        machine.carry_out(machine.next())
    machine.node.silent = True
    machine.carry_out(machine.next())
    for _ in range(10):
        machine.carry_out(machine.next())
    machine.node.silent = False

    assert machine.live() == Finish(RunState.SUCCEEDED, "verified")
    assert len(machine.node.applications) == len(set(machine.node.applications))


@pytest.mark.parametrize("when", [progress.MakePlan, progress.Apply, progress.Replan, progress.Sample])
def test_a_node_that_stays_silent_ends_the_run_in_time(when: type) -> None:
    """Wherever it falls silent; once something was changed, people must look."""
    machine = Machine(MemoryNode(most=1_010, blocks_help=False))
    while not isinstance(machine.next(), when):
        machine.carry_out(machine.next())
    machine.node.silent = True

    finish = machine.live()

    expected = {
        progress.MakePlan: Finish(RunState.FAILED, "node_unreachable"),
        progress.Apply: Finish(RunState.NEEDS_HUMAN, "effect_unknown"),
        progress.Replan: Finish(RunState.NEEDS_HUMAN, "undo_failed"),
        progress.Sample: Finish(RunState.NEEDS_HUMAN, "undo_failed"),
    }
    assert finish == expected[when]


def test_the_kill_switch_stops_a_run_before_its_next_change() -> None:
    """Turned on in the middle: what is in force stays, and people are called."""
    machine = Machine()
    while not machine.node.applications:
        machine.carry_out(machine.next())
    machine.kill_switch = KillSwitch.ON

    assert machine.live() == Finish(RunState.NEEDS_HUMAN, "kill_switch_on")
    assert [held.key for held in machine.node.effects()] == ["run1/1"]


def test_an_alert_that_ends_in_the_middle_is_verified_all_the_same() -> None:
    """What is left to do is left out."""
    machine = Machine()
    while not machine.node.applications:
        machine.carry_out(machine.next())
    machine.alert = dataclasses.replace(machine.alert, state=AlertState.RESOLVED)
    machine.node.sources.clear()

    assert machine.live() == Finish(RunState.SUCCEEDED, "verified")
    assert machine.node.applications == ["run1/1"]


def test_without_readings_a_run_is_never_a_success() -> None:
    """Telemetry stops with the first change: the flush is refused blind, and the block is taken back."""
    machine = Machine()
    while not machine.node.applications:
        machine.carry_out(machine.next())
    machine.readings = False
    began = machine.now
    machine.pass_time(30 * clock.SECOND)

    assert machine.live() == Finish(RunState.UNDONE, "blind")
    assert machine.now - began == clock.MINUTE


def test_an_agent_that_is_started_again_in_the_middle_does_not_end_the_run() -> None:
    """Nothing is read for half a minute, so nothing is changed; then it goes on where it was."""
    machine = Machine()
    while not machine.node.applications:
        machine.carry_out(machine.next())
    machine.readings = False
    machine.pass_time(30 * clock.SECOND)
    waited = machine.next()
    machine.readings = True

    assert isinstance(waited, Wait)
    assert waited.what == "reading"
    assert machine.live() == Finish(RunState.SUCCEEDED, "verified")
    assert machine.node.applications == ["run1/1", "run1/2"]


def test_every_command_has_its_state() -> None:
    """A run is what it does; while it waits it stays what it was."""
    machine = Machine(MemoryNode(most=1_010, blocks_help=False))
    machine.live()
    states = [progress.state_of(command) for command in machine.commands]
    told = list(dict.fromkeys(state for state in states if state is not None))

    assert told == [
        RunState.EXECUTING,
        RunState.PLANNED,
        RunState.VERIFYING,
        RunState.UNDOING,
        RunState.UNDONE,
    ]


def test_a_plan_that_nobody_can_read_is_not_made_for_ever() -> None:
    """Three times; nothing was changed, so that the run may end."""
    broken = Line(JournalKind.PLAN, -1, "", {"steps": "?"})

    assert isinstance(ask([OBSERVED, broken, broken]), progress.MakePlan)
    assert ask([OBSERVED, broken, broken, broken]) == Finish(RunState.FAILED, "plan_lost")
