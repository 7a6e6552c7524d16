"""Values that many tests need: an SLO, evaluations of it, alerts of those, and a store to keep them in."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from netsre import clock
from netsre.alerting import decide
from netsre.alerting.transitions import Transition
from netsre.app import resources
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.levels import (
    SLO,
    Burning,
    BurnPolicy,
    BurnRule,
    Evaluation,
    Measured,
    NoData,
    Origin,
    Ratio,
    RatioIndicator,
    Selector,
)
from netsre.model.samples import Labels
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from tests import databases

T0 = Timestamp(1_767_225_600_000)
"""2026-01-01T00:00:00Z."""
NODE: Labels = (("node", "a"),)
PAGE = BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100))
TICKET = BurnRule("ticket", 2 * clock.HOUR, clock.DAY, Fraction(10, 100))


def slo(name: str = "flow-success", runbook: str | None = "network-evidence") -> SLO:
    """Return an SLO of 99.9 % over 30 days with one page and one ticket rule."""
    flows = Selector("netsre_flows_total")
    return SLO(
        name=name,
        service="node-datapath",
        description="Connections are delivered.",
        labels=(),
        objective=Fraction(999, 1000),
        window=30 * clock.DAY,
        group_by=("node",),
        indicator=RatioIndicator(flows, flows),
        policy=BurnPolicy("workbook", (PAGE, TICKET), 1),
        runbook=runbook,
        origin=Origin("slos/flow-success.yaml", 1),
    )


def evaluation(
    burn: Mapping[str, Ratio | int | str], *, of: SLO | None = None, group: Labels = NODE
) -> Evaluation:
    """Return an evaluation: burn rates as numbers, or the reason why there is none; rules fire as they must.

    Windows that are left out had no traffic.
    """
    about = of or slo()
    rates: dict[str, Ratio] = dict.fromkeys(("5m", "1h", "2h", "1d"), NoData("no_traffic"))
    for window, rate in burn.items():
        rates[window] = Measured(Fraction(rate)) if isinstance(rate, int) else _no(rate)
    firing = []
    for rule in about.policy.rules if about.policy else ():
        factor = rule.factor(about.window)
        short, long = rates[clock.duration_text(rule.short)], rates[clock.duration_text(rule.long)]
        if (
            isinstance(short, Measured)
            and isinstance(long, Measured)
            and min(short.value, long.value) > factor
        ):
            firing.append(Burning(rule, short.value, long.value, factor, Decimal(2), Decimal(3)))
    return Evaluation(
        slo=about,
        group=group,
        at=T0,
        bad=Decimal(100),
        total=Decimal(1000),
        sli=Measured(Fraction(9, 10)),
        budget_remaining=Measured(Fraction(1, 2)),
        coverage=Fraction(1, 3),
        burn=rates,
        firing=tuple(firing),
    )


def _no(rate: Ratio | str) -> Ratio:
    return NoData(rate) if isinstance(rate, str) else rate


BURNING = evaluation({"5m": 100, "1h": 100, "2h": 1, "1d": 1})
"""The page rule holds (factor 14.4), the ticket rule (3) does not."""
CALM = evaluation({"5m": 0, "1h": 20, "2h": 1, "1d": 1})
SILENT = evaluation({"5m": "no_traffic", "1h": 100})


def fired(at: Timestamp = T0, of: Evaluation = BURNING) -> Transition:
    """Return the beginning of an alert."""
    return next(t for t in decide.decide((of,), {}, at, 0) if t.announced)


def active(*transitions: Transition) -> dict[str, Alert]:
    """Return alerts by fingerprint, as a store gives them."""
    return {transition.alert.fingerprint: transition.alert for transition in transitions}


MIGRATIONS = Migrations.load(str(resources.directory("migrations")))


def store(directory: Path) -> Store:
    """Return a store at this version's schema: the same one for the same directory."""
    made = databases.opened(directory, MIGRATIONS)
    made.upgrade()
    return made
