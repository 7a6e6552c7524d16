"""Whether an alert still stands is measured, and what is not measured is not known."""

import dataclasses

import pytest

from netsre.model.alerts import Alert
from netsre.runbook import standing
from tests.unit import burning
from tests.unit.runbook import given
from tests.unit.runbook.given import reading


@pytest.mark.parametrize(
    ("utilization", "expected"), [("0.9", True), ("0.75", True), ("0.69", False), ("NaN", None)]
)
def test_a_condition_stands_until_it_is_over(utilization: str, *, expected: bool | None) -> None:
    """Between firing and clearing nothing changes; no number is no answer."""
    assert standing.still(given.ALERT, (given.RULE,), (), [reading(0, utilization)]) is expected


def test_the_newest_reading_of_the_alerts_node_decides() -> None:
    """An older one, or another node's, does not."""
    readings = [reading(0, "0.9"), reading(5, "0.1"), reading(10, "0.9", node="b")]

    assert standing.still(given.ALERT, (given.RULE,), (), readings) is False


def test_a_group_that_was_not_read_is_not_known() -> None:
    """Nor is anything before the first reading."""
    assert standing.still(given.ALERT, (given.RULE,), (), [reading(0, "0.9", netns="other")]) is None
    assert standing.still(given.ALERT, (given.RULE,), (), []) is None


def burn(**changes: str) -> Alert:
    """Return a burn alert with other labels."""
    alert = burning.fired().alert
    return dataclasses.replace(alert, labels=tuple(sorted({**dict(alert.labels), **changes}.items())))


def test_a_burn_alert_stands_while_a_rule_of_its_severity_holds() -> None:
    """By the latest evaluation of its own group."""
    assert standing.still(burn(), (), [burning.BURNING], []) is True
    assert standing.still(burn(severity="ticket"), (), [burning.BURNING], []) is False
    assert standing.still(burn(), (), [burning.CALM], []) is False
    assert standing.still(burn(node="b"), (), [burning.BURNING], []) is None
