"""Evaluations become alerts: one per SLO, group and severity, and every decision names its reason.

An alert begins as soon as one burn rule of its severity holds. It ends only after every rule of that severity
was *measured* not to hold, without a break, for the hold time. An outage that stops the traffic, or takes the
source of the measurements with it, therefore never ends its own page.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from netsre import clock
from netsre.alerting import describe, transitions
from netsre.alerting.transitions import Reason, Transition
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource
from netsre.model.levels import BurnRule, Evaluation, Measured, Ratio, Severity
from netsre.model.samples import Labels, labels
from netsre.slo.evaluate import Evaluations

SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket")
HOLD: Final = 2 * clock.MINUTE
"""How long a burn must be measured to have stopped before its alert ends, unless somebody says otherwise."""


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
                found.append(transitions.keep(known, now))
            elif known is not None:
                found.append(_continue(known, evaluation, severity, now, hold, links))
            elif not blind and _worst(evaluation, severity) is not None:
                told = describe.annotations(evaluation, severity, links)
                began = transitions.begin(identity, told, now, Reason.BURN_STARTED, AlertSource.SLO)
                found.append(began)
    seen = {transition.alert.fingerprint for transition in found}
    for name, alert in active.items():
        if name not in seen:
            gone = transitions.end(alert, now, Reason.GROUP_REMOVED)
            found.append(transitions.keep(alert, now) if blind else gone)
    return tuple(found)


def concerned(evaluations: Evaluations, active: Mapping[str, Alert]) -> tuple[Evaluation, ...]:
    """Return the evaluations that a decision needs: those that fire, and those of alerts that do."""
    found = {(one.slo.name, one.group): one for one in evaluations.firing}
    for alert in active.values():
        pairs = dict(alert.labels)
        one = evaluations.find(pairs.get("slo", ""), pairs)
        if one is not None:
            found[one.slo.name, one.group] = one
    return tuple(found[key] for key in sorted(found))


def retire(active: Mapping[str, Alert], slos: Collection[str], now: Timestamp) -> tuple[Transition, ...]:
    """End the alerts of SLOs that are no longer asked for; nothing would ever measure them again."""
    return tuple(
        transitions.end(alert, now, Reason.SLO_REMOVED)
        for alert in active.values()
        if dict(alert.labels).get("slo") not in slos
    )


def identify(evaluation: Evaluation, severity: Severity, name: str = describe.ALERT_NAME) -> Labels:
    """Return the labels of an alert about a level, its identity: burn windows are not among them."""
    slo = evaluation.slo
    own = {"alertname": name, "severity": severity, "service": slo.service, "slo": slo.name}
    return labels(dict(evaluation.group) | own)


def _continue(
    known: Alert, evaluation: Evaluation, severity: Severity, now: Timestamp, hold: int, links: describe.Links
) -> Transition:
    if _worst(evaluation, severity) is not None:
        told = describe.annotations(evaluation, severity, links)
        return transitions.go_on(known, told, now, Reason.STILL_BURNING)
    if not all(_measured_false(rule, evaluation) for rule in _rules(evaluation, severity)):
        return transitions.keep(known, now)
    return transitions.clear(known, now, hold, Reason.BURN_STOPPED)


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
