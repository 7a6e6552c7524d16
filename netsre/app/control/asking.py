"""Tells people that a run waits for their word: an alert `RunbookAwaitsApproval` like any other alert.

It is as urgent as the alert that the run is for, one for each target, and ends when the run waits no more.
"""

from collections.abc import Mapping
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe, transitions
from netsre.app import run_lines, step_lines
from netsre.app.control import tick
from netsre.app.control.incidents import steps
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model import alerts, deeds
from netsre.model.alerts import Alert, AlertSource
from netsre.model.runbooks import Run
from netsre.model.samples import Labels, labels
from netsre.runbook.approval import Request
from netsre.runbook.commands import Ask
from netsre.store.database import Transaction

RUNS: Final = "runs"
"""The annotation with the names of the runs that a call is about, newest last."""
MOST_RUNS: Final = 20
PAGE: Final = "approvals"
"""The page that says how to answer."""


def identity(name: str, severity: str, run: Run, alert: Alert | None) -> Labels:
    """Return the labels of a call about a run: one firing covers the runs of a runbook on a node."""
    about = {} if alert is None else dict(alert.labels)
    named = {
        "alertname": name,
        "severity": severity,
        "runbook": run.runbook,
        conventions.NODE: about.get(conventions.NODE, ""),
        "service": about.get("service", ""),
    }
    return labels({name: value for name, value in named.items() if value})


def _named(who: Labels, run: Run) -> Labels:
    """Add what is asked about: each question needs an answer, so none is part of another's alert."""
    return labels({**dict(who), "target": run.target})


def known(transaction: Transaction, name: Labels) -> Alert | None:
    """Return the call of these labels that fires."""
    return transaction.alerts.active(AlertSource.AUTOMATION).get(alerts.fingerprint(name))


def runs_of(call: Alert | None) -> list[str]:
    """Return the names of the runs that a call is about."""
    return [] if call is None else call.annotations.get(RUNS, "").split()


def tell(
    transaction: Transaction, world: World, run: Run, alert: Alert, command: Ask, now: Timestamp
) -> None:
    """Call people for a run that waits, in the transaction in which it is asked about."""
    severity = dict(alert.labels).get("severity", conventions.SEVERITY_PAGE)
    who = _named(identity(describe.AWAITS_APPROVAL, severity, run, alert), run)
    before = known(transaction, who)
    told = _annotations(world, run, command)
    if before is None:
        reason = transitions.Reason.RUN_AWAITS_APPROVAL
        begun = transitions.begin(who, told, now, reason, AlertSource.AUTOMATION)
        tick.record(transaction, begun, now)
    else:
        reason = transitions.Reason.STILL_AWAITS_APPROVAL
        tick.record(transaction, transitions.go_on(before, told, now, reason), now)


def waits(transaction: Transaction, call: Alert) -> bool:
    """Tell whether a run that a call is about still waits for people."""
    found = (transaction.runs.find(name) for name in runs_of(call))
    return any(run is not None and run.waits for run in found)


def is_question(call: Alert) -> bool:
    """Tell whether a call asks for a word, and not for a hand."""
    return dict(call.labels).get("alertname") == describe.AWAITS_APPROVAL


def sentence(request: Request) -> str:
    """Say what the word of people does, and until when."""
    until = clock.rfc3339(request.until)
    whose = " or ".join(request.by) or "anybody who is known"
    if request.veto:
        return f"It acts by itself at {until} unless somebody denies it."
    needed = "1 approval" if request.quorum == 1 else f"{request.quorum} approvals"
    return f"It waits until {until} for {needed} of {whose}."


def _annotations(world: World, run: Run, command: Ask) -> Mapping[str, str]:
    request, verb = command.request, "deny" if command.request.veto else "approve"
    effects = [step.effect for step in command.plan.steps if step.effect is not None]
    does = "; ".join([*map(steps.words, effects), *step_lines.further(command.plan)])
    exactly = "; ".join(run_lines.effect_text(dict(deeds.write(effect))) for effect in effects)
    asks = "will act" if request.veto else "wants to act"
    return {
        "summary": f"runbook {run.runbook} {asks} on {run.target}: {does}",
        "description": f"Run {run.id}, plan {request.plan[:12]}. {sentence(request)} "
        f"Say so with: netsre runbook {verb} {run.id}"
        f"{f' (exactly: {exactly})' if exactly else ''}",
        "runbook_url": world.links.runbook(PAGE),
        "dashboard_url": world.links.base,
        RUNS: run.id,
    }
