"""`evidence.collect`: what a person would look at first, kept with the run before it scrolls away."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from netsre.model.samples import Scrape, Series
from netsre.runbook import codes
from netsre.runbook.actions.contract import ActionFailed, NodeUnreachable, Subject, Views

LOOKBACK: Final = 5 * clock.MINUTE
DOMINATES: Final = Fraction(1, 10)
"""Share of a table's limit from which its largest source is worth acting upon."""
TOP_SOURCES: Final = "top-sources"
TOP_SOURCE: Final = "top_source"
_LARGEST: Final = 20
"""Rows kept of a list; a journal is read by people, and `omitted` says how many more there were."""


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
        """Return `top_source` where the top sources are asked for."""
        what = parameters["what"]
        asked = isinstance(what, Sequence) and TOP_SOURCES in what
        return frozenset({TOP_SOURCE}) if asked else frozenset()

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Return one object per topic; raises `NodeUnreachable` while there is no reading of it.

        Beside `top-sources` stands `top_source`: the address with the most entries, if it has a tenth of the
        table or more.
        """
        what = parameters["what"]
        scrapes = tuple(views.scrapes())
        if not scrapes:
            raise NodeUnreachable("no reading of the source since this controller started")
        span = _Span(_base(scrapes), scrapes[-1])
        evidence: dict[str, Json] = {"read_at": clock.rfc3339(span.last.at)}
        for topic in what if isinstance(what, Sequence) else ():
            if topic == TOP_SOURCES:
                evidence.update(_top_sources(subject, views))
            else:
                evidence[str(topic)] = _OF_READINGS[str(topic)](subject, span, views)
        return evidence


@dataclass(frozen=True, slots=True)
class _Span:
    """Two readings: what happened between them is the evidence of counters."""

    first: Scrape | None
    """None when there was one reading, or the counters began anew: then all of `last` is the increase."""
    last: Scrape

    def increases(self, metric: str) -> Iterator[tuple[Mapping[str, str], Decimal]]:
        """Yield the increase of every counter series that moved, largest first."""
        before = self.first.values if self.first else {}
        moved = [
            (dict(series.labels), value - before.get(series, Decimal(0)))
            for series, value in _series(self.last, metric)
        ]
        return iter(
            sorted((row for row in moved if row[1] > 0), key=lambda row: (-row[1], sorted(row[0].items())))
        )

    def since(self) -> Json:
        """Return when the counting began."""
        return clock.rfc3339(self.first.at if self.first else self.last.started_at)


def _base(scrapes: Sequence[Scrape]) -> Scrape | None:
    """Return the oldest reading of the same process that is at most `LOOKBACK` older than the last."""
    last = scrapes[-1]
    usable = (s for s in scrapes[:-1] if s.started_at == last.started_at and last.at - s.at <= LOOKBACK)
    return next(usable, None)


def _series(scrape: Scrape, metric: str) -> Iterator[tuple[Series, Decimal]]:
    return ((series, value) for series, value in scrape.values.items() if series.name == metric)


def _flows(_subject: Subject, span: _Span, _views: Views) -> Json:
    """Return the failed and denied attempts by reason and by the two ends."""
    rows = [
        {key: pairs.get(key, "") for key in ("outcome", "reason", "direction", "src", "dst", "protocol")}
        | {"count": _whole(count)}
        for pairs, count in span.increases(conventions.FLOWS)
        if pairs.get("outcome") != "delivered"
    ]
    delivered = sum(
        (count for pairs, count in span.increases(conventions.FLOWS) if pairs.get("outcome") == "delivered"),
        Decimal(0),
    )
    return {"since": span.since(), "delivered": _whole(delivered), **_cut("not_delivered", rows)}


def _conntrack(_subject: Subject, span: _Span, _views: Views) -> Json:
    """Return how full every table is, and what it refused."""
    tables: dict[tuple[str, str], dict[str, Json]] = {}
    for key, metric in (
        ("entries", conventions.CONNTRACK_ENTRIES),
        ("limit", conventions.CONNTRACK_LIMIT),
        ("utilization_ratio", conventions.CONNTRACK_UTILIZATION),
    ):
        for series, value in _series(span.last, metric):
            _table(tables, dict(series.labels))[key] = _whole(value)
    for key, metric in (
        ("insert_failed", conventions.CONNTRACK_INSERT_FAILED),
        ("drops", conventions.CONNTRACK_DROPS),
        ("early_drops", conventions.CONNTRACK_EARLY_DROPS),
    ):
        for pairs, value in span.increases(metric):
            _table(tables, pairs)[key] = _whole(value)
    rows: list[dict[str, Json]] = [
        {"table": table, "netns": netns, **found} for (table, netns), found in sorted(tables.items())
    ]
    return {"since": span.since(), **_cut("tables", rows)}


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
    seen.update(_cut("sources", rows))
    top, share = max(shares, key=lambda pair: pair[1], default=(None, Fraction(0)))
    return {TOP_SOURCES: seen} | ({TOP_SOURCE: top.source} if top and share >= DOMINATES else {})


def _refused(_subject: Subject, span: _Span, _views: Views) -> Json:
    """Return who no rule of a policy allows, by both ends."""
    rows = [
        {key: pairs.get(key, "") for key in ("verdict", "direction", "src", "dst")}
        | {"packets": _whole(count)}
        for pairs, count in span.increases(conventions.POLICY_REFUSED)
    ]
    return {"since": span.since(), **_cut("refused", rows)}


def _slo(subject: Subject, _span: _Span, views: Views) -> Json:
    """Return the evaluation that the alert stands on."""
    pairs = dict(subject.alert.labels)
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
        "bad": _whole(evaluation.bad),
        "total": _whole(evaluation.total),
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


def _agent(_subject: Subject, span: _Span, _views: Views) -> Json:
    """Return whether the instrument itself can be trusted."""
    probes: list[dict[str, Json]] = [
        {**dict(series.labels), "up": _whole(value)}
        for series, value in sorted(
            _series(span.last, conventions.AGENT_PROBE_UP), key=lambda row: row[0].labels
        )
    ]
    overflows: list[dict[str, Json]] = [
        {"map": pairs.get("map", ""), "count": _whole(count)}
        for pairs, count in span.increases(conventions.BPF_MAP_OVERFLOWS)
    ]
    errors: list[dict[str, Json]] = [
        {"source": pairs.get("source", ""), "count": _whole(count)}
        for pairs, count in span.increases(conventions.AGENT_READ_ERRORS)
    ]
    return {
        "started_at": clock.rfc3339(span.last.started_at),
        "since": span.since(),
        **_cut("probes", probes),
        "overflows": overflows[:_LARGEST],
        "read_errors": errors[:_LARGEST],
    }


Topic = Callable[[Subject, _Span, Views], Json]

_OF_READINGS: Final[Mapping[str, Topic]] = MappingProxyType(
    {"flows": _flows, "conntrack": _conntrack, "refused": _refused, "slo": _slo, "agent": _agent}
)
TOPICS: Final = frozenset({*_OF_READINGS, TOP_SOURCES})
"""What can be asked for."""


def _cut(key: str, rows: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    return {key: tuple(rows[:_LARGEST]), f"{key}_omitted": max(0, len(rows) - _LARGEST)}


def _whole(value: Decimal) -> Json:
    """Return a whole number as a number, and any other exactly, as its digits."""
    return int(value) if value == value.to_integral_value() else f"{value:f}"


def _number(value: Fraction) -> str:
    return describe.decimal(value, places=6)


def _ratio(ratio: Ratio) -> Json:
    return _number(ratio.value) if isinstance(ratio, Measured) else {"no_data": ratio.reason}
