"""`still(alert)`: whether what an alert says is still so, as measured by the newest reading."""

from collections.abc import Iterable, Sequence

from netsre import conventions
from netsre.alerting import conditions
from netsre.alerting.conditions import Opinion
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert
from netsre.model.levels import Evaluation
from netsre.model.samples import Labels, Scrape


def still(
    alert: Alert, rules: Iterable[AlertRule], evaluations: Iterable[Evaluation], scrapes: Sequence[Scrape]
) -> bool | None:
    """Tell whether the alert still stands; None when that cannot be told.

    A condition alert stands until its reading says that it is over, a burn alert while a rule of its severity
    holds. `scrapes` are in the order in which they were read.
    """
    pairs = dict(alert.labels)
    rule = next((rule for rule in rules if rule.name == pairs.get("alertname")), None)
    if rule is None:
        return _burns(alert.labels, evaluations)
    node = pairs.get(conventions.NODE)
    newest = next((scrape for scrape in reversed(scrapes) if scrape.node == node), None)
    if newest is None:
        return None
    match conditions.opinion(rule, alert.labels, newest):
        case Opinion.TRUE | Opinion.BETWEEN:
            return True
        case Opinion.OVER:
            return False
        case Opinion.NONE:
            return None


def _burns(labels: Labels, evaluations: Iterable[Evaluation]) -> bool | None:
    pairs = dict(labels)
    for evaluation in evaluations:
        if evaluation.slo.name == pairs.get("slo") and set(evaluation.group) <= set(labels):
            return any(burning.rule.severity == pairs.get("severity") for burning in evaluation.firing)
    return None
