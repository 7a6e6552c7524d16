"""A step waits as long, and is tried as often, as it says; a change is never repeated without a look."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.effects import Effect, Standing
from netsre.model.runbooks import JournalEntry, JournalKind, Manner, Retry, Runbook, RunState
from netsre.runbook import journal, manners, plan, progress
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import NodeUnreachable
from netsre.runbook.journal import Line
from netsre.runbook.progress import Apply, Fail, Finish, Observe, Replan, Sample, Settle, Undo, Wait
from netsre.runbook.verify import Outcome
from tests.unit.runbook import given, test_loops
from tests.unit.runbook.given import BOOK, T0, MemoryNode
from tests.unit.runbook.machine import Machine
from tests.unit.runbook.test_progress import BLOCK, FLUSH, LATER, OBSERVED, TUNE, begun, done, sampled

COLLECT = "evidence.collect"
RETRY = Retry(2, 5_000)
NO = journal.failed(0, COLLECT, "step_failed", "no")
LOST = [begun(1, BLOCK), journal.settled(1, BLOCK, Standing.ABSENT)]


def book(step: int, of: Runbook = BOOK, **manner: Any) -> Runbook:
    """Return a runbook of which one step is gone about otherwise."""
    steps = list(of.steps)
    steps[step] = dataclasses.replace(steps[step], manner=Manner(**manner))
    return dataclasses.replace(of, steps=tuple(steps))


def planned(of: Runbook) -> list[Line]:
    """Return the lines of a run until its plan was made."""
    made = plan.make(of, given.SUBJECT, {0: {"top_source": given.NOISY}}, given.MemoryViews(), ACTIONS)
    return [OBSERVED, made.line()]


def ask(written: Sequence[tuple[int, Line] | Line], of: Runbook, now: int = 0) -> progress.Command:
    """Return what follows lines, some with the milliseconds at which they were written."""
    timed = [line if isinstance(line, tuple) else (0, line) for line in written]
    entries = [
        JournalEntry("run1", number, Timestamp(T0 + at), line.kind, line.step, line.action, line.data)
        for number, (at, line) in enumerate(timed, 1)
    ]
    present = progress.Present(given.ALERT, True, LATER, clock.MINUTE)
    return progress.next_command(of, ACTIONS, entries, Timestamp(T0 + now), present)


def test_an_observation_that_failed_is_tried_again_after_a_rest() -> None:
    """So often as it says, and then the run ends; without a word about it at once."""
    of = book(0, retry=RETRY)

    assert ask([NO], of, 4_999) == Wait(Timestamp(T0 + 5_000), "retry")
    assert isinstance(ask([NO], of, 5_000), Observe)
    assert isinstance(ask([NO, NO], of, 5_000), Observe)
    assert ask([NO, NO, NO], of, 5_000) == Finish(RunState.FAILED, "step_failed")
    assert ask([NO], BOOK, 5_000) == Finish(RunState.FAILED, "step_failed")


def test_a_clock_that_was_set_back_makes_no_rest_longer() -> None:
    """An hour is not waited for."""
    assert isinstance(ask([NO], book(0, retry=RETRY), -clock.HOUR), Observe)


def test_a_silent_node_is_asked_for_as_long_as_the_step_says() -> None:
    """A minute, where it says nothing; then it failed, and may be tried again."""
    silent = [(at, journal.unanswered(0, COLLECT, "")) for at in (0, 5_000)]
    gone = (5_000, journal.failed(0, COLLECT, "node_unreachable", ""))

    assert isinstance(ask(silent, BOOK, 15_000), Observe)
    assert isinstance(ask(silent, book(0, timeout=5_000), 15_000), Fail)
    assert isinstance(ask(silent, book(0, timeout=5_001), 15_000), Observe)
    assert isinstance(ask([*silent, gone], book(0, timeout=5_000, retry=RETRY), 15_000), Observe)


def test_a_run_goes_on_without_what_only_looks_where_it_says_so() -> None:
    """A change that needs what was not seen has nothing to be applied to then."""
    of = book(0, on_failure="continue")

    assert ask([NO], dataclasses.replace(of, steps=of.steps[:1])) == Finish(RunState.SUCCEEDED, "steps_done")
    assert ask([NO], of) == progress.MakePlan({})
    refused = plan.make(of, given.SUBJECT, {}, given.MemoryViews(), ACTIONS).line()
    assert ask([NO, refused], of) == Finish(RunState.REFUSED, "no_source")


def test_a_look_after_a_change_that_failed_ends_the_run_unless_it_goes_on() -> None:
    """What was done is taken back, or verified."""
    of = dataclasses.replace(BOOK, steps=(*BOOK.steps, BOOK.steps[0]))
    changed = [*done(1, BLOCK), *done(2, FLUSH), journal.skipped(3, TUNE, "at_bound")]
    no = journal.failed(4, COLLECT, "step_failed", "no")

    assert isinstance(ask([*planned(of), *changed, no], of), Undo)
    goes_on = book(4, of, on_failure="continue")
    assert isinstance(ask([*planned(goes_on), *changed, no], goes_on), Sample)


@pytest.mark.parametrize(
    ("way", "expected"), [("stop", Finish), ("undo", Undo), (None, Undo), ("continue", Undo)]
)
def test_what_follows_a_failure_says_the_step_before_the_runbook(way: str | None, expected: type) -> None:
    """A gate's no is never a failure to go on after."""
    of = book(3, on_failure=way)
    changed = [*done(1, BLOCK), *done(2, FLUSH)]
    shut = Line(JournalKind.GATES, 3, TUNE, {"accepted": False, "reason": "paused"})
    failed = shut if way == "continue" else journal.failed(3, TUNE, "changed_meanwhile", "no")

    assert isinstance(ask([*planned(of), *changed, failed], of), expected)


def test_a_change_is_tried_again_only_after_a_look_that_did_not_find_it() -> None:
    """A minute of retries is nothing while nobody knows whether it was made."""
    of = book(1, retry=RETRY)
    plans = planned(of)

    assert isinstance(ask([*plans, begun(1, BLOCK)], of, 60_000), Settle)
    assert ask([*plans, *LOST], of, 4_999) == Wait(Timestamp(T0 + 5_000), "retry")
    assert isinstance(ask([*plans, *LOST], of, 5_000), Apply)
    assert isinstance(ask([*plans, *LOST * 2], of, 5_000), Apply)
    assert ask([*plans, *LOST * 3], of, 5_000) == Finish(RunState.FAILED, "not_applied")


@pytest.mark.parametrize(("times", "expected"), [(None, Apply), (0, Finish), (1, Apply)])
def test_a_change_that_was_never_made_is_begun_once_more_unless_it_says_otherwise(
    times: int | None, expected: type
) -> None:
    """`times: 0` is not even once."""
    of = book(1, retry=None if times is None else Retry(times, 1_000))

    assert isinstance(ask([*planned(of), *LOST], of, 5_000), expected)


def test_a_change_that_the_node_refused_is_not_tried_again() -> None:
    """It would be refused again, or mean something else by now."""
    of = book(1, retry=RETRY)
    refused = [begun(1, BLOCK), journal.failed(1, BLOCK, "changed_meanwhile", "no")]

    assert ask([*planned(of), *refused], of, 60_000) == Finish(RunState.FAILED, "changed_meanwhile")


def test_a_change_that_could_not_be_planned_for_silence_is_planned_again() -> None:
    """Nothing was begun."""
    of = book(3, retry=RETRY)
    gone = [*done(1, BLOCK), *done(2, FLUSH), journal.failed(3, TUNE, "node_unreachable", "no answer")]

    assert isinstance(ask([*planned(of), *gone], of, 60_000), Replan)
    assert isinstance(ask([*planned(BOOK), *gone], BOOK, 60_000), Undo)


@dataclasses.dataclass
class Deaf(MemoryNode):
    """A node that does not hear so many of the first commands."""

    lost: int = 2

    def apply(self, key: str, effect: Effect) -> Document:
        """Lose a command, or apply it."""
        if self.lost:
            self.lost -= 1
            raise NodeUnreachable("no answer")
        return super().apply(key, effect)


@pytest.mark.parametrize("point", [None, *range(1, 45)])
def test_killed_at_any_point_commands_that_were_lost_are_made_once_each(point: int | None) -> None:
    """Whatever was lost, and whenever the process died."""
    patient = Retry(3, 5_000)
    of = book(2, book(1, retry=patient), retry=patient)
    lived = Machine(Deaf(), of, dies_at=frozenset() if point is None else frozenset({point}))
    finish = lived.live()

    test_loops.check(lived, finish)
    assert finish == Finish(RunState.SUCCEEDED, "verified")
    assert lived.node.applications == ["run1/1", "run1/2"]


WHOLE = test_loops.BOOK.steps[3].manner


@pytest.mark.parametrize("manner", [Manner(), Manner(5_000, RETRY, "continue"), WHOLE])
def test_a_manner_is_read_as_it_was_written(manner: Manner) -> None:
    """What is usual is not said at all."""
    assert manners.read(json.loads(json.dumps(manners.write(manner)))) == manner
    assert bool(manners.write(manner)) is (manner != Manner())


@pytest.mark.parametrize(
    "document",
    [
        {"timeout": "5s"}, {"timeout": True}, {"retry": 3}, {"retry": {"times": 1}}, {"onFailure": "go"},
        {"round": []}, {"round": {"loop": 0, "number": 1, "times": 2, "wait": 1, "until": "x"}},
        {"sees": {"top_source": "0"}},
    ],
)  # fmt: skip
def test_a_manner_of_another_version_is_refused(document: Document) -> None:
    """The plan is as if it were not there, which is for people once something was changed."""
    with pytest.raises(ValueError, match=r".+"):
        manners.read(document)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("PFPP", Finish), ("PPP", Finish), ("FPPP", Finish), ("PP", Wait), ("PFFPP", Wait), ("PPFF", Wait),
        ("PIPP", Finish), ("PFPIP", Wait), ("FFFF", Wait), ("", Sample),
    ],
)  # fmt: skip
def test_so_many_of_the_last_samples_must_pass(said: str, expected: type) -> None:
    """Three of the last four, each of a newer reading; a sample that says nothing is none that passed."""
    wanted = dataclasses.replace(given.VERIFY, samples=4, need=3)
    of = dataclasses.replace(BOOK, verify=wanted)
    changed = [*done(1, BLOCK), *done(2, FLUSH), journal.skipped(3, TUNE, "at_bound")]
    words = {"P": Outcome.PASS, "F": Outcome.FAIL, "I": Outcome.INCONCLUSIVE}
    samples = [sampled(words[letter], at * 5_000) for at, letter in enumerate(said, 1)]

    command = ask([*planned(of), *changed, *samples], of, len(said) * 5_000)
    if said:
        assert isinstance(command, expected if expected is Finish else Sample | Wait)
        assert (command == Finish(RunState.SUCCEEDED, "verified")) is (expected is Finish)
    else:
        assert isinstance(command, Sample)


def test_one_reading_is_one_sample_however_often_it_is_looked_at() -> None:
    """Three looks at the same reading prove what one does."""
    of = dataclasses.replace(BOOK, verify=dataclasses.replace(given.VERIFY, samples=4, need=3))
    changed = [*done(1, BLOCK), *done(2, FLUSH), journal.skipped(3, TUNE, "at_bound")]
    same = [sampled(Outcome.PASS, 5_000)] * 4

    assert not isinstance(ask([*planned(of), *changed, *same], of, 5_000), Finish)
