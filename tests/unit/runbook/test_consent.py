"""Between its plan and its first change a run waits for people, and goes only by their word."""

import dataclasses
from collections.abc import Sequence

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.directory import ALONE, Directory, Person
from netsre.model.effects import Limit
from netsre.model.runbooks import ENDED, Approval, JournalEntry, Run, RunState
from netsre.runbook import approval, decide, journal, plan, progress
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.approval import Opinion, Request, Word
from netsre.runbook.decide import Circumstances, Gate, KillSwitch
from netsre.runbook.journal import Line
from netsre.runbook.progress import Apply, Ask, Finish, Present, Undo, Wait
from tests.unit.runbook import given
from tests.unit.runbook.given import BOOK, T0
from tests.unit.runbook.test_progress import OBSERVED, begun

WAIT = 10 * clock.MINUTE
PROPOSES = dataclasses.replace(BOOK, mode="propose", approval=Approval((), 1, WAIT))
WARNS = dataclasses.replace(BOOK, mode="veto", approval=Approval((), 1, WAIT))
LATER = Timestamp(T0 + 30 * clock.SECOND)
BLOCK = "datapath.block_source"


def made(book: object = PROPOSES) -> plan.Plan:
    """Return the plan of a runbook."""
    assert isinstance(book, type(BOOK))
    views = given.MemoryViews(given.MemoryNode())
    return plan.make(book, given.SUBJECT, {0: {"top_source": given.NOISY}}, views, ACTIONS)


def asked(book: object = PROPOSES) -> list[Line]:
    """Return the lines of a run that waits."""
    assert isinstance(book, type(BOOK))
    assert book.approval is not None
    found = made(book)
    return [OBSERVED, found.line(), journal.asked(approval.ask(book, book.approval, found.hash, T0))]


def said(opinion: Opinion, book: object = PROPOSES, plan_hash: str = "") -> Line:
    """Return the word of somebody."""
    return journal.said(Word("ann", opinion, plan_hash or made(book).hash, "api", "1", T0))


def after(
    written: Sequence[Line],
    book: object = PROPOSES,
    *,
    now: int = 0,
    state: AlertState = AlertState.FIRING,
    watched: bool = True,
    directory: Directory = ALONE,
) -> progress.Command:
    """Return the command that follows lines written at the beginning."""
    assert book is None or isinstance(book, type(BOOK))
    entries = [
        JournalEntry("run1", number, T0, line.kind, line.step, line.action, line.data)
        for number, line in enumerate(written, 1)
    ]
    alert = dataclasses.replace(given.ALERT, state=state)
    present = Present(alert, True, LATER, clock.MINUTE, watched, directory)
    return progress.next_command(book, ACTIONS, entries, Timestamp(T0 + now), present)


def test_with_a_plan_people_are_asked_about_exactly_that_plan() -> None:
    """The question holds the plan's hash, whose word counts, and until when."""
    command = after(asked()[:2])

    assert isinstance(command, Ask)
    assert command.request == Request(made().hash, (), 1, veto=False, asked_at=T0, wait=WAIT)
    assert progress.state_of(command) is RunState.AWAITING_APPROVAL


@pytest.mark.parametrize("book", [PROPOSES, WARNS])
def test_a_run_waits_without_a_word(book: object) -> None:
    """Until the time is over."""
    assert after(asked(book), book) == Wait(Timestamp(T0 + WAIT), "approval")


def test_an_approval_lets_it_act_and_a_denial_or_silence_ends_it() -> None:
    """Only a yes is a yes."""
    assert isinstance(after([*asked(), said(Opinion.APPROVE)]), Apply)
    assert after([*asked(), said(Opinion.DENY)]) == Finish(RunState.REFUSED, "denied")
    assert after(asked(), now=WAIT) == Finish(RunState.EXPIRED, "approval_expired")
    assert isinstance(after([*asked(), said(Opinion.APPROVE)], now=2 * WAIT), Apply)


def test_a_veto_lets_it_act_when_nobody_said_no_while_it_was_watched() -> None:
    """A controller that was away gives people the whole time anew; a no is a no for good."""
    again = after(asked(WARNS), WARNS, now=WAIT, watched=False)

    assert isinstance(after(asked(WARNS), WARNS, now=WAIT), Apply)
    assert isinstance(again, Ask)
    assert again.request.asked_at == T0 + WAIT
    denied = [*asked(WARNS), said(Opinion.DENY, WARNS)]
    assert after(denied, WARNS, now=WAIT, watched=False) == Finish(RunState.REFUSED, "denied")
    approved = [*asked(WARNS), said(Opinion.APPROVE, WARNS)]
    assert isinstance(after(approved, WARNS, watched=False), Apply)


def test_a_word_about_another_plan_counts_for_nothing() -> None:
    """It waits on."""
    assert isinstance(after([*asked(), said(Opinion.APPROVE, plan_hash="f" * 64)]), Wait)


def test_a_question_about_another_plan_is_asked_anew() -> None:
    """As after a question that cannot be read."""
    other = dataclasses.replace(approval.ask(PROPOSES, Approval((), 1, WAIT), "f" * 64, T0))

    assert isinstance(after([*asked()[:2], journal.asked(other)]), Ask)
    broken = journal.asked(other)
    assert isinstance(after([*asked()[:2], dataclasses.replace(broken, data={})]), Ask)


def test_an_alert_that_ends_meanwhile_ends_the_run() -> None:
    """There is nothing to approve any more."""
    assert after(asked(), state=AlertState.RESOLVED) == Finish(RunState.FAILED, "alert_resolved")


def test_a_runbook_that_changed_meanwhile_is_not_followed() -> None:
    """People answered another file."""
    other = dataclasses.replace(PROPOSES, approval=Approval((), 1, WAIT + 1))

    assert after([*asked(), said(Opinion.APPROVE)], other) == Finish(RunState.FAILED, "runbook_changed")


def test_nobody_is_asked_where_too_few_could_say_yes() -> None:
    """The single operator who began it by hand cannot approve it; with two people the other can."""
    begun_by_hand = [journal.requested("operator", "api", "1"), *asked()[:2]]
    two = Directory((Person("ann"),))

    assert after(begun_by_hand) == Finish(RunState.REFUSED, "no_approver")
    assert isinstance(after([begun_by_hand[0], *asked(WARNS)[:2]], WARNS), Ask), "silence is a yes there"
    assert isinstance(after(begun_by_hand, directory=two), Ask)


def test_nobody_is_asked_about_nothing() -> None:
    """A plan without an effect ends the run with the word of why."""
    views = given.MemoryViews(given.MemoryNode())
    book = dataclasses.replace(PROPOSES, steps=(BOOK.steps[0], BOOK.steps[3]))
    full = given.MemoryNode(limit_now=1_048_576)
    found = plan.make(book, given.SUBJECT, {0: {}}, dataclasses.replace(views, node=full), ACTIONS)

    ended = after([OBSERVED, found.line()], book)

    assert isinstance(ended, Finish)
    assert (ended.state, ended.reason) == (RunState.FAILED, found.steps[1].reason)


def test_what_was_approved_is_done_and_nothing_else() -> None:
    """A step that would do something else at its turn fails, and what was done is taken back."""
    fresh = made().steps[3]
    assert isinstance(fresh.effect, Limit)
    done = [
        line
        for step, name in ((1, BLOCK), (2, "conntrack.flush"))
        for line in (begun(step, name), journal.applied(step, name, {}))
    ]
    way = [*asked(), said(Opinion.APPROVE), *done]
    other = dataclasses.replace(fresh, effect=dataclasses.replace(fresh.effect, after=4_000))

    assert isinstance(after([*way, fresh.line()]), Apply)
    changed = after([*way, other.line()])
    assert isinstance(changed, progress.Fail)
    assert changed.reason == "plan_changed"


@pytest.mark.parametrize("way", [asked()[:1], asked()[:2], asked(), [*asked(), said(Opinion.APPROVE)]])
def test_a_cancelled_run_ends_before_its_next_change(way: list[Line]) -> None:
    """Wherever it is, with nothing changed."""
    assert after([*way, said(Opinion.CANCEL)]) == Finish(RunState.REFUSED, "cancelled")


def test_a_cancelled_run_takes_back_what_it_changed() -> None:
    """What was begun is settled first; then it goes back, by its plan, whatever became of the file."""
    way = [*asked(), said(Opinion.APPROVE), begun(1, BLOCK)]
    cancel = said(Opinion.CANCEL)
    applied = journal.applied(1, BLOCK, {})

    assert isinstance(after([*way, cancel], None), progress.Settle)
    undo = after([*way, applied, cancel], None)
    assert isinstance(undo, Undo)
    back = [journal.undoing(1, BLOCK, undo.key, undo.effect), journal.undone(1, BLOCK, {})]
    assert after([*way, applied, cancel, *back], None) == Finish(RunState.UNDONE, "cancelled")


def judged(state: RunState, reason: str, runbook: str, target: str = "conntrack/a") -> Gate:
    """Return the word of the gates with one run on record, begun a minute ago."""
    before = Run("r", runbook, "x", T0, target, state, reason, T0, None if state not in ENDED else T0)
    now = Timestamp(T0 + clock.MINUTE)
    calm = Circumstances(now, (before,), KillSwitch.OFF, firing=True, reading_age=0, interval=5_000, node="a")
    return decide.decide(PROPOSES, given.ALERT, calm).reason


@pytest.mark.parametrize(
    ("state", "runbook", "target", "gate"),
    [
        # A question holds a target against its own runbook alone: no mitigation waits for an answer.
        (RunState.AWAITING_APPROVAL, PROPOSES.name, "conntrack/a", Gate.ALREADY_RUNNING),
        (RunState.AWAITING_APPROVAL, "another", "conntrack/a", Gate.ACCEPTED),
        (RunState.EXECUTING, "another", "conntrack/a", Gate.ALREADY_RUNNING),
        # And it is no target at work.
        (RunState.AWAITING_APPROVAL, PROPOSES.name, "conntrack/b", Gate.ACCEPTED),
        (RunState.EXECUTING, PROPOSES.name, "conntrack/b", Gate.TOO_MANY_TARGETS),
    ],
)
def test_a_run_that_waits_stands_in_the_way_of_itself_alone(
    state: RunState, runbook: str, target: str, gate: Gate
) -> None:
    """The target is free for others until people say yes."""
    assert judged(state, "accepted", runbook, target) is gate


@pytest.mark.parametrize(
    ("state", "reason", "gate"),
    [
        (RunState.REFUSED, "denied", Gate.COOLDOWN),
        (RunState.REFUSED, "cancelled", Gate.COOLDOWN),
        (RunState.EXPIRED, "approval_expired", Gate.COOLDOWN),
        (RunState.REFUSED, "blind", Gate.ACCEPTED),
    ],
)
def test_a_no_of_people_stands_for_the_cooldown(state: RunState, reason: str, gate: Gate) -> None:
    """An alert that comes and goes does not ask again and again what was denied; a gate's no starts none."""
    assert judged(state, reason, PROPOSES.name) is gate
