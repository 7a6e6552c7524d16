"""The words of a condition alert: what it is, how bad, since which value it is over, how long there is."""

import dataclasses
from decimal import Decimal

import pytest

from netsre import clock
from netsre.alerting import describe_condition
from netsre.alerting.describe import Links
from netsre.alerting.describe_condition import Reading
from netsre.clock import Timestamp
from netsre.model.levels import Selector
from tests.unit import burning
from tests.unit.alerting.test_conditions import RULE

GROUP = (("netns", "x"), ("node", "a"))
LINKS = Links("http://localhost:8600")


def reading(value: str, seconds: int = 0) -> Reading:
    """Return a reading so many seconds after the first."""
    return Reading(Timestamp(burning.T0 + seconds * clock.SECOND), Decimal(value))


def test_every_annotation_of_an_alert_is_there() -> None:
    """A person reads the summary; the links lead to what to do and to what fires."""
    told = describe_condition.annotations(RULE, GROUP, reading("0.93", 5), reading("0.9"), LINKS)

    assert told == {
        "summary": "Share of the connection tracking table in use: 93%, above 80% (netns=x, node=a)",
        "description": 'It is full soon. netsre_conntrack_utilization_ratio{table="kernel"} is 0.93. '
        "It ends after at least 30s at or below 70%.",
        "runbook_url": "http://localhost:8600/runbooks/look",
        "dashboard_url": "http://localhost:8600/#alerts",
        "budget_remaining": "not a budget",
        "time_to_exhaustion": "11s",
    }


def test_a_rule_has_words_of_its_own_for_whoever_is_woken() -> None:
    """The reading stands behind them; what the metric means is left to the documentation."""
    rule = dataclasses.replace(RULE, summary="The kernel's table fills up.")

    told = describe_condition.annotations(rule, GROUP, reading("0.93", 5), None, LINKS)

    assert told["summary"] == "The kernel's table fills up: 93%, above 80% (netns=x, node=a)"


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (reading("0.9", 60), reading("0.85"), "2m"),
        (reading("0.99", 5), reading("0.1"), "under 1s"),
        (reading("0.9", 5), reading("0.9"), "not filling"),
        (reading("0.8", 5), reading("0.9"), "not filling"),
        (reading("1", 5), reading("0.9"), "exhausted"),
        (reading("0.9", 5), None, "unknown (one reading)"),
        (reading("0.9"), reading("0.85"), "unknown (one reading)"),
    ],
)
def test_the_time_until_a_table_is_full_is_what_the_last_two_readings_say(
    now: Reading, before: Reading | None, told: str
) -> None:
    """Nothing is made up where they say nothing."""
    assert describe_condition.time_to_full(RULE, now, before) == told


def test_what_cannot_be_full_has_no_time_until_then() -> None:
    """A number of anything, or a share that is too small."""
    entries = dataclasses.replace(RULE, selector=Selector("netsre_conntrack_entries"))
    least = dataclasses.replace(RULE, op="<")

    for rule in (entries, least):
        assert describe_condition.time_to_full(rule, reading("0.9", 5), reading("0.1")) == "not a budget"
