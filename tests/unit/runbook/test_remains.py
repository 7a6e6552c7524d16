"""What a run that failed left behind, as people are told: true of each change that it made."""

import pytest

from netsre import clock
from netsre.model.deeds import Call, Deed, Request
from netsre.model.documents import Document
from netsre.model.effects import Block, Flush, PolicyRevision
from netsre.model.runbooks import RunState
from netsre.runbook import remains
from netsre.runbook.plan import Kind, Plan, Planned
from netsre.runbook.story import Story, Turn
from tests.unit.runbook.given import BOOK

BLOCK = Block("host", "lo", "10.0.0.9", 600_000)
FLUSH = Flush("host", "10.0.0.9")
REVISION = PolicyRevision(7, "7777aaaa", 5, "5555aaaa")
CALL = Call(
    Request("POST", "https://tools.example/drains"), clock.SECOND, undo=Request("DELETE", "https://x")
)
DONE: Document = {"ok": True, "result": {}}


def story(*turns: Turn) -> Story:
    """Return what the journal of a plan with these steps says."""
    steps = tuple(Planned(step, f"act.{step}", Kind.APPLY, {}) for step in range(len(turns)))
    plan = Plan(BOOK.name, "", BOOK.limits, steps, None, "stop")
    return Story(plan=plan, turns=dict(enumerate(turns)))


def done(effect: Deed, *, undone: bool = False) -> Turn:
    """Return a step whose effect was made."""
    return Turn(begun=1, effect=effect, outcome=DONE, undo_outcome=DONE if undone else None)


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ((), "It changed nothing."),
        ((Turn(begun=1, effect=BLOCK, outcome={"ok": False}),), "It changed nothing."),
        ((done(BLOCK),), "What act.0 did ends by itself."),
        ((done(BLOCK), done(FLUSH)), "What act.0 did ends by itself; what act.1 did cannot be undone."),
        ((done(CALL), done(REVISION)), "What act.0 and act.1 did stays until somebody takes it back."),
        ((done(BLOCK, undone=True),), "What it changed was taken back."),
        ((Turn(begun=1, effect=BLOCK, open=True),), "What act.0 did may be done, or not: look."),
    ],
)
def test_a_failed_run_says_of_each_change_what_becomes_of_it(turns: tuple[Turn, ...], said: str) -> None:
    """Not every effect ends by itself: a call to a server does not, nor does a revision."""
    assert remains.told(RunState.FAILED, story(*turns)) == said


def test_what_cannot_be_read_is_not_said_to_be_nothing() -> None:
    """A plan of another version."""
    found = Story(turns={1: done(BLOCK)})

    assert remains.told(RunState.FAILED, found) == "Look into its journal for what it changed."
