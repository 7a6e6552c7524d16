"""`evidence.collect`: what a person would look at first, kept with the run before it scrolls away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe
from netsre.model import literals, values
from netsre.model.documents import Document, Json
from netsre.model.levels import Evaluation, Measured, Ratio
from netsre.runbook import codes
from netsre.runbook.actions import evidence_changes, evidence_datapath
from netsre.runbook.actions.contract import ActionFailed, NodeUnreachable, Subject, Views
from netsre.runbook.actions.evidence_datapath import (
    CHANGED_LAST,
    MISSING,
    TOP_CLIENT,
    TOP_MAP,
    TOP_RULE,
    Topic,
)
from netsre.runbook.actions.evidence_span import LARGEST, Span, cut, whole

DOMINATES: Final = Fraction(1, 10)
"""Share of a table's limit from which its largest source is worth acting upon."""
TOP_SOURCES: Final = "top-sources"
TOP_SOURCE: Final = "top_source"
GIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        TOP_SOURCES: TOP_SOURCE,
        "drops": TOP_RULE,
        "loads": MISSING,
        "maps": TOP_MAP,
        "noisy": TOP_CLIENT,
        "policies": CHANGED_LAST,
    }
)
"""What a topic gives to later steps, where one of what it lists stands out."""


@dataclass(frozen=True, slots=True)
class Collect:
    """The action; it reads and changes nothing."""

    name: str = "evidence.collect"

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `what`: a list of topics."""
        sequence = parameters.sequence("what")
        if sequence is None:
            return None
        what = sequence.texts()
        for topic in what:
            if topic not in TOPICS:
                hint = literals.nearest(topic, TOPICS)
                parameters.wrong(
                    "what", codes.PARAMETER, f"has {literals.shown(topic)}, which is no topic{hint}"
                )
        if not what:
            parameters.wrong("what", codes.PARAMETER, f"is empty; write one of {', '.join(sorted(TOPICS))}")
        return {"what": tuple(dict.fromkeys(what))}

    def provides(self, parameters: Document) -> frozenset[str]:
        """Return what the topics that are asked for can give."""
        what = parameters["what"]
        asked = what if isinstance(what, Sequence) else ()
        return frozenset(GIVES[str(topic)] for topic in asked if topic in GIVES)

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Return one object per topic; raises `NodeUnreachable` while there is no reading of it.

        Beside a topic stands what it gives, if there is one that stands out: `top_source` is the address with
        the most entries, if it has a tenth of the table or more.
        """
        what = parameters["what"]
        scrapes = tuple(views.scrapes())
        if not scrapes:
            raise NodeUnreachable("no reading of the source since this controller started")
        span = Span.of(scrapes)
        evidence: dict[str, Json] = {"read_at": clock.rfc3339(span.last.at)}
        for topic in what if isinstance(what, Sequence) else ():
            if topic == TOP_SOURCES:
                evidence.update(_top_sources(subject, views))
                continue
            seen = evidence[str(topic)] = _OF_READINGS[str(topic)](subject, span, views)
            given = GIVES.get(str(topic), "")
            if isinstance(seen, Mapping) and given in seen:
                evidence[given] = seen[given]
        return evidence


def _flows(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return the failed and denied attempts by reason and by the two ends."""
    rows = [
        {key: pairs.get(key, "") for key in ("outcome", "reason", "direction", "src", "dst", "protocol")}
        | {"count": whole(count)}
        for pairs, count in span.increases(conventions.FLOWS)
        if pairs.get("outcome") != "delivered"
    ]
    delivered = sum(
        (count for pairs, count in span.increases(conventions.FLOWS) if pairs.get("outcome") == "delivered"),
        Decimal(0),
    )
    return {"since": span.since(), "delivered": whole(delivered), **cut("not_delivered", rows)}


def _conntrack(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return how full every table is, and what it refused."""
    tables: dict[tuple[str, str], dict[str, Json]] = {}
    for key, metric in (
        ("entries", conventions.CONNTRACK_ENTRIES),
        ("limit", conventions.CONNTRACK_LIMIT),
        ("utilization_ratio", conventions.CONNTRACK_UTILIZATION),
    ):
        for pairs, value in span.levels(metric):
            _table(tables, pairs)[key] = whole(value)
    for key, metric in (
        ("insert_failed", conventions.CONNTRACK_INSERT_FAILED),
        ("drops", conventions.CONNTRACK_DROPS),
        ("early_drops", conventions.CONNTRACK_EARLY_DROPS),
    ):
        for pairs, value in span.increases(metric):
            _table(tables, pairs)[key] = whole(value)
    rows: list[dict[str, Json]] = [
        {"table": table, "netns": netns, **found} for (table, netns), found in sorted(tables.items())
    ]
    return {"since": span.since(), **cut("tables", rows)}


def _table(tables: dict[tuple[str, str], dict[str, Json]], pairs: Mapping[str, str]) -> dict[str, Json]:
    start: dict[str, Json] = {"insert_failed": 0, "drops": 0, "early_drops": 0}
    return tables.setdefault((pairs.get("table", ""), pairs.get(conventions.NETNS, "")), start)


def _top_sources(subject: Subject, views: Views) -> dict[str, Json]:
    """Return who fills the table that the alert is about, as the node counts them now, and who dominates."""
    netns = dict(subject.alert.labels).get(conventions.NETNS, "")
    if not netns:
        raise ActionFailed("the alert names no network namespace, so that there is no table to look at")
    table = views.node.table(netns)
    limit = max(table.limit, 1)
    shares = [(found, Fraction(found.entries, limit)) for found in table.sources]
    rows: list[dict[str, Json]] = [
        {"source": found.source, "entries": found.entries, "share": _number(share)} for found, share in shares
    ]
    states = {found.state: found.entries for found in table.states}
    seen: dict[str, Json] = {"netns": netns, "entries": table.entries, "limit": table.limit, "states": states}
    seen.update(cut("sources", rows))
    top, share = max(shares, key=lambda pair: pair[1], default=(None, Fraction(0)))
    return {TOP_SOURCES: seen} | ({TOP_SOURCE: top.source} if top and share >= DOMINATES else {})


def _refused(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return who no rule of a policy allows, by both ends."""
    rows = [
        {key: pairs.get(key, "") for key in ("verdict", "direction", "src", "dst")}
        | {"packets": whole(count)}
        for pairs, count in span.increases(conventions.POLICY_REFUSED)
    ]
    return {"since": span.since(), **cut("refused", rows)}


def _slo(subject: Subject, _span: Span, views: Views) -> Json:
    """Return the evaluation that the alert stands on; of a condition there is none."""
    pairs = dict(subject.alert.labels)
    if "slo" not in pairs:
        return {"no_data": "no_level"}
    for evaluation in views.evaluations():
        if evaluation.slo.name == pairs.get("slo") and set(evaluation.group) <= set(subject.alert.labels):
            return _evaluation(evaluation)
    message = f"SLO {pairs.get('slo', '')} is not evaluated now"
    raise ActionFailed(message)


def _evaluation(evaluation: Evaluation) -> Json:
    return {
        "at": clock.rfc3339(evaluation.at),
        "slo": evaluation.slo.name,
        "group": dict(evaluation.group),
        "bad": whole(evaluation.bad),
        "total": whole(evaluation.total),
        "sli": _ratio(evaluation.sli),
        "budget_remaining": _ratio(evaluation.budget_remaining),
        "coverage": _number(evaluation.coverage),
        "burn": {window: _ratio(burn) for window, burn in evaluation.burn.items()},
        "firing": [
            {
                "severity": burning.rule.severity,
                "short": clock.duration_text(burning.rule.short),
                "long": clock.duration_text(burning.rule.long),
                "factor": _number(burning.factor),
            }
            for burning in evaluation.firing
        ],
    }


def _agent(_subject: Subject, span: Span, _views: Views) -> Json:
    """Return whether the instrument itself can be trusted."""
    probes: list[dict[str, Json]] = [
        {**pairs, "up": whole(value)} for pairs, value in span.levels(conventions.AGENT_PROBE_UP)
    ]
    overflows: list[dict[str, Json]] = [
        {"map": pairs.get("map", ""), "count": whole(count)}
        for pairs, count in span.increases(conventions.BPF_MAP_OVERFLOWS)
    ]
    errors: list[dict[str, Json]] = [
        {"source": pairs.get("source", ""), "count": whole(count)}
        for pairs, count in span.increases(conventions.AGENT_READ_ERRORS)
    ]
    return {
        "started_at": clock.rfc3339(span.last.started_at),
        "since": span.since(),
        **cut("probes", probes),
        "overflows": overflows[:LARGEST],
        "read_errors": errors[:LARGEST],
    }


_OF_READINGS: Final[Mapping[str, Topic]] = MappingProxyType(
    {
        "flows": _flows,
        "conntrack": _conntrack,
        "refused": _refused,
        "slo": _slo,
        "agent": _agent,
        **evidence_datapath.TOPICS,
        **evidence_changes.TOPICS,
    }
)
TOPICS: Final = frozenset({*_OF_READINGS, TOP_SOURCES})
"""What can be asked for."""


def _number(value: Fraction) -> str:
    return describe.decimal(value, places=6)


def _ratio(ratio: Ratio) -> Json:
    return _number(ratio.value) if isinstance(ratio, Measured) else {"no_data": ratio.reason}
