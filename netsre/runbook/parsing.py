"""Runbook files become `Runbook`s: everything or, with every finding, nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import conventions
from netsre.alerting import describe
from netsre.metrics.registry import REGISTRY
from netsre.model import gamedays, linting, literals, maintenance, scenarios, specs, values
from netsre.model.alerts import AlertState
from netsre.model.directory import Directory
from netsre.model.runbooks import Mode, Runbook, Step, Trigger, Veto
from netsre.model.samples import labels
from netsre.runbook import asked, bounds, codes, parameters, plan, proofs, steps, targets
from netsre.runbook.actions.contract import Action

KIND: Final = "Runbook"
ALERT_LABELS: Final = frozenset({"alertname", "severity", "service", "slo", conventions.NODE}) | {
    label for metric in REGISTRY.values() for label in metric.labels
}
"""Labels that an alert can have: those of every alert, and whatever an SLO or an alert can group by."""
FOREIGN: Final = "alertmanager"
"""Under `from`: the alert is somebody else's, and comes by Alertmanager's webhook."""
BESIDE: Final = frozenset({gamedays.KIND, maintenance.KIND, scenarios.KIND})
"""What else may stand in the same files, and is read by others."""


@dataclass(frozen=True, slots=True)
class Known:
    """What runbooks may name."""

    alerts: Collection[str] = (describe.ALERT_NAME,)
    slos: Collection[str] | None = None
    """None where any will do."""
    directory: Directory | None = None
    """The people who may be asked; None where anybody will do."""


def parse(
    texts: Mapping[str, str], actions: Mapping[str, Action], known: Known | None = None
) -> tuple[Runbook, ...]:
    """Read files (name to text) strictly, by name of the runbook; raises `SpecErrors` with all findings.

    Game days, maintenance calendars and scenarios may stand in the same files.
    """
    findings = linting.Findings()
    documents = specs.of_files(texts, {KIND}, findings, BESIDE)
    specs.refuse_duplicates(documents, codes.DUPLICATE, "runbook", findings)
    reader = _Reader(actions, known or Known())
    read = [reader.runbook(document) for document in documents]
    findings.raise_if_any()
    return tuple(sorted((book for book in read if book is not None), key=lambda book: book.name))


@dataclass(frozen=True, slots=True)
class _Reader:
    """What reading a runbook needs to know."""

    actions: Mapping[str, Action]
    known: Known

    def runbook(self, document: specs.Document) -> Runbook | None:
        before = len(document.spec.findings)
        document.metadata.end()
        spec = document.spec
        triggers, foreign = self._triggers(spec)
        when = steps.condition(spec, "when", measured=False)
        lock, limits, unless = _lock(spec, foreign=foreign), bounds.read(spec), self._vetoes(spec)
        mode, approval = asked.read(spec, self.known.directory)
        declared = parameters.read(spec)
        taken = steps.read(spec, self.actions, parameters.Filler(declared), measured=not foreign)
        verify = proofs.read(spec, self.known.slos)
        on_failure = spec.choice("onFailure", "undo", "stop", required=False)
        if steps.changes(taken, self.actions):
            _check_change(spec, triggers, mode, proven="verify" in spec)
        if approval is not None:
            _check_told(spec, taken, self.actions)
        spec.end()
        if len(spec.findings) > before or lock is None or limits is None:
            return None
        return Runbook(
            document.name,
            triggers,
            when,
            lock,
            limits,
            mode,
            taken,
            document.origin,
            verify,
            "stop" if on_failure == "stop" else "undo",
            unless,
            approval,
            declared,
        )

    def _triggers(self, spec: values.Mapping) -> tuple[tuple[Trigger, ...], bool]:
        """Return the triggers, and whether one of them is an alert that is not ours."""
        sequence = spec.sequence("on")
        if sequence is None:
            return (), False
        found, foreign = [], False
        for item in sequence.mappings():
            alert = item.text("alert")
            theirs = item.choice("from", FOREIGN, required=False) is not None
            transition = item.choice("transition", *(state.value for state in AlertState))
            match = item.mapping("match", required=False)
            wanted = {} if match is None else match.pairs()
            item.end()
            foreign = foreign or theirs
            if alert is not None:
                self._check_name(item, alert, theirs=theirs)
            if alert is not None and transition is not None:
                found.append(Trigger(alert, AlertState(transition), labels(wanted)))
            if not theirs:
                _check_labels(item, wanted)
        if not sequence.nodes:
            spec.wrong("on", codes.NO_TRIGGER, "is empty; name an alert and its transition")
        return tuple(found), foreign

    def _vetoes(self, spec: values.Mapping) -> tuple[Veto, ...]:
        sequence = spec.sequence("unless", required=False)
        return () if sequence is None else tuple(filter(None, map(self._veto, sequence.mappings())))

    def _veto(self, item: values.Mapping) -> Veto | None:
        alert = item.text("alert")
        theirs = item.choice("from", FOREIGN, required=False) is not None
        match, equal = item.mapping("match", required=False), item.sequence("equal", required=False)
        wanted = {} if match is None else match.pairs()
        shared = (conventions.NODE,) if equal is None else equal.texts()
        item.end()
        if alert is None:
            return None
        self._check_name(item, alert, theirs=theirs)
        for name in (*wanted, *shared):
            if name not in ALERT_LABELS and not theirs:
                hint = literals.nearest(name, ALERT_LABELS)
                item.wrong("alert", codes.VETO, f"is asked for the label {name!r}, which no alert has{hint}")
        return Veto(alert, labels(wanted), shared)

    def _check_name(self, item: values.Mapping, alert: str, *, theirs: bool) -> None:
        known = alert in self.known.alerts
        if theirs and known:
            message = f"is for alerts of others, and {literals.shown(alert)} is one of ours; leave it out"
            item.wrong("from", codes.UNKNOWN_ALERT, message)
        elif not theirs and not known:
            hint = literals.nearest(alert, self.known.alerts)
            message = f"{literals.shown(alert)} does not exist{hint}; somebody else's has from: {FOREIGN}"
            item.wrong("alert", codes.UNKNOWN_ALERT, message)


def _check_labels(item: values.Mapping, wanted: Collection[str]) -> None:
    for name in wanted:
        if name not in ALERT_LABELS:
            hint = literals.nearest(name, ALERT_LABELS)
            item.wrong("match", codes.MATCH, f"asks for the label {name!r}, which no alert has{hint}")


def _lock(spec: values.Mapping, *, foreign: bool) -> str | None:
    lock = spec.text("lock")
    if lock is not None and (problem := targets.problem(lock)) is not None:
        spec.wrong("lock", codes.TARGET, problem)
    for name in targets.places(lock or ""):
        # Which labels the alerts of others have is for others to say.
        if name not in ALERT_LABELS and not foreign:
            hint = literals.nearest(name, ALERT_LABELS)
            message = f"needs the label {name!r}, which no alert has, so that it would never run{hint}"
            spec.wrong("lock", codes.TARGET, message)
    return lock


def _check_change(spec: values.Mapping, triggers: tuple[Trigger, ...], mode: Mode, *, proven: bool) -> None:
    """Report what a runbook lacks that changes something."""
    if mode == "observe":
        message = "only observes, and its steps change something; write {mode: auto}"
        spec.wrong("approval", codes.CHANGE, message)
    if not proven:
        message = "is missing; what is changed must be proven to help, by an SLO"
        spec.wrong("verify", codes.CHANGE, message)
    if any(trigger.transition is not AlertState.FIRING for trigger in triggers):
        message = "starts changes by an alert that is over; write {transition: firing}"
        spec.wrong("on", codes.CHANGE, message)


def _check_told(spec: values.Mapping, taken: Sequence[Step], actions: Mapping[str, Action]) -> None:
    """Report what people are asked about without being told: it would end every run (`plan_changed`)."""
    for index in plan.untold(taken, actions):
        message = f"ask people about step {index}, {taken[index].action}, and what that goes by is seen after"
        advice = "the first change; put the look before that change, or write {mode: auto}"
        spec.wrong("steps", codes.UNTOLD, f"{message} {advice}")
