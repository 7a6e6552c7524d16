"""Evaluations become alerts: one per SLO, group and severity, and every decision names its reason.

An alert begins as soon as one burn rule of its severity holds. It ends only after every rule of that severity
was *measured* not to hold, without a break, for the hold time. An outage that stops the traffic, or takes the
source of the measurements with it, therefore never ends its own page.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from netsre.alerting import describe
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertState
from netsre.model.levels import BurnRule, Evaluation, Measured, Ratio, Severity
from netsre.model.samples import Labels, labels

SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket")


class Reason(StrEnum):
    """Why an alert is what it is now."""

    BURN_STARTED = "burn_started"
    STILL_BURNING = "still_burning"
    BURN_STOPPED = "burn_stopped"
    CLEARING_HELD = "clearing_held"
    NO_OPINION_KEPT = "no_opinion_kept"
    SLO_REMOVED = "slo_removed"
    GROUP_REMOVED = "group_removed"
    """Its group is gone: unseen for an hour of readings, of a node that is not read, or grouped otherwise."""


ANNOUNCED: Final = frozenset(
    {Reason.BURN_STARTED, Reason.BURN_STOPPED, Reason.SLO_REMOVED, Reason.GROUP_REMOVED}
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
    def key(self) -> str:
        """Return the identity of the announcement: the same one is never told twice."""
        return f"{self.alert.fingerprint}/{self.alert.fired_at}/{self.alert.state}"


def decide(
    evaluations: Iterable[Evaluation],
    active: Mapping[str, Alert],
    now: Timestamp,
    hold: int,
    *,
    links: describe.Links = describe.NO_LINKS,
    blind: bool = False,
) -> tuple[Transition, ...]:
    """Return one transition for every alert that fires, began or ended.

    `active` holds the firing alerts by fingerprint, `hold` is in milliseconds. `blind` says that the source
    gave nothing this time: the sums of the past still move, but nobody looked, so nothing begins or ends.
    """
    found: list[Transition] = []
    for evaluation in evaluations:
        for severity in SEVERITIES:
            identity = identify(evaluation, severity)
            known = active.get(alerts.fingerprint(identity))
            if known is not None and blind:
                found.append(_keep(known, now))
            elif known is not None:
                found.append(_continue(known, evaluation, severity, now, hold, links))
            elif not blind and _worst(evaluation, severity) is not None:
                found.append(_begin(identity, evaluation, severity, now, links))
    seen = {transition.alert.fingerprint for transition in found}
    for name, alert in active.items():
        if name not in seen:
            found.append(_keep(alert, now) if blind else _end(alert, now, Reason.GROUP_REMOVED))
    return tuple(found)


def retire(active: Mapping[str, Alert], slos: Collection[str], now: Timestamp) -> tuple[Transition, ...]:
    """End the alerts of SLOs that are no longer asked for; nothing would ever measure them again."""
    return tuple(
        _end(alert, now, Reason.SLO_REMOVED)
        for alert in active.values()
        if dict(alert.labels).get("slo") not in slos
    )


def identify(evaluation: Evaluation, severity: Severity) -> Labels:
    """Return the labels of an alert, which are its identity: burn windows are not among them."""
    slo = evaluation.slo
    own = {"alertname": describe.ALERT_NAME, "severity": severity, "service": slo.service, "slo": slo.name}
    return labels(dict(evaluation.group) | own)


def _begin(
    identity: Labels, evaluation: Evaluation, severity: Severity, now: Timestamp, links: describe.Links
) -> Transition:
    alert = Alert(
        fingerprint=alerts.fingerprint(identity),
        labels=identity,
        annotations=describe.annotations(evaluation, severity, links),
        state=AlertState.FIRING,
        fired_at=now,
        resolved_at=None,
        updated_at=now,
    )
    return Transition(alert, Reason.BURN_STARTED)


def _continue(
    known: Alert, evaluation: Evaluation, severity: Severity, now: Timestamp, hold: int, links: describe.Links
) -> Transition:
    if _worst(evaluation, severity) is not None:
        told = describe.annotations(evaluation, severity, links)
        burning = replace(known, annotations=told, updated_at=now, clearing_since=None)
        return Transition(burning, Reason.STILL_BURNING)
    if not all(_measured_false(rule, evaluation) for rule in _rules(evaluation, severity)):
        return _keep(known, now)
    # A clock that was set back must not make the hold longer by as much.
    since = now if known.clearing_since is None else min(known.clearing_since, now)
    if now - since >= hold:
        return _end(known, now, Reason.BURN_STOPPED)
    return Transition(replace(known, updated_at=now, clearing_since=since), Reason.CLEARING_HELD)


def _keep(known: Alert, now: Timestamp) -> Transition:
    """Keep an alert that nobody can judge now; the hold starts over, because it was interrupted."""
    return Transition(replace(known, updated_at=now, clearing_since=None), Reason.NO_OPINION_KEPT)


def _end(known: Alert, now: Timestamp, reason: Reason) -> Transition:
    ended = replace(known, state=AlertState.RESOLVED, resolved_at=now, updated_at=now, clearing_since=None)
    return Transition(ended, reason)


def _worst(evaluation: Evaluation, severity: Severity) -> BurnRule | None:
    return next((burning.rule for burning in evaluation.firing if burning.rule.severity == severity), None)


def _rules(evaluation: Evaluation, severity: Severity) -> Iterator[BurnRule]:
    policy = evaluation.slo.policy
    return (rule for rule in (policy.rules if policy else ()) if rule.severity == severity)


def _measured_false(rule: BurnRule, evaluation: Evaluation) -> bool:
    """Tell whether measurements say that a rule which does not fire really does not hold."""
    factor = rule.factor(evaluation.slo.window)
    sides: tuple[Ratio, Ratio] = (
        describe.burn_in(evaluation, rule.short),
        describe.burn_in(evaluation, rule.long),
    )
    if all(isinstance(side, Measured) for side in sides):
        return True
    return any(isinstance(side, Measured) and side.value <= factor for side in sides)
