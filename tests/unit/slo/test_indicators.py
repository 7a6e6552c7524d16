"""Claims about what makes an event bad, and to whom it belongs."""

from collections.abc import Mapping
from decimal import Decimal

import pytest

from netsre.model.levels import SLO, Matcher, RatioIndicator, Selector
from netsre.model.samples import Labels, Series
from netsre.slo.increments import advance
from netsre.slo.indicators import Anomaly, Measure, followed, measure
from tests.unit.slo.given import (
    DELIVERED,
    FAILED,
    LATENCY,
    THRESHOLD,
    node_group,
    scrape,
    series,
    slo,
)


def measured(
    level: SLO, before: Mapping[Series, int | str], after: Mapping[Series, int | str]
) -> Mapping[Labels, Measure]:
    """Return what an SLO makes of two scrapes."""
    keys = followed([level])
    _, cursor = advance(None, scrape(0, before), keys)
    last = scrape(5, after)
    return measure(level, last, advance(cursor, last, keys)[0])


def events(bad: int, total: int, *anomalies: Anomaly) -> Measure:
    """Return a measure."""
    return Measure(Decimal(bad), Decimal(total), frozenset(anomalies))


def test_a_ratio_counts_the_increases_of_its_selectors() -> None:
    """3 of 10 failed; denials are neither bad nor counted."""
    denied = series("flows", outcome="denied")
    found = measured(slo(), {FAILED: 1, DELIVERED: 1, denied: 0}, {FAILED: 4, DELIVERED: 8, denied: 99})

    assert found == {node_group(): events(3, 10)}


def test_without_an_error_series_nothing_failed() -> None:
    """A counter of errors that was not born yet is zero errors, not an unknown."""
    assert measured(slo(), {DELIVERED: 1}, {DELIVERED: 8}) == {node_group(): events(0, 7)}


def test_without_any_series_the_node_was_still_measured() -> None:
    """An idle node has a group with no events, so that its coverage grows."""
    assert measured(slo(), {}, {}) == {node_group(): events(0, 0)}


def test_groups_come_from_labels_sorted_by_name() -> None:
    """A label that a series lacks is the empty text; `node` is the scraped node, whatever the series says."""
    level = slo(group_by=("src", "node"))
    odd = series("flows", outcome="failed", src="a", node="liar")

    found = measured(level, {}, {odd: 2, DELIVERED: 3})

    assert list(found.items()) == [
        ((("node", "n1"), ("src", "")), events(0, 3)),
        ((("node", "n1"), ("src", "a")), events(2, 2)),
    ]


def test_a_matcher_may_ask_for_the_node() -> None:
    """The reader adds the label, so that series do not carry it."""
    here = Selector("flows", (Matcher("node", "=", "n1"),))
    elsewhere = Selector("flows", (Matcher("node", "=", "n2"),))

    found = measured(slo(RatioIndicator(elsewhere, here)), {}, {FAILED: 2})

    assert found == {node_group(): events(0, 2)}


def test_more_bad_events_than_events_is_an_anomaly_and_all_were_bad() -> None:
    """Two metrics that contradict each other never make a negative number of good events."""
    level = slo(RatioIndicator(Selector("errors"), Selector("requests")))

    found = measured(level, {}, {series("errors"): 5, series("requests"): 3})

    assert found == {node_group(): events(5, 5, Anomaly.BAD_EXCEEDS_TOTAL)}


def histogram(count: int, within: int, bound: str = "0.25", **labels: str) -> dict[Series, int | str]:
    """Return the part of a histogram that an SLO reads, and what it must not be confused by."""
    return {
        series("seconds_count", **labels): count,
        series("seconds_sum", **labels): "1.5",
        series("seconds_bucket", le="0.1", **labels): 0,
        series("seconds_bucket", le=bound, **labels): within,
        series("seconds_bucket", le="+Inf", **labels): count,
    }


@pytest.mark.parametrize("bound", ["0.25", "0.250", "2.5e-1"])
def test_slow_events_are_those_above_the_bucket(bound: str) -> None:
    """100 connects, 97 of them within 250 ms, however the bound is written."""
    found = measured(slo(LATENCY), histogram(0, 0, bound), histogram(100, 97, bound))

    assert found == {node_group(): events(3, 100)}


def test_histograms_of_one_group_add_up() -> None:
    """Each child is compared with its own bucket."""
    after = {**histogram(10, 9, src="a"), **histogram(10, 4, src="b")}

    assert measured(slo(LATENCY), {}, after) == {node_group(): events(7, 20)}


def test_a_histogram_without_the_bucket_is_not_counted() -> None:
    """Nobody knows which events were slow: neither all nor none."""
    found = measured(slo(LATENCY), {}, histogram(10, 9, bound="0.5"))

    assert found == {node_group(): events(0, 0, Anomaly.BUCKET_MISSING)}


def test_a_bucket_above_the_count_means_nothing_was_slow() -> None:
    """Read while it was written; never a negative number of slow events."""
    found = measured(slo(LATENCY), {}, histogram(10, 12))

    assert found == {node_group(): events(0, 10, Anomaly.GOOD_EXCEEDS_TOTAL)}


def test_a_bucket_that_grew_while_the_count_did_not_is_no_reading_of_a_quiet_node() -> None:
    """That nothing happened is what the count says, and it cannot be believed."""
    found = measured(slo(LATENCY), histogram(10, 8), histogram(10, 9))

    assert found == {node_group(): events(0, 0, Anomaly.GOOD_EXCEEDS_TOTAL)}


@pytest.mark.parametrize(("value", "bad"), [("0.4999", 0), ("0.5", 1), ("0.51", 1), ("-1", 0)])
def test_each_reading_of_a_gauge_is_one_event(value: str, bad: int) -> None:
    """Good while the condition holds, exactly at the limit too."""
    found = measured(slo(THRESHOLD), {}, {series("used"): value})

    assert found == {node_group(): events(bad, 1)}


def test_a_gauge_that_is_no_number_is_no_event() -> None:
    """NaN compares with nothing."""
    found = measured(slo(THRESHOLD), {}, {series("used"): "NaN"})

    assert found == {node_group(): events(0, 0, Anomaly.NOT_A_NUMBER)}


def test_a_gauge_that_is_gone_was_not_measured() -> None:
    """No reading, no group: unlike a counter, silence is not zero."""
    assert measured(slo(THRESHOLD), {series("used"): 1}, {}) == {}


def test_an_slo_follows_no_more_than_it_needs() -> None:
    """Counts and one bucket of a histogram; nothing of a gauge."""
    assert followed([slo(), slo(LATENCY), slo(THRESHOLD)]) == {
        "flows",
        "seconds_count",
        "seconds_bucket{le=0.25}",
    }
