"""`still(alert)`: whether what an alert says is still so, as measured by the newest reading."""

from collections.abc import Iterable, Sequence

from netsre import conventions
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert
from netsre.model.levels import Evaluation
from netsre.model.samples import Labels, Scrape, Series
from netsre.slo import exact, selectors


def still(
    alert: Alert, rules: Iterable[AlertRule], evaluations: Iterable[Evaluation], scrapes: Sequence[Scrape]
) -> bool | None:
    """Tell whether the alert still stands; None when that cannot be told.

    A condition alert stands until every value of its group is on the good side of `clear`; a burn alert while
    a rule of its severity holds. No value is no answer. `scrapes` are in the order in which they were read.
    """
    pairs = dict(alert.labels)
    rule = next((rule for rule in rules if rule.name == pairs.get("alertname")), None)
    if rule is None:
        return _burns(alert.labels, evaluations)
    node = pairs.get(conventions.NODE)
    newest = next((scrape for scrape in reversed(scrapes) if scrape.node == node), None)
    return None if newest is None else _stands(rule, alert.labels, newest)


def _stands(rule: AlertRule, labels: Labels, scrape: Scrape) -> bool | None:
    pairs = dict(labels)
    values = [
        value
        for series, value in scrape.values.items()
        if series.name == rule.selector.metric and _concerns(rule, pairs, series, scrape.node)
    ]
    usable = [value for value in values if exact.is_usable(value)]
    if not usable:
        return None
    if rule.op in (">", ">="):
        return max(usable) >= rule.clear_value
    return min(usable) <= rule.clear_value


def _concerns(rule: AlertRule, pairs: dict[str, str], series: Series, node: str) -> bool:
    """Tell whether a series is one of the alert's group; `node` is the node that was read."""
    own = {**dict(series.labels), conventions.NODE: node}
    same_group = all(own.get(name, "") == pairs.get(name, "") for name in rule.group_by)
    return same_group and all(
        selectors.matches(matcher, own.get(matcher.label, "")) for matcher in rule.selector.matchers
    )


def _burns(labels: Labels, evaluations: Iterable[Evaluation]) -> bool | None:
    pairs = dict(labels)
    for evaluation in evaluations:
        if evaluation.slo.name == pairs.get("slo") and set(evaluation.group) <= set(labels):
            return any(burning.rule.severity == pairs.get("severity") for burning in evaluation.firing)
    return None
