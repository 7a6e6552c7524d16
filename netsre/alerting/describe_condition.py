"""The words of a condition alert."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.alerting.describe import Links, coarse, decimal
from netsre.clock import Timestamp
from netsre.metrics.registry import REGISTRY
from netsre.model.alert_rules import AlertRule
from netsre.model.samples import Labels

NO_BUDGET: Final = "not a budget"

_SIDES: Final = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_OTHER_SIDES: Final = {">": "at or below", ">=": "below", "<": "at or above", "<=": "above"}
_UPWARDS: Final = (">", ">=")


@dataclass(frozen=True, slots=True)
class Reading:
    """The worst value of a group in one scrape."""

    at: Timestamp
    value: Decimal


def annotations(
    rule: AlertRule, group: Labels, reading: Reading, before: Reading | None, links: Links
) -> Mapping[str, str]:
    """Return the annotations of a condition that is true now; `before` is the reading before this one."""
    what = (rule.summary or REGISTRY[rule.selector.metric].help).rstrip(".")
    where = ", ".join(f"{name}={value}" for name, value in group)
    over = f"at least {clock.duration_text(rule.clear_hold)}" if rule.clear_hold else "once"
    ends = f"It ends after {over} {_OTHER_SIDES[rule.op]} {_number(rule, rule.clear_value)}."
    measured = f"{rule.selector} is {reading.value:f}."
    return {
        "summary": f"{what}: {_number(rule, reading.value)}, "
        f"{_SIDES[rule.op]} {_number(rule, rule.value)} ({where})",
        "description": f"{rule.description} {measured} {ends}".strip(),
        "runbook_url": links.runbook(rule.runbook),
        "dashboard_url": links.alerts(),
        "budget_remaining": NO_BUDGET,
        "time_to_exhaustion": time_to_full(rule, reading, before),
    }


def time_to_full(rule: AlertRule, reading: Reading, before: Reading | None) -> str:
    """Say how long it takes a share in use to reach all of it, going on as between the last two readings."""
    if not _is_share(rule) or rule.op not in _UPWARDS:
        return NO_BUDGET
    if reading.value >= 1:
        return "exhausted"
    if before is None or before.at >= reading.at:
        return "unknown (one reading)"
    grown = Fraction(reading.value) - Fraction(before.value)
    if grown <= 0:
        return "not filling"
    left = int((1 - Fraction(reading.value)) * (reading.at - before.at) / grown)
    return coarse(left) if left >= clock.SECOND else "under 1s"


def _is_share(rule: AlertRule) -> bool:
    return REGISTRY[rule.selector.metric].unit == "ratio"


def _number(rule: AlertRule, value: Decimal) -> str:
    return f"{decimal(Fraction(value) * 100)}%" if _is_share(rule) else decimal(Fraction(value))
