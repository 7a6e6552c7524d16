"""What a run does next, from its journal alone: the same answer after a crash as before it.

Whoever executes carries out one command, writes the lines that the command's description names, and asks
again. Nothing else is kept anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model.alerts import AlertState
from netsre.model.documents import Json
from netsre.model.runbooks import CANCELLED, USUAL, JournalEntry, Runbook, RunState, Step
from netsre.runbook import consent, definition, parameters, references, story, tries
from netsre.runbook.actions.contract import Action, Change, Observation
from netsre.runbook.commands import (
    Apply,
    Ask,
    Command,
    Fail,
    Finish,
    MakePlan,
    Observe,
    Replan,
    Sample,
    Settle,
    SettleUndo,
    Skip,
    Undo,
    Wait,
)
from netsre.runbook.course import Course, Present
from netsre.runbook.story import Story, Turn
from netsre.runbook.tries import given_up, pause

__all__ = [
    "Apply",
    "Ask",
    "Command",
    "Fail",
    "Finish",
    "MakePlan",
    "Observe",
    "Present",
    "Replan",
    "Sample",
    "Settle",
    "SettleUndo",
    "Skip",
    "Undo",
    "Wait",
    "next_command",
    "state_of",
]


_MOST_PLANS: Final = 3
"""Plans that cannot be read, after which no further one is made."""


def next_command(
    runbook: Runbook | None,
    actions: Mapping[str, Action],
    journal: Sequence[JournalEntry],
    now: Timestamp,
    present: Present,
) -> Command:
    """Return what to do next; `runbook` is None when its file is gone since the run began."""
    told = story.read(journal)
    if told.touched:
        # A plan that cannot be read was set aside: what else was to be done, nobody knows.
        lost = Finish(RunState.NEEDS_HUMAN, "plan_lost")
        return lost if told.plan is None else Course(told, told.plan, now, present).next()
    if told.cancelled is not None:
        return Finish(RunState.REFUSED, CANCELLED)
    judged = told.definition if told.plan is None else told.plan.definition
    runbook = _bound(runbook, told, actions)
    if runbook is None or judged not in ("", definition.of(runbook)):
        return Finish(RunState.FAILED, "runbook_removed" if runbook is None else "runbook_changed")
    if told.plan is None:
        return _before_plan(runbook, actions, told, now, present)
    if told.plan.refused is not None:
        return Finish(RunState.REFUSED, told.plan.refused.reason)
    asking = consent.next_command(runbook, told, told.plan, now, present)
    return asking or Course(told, told.plan, now, present).next()


def _bound(runbook: Runbook | None, told: Story, actions: Mapping[str, Action]) -> Runbook | None:
    """Return a runbook with the parameters of the run; as it is where it does not take them any more."""
    if runbook is None:
        return None
    try:
        return parameters.bound(runbook, told.given, actions)
    except BadInput:
        return runbook  # another text than the one that was judged, which its hash shows


def state_of(command: Command) -> RunState | None:
    """Return the state that a run is in with a command; None: it stays as it is."""
    match command:
        case Observe() | Replan() | Skip() | Fail() | Apply() | Settle():
            state = RunState.EXECUTING
        case MakePlan():
            state = RunState.PLANNED
        case Ask():
            state = RunState.AWAITING_APPROVAL
        case Sample():
            state = RunState.VERIFYING
        case Undo() | SettleUndo():
            state = RunState.UNDOING
        case Finish(state):
            pass
        case Wait():
            return None
    return state


def _before_plan(
    runbook: Runbook, actions: Mapping[str, Action], told: Story, now: Timestamp, present: Present
) -> Command:
    seen: dict[str, Json] = {}
    for index, step in enumerate(runbook.steps):
        action = actions.get(step.action)
        if isinstance(action, Change):
            return _make_plan(told, now, present)
        if not isinstance(action, Observation):
            return Finish(RunState.FAILED, "unknown_action")
        bound = replace(step, parameters=references.resolved(step.parameters, seen))
        command = _look(index, bound, told.turn(index), now)
        if command is not None:
            return command
        seen.update(told.evidence().get(index, {}))
    return Finish(RunState.SUCCEEDED, "steps_done")


def _look(index: int, step: Step, turn: Turn, now: Timestamp) -> Command | None:
    """Return how an observation goes on; None when the next step is due."""
    if turn.done:
        return None
    if turn.outcome is not None:
        again = tries.another(turn, step.manner, now)
        if isinstance(again, Wait):
            return again
        if not again:
            goes_on = step.manner.on_failure == "continue"
            return None if goes_on else Finish(RunState.FAILED, tries.reason_of(turn.outcome))
    return tries.observe(index, step.action, step.parameters, turn, now, step.manner)


def _make_plan(told: Story, now: Timestamp, present: Present) -> Command:
    if present.alert.state is not AlertState.FIRING:
        return Finish(RunState.FAILED, "alert_resolved")
    if told.plans >= _MOST_PLANS:
        return Finish(RunState.FAILED, "plan_lost")
    silent = told.turn(story.WHOLE).silent
    if given_up(silent, USUAL):
        return Finish(RunState.FAILED, tries.SILENT)
    return pause(silent, now) or MakePlan(told.evidence(), told.given)
