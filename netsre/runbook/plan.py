"""The plan of a run: the exact effects, before the first of them.

It is complete: once a run changed something, it goes on from its plan, and the runbook's file is not needed
any more. What a step would do when its turn comes can be stale by then (`Planned.again`): it is planned anew.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from netsre.model import deeds
from netsre.model.conditions import Condition
from netsre.model.deeds import Deed
from netsre.model.documents import Document, Json, canonical
from netsre.model.runbooks import USUAL, JournalKind, Limits, Manner, Runbook, Step, Verification, Veto
from netsre.model.samples import Labels
from netsre.runbook import conditions, definition, manners, references
from netsre.runbook.actions.contract import (
    Action,
    ActionFailed,
    ActionRefused,
    Change,
    NodeRefused,
    NothingToDo,
    Observation,
    Subject,
    Views,
)
from netsre.runbook.journal import Line

CONDITION_FALSE: Final = "condition_false"
"""The word of a step that its condition leaves out."""


class Kind(StrEnum):
    """What a step of a plan is."""

    OBSERVE = "observe"
    APPLY = "apply"
    SKIP = "skip"
    """There is nothing left to do for it, which is no failure."""
    REFUSE = "refuse"
    """There is nothing that it may be applied to."""
    LATER = "later"
    """Planned at its turn, by what is seen then: its parameters still have their references."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan."""

    step: int
    action: str
    kind: Kind
    parameters: Document
    """With every reference replaced by what the evidence says."""
    condition: Condition | None = None
    """The step is left out when this does not hold at its turn."""
    effect: Deed | None = None
    """Always there for `apply`."""
    reason: str = ""
    """The word of `skip` and `refuse`."""
    message: str = ""
    manner: Manner = USUAL

    @property
    def again(self) -> bool:
        """Tell whether it must be planned once more at its turn: it depends on what comes before it."""
        return self.kind is not Kind.OBSERVE and (
            self.condition is not None
            or (self.effect is not None and deeds.setting(self.effect) is not None)
            or self.kind in (Kind.SKIP, Kind.LATER)
        )

    def document(self) -> Document:
        """Return the step as the journal keeps it."""
        return {
            "step": self.step,
            "action": self.action,
            "kind": self.kind.value,
            "with": self.parameters,
            "if": None if self.condition is None else conditions.text(self.condition),
            "effect": None if self.effect is None else deeds.write(self.effect),
            "reason": self.reason,
            "message": self.message,
            **manners.write(self.manner),
        }

    def line(self) -> Line:
        """Return the line that says how a step was planned anew at its turn."""
        return Line(JournalKind.PLAN, self.step, self.action, self.document())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do, and by what it will be judged."""

    runbook: str
    definition: str
    """Hash of the runbook that this plan was made from."""
    limits: Limits
    steps: tuple[Planned, ...]
    verify: Verification | None
    on_failure: Literal["undo", "stop"]
    unless: tuple[Veto, ...] = ()
    parameters: Labels = ()
    """Names and values of what a person could choose."""

    @property
    def hash(self) -> str:
        """Return the name of exactly this plan."""
        return hashlib.sha256(canonical(self._content()).encode()).hexdigest()

    @property
    def refused(self) -> Planned | None:
        """Return the first step without a condition that has nothing it may be applied to."""
        wanted = (step for step in self.steps if step.condition is None)
        return next((step for step in wanted if step.kind is Kind.REFUSE), None)

    def document(self) -> Document:
        """Return the plan, with its hash."""
        return {**self._content(), "hash": self.hash}

    def line(self) -> Line:
        """Return the line for the journal."""
        return Line(JournalKind.PLAN, -1, "", self.document())

    def _content(self) -> dict[str, Json]:
        return {
            "runbook": self.runbook,
            "definition": self.definition,
            "limits": definition.limits(self.limits),
            "steps": [step.document() for step in self.steps],
            "verify": definition.verification(self.verify),
            "onFailure": self.on_failure,
            **({"unless": definition.vetoes(self.unless)} if self.unless else {}),
            **({"parameters": dict(self.parameters)} if self.parameters else {}),
        }


def make(
    runbook: Runbook,
    subject: Subject,
    evidence: Mapping[int, Document],
    views: Views,
    actions: Mapping[str, Action],
) -> Plan:
    """Return the plan; `evidence` is what the observations before the first change saw, by step.

    Raises `NodeUnreachable` when the node gives no answer: there is no plan then.
    """
    first = _first_change(runbook.steps, actions)
    seen: dict[str, Json] = {}
    for _, document in sorted(evidence.items()):
        seen.update(document)

    def planned(index: int, step: Step) -> Planned:
        later = _later(index, step, first, actions)
        if later is not None:
            return later
        holds = _settled(step, evidence, subject)
        # What holds whatever comes is no condition any more: it is refused before people are asked.
        unplanned = _unplanned(index, replace(step, condition=None) if holds else step, seen)
        if holds is False:
            return replace(unplanned, kind=Kind.SKIP, reason=CONDITION_FALSE)
        return _plan_step(unplanned, subject, views, actions)

    steps = tuple(planned(index, step) for index, step in enumerate(runbook.steps))
    return Plan(
        runbook.name,
        definition.of(runbook),
        runbook.limits,
        steps,
        runbook.verify,
        runbook.on_failure,
        runbook.unless,
        tuple((parameter.name, parameter.value) for parameter in runbook.parameters),
    )


def untold(steps: Sequence[Step], actions: Mapping[str, Action]) -> tuple[int, ...]:
    """Return the changes whose effect no plan can tell, but those of further rounds, by their index."""
    first = _first_change(steps, actions)
    return tuple(
        index
        for index, step in enumerate(steps)
        if (step.manner.round is None or step.manner.round.number == 1)
        and _later(index, step, first, actions) is not None
    )


def again(planned: Planned, subject: Subject, views: Views, actions: Mapping[str, Action]) -> Planned:
    """Return a step as it is planned now, by the evidence of before; raises `NodeUnreachable`."""
    fresh = replace(planned, kind=Kind.OBSERVE, effect=None, reason="", message="")
    return _plan_step(fresh, subject, views, actions)


def read(document: Document) -> Plan:
    """Return the plan of a document; raises `ValueError` for what is none."""
    steps, verify, on_failure = (document.get(key) for key in ("steps", "verify", "onFailure"))
    given = document.get("parameters")
    if not isinstance(steps, Sequence) or isinstance(steps, str) or on_failure not in ("undo", "stop"):
        raise ValueError("the document is no plan")
    return Plan(
        str(document.get("runbook", "")),
        str(document.get("definition", "")),
        definition.read_limits(document.get("limits")),
        tuple(read_step(step) for step in steps),
        None if verify is None else definition.read_verification(verify),
        "undo" if on_failure == "undo" else "stop",
        definition.read_vetoes(document.get("unless")),
        tuple((name, str(text)) for name, text in given.items()) if isinstance(given, Mapping) else (),
    )


def read_step(value: Json) -> Planned:
    """Return the step of a document; raises `ValueError` for what is none."""
    if not isinstance(value, Mapping):
        raise ValueError("the step is no mapping")
    step, parameters, condition, effect = (value.get(key) for key in ("step", "with", "if", "effect"))
    if not isinstance(step, int) or not isinstance(parameters, Mapping):
        raise ValueError("the step has no number or no parameters")
    return Planned(
        step,
        str(value.get("action", "")),
        Kind(str(value.get("kind"))),
        parameters,
        conditions.parse(condition) if isinstance(condition, str) else None,
        deeds.read(effect) if isinstance(effect, Mapping) else None,
        str(value.get("reason", "")),
        str(value.get("message", "")),
        manners.read(value),
    )


def _first_change(steps: Sequence[Step], actions: Mapping[str, Action]) -> int:
    changing = (number for number, step in enumerate(steps) if isinstance(actions.get(step.action), Change))
    return next(changing, len(steps))


def _later(index: int, step: Step, first: int, actions: Mapping[str, Action]) -> Planned | None:
    """Return a change that can only be planned at its turn; None for any other step.

    It is one of a further round, or goes by what is seen after the first change, which is step `first`.
    """
    if not isinstance(actions.get(step.action), Change):
        return None
    loop, sees = step.manner.round, dict(step.manner.sees)
    further = loop is not None and loop.number > 1
    if not further and all(sees.get(name, -1) < first for _, name in references.named(step.parameters)):
        return None
    return Planned(index, step.action, Kind.LATER, step.parameters, step.condition, manner=step.manner)


def _unplanned(index: int, step: Step, seen: Mapping[str, Json]) -> Planned:
    parameters = references.resolved(step.parameters, seen)
    return Planned(index, step.action, Kind.OBSERVE, parameters, step.condition, manner=step.manner)


def _settled(step: Step, evidence: Mapping[int, Document], subject: Subject) -> bool | None:
    """Say whether a condition holds that nothing can change any more; None where something can."""
    if step.condition is None or step.manner.round is not None or not conditions.is_settled(step.condition):
        return None
    known = {name: evidence[at][name] for name, at in step.manner.sees if name in evidence.get(at, {})}
    return conditions.holds(step.condition, subject.alert, evidence=known)


def _plan_step(planned: Planned, subject: Subject, views: Views, actions: Mapping[str, Action]) -> Planned:
    action = actions.get(planned.action)
    if isinstance(action, Observation):
        return planned
    if not isinstance(action, Change):
        message = f"action {planned.action} does not exist in this version"
        return replace(planned, kind=Kind.REFUSE, reason="unknown_action", message=message)
    try:
        effect = action.plan(subject, planned.parameters, views)
    except NothingToDo as nothing:
        return replace(planned, kind=Kind.SKIP, reason=nothing.reason, message=str(nothing))
    except (ActionRefused, NodeRefused) as refusal:
        return replace(planned, kind=Kind.REFUSE, reason=refusal.reason, message=str(refusal))
    except ActionFailed as failure:
        return replace(planned, kind=Kind.REFUSE, reason="step_failed", message=str(failure))
    return replace(planned, kind=Kind.APPLY, effect=effect)
