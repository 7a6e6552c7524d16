"""What files of service levels and of condition alerts have in common: series, groups, labels, runbooks."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from netsre import conventions
from netsre.metrics.registry import REGISTRY, Kind, Metric
from netsre.model import linting, literals, samples, values
from netsre.model.levels import Matcher, Selector
from netsre.slo import codes, selectors

_INDICATOR_FOR: Final[Mapping[Kind, str]] = MappingProxyType(
    {"counter": "ratio", "histogram": "latency", "gauge": "threshold"}
)
RESERVED: Final = frozenset({"alertname", "severity", "service", "slo", "window", "le", conventions.NODE})


def selector(body: values.Mapping, *kinds: Kind) -> Selector | None:
    """Read `metric`, of one of some kinds and served by the agent, and `match`; None when one is wrong."""
    name = body.text("metric")
    matchers = _matchers(body)
    metric = _metric(body, name, kinds) if name is not None else None
    if metric is None or matchers is None:
        return None
    for matcher in matchers:
        if matcher.label not in labels_of(metric):
            hint = literals.nearest(matcher.label, labels_of(metric))
            message = f"uses label {matcher.label!r}, which {metric.name} does not have{hint}"
            body.wrong("match", codes.UNKNOWN_LABEL, message)
    return Selector(metric.name, matchers)


def labels_of(metric: Metric) -> tuple[str, ...]:
    """Return the labels a spec may use of a metric: its own, and the node, which the reader adds."""
    return (*metric.labels, conventions.NODE)


def group_by(spec: values.Mapping, metrics: Collection[str]) -> tuple[str, ...]:
    """Read `groupBy`: labels that each of these metrics has, each once."""
    sequence = spec.sequence("groupBy", required=False)
    names = sequence.texts() if sequence else ()
    for label in sorted({name for name in names if names.count(name) > 1}):
        spec.wrong("groupBy", codes.UNKNOWN_LABEL, f"lists {label!r} twice; keep one")
    for metric in metrics:
        known = labels_of(REGISTRY[metric])
        for label in names:
            if label not in known:
                hint = literals.nearest(label, known)
                message = f"uses label {label!r}, which {metric} does not have{hint}"
                spec.wrong("groupBy", codes.UNKNOWN_LABEL, message)
    return names


def metadata_labels(metadata: values.Mapping, groups: Sequence[str]) -> samples.Labels:
    """Read `labels`, none of which may be one that netsre sets; then the metadata is at its end."""
    part = metadata.mapping("labels", required=False)
    metadata.end()
    pairs = part.pairs() if part else {}
    for name in pairs:
        if name in RESERVED or name in groups:
            message = "is a label that netsre sets by itself; choose another name"
        elif not selectors.is_label(name):
            message = "is not a label name; use letters, digits and underscores"
        else:
            continue
        if part:
            part.wrong(name, codes.RESERVED_LABEL, message)
    return samples.labels(pairs)


def service(spec: values.Mapping, *, required: bool = True) -> str | None:
    """Read `service`: whose promise it is."""
    name = spec.text("service", required=required)
    if name is not None and not name.strip():
        spec.wrong("service", linting.MISSING, "is empty; write whose promise it is, such as node-datapath")
    return name


def runbook(body: values.Mapping, known: Collection[str] | None) -> str | None:
    """Read `runbook`: one of the known names, any where nobody asks (None)."""
    name = body.name("runbook", required=False)
    if name is not None and known is not None and name not in known:
        hint = literals.nearest(name, known)
        body.wrong("runbook", codes.UNKNOWN_RUNBOOK, f"{literals.shown(name)} does not exist{hint}")
    return name


def _metric(body: values.Mapping, name: str, kinds: Collection[Kind]) -> Metric | None:
    metric = REGISTRY.get(name)
    if metric is None:
        alike = (
            known.name
            for known in REGISTRY.values()
            if known.kind in kinds and known.exporter != "controller"
        )
        message = f"{literals.shown(name)} does not exist{literals.nearest(name, alike)}"
        body.wrong("metric", codes.UNKNOWN_METRIC, message)
        return None
    if metric.exporter == "controller":
        message = f"{name} is about netsre's controller; write a metric that the agent exposes"
        body.wrong("metric", codes.UNKNOWN_METRIC, message)
        return None
    if metric.kind not in kinds:
        instead = _INDICATOR_FOR[metric.kind]
        message = f"{name} is a {metric.kind}, not a {' or '.join(kinds)}; write it under {instead} of an SLO"
        body.wrong("metric", codes.METRIC_KIND, message)
        return None
    return metric


def _matchers(body: values.Mapping) -> tuple[Matcher, ...] | None:
    text = body.text("match", required=False)
    if text is None:
        return () if "match" not in body else None
    try:
        return selectors.parse_matchers(text)
    except ValueError as error:
        body.wrong("match", codes.MATCH, str(error))
        return None
