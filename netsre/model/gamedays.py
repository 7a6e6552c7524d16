"""Game days: faults on purpose, as people write them, and what came of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final, Literal

from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.levels import Origin

KIND: Final = "GameDay"

Profile = Literal["udp", "tcp"]
Stage = Literal["detected", "paged", "mitigated", "verified"]
STAGES: Final[tuple[Stage, ...]] = ("detected", "paged", "mitigated", "verified")


@dataclass(frozen=True, slots=True)
class Flood:
    """A client of the lab fills the connection table of the lab's server."""

    profile: Profile
    duration: int
    """Milliseconds; the fault ends by then, whatever happens to those who watch."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a game day runs by itself."""

    cron: str
    timezone: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What should answer the fault."""

    alert: str
    runbook: str
    slo: str
    """Whose budget is counted."""


@dataclass(frozen=True, slots=True)
class GameDay:
    """A game day, as read from its file."""

    name: str
    hypothesis: str
    fault: Flood
    expect: Expectation
    deadlines: Mapping[Stage, int]
    """Milliseconds until each stage must be reached, in their order. They count from the injection; with the
    slow profile `tcp` from the moment the table is seen beyond the value of the alert."""
    abort_below: Fraction | None
    """Share of the window's budget; with less left it is not begun, or ends at once; None: not asked."""
    schedule: Schedule | None
    origin: Origin


class DrillState(StrEnum):
    """Where one run of a game day is."""

    REQUESTED = "requested"
    INJECTING = "injecting"
    WATCHING = "watching"
    CLEANING = "cleaning"
    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    REFUSED = "refused"


DRILL_ENDED: Final = frozenset({DrillState.PASSED, DrillState.FAILED, DrillState.ABORTED, DrillState.REFUSED})


@dataclass(frozen=True, slots=True)
class Drill:
    """One run of a game day."""

    id: str
    gameday: str
    profile: Profile
    by: str
    """Who asked: a user's name, or `schedule`."""
    scheduled_at: Timestamp | None
    state: DrillState
    reason: str
    requested_at: Timestamp
    ended_at: Timestamp | None
    result: Document
    """Times and figures as far as they are known."""

    @property
    def ended(self) -> bool:
        """Tell whether it is over."""
        return self.state in DRILL_ENDED


class DrillKind(StrEnum):
    """What a line of a drill's journal says."""

    INTENT = "intent"
    """Written, and on disk, before an effect; `data` has its `key`."""
    OUTCOME = "outcome"
    """Written once it is known what became of the effect of that `key`."""
    STAGE = "stage"
    """The `stage` that was reached, and `at` which time."""
    ABORT = "abort"
    """Somebody (`by`) asked for the end of it."""
    VERDICT = "verdict"
    """How it will end once everything is cleaned up: `state` and `reason`."""
    PROOF = "proof"
    """What the host looked like after the cleaning."""


@dataclass(frozen=True, slots=True)
class DrillEntry:
    """One line of a drill's journal; never changed once written."""

    drill: str
    seq: int
    at: Timestamp
    kind: DrillKind
    data: Document
