"""What keeps automation from acting, beside the limits of a runbook: limits of all, pauses, quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsre import clock
from netsre.clock import Timestamp

LONGEST_PAUSE: Final = 7 * clock.DAY
"""A pause that nobody ends must not outlive the reason for it by much."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What all runbooks of a controller share."""

    per_ten_minutes: int = 5
    per_hour: int = 12
    per_day: int = 60
    """Runs that change something, of all runbooks together, within such a time."""
    storm_alerts: int = 10
    """Alerts that may want a change within a minute; more are a storm."""
    storm_hold: int = 10 * clock.MINUTE
    """Milliseconds for which nothing new is changed after a storm."""
    oscillation: int = clock.HOUR
    """Milliseconds within which a field does not go back to a value that it had."""
    quarantine: int = clock.DAY
    """Milliseconds for which a value that did not help is not chosen again."""
    http_allow: tuple[str, ...] = ()
    """What the addresses of HTTP calls may begin with; empty: none is made."""


USUAL: Final = Bounds()
"""What holds where the settings say nothing."""


class Scope(StrEnum):
    """What a pause is for."""

    ALL = "all"
    RUNBOOK = "runbook"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Pause:
    """Somebody asked that nothing be done, until a time."""

    id: str
    scope: Scope
    name: str
    """Of the runbook or the target; empty for all."""
    owner: str
    reason: str
    created_at: Timestamp
    until: Timestamp
    ended_at: Timestamp | None = None
    ended_by: str = ""

    def stands(self, now: Timestamp) -> bool:
        """Tell whether it holds at a time."""
        return self.ended_at is None and now < self.until

    def covers(self, runbook: str, target: str) -> bool:
        """Tell whether it is for a runbook on a target."""
        match self.scope:
            case Scope.ALL:
                return True
            case Scope.RUNBOOK:
                return self.name == runbook
            case Scope.TARGET:
                return self.name == target


class Released(StrEnum):
    """What a person can set free."""

    BREAKER = "breaker"
    """Of a runbook, by its name."""
    QUARANTINE = "quarantine"
    """Of a value, by its key."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A value that did not help, or that a run which helped went away from."""

    key: str
    """The field and the value, such as `conntrack.limit=2000`."""
    run: str
    """Who tried it."""
    since: Timestamp
    until: Timestamp

    def stands(self, now: Timestamp) -> bool:
        """Tell whether it holds at a time; no longer than it was meant to, also after the clock was set."""
        return abs(now - self.since) < self.until - self.since


@dataclass(frozen=True, slots=True)
class Asked:
    """An alert wanted a change."""

    alert: str
    """Its fingerprint."""
    at: Timestamp


Closed = Mapping[str, Timestamp]
"""When a person closed the circuit of each runbook last."""
