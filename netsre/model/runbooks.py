"""Runbooks as people write them, their runs, and the journal of a run."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from netsre.clock import Timestamp
from netsre.model.alerts import AlertState
from netsre.model.conditions import Condition
from netsre.model.documents import Document
from netsre.model.levels import Origin


@dataclass(frozen=True, slots=True)
class Trigger:
    """The alert and the transition that start a runbook."""

    alert: str
    transition: AlertState


@dataclass(frozen=True, slots=True)
class Limits:
    """How often a runbook may run; both survive a restart because they are counted from the stored runs."""

    cooldown: int
    """Milliseconds between the starts of two runs on one target."""
    per_hour: int
    """Runs on all targets together within any hour."""


@dataclass(frozen=True, slots=True)
class Step:
    """One action with its parameters."""

    action: str
    parameters: Document


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook, as read from its file."""

    name: str
    triggers: tuple[Trigger, ...]
    when: Condition | None
    lock: str
    """The target, with `{label}` in place of the alert's labels: two runs never share one at a time."""
    limits: Limits
    mode: Literal["observe"]
    steps: tuple[Step, ...]
    origin: Origin


class RunState(StrEnum):
    """Where a run is in its life."""

    RECEIVED = "received"
    GATED = "gated"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"


ENDED: Final = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.REFUSED})
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

    INTENT = "intent"
    """Written, and on disk, before a step begins."""
    OUTCOME = "outcome"
    """Written after the step."""
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One line of a run's journal; never changed once written."""

    run: str
    seq: int
    at: Timestamp
    kind: JournalKind
    step: int
    """Index into the runbook's steps."""
    action: str
    data: Document
