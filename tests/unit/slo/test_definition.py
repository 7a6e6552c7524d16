"""What an SLO measures is told apart from how it is written and what is promised about it."""

import dataclasses
from decimal import Decimal

import pytest

from netsre import clock
from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    Matcher,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)
from netsre.slo import definition
from tests.unit.slo.given import LATENCY, PROMQL, RATIO, THRESHOLD, slo

TWO = (Matcher("a", "=", "1"), Matcher("b", "!=", "2"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (slo(objective="99"), slo(objective="99.9", window=7 * clock.DAY, policy=None)),
        (slo(name="old"), slo(name="new")),
        (slo(group_by=("node", "netns")), slo(group_by=("netns", "node"))),
        (slo(dataclasses.replace(LATENCY, below=Decimal("0.250"))), slo(LATENCY)),
        (slo(PROMQL), slo(dataclasses.replace(PROMQL, bad=f"{PROMQL.bad}\n"))),
        (slo(ThresholdIndicator(Selector("u", TWO), "<", Decimal(1))),
         slo(ThresholdIndicator(Selector("u", TWO[::-1]), "<", Decimal("1.0")))),
    ],
)  # fmt: skip
def test_a_promise_or_a_spelling_is_no_definition(one: SLO, other: SLO) -> None:
    """Objective, window, policy, order and trailing zeros change nothing that was measured."""
    assert definition.of(one) == definition.of(other)


def test_every_other_measurement_is_another_definition() -> None:
    """Metric, matcher, side, bound, comparison, expression, length, kind and grouping."""
    different = [
        slo(),
        slo(RatioIndicator(RATIO.total, RATIO.bad)),
        slo(RatioIndicator(Selector("other", RATIO.bad.matchers), RATIO.total)),
        slo(LATENCY),
        slo(LatencyIndicator(LATENCY.selector, Decimal("0.1"))),
        slo(THRESHOLD),
        slo(dataclasses.replace(THRESHOLD, op="<=")),
        slo(dataclasses.replace(THRESHOLD, value=Decimal("0.6"))),
        slo(PROMQL),
        slo(dataclasses.replace(PROMQL, bad=PROMQL.total)),
        slo(dataclasses.replace(PROMQL, total=PROMQL.bad)),
        slo(dataclasses.replace(PROMQL, every=5 * clock.MINUTE)),
        slo(PROMQL, group_by=("node", "team")),
        slo(group_by=()),
        slo(group_by=("node", "netns")),
    ]

    assert len({definition.of(one) for one in different}) == len(different)
