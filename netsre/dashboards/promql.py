"""PromQL as values that know which labels and which unit come out, so that a wrong legend cannot be written.

Only what the boards need; every function returns a new `Expr`. Nothing here parses PromQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from netsre import conventions
from netsre.metrics.registry import REGISTRY
from netsre.model.levels import Matcher, Selector

Unit = Literal["count", "ratio", "seconds", "bytes", "per_second", "bytes_per_second"]

TARGET: Final = frozenset({"instance", "job"})
"""Labels that Prometheus adds to everything that it scrapes."""

RATE_WINDOW: Final = "$__rate_interval"
"""Grafana's own variable: at least four scrapes long, so that no panel is empty for a scrape too few."""

_RATES: Final[Mapping[Unit, Unit]] = MappingProxyType(
    {"count": "per_second", "seconds": "ratio", "bytes": "bytes_per_second"}
)


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression, the labels that its result can have, its unit, and the metrics that it reads."""

    text: str
    labels: frozenset[str]
    unit: Unit
    metrics: frozenset[str]


def series(selector: Selector, more: frozenset[str] = frozenset()) -> Expr:
    """Return the series of a selector; `more` are labels beyond the registry's, such as an SLO's groups.

    Raises `KeyError` for a metric that is not in the registry and `ValueError` for a label that it lacks.
    """
    name = selector.metric
    family = name if name in REGISTRY else name.removesuffix("_bucket").removesuffix("_count")
    metric = REGISTRY[family]
    labels = frozenset(metric.labels) | TARGET | more
    if metric.exporter != "controller":
        labels |= {conventions.NODE}
    if name == f"{family}_bucket":
        labels |= {"le"}
    unknown = sorted({matcher.label for matcher in selector.matchers} - labels)
    if unknown:
        raise ValueError(f"{selector} asks for {', '.join(unknown)}, which {family} does not have")
    # What a histogram counts are events, whatever it measures.
    unit: Unit = "count" if metric.kind == "histogram" else (metric.unit or "count")
    return Expr(str(selector), labels, unit, frozenset({family}))


def agent(name: str, *matchers: Matcher) -> Expr:
    """Return an agent's metric on the nodes that the board's reader chose."""
    return series(Selector(name, (*matchers, on_node())))


def on_node() -> Matcher:
    """Return the condition of the board's node variable."""
    return Matcher(conventions.NODE, "=~", "$node")


def rate(of: Expr) -> Expr:
    """Return a counter's increase per second; raises `KeyError` for a unit that has no rate."""
    return Expr(f"rate({of.text}[{RATE_WINDOW}])", of.labels, _RATES[of.unit], of.metrics)


def increase(of: Expr) -> Expr:
    """Return a counter's increase between two points of the graph."""
    return Expr(f"increase({of.text}[{RATE_WINDOW}])", of.labels, of.unit, of.metrics)


def aggregate(how: Literal["sum", "min", "max", "count"], by: tuple[str, ...], of: Expr) -> Expr:
    """Return `how by (…) (of)`; raises `ValueError` for a label that `of` does not have."""
    missing = sorted(set(by) - of.labels)
    if missing:
        raise ValueError(f"{how} by {', '.join(missing)}: no such label in {of.text}")
    clause = f" by ({', '.join(by)}) " if by else ""
    unit: Unit = "count" if how == "count" else of.unit
    return Expr(f"{how}{clause}({of.text})", frozenset(by), unit, of.metrics)


def ratio(part: Expr, whole: Expr) -> Expr:
    """Return part over whole where there is a whole: no traffic is a gap, never 0 % or 100 %."""
    if (part.labels, part.unit) != (whole.labels, whole.unit):
        raise ValueError(f"{part.text} and {whole.text} differ in labels or unit")
    text = f"{part.text} / ({whole.text} > 0)"
    return Expr(text, part.labels, "ratio", part.metrics | whole.metrics)


def complement(share: Expr) -> Expr:
    """Return 1 - share."""
    return Expr(f"1 - {share.text}", share.labels, share.unit, share.metrics)


def or_zero(of: Expr, where: Expr) -> Expr:
    """Return `of`, and 0 where it has no series but `where` has: nothing bad was ever counted there."""
    if of.labels != where.labels:
        raise ValueError(f"{of.text} and {where.text} differ in labels")
    return Expr(f"({of.text} or 0 * {where.text})", of.labels, of.unit, of.metrics | where.metrics)


def of_agents(of: Expr) -> Expr:
    """Keep the series that come from netsre's agents: every exporter has `process_…` metrics."""
    build = REGISTRY[conventions.BUILD_INFO].name
    text = f"({of.text} and on (job, instance) {build})"
    return Expr(text, of.labels, of.unit, of.metrics | {build})


def quantile(share: str, by: tuple[str, ...], buckets: Expr) -> Expr:
    """Return a quantile (`0.99`) of a histogram's rate, in the histogram's unit."""
    merged = aggregate("sum", (*by, "le"), rate(buckets))
    units = {REGISTRY[name].unit or "count" for name in buckets.metrics}
    if len(units) != 1:
        raise ValueError(f"{buckets.text} reads several histograms")
    text = f"histogram_quantile({share}, {merged.text})"
    return Expr(text, frozenset(by), units.pop(), buckets.metrics)


def top(count: int, of: Expr) -> Expr:
    """Return the largest few."""
    return Expr(f"topk({count}, {of.text})", of.labels, of.unit, of.metrics)


def ascending(of: Expr) -> Expr:
    """Return the same, smallest first."""
    return Expr(f"sort({of.text})", of.labels, of.unit, of.metrics)


def minus(left: Expr, right: Expr) -> Expr:
    """Return left - right, of equal labels and unit."""
    if (left.labels, left.unit) != (right.labels, right.unit):
        raise ValueError(f"{left.text} and {right.text} differ in labels or unit")
    return Expr(f"{left.text} - {right.text}", left.labels, left.unit, left.metrics | right.metrics)
