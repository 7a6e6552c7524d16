"""The part of a run's way between its plan and its first change, where people have the word."""

from typing import Final

from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.runbooks import Runbook, RunState
from netsre.runbook import approval
from netsre.runbook.approval import Decision, Verdict
from netsre.runbook.commands import Ask, Command, Finish, Wait
from netsre.runbook.course import Present
from netsre.runbook.plan import Kind, Plan
from netsre.runbook.story import Story

NO_APPROVER: Final = "no_approver"
"""Fewer people than must say yes may say it: nobody is asked in vain."""
_OPEN: Final = (Verdict.WAITING, Verdict.UNOPPOSED)


def next_command(
    runbook: Runbook, told: Story, plan: Plan, now: Timestamp, present: Present
) -> Command | None:
    """Return what comes before the first change; None when the run may go on."""
    asked = runbook.approval
    if asked is None:
        return None
    request = told.request
    decision = None if request is None else approval.decide(request, told.words, now)
    if decision is not None and decision.verdict in (Verdict.DENIED, Verdict.EXPIRED):
        state = RunState.REFUSED if decision.verdict is Verdict.DENIED else RunState.EXPIRED
        return Finish(state, decision.verdict.value)
    if present.alert.state is not AlertState.FIRING:
        return Finish(RunState.FAILED, "alert_resolved")
    if request is None or decision is None or request.plan != plan.hash or _missed(told, decision, present):
        return _ask(runbook, told, plan, now, present)
    return None if decision.go else Wait(request.until, "approval")


def _missed(told: Story, decision: Decision, present: Present) -> bool:
    """Tell whether nobody could have said no, so that silence means nothing: the time begins anew."""
    veto = told.request is not None and told.request.veto
    return veto and decision.verdict in _OPEN and not present.watched


def _ask(runbook: Runbook, told: Story, plan: Plan, now: Timestamp, present: Present) -> Command:
    asked = runbook.approval
    if asked is None or not any(step.kind is Kind.APPLY for step in plan.steps):
        word = next((step.reason for step in plan.steps if step.reason), "nothing_to_do")
        return Finish(RunState.FAILED, word)
    # Where silence is a yes, nobody need be able to say one.
    if runbook.mode != "veto" and not approval.possible(asked, present.directory, told.owner):
        return Finish(RunState.REFUSED, NO_APPROVER)
    return Ask(approval.ask(runbook, asked, plan.hash, now), plan)
