"""Runbook files become `Runbook`s: everything or, with every finding, nothing."""

from collections.abc import Mapping
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe
from netsre.metrics.registry import REGISTRY
from netsre.model import literals, specs
from netsre.model.alerts import AlertState
from netsre.model.conditions import Condition
from netsre.model.runbooks import Limits, Runbook, Step, Trigger
from netsre.runbook import codes, conditions, targets
from netsre.runbook.actions.contract import Action

KIND: Final = "Runbook"
ALERT_LABELS: Final = frozenset({"alertname", "severity", "service", "slo", conventions.NODE}) | {
    label for metric in REGISTRY.values() for label in metric.labels
}
"""Labels that an alert can have: those of every alert, and whatever an SLO can group by."""
DEFAULT_LIMITS: Final = Limits(cooldown=15 * clock.MINUTE, per_hour=3)
_ALERTS: Final = (describe.ALERT_NAME,)


def parse(texts: Mapping[str, str], actions: Mapping[str, Action]) -> tuple[Runbook, ...]:
    """Read files (name to text) strictly, by name of the runbook; raises `SpecErrors` with all findings."""
    findings = specs.Findings()
    documents = [
        document
        for file, text in sorted(texts.items())
        for document in specs.documents(text, file, {KIND}, findings)
    ]
    specs.refuse_duplicates(documents, codes.DUPLICATE, "runbook", findings)
    read = [_runbook(document, actions) for document in documents]
    findings.raise_if_any()
    return tuple(sorted((book for book in read if book is not None), key=lambda book: book.name))


def _runbook(document: specs.Document, actions: Mapping[str, Action]) -> Runbook | None:
    before = len(document.spec.findings)
    document.metadata.end()
    spec = document.spec
    triggers = _triggers(spec)
    when = _when(spec)
    lock = _lock(spec)
    limits = _limits(spec)
    _mode(spec)
    steps = _steps(spec, actions)
    spec.end()
    if len(spec.findings) > before or lock is None or limits is None:
        return None
    return Runbook(document.name, triggers, when, lock, limits, "observe", steps, document.origin)


def _triggers(spec: specs.Mapping) -> tuple[Trigger, ...]:
    sequence = spec.sequence("on")
    if sequence is None:
        return ()
    found = []
    for item in sequence.mappings():
        alert = item.choice("alert", *_ALERTS)
        transition = item.choice("transition", *(state.value for state in AlertState))
        item.end()
        if alert is not None and transition is not None:
            found.append(Trigger(alert, AlertState(transition)))
    if not sequence.nodes:
        spec.wrong("on", codes.NO_TRIGGER, "is empty; name an alert and its transition")
    return tuple(found)


def _when(spec: specs.Mapping) -> Condition | None:
    text = spec.text("when", required=False)
    if text is None:
        return None
    try:
        return conditions.parse(text)
    except conditions.ConditionError as error:
        spec.wrong("when", codes.CONDITION, f"cannot be read: {error}")
        return None


def _lock(spec: specs.Mapping) -> str | None:
    lock = spec.text("lock")
    if lock is not None and (problem := targets.problem(lock)) is not None:
        spec.wrong("lock", codes.TARGET, problem)
    for name in targets.places(lock or ""):
        if name not in ALERT_LABELS:
            hint = literals.nearest(name, ALERT_LABELS)
            message = f"needs the label {name!r}, which no alert has, so that it would never run{hint}"
            spec.wrong("lock", codes.TARGET, message)
    return lock


def _limits(spec: specs.Mapping) -> Limits | None:
    limits = spec.mapping("limits", required=False)
    if limits is None:
        return DEFAULT_LIMITS
    cooldown = limits.duration("cooldown", required=False)
    per_hour = limits.integer("perHour", required=False)
    if per_hour == 0:
        limits.wrong("perHour", codes.LIMIT, "0 would refuse every run; write at least 1")
    limits.end()
    return Limits(
        DEFAULT_LIMITS.cooldown if cooldown is None else cooldown,
        DEFAULT_LIMITS.per_hour if per_hour is None else per_hour,
    )


def _mode(spec: specs.Mapping) -> None:
    approval = spec.mapping("approval")
    if approval is None:
        return
    mode = approval.text("mode")
    if mode is not None and mode != "observe":
        approval.wrong("mode", codes.MODE, f"{literals.shown(mode)}: only observe is supported so far")
    approval.end()


def _steps(spec: specs.Mapping, actions: Mapping[str, Action]) -> tuple[Step, ...]:
    sequence = spec.sequence("steps")
    if sequence is None:
        return ()
    if not sequence.nodes:
        spec.wrong("steps", codes.NO_STEPS, "is empty; write at least one action")
    steps = [_step(item, actions) for item in sequence.mappings()]
    return tuple(step for step in steps if step is not None)


def _step(item: specs.Mapping, actions: Mapping[str, Action]) -> Step | None:
    name = item.text("action")
    parameters = item.mapping("with")
    item.end()
    if name is None:
        return None
    action = actions.get(name)
    if action is None:
        hint = literals.nearest(name, actions)
        item.wrong("action", codes.UNKNOWN_ACTION, f"{literals.shown(name)} does not exist{hint}")
        return None
    if parameters is None:
        return None
    taken = action.read(parameters)
    parameters.end()
    return None if taken is None else Step(name, taken)
