"""The word of every gate, and what it asks for."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Gate(StrEnum):
    """The answer of the gates: the same word in the metric, the log, the audit and the API."""

    NOT_MATCHED = "not_matched"
    """Another runbook's business; no run is recorded."""
    CONDITION_FALSE = "condition_false"
    NO_TARGET = "no_target"
    """The alert lacks a label of the target: nothing is never read as everything."""
    KILL_SWITCH_ON = "kill_switch_on"
    KILL_SWITCH_UNREADABLE = "kill_switch_unreadable"
    PAUSED = "paused"
    """Somebody asked that nothing be done, for a while and for a reason."""
    MAINTENANCE = "maintenance"
    """A window of a maintenance calendar is open."""
    VETOED = "vetoed"
    """An alert fires beside which the runbook must not act."""
    ALERT_NOT_FIRING = "alert_not_firing"
    """It fired when it was announced, and does not now."""
    BLIND = "blind"
    """The last reading is too old to change anything by it, or there is none."""
    STORM = "storm"
    """Too many alerts want a change at once: whatever it is, it is not one target's."""
    ALREADY_RUNNING = "already_running"
    """A run of any runbook has this target."""
    NEEDS_HUMAN = "needs_human"
    """A run on this target ended with a question for people, less than an hour ago."""
    CIRCUIT_OPEN = "circuit_open"
    """The last runs of this runbook did not help, one after the other."""
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"
    TARGET_LIMITED = "target_limited"
    TOO_MANY_TARGETS = "too_many_targets"
    GLOBAL_LIMITED = "global_limited"
    """All runbooks together changed enough."""
    COMMON_CAUSE = "common_cause"
    """Too many other targets have the same alert: whatever it is, it is not this node's."""
    OSCILLATION = "oscillation"
    """The value was left a short while ago: going back to it would go to and fro."""
    QUARANTINED = "quarantined"
    """The value was tried, and did not help."""
    ACCEPTED = "accepted"


_TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        Gate.NOT_MATCHED: "alert starts it",
        Gate.CONDITION_FALSE: "condition true",
        Gate.NO_TARGET: "target known",
        Gate.KILL_SWITCH_ON: "kill switch off",
        Gate.KILL_SWITCH_UNREADABLE: "kill switch readable",
        Gate.PAUSED: "not paused",
        Gate.MAINTENANCE: "no maintenance",
        Gate.VETOED: "no alert against it",
        Gate.ALERT_NOT_FIRING: "alert firing",
        Gate.BLIND: "readings fresh",
        Gate.STORM: "no storm of alerts",
        Gate.ALREADY_RUNNING: "target free",
        Gate.NEEDS_HUMAN: "no question open",
        Gate.CIRCUIT_OPEN: "circuit closed",
        Gate.COOLDOWN: "cooldown over",
        Gate.RATE_LIMITED: "runs left",
        Gate.TARGET_LIMITED: "runs left on the target",
        Gate.TOO_MANY_TARGETS: "few targets at work",
        Gate.GLOBAL_LIMITED: "changes left of all runbooks",
        Gate.COMMON_CAUSE: "others healthy",
        Gate.OSCILLATION: "no way back and forth",
        Gate.QUARANTINED: "value not in quarantine",
    }
)


def title(gate: str) -> str:
    """Return what a gate asks for, in words; of a gate of another version, its own word."""
    return _TITLES.get(gate, gate)
