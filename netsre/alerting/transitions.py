"""What may happen to an alert in one decision, whoever decides: it begins, goes on, is held, and ends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from netsre.alerting import deploys
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.samples import Labels


class Reason(StrEnum):
    """Why an alert is what it is now."""

    BURN_STARTED = "burn_started"
    STILL_BURNING = "still_burning"
    BURN_STOPPED = "burn_stopped"
    ABSENCE_STARTED = "absence_started"
    STILL_ABSENT = "still_absent"
    ABSENCE_ENDED = "absence_ended"
    CONDITION_STARTED = "condition_started"
    STILL_TRUE = "still_true"
    CONDITION_ENDED = "condition_ended"
    BETWEEN = "between"
    """Not beyond the value any more, and not yet over: between the two, nothing changes."""
    CLEARING_HELD = "clearing_held"
    NO_OPINION_KEPT = "no_opinion_kept"
    SLO_REMOVED = "slo_removed"
    RULE_REMOVED = "rule_removed"
    GROUP_REMOVED = "group_removed"
    """Its group is gone: unseen for long enough, of a node that is not read, or grouped otherwise."""
    RUN_NEEDS_HUMAN = "run_needs_human"
    ANOTHER_RUN_NEEDS_HUMAN = "another_run_needs_human"
    RUN_AWAITS_APPROVAL = "run_awaits_approval"
    STILL_AWAITS_APPROVAL = "still_awaits_approval"
    AWAITS_NO_MORE = "awaits_no_more"
    """It is decided, or needs no decision any more."""
    CAUSE_ENDED = "cause_ended"
    """The alerts that the runs were for have all ended."""
    TOLD_FIRING = "told_firing"
    TOLD_RESOLVED = "told_resolved"
    TOLD_ANEW = "told_anew"
    """Somebody else told of another firing of the same alert."""


ANNOUNCED: Final = frozenset(
    {
        Reason.BURN_STARTED,
        Reason.BURN_STOPPED,
        Reason.ABSENCE_STARTED,
        Reason.ABSENCE_ENDED,
        Reason.CONDITION_STARTED,
        Reason.CONDITION_ENDED,
        Reason.SLO_REMOVED,
        Reason.RULE_REMOVED,
        Reason.GROUP_REMOVED,
        Reason.RUN_NEEDS_HUMAN,
        Reason.RUN_AWAITS_APPROVAL,
        Reason.AWAITS_NO_MORE,
        Reason.CAUSE_ENDED,
        Reason.TOLD_FIRING,
        Reason.TOLD_RESOLVED,
        Reason.TOLD_ANEW,
    }
)
"""Reasons with which an alert changes its state; people and runbooks hear of these only."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert as it is after the decision, and why."""

    alert: Alert
    reason: Reason

    @property
    def announced(self) -> bool:
        """Tell whether the alert began or ended with this decision."""
        return self.reason in ANNOUNCED

    @property
    def begins(self) -> bool:
        """Tell whether the alert began with this decision."""
        return self.announced and self.alert.state is AlertState.FIRING

    @property
    def key(self) -> str:
        """Return the identity of the announcement: the same one is never told twice."""
        return f"{self.alert.fingerprint}/{self.alert.fired_at}/{self.alert.state}"


def begin(
    identity: Labels, told: Mapping[str, str], now: Timestamp, reason: Reason, source: AlertSource
) -> Transition:
    """Begin an alert with these labels and annotations."""
    alert = Alert(
        fingerprint=alerts.fingerprint(identity),
        labels=identity,
        annotations=told,
        state=AlertState.FIRING,
        fired_at=now,
        resolved_at=None,
        updated_at=now,
        source=source,
    )
    return Transition(alert, reason)


def go_on(known: Alert, told: Mapping[str, str], now: Timestamp, reason: Reason) -> Transition:
    """Keep an alert that is measured to be true, in today's words; a hold that had begun is void."""
    kept = deploys.keep(known.annotations, told)
    return Transition(replace(known, annotations=kept, updated_at=now, clearing_since=None), reason)


def keep(known: Alert, now: Timestamp, reason: Reason = Reason.NO_OPINION_KEPT) -> Transition:
    """Keep an alert that nobody can judge now; the hold starts over, because it was interrupted."""
    return Transition(replace(known, updated_at=now, clearing_since=None), reason)


def clear(known: Alert, now: Timestamp, hold: int, ended: Reason) -> Transition:
    """Hold an alert that is measured to be over, and end it once that was so for `hold` milliseconds."""
    # A clock that was set back makes no hold longer.
    since = now if known.clearing_since is None else min(known.clearing_since, now)
    if now - since >= hold:
        return end(known, now, ended)
    return Transition(replace(known, updated_at=now, clearing_since=since), Reason.CLEARING_HELD)


def end(known: Alert, now: Timestamp, reason: Reason) -> Transition:
    """End an alert."""
    ended = replace(known, state=AlertState.RESOLVED, resolved_at=now, updated_at=now, clearing_since=None)
    return Transition(ended, reason)
