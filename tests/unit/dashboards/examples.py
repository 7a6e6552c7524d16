"""Service levels of every kind, for the tests of the boards."""

from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre import conventions as c
from netsre.alerting.describe import Links
from netsre.model.levels import (
    SLO,
    BurnPolicy,
    BurnRule,
    Indicator,
    LatencyIndicator,
    Matcher,
    Origin,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    ThresholdIndicator,
)

LINKS: Final = Links("https://netsre.example")

POLICY: Final = BurnPolicy(
    "workbook",
    (
        BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100)),
        BurnRule("page", 30 * clock.MINUTE, 6 * clock.HOUR, Fraction(5, 100)),
        BurnRule("ticket", 2 * clock.HOUR, clock.DAY, Fraction(10, 100)),
    ),
    5,
)

RATIO: Final = RatioIndicator(
    Selector(c.FLOWS, (Matcher("outcome", "=", "failed"),)),
    Selector(c.FLOWS, (Matcher("outcome", "=~", "delivered|failed"),)),
)
LATENCY: Final = LatencyIndicator(Selector(c.FLOW_CONNECT_SECONDS), Decimal("0.25"))
ASKED: Final = PromqlIndicator(
    'sum by (team) (rate(x{code=~"5.."}[$window])) # of anybody', "sum by (team) (rate(x[$window]))", 60_000
)
HEADROOM: Final = ThresholdIndicator(Selector(c.CONNTRACK_UTILIZATION), "<", Decimal("0.5"))


def slo(name: str, indicator: Indicator, **fields: object) -> SLO:
    """Return a service level that is sound, changed by `fields`."""
    values: dict[str, object] = {
        "name": name,
        "service": "node-datapath",
        "description": "Connections are delivered.",
        "labels": (),
        "objective": Fraction(999, 1000),
        "window": 30 * clock.DAY,
        "group_by": (c.NODE,),
        "indicator": indicator,
        "policy": POLICY,
        "runbook": "network-evidence",
        "origin": Origin("example.yaml", 1),
        **fields,
    }
    return SLO(**values)  # type: ignore[arg-type]  # the defaults above name every field


def every_kind() -> tuple[SLO, ...]:
    """Return one service level of each kind, and the odd ones: no groups, no policy, hostile text."""
    return (
        slo("ratio", RATIO),
        slo("latency", LATENCY, group_by=(c.NODE, "dst")),
        slo("headroom", HEADROOM, group_by=(c.NODE, "netns")),
        slo("floor", ThresholdIndicator(Selector(c.CONNTRACK_LIMIT), ">=", Decimal(1000))),
        slo("asked", ASKED, group_by=("team",)),
        slo("ungrouped", RATIO, group_by=(), policy=None, runbook=None),
        slo("hostile", RATIO, description='"}, {{ 7 * 7 }} </script> $node \\ {% raw %} ☂'),
    )
