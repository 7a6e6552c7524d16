"""SLOs, scrapes and moments that the tests of the engine share."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from netsre import clock
from netsre.clock import Timestamp
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
from netsre.model.samples import Labels, Scrape, Series, labels

START = Timestamp(1_767_225_600_000)
"""A whole minute."""
NODE = (("node", "n1"),)

WORKBOOK = BurnPolicy(
    "workbook",
    (
        BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100)),
        BurnRule("page", 30 * clock.MINUTE, 6 * clock.HOUR, Fraction(5, 100)),
        BurnRule("ticket", 2 * clock.HOUR, clock.DAY, Fraction(10, 100)),
        BurnRule("ticket", 6 * clock.HOUR, 3 * clock.DAY, Fraction(10, 100)),
    ),
    5,
)

RATIO = RatioIndicator(
    Selector("flows", (Matcher("outcome", "=", "failed"),)),
    Selector("flows", (Matcher("outcome", "=~", "failed|delivered"),)),
)
LATENCY = LatencyIndicator(Selector("seconds"), Decimal("0.25"))
PROMQL = PromqlIndicator(
    'sum by (team) (rate(x{code=~"5.."}[$window]))', "sum by (team) (rate(x[$window]))", clock.MINUTE
)
THRESHOLD = ThresholdIndicator(Selector("used"), "<", Decimal("0.5"))


def slo(
    indicator: Indicator = RATIO,
    *,
    name: str = "flow",
    objective: str = "99.9",
    window: int = 30 * clock.DAY,
    group_by: tuple[str, ...] = ("node",),
    policy: BurnPolicy | None = WORKBOOK,
) -> SLO:
    """Return an SLO; what a test does not say does not matter to it."""
    share = Fraction(objective) / 100
    return SLO(name, "s", "", (), share, window, group_by, indicator, policy, None, Origin("f", 1))


def series(name: str, **pairs: str) -> Series:
    """Return a series."""
    return Series(name, labels(pairs))


FAILED = series("flows", outcome="failed")
DELIVERED = series("flows", outcome="delivered")


def scrape(
    seconds: float, values: Mapping[Series, int | str], *, node: str = "n1", started: float = -100
) -> Scrape:
    """Return what a source showed so many seconds after `START`."""
    return Scrape(
        Timestamp(START + int(seconds * 1000)),
        node,
        Timestamp(START + int(started * 1000)),
        {key: Decimal(value) for key, value in values.items()},
    )


def after(seconds: float) -> Timestamp:
    """Return the moment so many seconds after `START`."""
    return Timestamp(START + int(seconds * 1000))


def node_group(node: str = "n1") -> Labels:
    """Return the group of a node."""
    return (("node", node),)
