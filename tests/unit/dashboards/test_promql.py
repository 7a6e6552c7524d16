"""Expressions know what comes out of them."""

import pytest

from netsre import conventions as c
from netsre.dashboards import promql
from netsre.dashboards.panels import Query
from netsre.model.levels import Matcher, Selector


def test_an_aggregation_keeps_only_its_labels() -> None:
    """After `sum by (outcome)` there is one label, and the text says so."""
    summed = promql.aggregate("sum", ("outcome",), promql.rate(promql.agent(c.FLOWS)))
    assert summed.labels == {"outcome"}
    assert summed.unit == "per_second"
    assert summed.text == 'sum by (outcome) (rate(netsre_flows_total{node=~"$node"}[$__rate_interval]))'


def test_a_legend_cannot_name_a_label_that_is_gone() -> None:
    """A legend with a removed label would be empty on the board; it is refused when it is written."""
    summed = promql.aggregate("sum", ("outcome",), promql.agent(c.FLOWS))
    with pytest.raises(ValueError, match=r"legend .* names reason"):
        Query(summed, "{{outcome}} {{ reason }}")


def test_an_unknown_metric_is_refused() -> None:
    """No panel can ask for what netsre does not expose."""
    with pytest.raises(KeyError, match="netsre_typo_total"):
        promql.agent("netsre_typo_total")


def test_a_label_that_the_metric_lacks_is_refused() -> None:
    """Neither a matcher nor a grouping can use a label that does not exist."""
    with pytest.raises(ValueError, match="asks for outcome"):
        promql.agent(c.CONNTRACK_ENTRIES, Matcher("outcome", "=", "failed"))
    with pytest.raises(ValueError, match="sum by outcome"):
        promql.aggregate("sum", ("outcome",), promql.agent(c.CONNTRACK_ENTRIES))


def test_units_follow_from_the_registry() -> None:
    """Seconds per second are a share of a core; a quantile has the histogram's unit, its buckets count."""
    assert promql.rate(promql.agent(c.PROCESS_CPU)).unit == "ratio"
    assert promql.agent(c.BPF_MAP_MEMORY).unit == "bytes"
    buckets = promql.agent(f"{c.FLOW_CONNECT_SECONDS}_bucket")
    assert buckets.unit == "count"
    assert "le" in buckets.labels
    assert promql.quantile("0.99", (), buckets).unit == "seconds"


def test_a_ratio_without_a_whole_is_a_gap() -> None:
    """Dividing by nothing gives no point rather than NaN, 0 % or 100 %."""
    used = promql.aggregate("max", ("map",), promql.agent(c.BPF_MAP_ENTRIES))
    room = promql.aggregate("max", ("map",), promql.agent(c.BPF_MAP_CAPACITY))
    share = promql.ratio(used, room)
    assert share.text.endswith("> 0)")
    assert share.unit == "ratio"
    assert share.labels == {"map"}
    assert share.metrics == {c.BPF_MAP_ENTRIES, c.BPF_MAP_CAPACITY}


def test_unlike_things_are_not_combined() -> None:
    """Differences in labels or unit would match nothing, or mean nothing."""
    by_map = promql.aggregate("max", ("map",), promql.agent(c.BPF_MAP_ENTRIES))
    total = promql.aggregate("max", (), promql.agent(c.BPF_MAP_CAPACITY))
    memory = promql.aggregate("max", ("map",), promql.agent(c.BPF_MAP_MEMORY))
    for combine in (promql.ratio, promql.minus):
        for other in (total, memory):
            with pytest.raises(ValueError, match="differ"):
                combine(by_map, other)
    with pytest.raises(ValueError, match="differ"):
        promql.or_zero(by_map, total)


def test_metrics_of_the_controller_have_no_node_of_their_own() -> None:
    """Only agents are on a node; a service level has the label when it groups by it."""
    assert c.NODE not in promql.series(Selector(c.TICK_SECONDS)).labels
    grouped = promql.series(Selector(c.SLO_BURN_RATE), frozenset({c.NODE}))
    assert {c.NODE, "slo", "window"} <= grouped.labels
