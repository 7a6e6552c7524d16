"""What the gates judge by, beside the runbook and the alert."""

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.holds import USUAL, Asked, Bounds, Closed, Pause
from netsre.model.maintenance import Maintenance
from netsre.model.runbooks import Run


class KillSwitch(StrEnum):
    """What is known of the kill switch."""

    OFF = "off"
    ON = "on"
    UNREADABLE = "unreadable"
    """As good as on."""


@dataclass(frozen=True, slots=True)
class Holds:
    """What keeps automation from acting, beside the limits of a runbook."""

    bounds: Bounds = USUAL
    changed: tuple[Run, ...] = ()
    """Runs that changed something: those of a day, and the latest of each runbook."""
    asked: tuple[Asked, ...] = ()
    """Alerts for which a change was wanted lately."""
    pauses: tuple[Pause, ...] = ()
    closed: Closed = field(default_factory=lambda: MappingProxyType({}))
    calendars: tuple[Maintenance, ...] = ()
    firing: tuple[Alert, ...] = ()
    """Alerts that fire and that a runbook has under `unless`."""
    asking: frozenset[str] = frozenset()
    """Runbooks that ask people before their first change."""

    def idle(self, run: Run) -> bool:
        """Tell whether a run has no target yet: it waits for people, or will before it changes anything."""
        return run.waits or (run.runbook in self.asking and run.changed_at is None)


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
    holds: Holds = Holds()


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants to do: the same when an alert comes, and before each change."""

    runbook: str
    target: str | None
    alert: Alert
    changes: bool
    """Whether it may change anything; who only looks acts upon nothing."""
