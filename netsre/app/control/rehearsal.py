"""What a runbook would do about an alert now: every gate, the evidence, the exact effects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from netsre.app.control.carry_out import careful
from netsre.app.control.world import World
from netsre.model.alerts import Alert
from netsre.model.documents import Document, Json
from netsre.model.runbooks import Runbook, Step
from netsre.runbook import decide, plan, references
from netsre.runbook.actions.contract import (
    ActionFailed,
    ActionRefused,
    Change,
    NodeRefused,
    NodeUnreachable,
    Observation,
    Subject,
)
from netsre.runbook.plan import Plan

_RUN = "rehearsal"
"""Stands where the name of a run would."""


@dataclass(frozen=True, slots=True)
class _Stopped:
    """Why there is no plan: a word and a sentence."""

    reason: str
    message: str


def rehearse(world: World, runbook: Runbook, alert: Alert) -> Document:
    """Return gates, evidence and plan of a runbook for an alert as JSON; the node is only looked at."""
    with world.store.read() as transaction:
        circumstances = world.circumstances(transaction, alert)
        verdict = decide.decide(runbook, alert, circumstances)
    subject = world.subject(_RUN, runbook.name, alert, verdict.target)
    # Without a target there is nothing to look at, and nothing to plan for.
    seen = _look(world, runbook, subject) if verdict.target else {}
    made = _plan(world, runbook, subject, seen) if verdict.target else None
    if isinstance(made, Plan):
        verdict = verdict.also(_of_effects(world, made, circumstances))
    return {
        "runbook": runbook.name,
        "mode": runbook.mode,
        "alert": {"fingerprint": alert.fingerprint, "labels": dict(alert.labels), "state": alert.state.value},
        "target": verdict.target,
        "accepted": verdict.accepted and isinstance(made, Plan) and made.refused is None,
        "reason": _reason(verdict, made),
        "problem": made.message if isinstance(made, _Stopped) else None,
        "still": world.present(alert).still,
        "gates": verdict.document()["gates"],
        "evidence": None
        if isinstance(seen, _Stopped)
        else {str(step): found for step, found in seen.items()},
        "plan": made.document() if isinstance(made, Plan) else None,
    }


def _look(world: World, runbook: Runbook, subject: Subject) -> dict[int, Document] | _Stopped:
    """Return what the observations before the first change see, by step."""
    seen: dict[int, Document] = {}
    known: dict[str, Json] = {}
    for index, step in enumerate(runbook.steps):
        action = world.actions.get(step.action)
        if isinstance(action, Change):
            break
        if not isinstance(action, Observation):
            return _Stopped("unknown_action", f"action {step.action} does not exist in this version")
        bound = replace(step, parameters=references.resolved(step.parameters, known))
        found = _observe(world, action, bound, subject)
        if not isinstance(found, _Stopped):
            seen[index] = found
            known.update(found)
        elif step.manner.on_failure != "continue":
            return found
    return seen


def _observe(world: World, action: Observation, step: Step, subject: Subject) -> Document | _Stopped:
    try:
        return action.observe(subject, step.parameters, world.sight)
    except NodeUnreachable as error:
        return _Stopped("node_unreachable", str(error))
    except (ActionRefused, NodeRefused) as error:
        return _Stopped(error.reason, str(error))
    except ActionFailed as error:
        return _Stopped("step_failed", str(error))


def _plan(
    world: World, runbook: Runbook, subject: Subject, seen: Mapping[int, Document] | _Stopped
) -> Plan | _Stopped:
    if isinstance(seen, _Stopped):
        return seen
    try:
        return plan.make(runbook, subject, seen, world.sight, careful(world.actions))
    except NodeUnreachable as error:
        return _Stopped("node_unreachable", str(error))


def _of_effects(world: World, made: Plan, circumstances: decide.Circumstances) -> Iterator[decide.Answer]:
    """Yield what the gates say about the values that a plan chooses: of each the first no, or all that is."""
    with world.store.read() as transaction:
        found = [
            answer
            for step in made.steps
            if step.effect is not None
            for answer in decide.of_effect(step.effect, world.past(transaction, step.effect), circumstances)
        ]
    for gate in dict.fromkeys(answer.gate for answer in found):
        said = [answer for answer in found if answer.gate is gate]
        no = next((answer for answer in said if not answer.passed), None)
        yield no or decide.Answer(gate, passed=True, detail="; ".join(dict.fromkeys(a.detail for a in said)))


def _reason(verdict: decide.Verdict, made: Plan | _Stopped | None) -> str:
    """Return the word of the first thing that says no."""
    if not verdict.accepted or made is None:
        return verdict.reason.value
    if isinstance(made, _Stopped):
        return made.reason
    return made.refused.reason if made.refused is not None else verdict.reason.value
