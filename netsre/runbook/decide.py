"""The gates of a runbook, in order: the first that says no gives the run its word, and all are on record."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.clock import HOUR, Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.documents import Document
from netsre.model.runbooks import JournalKind, Limits, Run, Runbook, RunState, Trigger
from netsre.runbook import conditions, definition, targets
from netsre.runbook.journal import Line

BLIND_AFTER: Final = 3
"""Evaluation intervals without a reading after which nothing is changed any more."""
HUMAN_HOLD: Final = HOUR
"""How long a target is left to people after a run that ended `needs_human` there."""


class Gate(StrEnum):
    """The answer of the gates: the same word in the metric, the log, the audit and the API."""

    NOT_MATCHED = "not_matched"
    """Another runbook's business; no run is recorded."""
    CONDITION_FALSE = "condition_false"
    NO_TARGET = "no_target"
    """The alert lacks a label of the target: nothing is never read as everything."""
    KILL_SWITCH_ON = "kill_switch_on"
    KILL_SWITCH_UNREADABLE = "kill_switch_unreadable"
    ALERT_NOT_FIRING = "alert_not_firing"
    """It fired when it was announced, and does not now."""
    BLIND = "blind"
    """The last reading is too old to change anything by it, or there is none."""
    ALREADY_RUNNING = "already_running"
    """A run of any runbook has this target."""
    NEEDS_HUMAN = "needs_human"
    """A run on this target ended with a question for people, less than an hour ago."""
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_TARGETS = "too_many_targets"
    COMMON_CAUSE = "common_cause"
    """Too many other targets have the same alert: whatever it is, it is not this node's."""
    ACCEPTED = "accepted"


_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Gate.NOT_MATCHED: "alert starts it",
        Gate.CONDITION_FALSE: "condition true",
        Gate.NO_TARGET: "target known",
        Gate.KILL_SWITCH_ON: "kill switch off",
        Gate.KILL_SWITCH_UNREADABLE: "kill switch readable",
        Gate.ALERT_NOT_FIRING: "alert firing",
        Gate.BLIND: "readings fresh",
        Gate.ALREADY_RUNNING: "target free",
        Gate.NEEDS_HUMAN: "no question open",
        Gate.COOLDOWN: "cooldown over",
        Gate.RATE_LIMITED: "runs left this hour",
        Gate.TOO_MANY_TARGETS: "few targets at work",
        Gate.COMMON_CAUSE: "others healthy",
    }
)


def title(gate: str) -> str:
    """Return what a gate asks for, in words; of a gate of another version, its own word."""
    return _TITLES.get(gate, gate)


class KillSwitch(StrEnum):
    """What is known of the kill switch."""

    OFF = "off"
    ON = "on"
    UNREADABLE = "unreadable"
    """As good as on."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the gates judge by, beside the runbook and the alert."""

    now: Timestamp
    history: tuple[Run, ...]
    """Runs of all runbooks: those that are not over, and those begun within `lookback`."""
    kill_switch: KillSwitch
    firing: bool
    """Whether the alert fires now, on record."""
    reading_age: int | None
    """Milliseconds since the last reading of the alert's node; None: none since this process started."""
    interval: int
    """Milliseconds between two evaluations."""
    node: str
    """The node that is read and acted upon here."""
    others: int = 0
    """Targets beside this one: the other nodes that are read."""
    others_alerting: int = 0
    """How many of those have the same alert."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one gate says."""

    gate: Gate
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates say about one runbook and one transition, or about one change of a run."""

    reason: Gate
    target: str = ""
    answers: tuple[Answer, ...] = ()
    definition: str = ""
    """Hash of the runbook that was judged; empty for the gates before a change."""

    @property
    def accepted(self) -> bool:
        """Tell whether the run may go on."""
        return self.reason is Gate.ACCEPTED

    def document(self) -> Document:
        """Return the verdict as the journal keeps it."""
        return {
            "accepted": self.accepted,
            "reason": self.reason.value,
            "definition": self.definition,
            "gates": [
                {"gate": answer.gate.value, "passed": answer.passed, "detail": answer.detail}
                for answer in self.answers
            ],
        }

    def line(self, step: int = -1, action: str = "") -> Line:
        """Return the line for the journal: of the whole run (-1), or before the change of a step."""
        return Line(JournalKind.GATES, step, action, self.document())


def decide(runbook: Runbook, alert: Alert, circumstances: Circumstances) -> Verdict:
    """Return the verdict on a runbook for an alert that just changed its state."""
    target = targets.resolve(runbook.lock, alert.labels)
    changes = runbook.mode == "auto"
    answers = (
        *_about(runbook, alert, target, circumstances.node),
        _kill_switch(circumstances.kill_switch),
        _firing(circumstances, needed=alert.state is AlertState.FIRING),
        _blind(circumstances, begun=False, changes=changes),
        *_limits(runbook.name, runbook.limits, target, circumstances, changes=changes),
    )
    return Verdict(_first_no(answers), target or "", answers, definition.of(runbook))


def recheck(run: Run, limits: Limits, circumstances: Circumstances) -> Verdict:
    """Return the verdict on the next change of a run: every gate but those that the run itself would shut."""
    others = tuple(other for other in circumstances.history if other.id != run.id)
    answers = (
        _kill_switch(circumstances.kill_switch),
        _firing(circumstances, needed=True),
        _blind(circumstances, begun=True, changes=True),
        *_limits(run.runbook, limits, run.target, replace(circumstances, history=others), changes=True),
    )
    return Verdict(_first_no(answers), run.target, answers)


def kill_switch(run: Run, state: KillSwitch) -> Verdict:
    """Return the verdict on taking an effect back: nothing but the kill switch stops that."""
    answers = (_kill_switch(state),)
    return Verdict(_first_no(answers), run.target, answers)


def lookback(runbooks: Iterable[Runbook]) -> int:
    """Return how far back, in milliseconds, runs must be known to judge every limit."""
    # A run that ended within the hold began before it.
    return max((2 * HUMAN_HOLD, *(runbook.limits.cooldown for runbook in runbooks)))


def _first_no(answers: tuple[Answer, ...]) -> Gate:
    return next((answer.gate for answer in answers if not answer.passed), Gate.ACCEPTED)


def _about(runbook: Runbook, alert: Alert, target: str | None, here: str) -> Iterator[Answer]:
    pairs = dict(alert.labels)
    name, node = pairs.get("alertname", ""), pairs.get(conventions.NODE)
    # One Alertmanager may tell the controllers of many nodes; evidence of another node would mislead.
    ours = node in (None, here)
    said = f"{name or 'no name'} {alert.state}" + ("" if ours else f" on {node}, and this is {here}")
    trigger = Trigger(name, alert.state)
    yield Answer(Gate.NOT_MATCHED, trigger in runbook.triggers and ours, said)
    holds = runbook.when is None or conditions.holds(runbook.when, alert)
    said = "no condition" if runbook.when is None else conditions.text(runbook.when)
    yield Answer(Gate.CONDITION_FALSE, holds, said)
    # Without a node no reading could show whether a change helped.
    lacks = runbook.mode == "auto" and node is None
    said = "a change needs the alert's label node" if lacks else f"{runbook.lock} needs a label of the alert"
    known = target is not None and not lacks
    yield Answer(Gate.NO_TARGET, known, (known and target) or said)


def _firing(circumstances: Circumstances, *, needed: bool) -> Answer:
    firing = circumstances.firing
    return Answer(Gate.ALERT_NOT_FIRING, firing or not needed, "fires" if firing else "does not fire")


def _blind(circumstances: Circumstances, *, begun: bool, changes: bool) -> Answer:
    age, most = circumstances.reading_age, BLIND_AFTER * circumstances.interval
    if age is None:
        # Who has just started waits for the first reading; before a change there must be one.
        return Answer(Gate.BLIND, not begun or not changes, "no reading since this controller started")
    said = f"last reading {_age_text(abs(age))} ago, at most {clock.duration_text(most)}"
    return Answer(Gate.BLIND, abs(age) <= most or not changes, said)


def _kill_switch(state: KillSwitch) -> Answer:
    unreadable = state is KillSwitch.UNREADABLE
    gate = Gate.KILL_SWITCH_UNREADABLE if unreadable else Gate.KILL_SWITCH_ON
    return Answer(gate, state is KillSwitch.OFF, f"kill switch {state}")


def _limits(
    name: str,
    limits: Limits,
    target: str | None,
    circumstances: Circumstances,
    *,
    changes: bool,
) -> Iterator[Answer]:
    # A refused run did nothing, so it starts no cooldown: a flapping alert would block itself for ever.
    ran = [run for run in circumstances.history if run.state is not RunState.REFUSED]
    own = [run for run in ran if run.runbook == name]
    yield _already_running(ran, target)
    yield _needs_human(ran, target, circumstances.now)
    yield _cooldown(own, target, limits, circumstances.now)
    # Either way in time: a run of the future was begun before the clock was set back; it limits as long.
    recent = sum(abs(circumstances.now - run.started_at) < HOUR for run in own)
    said = f"{recent} of {limits.per_hour} runs within the hour"
    yield Answer(Gate.RATE_LIMITED, recent < limits.per_hour, said)
    elsewhere = {run.target for run in own if not run.ended and run.target != target}
    said = f"{len(elsewhere)} other targets in work, at most {limits.max_targets} in all"
    # What only looks acts upon none.
    yield Answer(Gate.TOO_MANY_TARGETS, len(elsewhere) < limits.max_targets or not changes, said)
    yield _common_cause(circumstances, limits)


def _already_running(ran: Iterable[Run], target: str | None) -> Answer:
    holder = next((run for run in ran if run.target == target and not run.ended), None)
    said = "the target is free" if holder is None else f"run {holder.id} of {holder.runbook}"
    return Answer(Gate.ALREADY_RUNNING, holder is None, said)


def _needs_human(ran: Iterable[Run], target: str | None, now: Timestamp) -> Answer:
    left = [
        run
        for run in ran
        if run.target == target
        and run.state is RunState.NEEDS_HUMAN
        and abs(now - (run.ended_at or run.started_at)) < HUMAN_HOLD
    ]
    said = f"run {left[-1].id} of {left[-1].runbook}: {left[-1].reason}" if left else "no run was left open"
    return Answer(Gate.NEEDS_HUMAN, not left, said)


def _cooldown(own: Iterable[Run], target: str | None, limits: Limits, now: Timestamp) -> Answer:
    ages = [abs(now - run.started_at) for run in own if run.target == target]
    said = f"last run {_age_text(min(ages))} ago" if ages else "no run before"
    passed = all(age >= limits.cooldown for age in ages)
    return Answer(Gate.COOLDOWN, passed, f"{said}, cooldown {clock.duration_text(limits.cooldown)}")


def _age_text(age: int) -> str:
    """Return an age for people: nobody reads milliseconds beside minutes."""
    return clock.duration_text(age if age < clock.SECOND else age - age % clock.SECOND)


def _common_cause(circumstances: Circumstances, limits: Limits) -> Answer:
    others, ill = circumstances.others, circumstances.others_alerting
    passed = (others - ill) * 100 >= limits.min_healthy * others
    said = f"{others - ill} of {others} others healthy, at least {limits.min_healthy}%"
    return Answer(Gate.COMMON_CAUSE, passed, said)
