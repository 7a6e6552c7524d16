"""The gates of a game day: whoever asks, a person or the schedule, gets the first no with its word."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.gamedays import GameDay
from netsre.model.levels import Measured, Ratio

LATE_AFTER: Final = 30 * clock.SECOND
"""A drill that did not begin so long after it should have is left out: nobody expects it any more."""


class Gate(StrEnum):
    """The answer of the gates: the same word in the metric, the log, the audit and the API."""

    UNKNOWN_GAMEDAY = "unknown_gameday"
    KEY_REUSED = "key_reused"
    """The same key came with another wish before; nothing is recorded, and nothing begun."""
    ALREADY_RAN = "already_ran"
    """This scheduled time had its turn, whatever came of it; it is not recorded twice."""
    LATE = "late"
    KILL_SWITCH_ON = "kill_switch_on"
    KILL_SWITCH_UNREADABLE = "kill_switch_unreadable"
    NO_LAB = "no_lab"
    """No lab answers, and faults are for labs only."""
    NO_NODE = "no_node"
    """The agent does not answer: nobody could block, take back, or prove anything."""
    DRILL_ACTIVE = "drill_active"
    ALERT_FIRING = "alert_firing"
    """An alert of the target fires already: look before you start."""
    RUNBOOK_REFUSES = "runbook_refuses"
    """The expected runbook would not act now, for a cooldown or another limit."""
    BUDGET_LOW = "budget_low"
    BUDGET_UNKNOWN = "budget_unknown"
    """Nothing was measured, which is never read as untouched."""
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known when somebody asks."""

    ran: bool
    """There is a record for this scheduled time."""
    switch_on: bool
    switch_readable: bool
    lab: bool
    """A lab answers."""
    node: bool
    """The agent answers."""
    active: bool
    """Another drill is not over."""
    firing: Collection[str]
    """Names of the alerts of the target that fire."""
    refusal: str
    """Why the expected runbook would not act now; empty when it would."""
    budget_left: Ratio


def decide(gameday: GameDay | None, due_at: Timestamp, around: Surroundings, now: Timestamp) -> Gate:
    """Return the verdict on one request for a game day that was to begin at `due_at`."""
    if gameday is None:
        return Gate.UNKNOWN_GAMEDAY
    answers = (
        (around.ran, Gate.ALREADY_RAN),
        (now - due_at > LATE_AFTER, Gate.LATE),
        (not around.switch_readable, Gate.KILL_SWITCH_UNREADABLE),
        (around.switch_on, Gate.KILL_SWITCH_ON),
        (not around.lab, Gate.NO_LAB),
        (not around.node, Gate.NO_NODE),
        (around.active, Gate.DRILL_ACTIVE),
        (bool(around.firing), Gate.ALERT_FIRING),
        (bool(around.refusal), Gate.RUNBOOK_REFUSES),
    )
    for refused, gate in answers:
        if refused:
            return gate
    return budget_gate(gameday, around.budget_left)


def budget_gate(gameday: GameDay, left: Ratio) -> Gate:
    """Return whether enough of the budget is left for a game day to begin, or to go on."""
    if gameday.abort_below is None:
        return Gate.ACCEPTED
    if not isinstance(left, Measured):
        return Gate.BUDGET_UNKNOWN
    return Gate.BUDGET_LOW if left.value < gameday.abort_below else Gate.ACCEPTED
