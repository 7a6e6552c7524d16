"""Panels of service levels: what is left of the budget, what happens now, how fast it burns."""

import re
from decimal import Decimal
from typing import Final

from netsre import clock, conventions
from netsre.alerting.describe import Links, decimal
from netsre.dashboards import panels, promql
from netsre.dashboards.panels import Link, Panel, Query, Section, Step
from netsre.dashboards.promql import Expr
from netsre.model.levels import (
    SLO,
    LatencyIndicator,
    Matcher,
    PromqlIndicator,
    RatioIndicator,
    Selector,
    Severity,
    ThresholdIndicator,
)
from netsre.slo import promql_specs

_NODE_OR_NONE: Final = Matcher(conventions.NODE, "=~", "$node|")
"""An SLO that does not group by node has no such label, and is everyone's."""


def section(slo: SLO, links: Links) -> Section:
    """Return the row of one SLO."""
    row = (budget(slo, links), coverage(slo, links), live(slo, links), burn(slo, links))
    objective = decimal(slo.objective * 100, places=6)
    title = f"{slo.name}: {objective} % over {slo.window_text}"
    return Section(f"slo/{slo.name}", title, row)


def overview(slos: tuple[SLO, ...]) -> Panel:
    """Return the budgets of all SLOs, worst first."""
    groups = frozenset(label for slo in slos for label in slo.group_by) | {conventions.NODE}
    known = promql.series(Selector(conventions.SLO_BUDGET_REMAINING, (_NODE_OR_NONE,)), groups)
    worst = promql.ascending(promql.aggregate("min", ("slo",), known))
    return Panel(
        "now/budgets",
        "bargauge",
        "Error budget left, worst first",
        "The smallest budget of each SLO on the chosen nodes. Start with the first line; below 0 the promise "
        "is broken for this window.",
        (Query(worst, "{{slo}}"),),
        width=12,
        height=6,
        steps=_budget_steps(slos),
        lowest=0,
        highest=1,
        decimals=1,
    )


def budget(slo: SLO, links: Links) -> Panel:
    """Return what is left of an SLO's error budget."""
    left = promql.aggregate("min", ("slo",), _engine(slo, conventions.SLO_BUDGET_REMAINING))
    return Panel(
        f"slo/{slo.name}/budget",
        "stat",
        "Error budget left",
        f"{slo.description} The smallest budget among its groups: 100 % untouched, 0 % spent, negative "
        "beyond. When it is low, stop risky changes; the panel on the right says how fast it goes.",
        (Query(left, "budget left"),),
        width=4,
        height=7,
        steps=_budget_steps((slo,)),
        decimals=1,
        links=_links(slo, links),
    )


def coverage(slo: SLO, links: Links) -> Panel:
    """Return how much of the window was measured at all."""
    measured = promql.aggregate("min", ("slo",), _engine(slo, conventions.SLO_COVERAGE))
    return Panel(
        f"slo/{slo.name}/coverage",
        "stat",
        "Window measured",
        "How much of the window the other numbers stand on. A new node starts near 0 % and grows; a drop "
        "means that readings are missing: look at the sources.",
        (Query(measured, "measured"),),
        width=3,
        height=7,
        steps=(Step(0, panels.BLUE),),
        lowest=0,
        highest=1,
        decimals=1,
        links=_links(slo, links),
    )


def live(slo: SLO, links: Links) -> Panel:
    """Return what the indicator says now, against the objective."""
    match slo.indicator:
        case ThresholdIndicator() as indicator:
            return _live_value(slo, indicator, links)
        case RatioIndicator() as indicator:
            return _live_share(slo, _success(slo, indicator), links)
        case LatencyIndicator() as indicator:
            return _live_share(slo, _fast_enough(slo, indicator), links)
        case PromqlIndicator() as indicator:
            return _live_share(slo, _answered(slo, indicator), links)


def _live_share(slo: SLO, share: Expr, links: Links) -> Panel:
    """Return the share of good events in each group, against the objective."""
    return Panel(
        f"slo/{slo.name}/live",
        "timeseries",
        "Good events now",
        f"Share of good events between two points of the graph; the line is the objective "
        f"({decimal(slo.objective * 100, places=6)} %). A gap is no traffic. Compare nodes and groups: one "
        "bad line is local, all lines together are shared (network, dependency, rollout).",
        (Query(share, _legend(slo, "good")),),
        width=8,
        height=7,
        steps=(Step(0, panels.VERMILION), Step(float(slo.objective), panels.GREEN)),
        highest=1,
        links=_links(slo, links),
    )


def _live_value(slo: SLO, indicator: ThresholdIndicator, links: Links) -> Panel:
    """Return the gauge itself: its worst reading in each group, against the limit."""
    below = indicator.op in {"<", "<="}
    worst = promql.aggregate("max" if below else "min", slo.group_by, _readings(slo, indicator.selector))
    low, high = (panels.GREEN, panels.VERMILION) if below else (panels.VERMILION, panels.GREEN)
    return Panel(
        f"slo/{slo.name}/live",
        "timeseries",
        "Readings now",
        f"Each reading is one event, good while it is {indicator.op} {indicator.value} (the line). Compare "
        f"groups: the {'highest' if below else 'lowest'} line is where to look first.",
        (Query(worst, _legend(slo, "reading")),),
        width=8,
        height=7,
        steps=(Step(0, low), Step(float(indicator.value), high)),
        links=_links(slo, links),
    )


def burn(slo: SLO, links: Links) -> Panel:
    """Return the burn rates by window, with the factors that alert."""
    worst = promql.aggregate("max", ("window",), _engine(slo, conventions.SLO_BURN_RATE))
    windows = slo.policy.windows if slo.policy else ()
    return Panel(
        f"slo/{slo.name}/burn",
        "timeseries",
        "Burn rate by window",
        "How many times faster than allowed the budget is being spent, in the worst group: 1 spends it in "
        f"exactly {clock.duration_text(slo.window)}. {_rules_text(slo)}",
        (Query(worst, "{{window}}"),),
        width=9,
        height=7,
        steps=_burn_steps(slo),
        lowest=0,
        names=tuple(zip(map(clock.duration_text, windows), panels.PALETTE, strict=False)),
        links=_links(slo, links),
    )


def _engine(slo: SLO, name: str) -> Expr:
    """Return a metric of the SLO engine for this SLO, on the chosen nodes where it has nodes."""
    matchers = [Matcher("slo", "=", slo.name)]
    if conventions.NODE in slo.group_by:
        matchers.append(promql.on_node())
    return promql.series(Selector(name, tuple(matchers)), frozenset(slo.group_by))


def _readings(slo: SLO, selector: Selector, *more: Matcher) -> Expr:
    """Return the series that an indicator reads, on the chosen nodes where it is grouped by node."""
    node = (promql.on_node(),) if conventions.NODE in slo.group_by else ()
    return promql.series(Selector(selector.metric, (*selector.matchers, *more, *node)))


def _success(slo: SLO, indicator: RatioIndicator) -> Expr:
    total = promql.aggregate("sum", slo.group_by, promql.rate(_readings(slo, indicator.total)))
    bad = promql.aggregate("sum", slo.group_by, promql.rate(_readings(slo, indicator.bad)))
    return promql.complement(promql.ratio(promql.or_zero(bad, total), total))


def _fast_enough(slo: SLO, indicator: LatencyIndicator) -> Expr:
    name, matchers = indicator.selector.metric, indicator.selector.matchers
    buckets = _readings(slo, Selector(f"{name}_bucket", matchers), _bound(indicator.below))
    count = _readings(slo, Selector(f"{name}_count", matchers))
    good = promql.aggregate("sum", slo.group_by, promql.rate(buckets))
    return promql.ratio(good, promql.aggregate("sum", slo.group_by, promql.rate(count)))


def _answered(slo: SLO, indicator: PromqlIndicator) -> Expr:
    bad, total = _asked(slo, indicator.bad), _asked(slo, indicator.total)
    return promql.complement(promql.ratio(promql.or_zero(bad, total), total))


def _asked(slo: SLO, text: str) -> Expr:
    """Return one of the expressions, added up by group as its answers are; it may end with a remark."""
    asked = f"{promql_specs.over(text, promql.RATE_WINDOW).strip()}\n"
    return promql.aggregate("sum", slo.group_by, Expr(asked, frozenset(slo.group_by), "count", frozenset()))


def _bound(below: Decimal) -> Matcher:
    """Match a bucket bound however it is written: exporters say `1` or `1.0`, `0.000025` or `2.5e-05`."""
    written = sorted({f"{below.normalize():f}", repr(float(below))})
    if len(written) == 1:
        return Matcher("le", "=", written[0])
    return Matcher("le", "=~", "|".join(map(re.escape, written)))


def _legend(slo: SLO, otherwise: str) -> str:
    """Return a legend of the group's labels: with all of them it is different for every line."""
    return " ".join(f"{{{{{label}}}}}" for label in slo.group_by) or otherwise


def _budget_steps(slos: tuple[SLO, ...]) -> tuple[Step, ...]:
    """Return colours of a budget: spent, less than what the largest alert would take, healthy."""
    shares = [float(rule.budget_share) for slo in slos if slo.policy for rule in slo.policy.rules]
    enough = (Step(max(shares), panels.GREEN),) if shares else ()
    middle = panels.ORANGE if shares else panels.GREEN
    return (Step(-1, panels.VERMILION), Step(0, middle), *enough)


def _burn_steps(slo: SLO) -> tuple[Step, ...]:
    """Return colours of a burn rate: within budget, then the lowest factor of each severity."""
    steps = [Step(0, panels.GREEN)]
    colors: tuple[tuple[Severity, str], ...] = (("ticket", panels.ORANGE), ("page", panels.VERMILION))
    for severity, color in colors:
        factors = [
            float(rule.factor(slo.window))
            for rule in (slo.policy.rules if slo.policy else ())
            if rule.severity == severity
        ]
        if factors:
            steps.append(Step(min(factors), color))
    return tuple(sorted(steps, key=lambda step: step.value))


def _rules_text(slo: SLO) -> str:
    if slo.policy is None:
        return "Nothing alerts on it."
    rules = "; ".join(
        f"{rule.severity} when {clock.duration_text(rule.short)} and {clock.duration_text(rule.long)} are "
        f"both above {decimal(rule.factor(slo.window))}"
        for rule in slo.policy.rules
    )
    return f"Policy {slo.policy.name}: {rules}."


def _links(slo: SLO, links: Links) -> tuple[Link, ...]:
    runbook = f"Runbook {slo.runbook}" if slo.runbook else "Runbooks"
    return (Link(runbook, links.runbook(slo.runbook)), Link(f"{slo.name} now", links.dashboard(slo.name)))
