"""Runbooks as people write them, their runs, and the journal of a run."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.conditions import Condition
from netsre.model.documents import Document
from netsre.model.levels import Origin

Mode = Literal["observe", "auto"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """The alert and the transition that start a runbook."""

    alert: str
    transition: AlertState


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and how widely a runbook may act; counted from stored runs, which survive restarts."""

    cooldown: int
    """Milliseconds between the starts of two runs on one target."""
    per_hour: int
    """Runs on all targets together within any hour."""
    max_targets: int = 1
    """Targets that runs of this runbook may act upon at one time."""
    min_healthy: int = 0
    """Percent of the other targets without the same alert; fewer is a common cause, which is for people."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action with its parameters."""

    action: str
    parameters: Document
    condition: Condition | None = None
    """`if`: the step is left out when this does not hold at its turn."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a run proves that it helped."""

    slo: str
    window: int
    """Milliseconds that one sample looks back, never to before the last effect."""
    samples: int
    """Samples in a row that must pass."""
    no_data: Literal["inconclusive", "fail"]
    within: int
    """Milliseconds after the last effect by which they must have passed."""


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook, as read from its file."""

    name: str
    triggers: tuple[Trigger, ...]
    when: Condition | None
    lock: str
    """The target, with `{label}` in place of the alert's labels: two runs never share one at a time."""
    limits: Limits
    mode: Mode
    steps: tuple[Step, ...]
    origin: Origin
    verify: Verification | None = None
    """Always there for a runbook that changes anything."""
    on_failure: Literal["undo", "stop"] = "undo"


class RunState(StrEnum):
    """Where a run is in its life."""

    RECEIVED = "received"
    GATED = "gated"
    PLANNED = "planned"
    EXECUTING = "executing"
    VERIFYING = "verifying"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    UNDONE = "undone"
    """It did not help, and everything it changed was taken back."""
    FAILED = "failed"
    """It ended before it changed anything, or by a runbook that leaves its effects to their own end."""
    REFUSED = "refused"
    NEEDS_HUMAN = "needs_human"
    """It cannot say in which state it left the target, or may not go on."""


ENDED: Final = frozenset(
    {RunState.SUCCEEDED, RunState.UNDONE, RunState.FAILED, RunState.REFUSED, RunState.NEEDS_HUMAN}
)
"""States that a run never leaves."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a runbook for one transition of one alert."""

    id: str
    """Derived from the runbook and the transition: the same message twice is the same run."""
    runbook: str
    alert: str
    """Fingerprint of the alert."""
    fired_at: Timestamp
    """With the fingerprint, which firing of the alert it was."""
    target: str
    state: RunState
    reason: str
    """The gate's word until execution, then the word that says how it ended."""
    started_at: Timestamp
    ended_at: Timestamp | None

    @property
    def ended(self) -> bool:
        """Tell whether the run is over."""
        return self.state in ENDED


class JournalKind(StrEnum):
    """What a line of the journal says."""

    GATES = "gates"
    """Every gate with its answer."""
    PLAN = "plan"
    """The exact effects, and the hash that names this plan."""
    INTENT = "intent"
    """Written, and on disk, before a step begins."""
    OUTCOME = "outcome"
    """Written after the step."""
    SAMPLE = "sample"
    """One look at the service level after the last effect."""
    UNDO_INTENT = "undo_intent"
    UNDO_OUTCOME = "undo_outcome"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of a run's journal; never changed once written."""

    run: str
    seq: int
    at: Timestamp
    kind: JournalKind
    step: int
    """Index into the runbook's steps; -1 where a line is about the whole run."""
    action: str
    data: Document
