"""A query of a verification, as a service level that is never kept: so both are counted in one way."""

from collections.abc import Sequence
from fractions import Fraction

from netsre.metrics.registry import REGISTRY
from netsre.model.levels import SLO, Origin, RatioIndicator, ThresholdIndicator
from netsre.model.runbooks import Query
from netsre.model.samples import Labels, Scrape
from netsre.slo import selectors


def rises(query: Query) -> bool:
    """Tell whether a query is about how much a counter rises."""
    metric = REGISTRY.get(query.selector.metric)
    return metric is not None and metric.kind == "counter"


def level(query: Query) -> SLO:
    """Return a level that every reading must meet, or whose events are the increase of a counter."""
    selector = query.selector
    indicator = (
        RatioIndicator(selector, selector)
        if rises(query)
        else ThresholdIndicator(selector, query.op, query.value)
    )
    return SLO(
        name=selector.metric,
        service="",
        description="",
        labels=(),
        objective=Fraction(1),
        window=1,
        group_by=query.group_by,
        indicator=indicator,
        policy=None,
        runbook=None,
        origin=Origin("", 0),
    )


def shown(query: Query, group: Labels, scrapes: Sequence[Scrape]) -> bool:
    """Tell whether the newest reading shows what is asked for; an increase takes two that show it.

    A counter that is not there is no counter that does not rise.
    """
    needed = 2 if rises(query) else 1
    return len(scrapes) >= needed and all(_shows(query, group, scrape) for scrape in scrapes[-needed:])


def _shows(query: Query, group: Labels, scrape: Scrape) -> bool:
    return any(
        series.name == query.selector.metric
        and selectors.selects(query.selector, dict(series.labels), scrape.node)
        and selectors.group_of(dict(series.labels), query.group_by, scrape.node) == group
        for series in scrape.values
    )
