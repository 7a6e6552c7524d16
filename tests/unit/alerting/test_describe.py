"""What an alert says is what was measured, in words that a person can use."""

import dataclasses
from fractions import Fraction

import pytest

from netsre.alerting import describe
from netsre.model.levels import Measured, NoData
from tests.unit import burning

LINKS = describe.Links("http://localhost:8600")


def test_every_annotation_of_the_contract_is_there() -> None:
    """Receivers rely on all six."""
    assert set(describe.annotations(burning.BURNING, "page", LINKS)) == {
        "summary",
        "description",
        "runbook_url",
        "dashboard_url",
        "budget_remaining",
        "time_to_exhaustion",
    }


def test_the_words_carry_the_measured_numbers() -> None:
    """Burn rates, windows and the factor are those of the rule that holds."""
    told = describe.annotations(burning.BURNING, "page", LINKS)

    assert told["summary"] == "flow-success burns its error budget 100x as fast as it may (node=a)"
    assert "Burn rate 100 over 1h and 100 over 5m; both are above 14.4." in told["description"]
    assert told["runbook_url"] == "http://localhost:8600/runbooks/network-evidence"
    assert told["budget_remaining"] == "50%"


@pytest.mark.parametrize(
    ("confidence", "chance"), [(Fraction(99, 100), "1%"), (1 - Fraction(1, 10**32), f"0.{'0' * 29}1%")]
)
def test_with_a_confidence_the_words_say_how_few_events_it_takes(confidence: Fraction, chance: str) -> None:
    """And what their number means; a chance that is small is never none."""
    policy = burning.slo().policy
    assert policy is not None
    sure = dataclasses.replace(burning.slo(), policy=dataclasses.replace(policy, confidence=confidence))

    told = describe.annotations(burning.evaluation({"5m": 1000, "1h": 667}, of=sure), "page", LINKS)

    assert told["description"].endswith(
        f"2 of 3 events in 1h were bad: at burn 14.4 the chance of that many is at most {chance}."
    )


def test_the_budget_lasts_as_long_as_its_burn_says() -> None:
    """Half of thirty days' budget at a hundred times the pace is 3 h 36 min."""
    assert describe.annotations(burning.BURNING, "page", LINKS)["time_to_exhaustion"] == "3h36m"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Fraction(10**40), "1" + "0" * 40),
        (Fraction(-(10**30), 3), "-" + "3" * 30 + ".33"),
        (Fraction(1, 1000), "0"),
        (Fraction(-1, 1000), "0"),
        (Fraction(5, 1000), "0"),
        (Fraction(15, 1000), "0.02"),
        (Fraction(25, 1000), "0.02"),
        (Fraction(25, 1000) + Fraction(1, 10**40), "0.03"),
    ],
)
def test_a_number_of_any_size_is_written(value: Fraction, written: str) -> None:
    """An objective of thirty nines burns at 1e30 when everything fails, and its alert is told as well."""
    assert describe.decimal(value) == written


def test_a_spent_budget_is_exhausted_and_an_unknown_one_says_why() -> None:
    """Neither is a length of time."""
    (rule,) = burning.BURNING.firing
    spent = dataclasses.replace(burning.BURNING, budget_remaining=Measured(Fraction(-1)))
    unknown = dataclasses.replace(burning.BURNING, budget_remaining=NoData("no_history"))

    assert describe.time_to_exhaustion(spent, rule) == "exhausted"
    assert describe.time_to_exhaustion(unknown, rule) == "unknown (no_history)"


def test_an_slo_without_a_runbook_links_to_the_list() -> None:
    """A link that leads nowhere costs time at night."""
    assert describe.Links("http://a").runbook(None) == "http://a/runbooks"
