"""Verification counts readings made after the last effect, in the alert's own group, and guesses nothing."""

import dataclasses
import json
from decimal import Decimal

import hypothesis
import pytest
from hypothesis import strategies

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import linting, specs, values
from netsre.model.levels import SLO, Matcher, RatioIndicator, Selector
from netsre.model.samples import Labels, Scrape, Series, labels
from netsre.runbook import definition, proofs, verify
from netsre.runbook.verify import Outcome, Sample
from tests.unit.runbook import given
from tests.unit.runbook.given import GROUP, HEADROOM, T0, VERIFY, reading

SINCE = Timestamp(T0)


def judge(
    *scrapes: Scrape, slo: SLO | None = HEADROOM, group: Labels = GROUP, no_data: bool = False
) -> tuple[Outcome, str, int, int]:
    """Return verdict, reason, bad and total."""
    wanted = dataclasses.replace(VERIFY, no_data="fail" if no_data else "inconclusive")
    found = verify.sample(wanted, slo, scrapes, group, SINCE)
    return found.verdict, found.reason, int(found.bad), int(found.total)


def test_readings_on_the_good_side_pass() -> None:
    """Those within the window, each one event."""
    readings = [reading(at, "0.2") for at in (5_000, 10_000, 15_000, 20_000)]

    assert judge(*readings) == (Outcome.PASS, "met", 0, 3)


def test_one_bad_reading_of_a_few_misses_the_objective() -> None:
    """Two of three are not 99 %."""
    readings = [reading(5_000, "0.2"), reading(10_000, "0.5"), reading(15_000, "0.2")]

    assert judge(*readings) == (Outcome.FAIL, "missed", 1, 3)


def test_what_was_read_before_the_last_effect_does_not_count() -> None:
    """Neither for nor against it; not even a reading of the same moment."""
    assert judge(reading(-5_000, "0.9"), reading(0, "0.9"), reading(5_000, "0.2"))[0] is Outcome.PASS
    assert judge(reading(-5_000, "0.2"), reading(0, "0.2")) == (Outcome.INCONCLUSIVE, "no_reading", 0, 0)


@pytest.mark.parametrize("no_data", [False, True])
def test_no_data_is_never_a_pass(*, no_data: bool) -> None:
    """No reading, another node's, another namespace's: the runbook says which of the two others it is."""
    expected = (Outcome.FAIL if no_data else Outcome.INCONCLUSIVE, "no_reading", 0, 0)

    assert judge(no_data=no_data) == expected
    assert judge(reading(5_000, "0.2", node="b"), no_data=no_data) == expected
    assert judge(reading(5_000, "0.2", netns="other"), no_data=no_data) == expected


def test_a_group_that_vanished_proves_nothing() -> None:
    """The reading before showed it to be fine; the newest does not show it at all."""
    gone = reading(10_000, "0.2", netns="other")

    assert judge(reading(5_000, "0.2"), gone)[:2] == (Outcome.INCONCLUSIVE, "no_reading")


def test_another_group_does_not_count() -> None:
    """A full table next door is another alert's business."""
    series = {**reading(5_000, "0.2").values, **reading(5_000, "0.9", netns="other").values}

    assert judge(dataclasses.replace(reading(5_000, "0.2"), values=series))[0] is Outcome.PASS


def test_a_reading_that_is_no_number_is_an_error() -> None:
    """It is not known, which is not the same as good."""
    odd = Series(given.METRIC, labels({"table": "datapath", "netns": "lab"}))
    mixed = dataclasses.replace(
        reading(5_000, "0.2"), values={**reading(5_000, "0.2").values, odd: Decimal("NaN")}
    )

    assert judge(mixed)[:2] == (Outcome.ERROR, "not_a_number")


def test_what_cannot_be_asked_is_an_error() -> None:
    """The SLO is gone, or the alert is not about one of its groups."""
    assert judge(reading(5_000, "0.2"), slo=None)[:2] == (Outcome.ERROR, "slo_unknown")
    nowhere = labels({"node": "a"})
    assert judge(reading(5_000, "0.2"), group=nowhere)[:2] == (Outcome.ERROR, "group_unknown")


FLOWS = Selector("netsre_flows_total")
RATIO = dataclasses.replace(
    HEADROOM,
    group_by=("node",),
    indicator=RatioIndicator(Selector("netsre_flows_total", (Matcher("outcome", "=", "failed"),)), FLOWS),
)


def flows(at: int, good: int, bad: int, started: int = -clock.HOUR) -> Scrape:
    """Return a reading of counters."""
    values = {
        Series("netsre_flows_total", labels({"outcome": outcome})): Decimal(count)
        for outcome, count in (("delivered", good), ("failed", bad))
    }
    return Scrape(Timestamp(T0 + at), "a", Timestamp(T0 + started), values)


def test_counters_are_counted_between_readings_after_the_effect() -> None:
    """What failed before is over; the first reading is where counting begins."""
    found = judge(
        flows(-5_000, 0, 0), flows(5_000, 10, 90), flows(10_000, 20, 90), flows(15_000, 110, 90), slo=RATIO
    )

    assert found == (Outcome.PASS, "met", 0, 100)


def test_counters_within_the_window_count_from_the_reading_before_it() -> None:
    """Fifteen seconds back from the newest, exactly."""
    readings = [flows(at, at // 100, 50 if at > 5_000 else 0) for at in (5_000, 10_000, 20_000, 25_000)]

    assert judge(*readings, slo=RATIO) == (Outcome.PASS, "met", 0, 150)


def test_no_traffic_is_no_data() -> None:
    """Nothing was tried, so nothing is proven; one reading alone counts nothing."""
    assert judge(flows(5_000, 5, 5), flows(10_000, 5, 5), slo=RATIO)[:2] == (
        Outcome.INCONCLUSIVE,
        "no_events",
    )
    assert judge(flows(5_000, 5, 5), slo=RATIO)[:2] == (Outcome.INCONCLUSIVE, "no_events")


def test_a_source_that_restarted_is_counted_from_zero() -> None:
    """As everywhere else."""
    found = judge(flows(5_000, 1000, 0), flows(10_000, 1, 1, started=7_000), slo=RATIO)

    assert found == (Outcome.FAIL, "missed", 1, 2)


def test_a_sample_is_written_with_exact_numbers() -> None:
    """And with the time of its newest reading, by which the next one is newer."""
    sample = Sample(Outcome.PASS, Decimal(0), Decimal("1.50"), "met", Timestamp(7))

    assert sample.line().data == {
        "verdict": "pass",
        "bad": "0",
        "total": "1.50",
        "reason": "met",
        "read_at": 7,
    }


def ask(text: str, *scrapes: Scrape, group: Labels = GROUP) -> tuple[Outcome, str, int, int]:
    """Return what a query of a file says, as verdict, reason, bad and total."""
    findings = linting.Findings()
    spec = f"verify: {{query: {text}, window: 15s, samples: 3}}"
    (root,) = specs.roots(spec, "x.yaml", "", findings)
    assert isinstance(root, values.Mapping)
    wanted = proofs.read(root, None)
    findings.raise_if_any()
    assert wanted is not None
    written = json.loads(json.dumps(definition.verification(wanted)))
    assert definition.read_verification(written) == wanted
    found = verify.sample(wanted, None, scrapes, group, SINCE)
    return found.verdict, found.reason, int(found.bad), int(found.total)


RATIO_BELOW = (
    "{metric: netsre_conntrack_utilization_ratio, match: 'table=\"kernel\"', op: '<', value: 0.5, "
    "groupBy: [netns, node]}"
)


def test_a_query_of_a_gauge_is_met_while_every_reading_is() -> None:
    """Those of the window, of the series with the alert's labels."""
    good, bad = reading(10_000, "0.49"), reading(5_000, "0.5")

    assert ask(RATIO_BELOW, good) == (Outcome.PASS, "met", 0, 1)
    assert ask(RATIO_BELOW, bad, good) == (Outcome.FAIL, "missed", 1, 2)
    assert ask(RATIO_BELOW, reading(-5_000, "0.1"), bad) == (Outcome.FAIL, "missed", 1, 1)
    assert ask(RATIO_BELOW, reading(10_000, "0.1", netns="other")) == (
        Outcome.INCONCLUSIVE,
        "no_reading",
        0,
        0,
    )
    assert ask(RATIO_BELOW, group=labels({"node": "a"})) == (Outcome.ERROR, "group_unknown", 0, 0)


def test_a_query_without_matchers_is_read_as_it_was_written() -> None:
    """Out of the plan on disk; what is no query is refused there."""
    asked = "{metric: netsre_conntrack_utilization_ratio, op: '<', value: 0.5, groupBy: [netns, node]}"

    assert ask(asked, reading(10_000, "0.49"))[0] is Outcome.PASS
    for bad in ({}, {"op": "="}, {"op": "<", "value": "x"}, {"op": "<", "value": "1", "match": "{"}, None):
        with pytest.raises(ValueError, match=r".+"):
            proofs.read_query(bad)


FAILED = "{metric: netsre_flows_total, match: 'outcome=\"failed\"', op: '<=', value: 10}"


def test_a_query_of_a_counter_is_about_its_increase() -> None:
    """Between readings made after the effect; none at all is as good as it can be."""
    assert ask(FAILED, flows(5_000, 0, 90), flows(10_000, 0, 100)) == (Outcome.PASS, "met", 0, 10)
    assert ask(FAILED, flows(5_000, 0, 90), flows(10_000, 0, 101)) == (Outcome.FAIL, "missed", 0, 11)
    assert ask(FAILED, flows(5_000, 0, 90), flows(10_000, 0, 90)) == (Outcome.PASS, "met", 0, 0)
    more = FAILED.replace("<=", ">")
    assert ask(more, flows(5_000, 0, 90), flows(10_000, 0, 101))[0] is Outcome.PASS


def test_a_counter_that_is_not_shown_twice_proves_nothing() -> None:
    """One reading has no increase; and what is gone may be gone because who counts it is."""
    assert ask(FAILED, flows(5_000, 0, 90))[:2] == (Outcome.INCONCLUSIVE, "no_reading")
    assert ask(FAILED, flows(5_000, 0, 90), reading(10_000, "0.1"))[:2] == (
        Outcome.INCONCLUSIVE,
        "no_reading",
    )
    assert ask(FAILED, reading(5_000, "0.1"), reading(10_000, "0.1"))[:2] == (
        Outcome.INCONCLUSIVE,
        "no_reading",
    )
    assert ask(FAILED) == (Outcome.INCONCLUSIVE, "no_reading", 0, 0)


@hypothesis.given(
    at=strategies.lists(strategies.integers(-20_000, 20_000), max_size=6),
    shown=strategies.lists(strategies.sampled_from(["flows", "gauge", "other"]), min_size=6, max_size=6),
    asked=strategies.sampled_from([FAILED, FAILED.replace("<=", ">="), RATIO_BELOW]),
)
def test_no_reading_after_the_effect_is_never_a_pass(at: list[int], shown: list[str], asked: str) -> None:
    """Whatever is asked, and whatever was read before."""
    made = {
        "flows": lambda when: flows(when, 1, 1),
        "gauge": lambda when: reading(when, "0.1"),
        "other": lambda when: reading(when, "0.1", node="b"),
    }
    scrapes = [made[what](when) for when, what in zip(sorted(at), shown, strict=False)]
    verdict = ask(asked, *scrapes)[0]

    needed = "gauge" if asked == RATIO_BELOW else "flows"
    after = [what for when, what in zip(sorted(at), shown, strict=False) if when > 0 and what != "other"]
    if not after or after[-1] != needed:
        assert verdict is not Outcome.PASS
