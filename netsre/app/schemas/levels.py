"""Schemas of SLOs, burn policies and condition alerts."""

from typing import Final

from netsre.alerting import parsing as alerts
from netsre.app.schemas import parts
from netsre.app.schemas.parts import Schema
from netsre.metrics.registry import REGISTRY, Kind, Metric
from netsre.runbook import proofs
from netsre.slo import calendars, exact, indicator_specs, promql_specs, selectors, slices, spec_parts

_MATCHER: Final = f"{selectors.LABEL.pattern}{selectors.OP.pattern}(?:{selectors.QUOTED.pattern})"
_OPS: Final = tuple(exact.COMPARE)
_SEVERITY: Final = parts.choice("Whether a person is woken, or reads it by day.", ("page", "ticket"))
_RUNBOOK: Final = parts.name("The runbook of these alerts.")
_SERVICE: Final = "Whose promise it is."
_DESCRIPTION: Final = parts.text("One sentence for the person who is paged.")


def slo() -> Schema:
    """Return the schema of `spec` of an SLO."""
    return parts.mapping(
        "A promise, and how it is measured.",
        {
            "service": parts.filled_text(_SERVICE),
            "objective": parts.number(
                "Percent of the events that are to be good, such as 99.9; never a share of one.",
                exclusiveMinimum=1,
                exclusiveMaximum=100,
            ),
            "window": _window(),
            "indicator": _indicator(),
            "alerting": _alerting(),
        },
        {
            "description": _DESCRIPTION,
            "groupBy": _group_by_any("counter", "gauge", "histogram"),
            "budgeting": _budgeting(),
        },
    )


def burn_policy() -> Schema:
    """Return the schema of `spec` of a burn policy."""
    amounts = {
        "budget": parts.positive_share("The share of the budget that may be spent over the long window."),
        "factor": parts.number("The burn rate itself.", minimum=1),
    }
    rule = parts.mapping(
        "A burn rate that is exceeded over the long window, and still is over the short one.",
        {
            "severity": _SEVERITY,
            "short": parts.duration("The short window, in whole minutes; a twelfth of the long one."),
            "long": parts.duration("The long window, in whole minutes."),
        },
        amounts,
    )
    # Exactly one of the two, which are not the only keys.
    rule |= {"oneOf": [{"required": [amount]} for amount in amounts]}
    found = parts.mapping(
        "When the spending of a budget is an alert.",
        {
            "minimumBadEvents": parts.whole("Fewer bad events than these are no alert.", minimum=1),
            "rules": parts.sequence("Any of them fires.", rule, least=1),
        },
        {
            "source": parts.text("Where the numbers come from."),
            "confidence": parts.majority(
                "How sure a rule must be that so many bad events are no chance: for little traffic."
            ),
        },
    )
    return found | parts.along("confidence", {"properties": {"minimumBadEvents": {"minimum": 2}}})


def alert() -> Schema:
    """Return the schema of `spec` of a condition alert."""
    hold = "How long it has to last; 0s is at once."
    clear = parts.mapping(
        "When the alert is over.",
        {},
        {
            "above": parts.number("For what begins at < or <=: over from here."),
            "below": parts.number("For what begins at > or >=: over from here."),
            "for": parts.duration(hold, none=True),
        },
    )
    found = parts.mapping(
        "An alert about what a gauge shows now.",
        {
            "metric": _metric("gauge"),
            "op": parts.choice("How the reading compares when the alert begins.", _OPS),
            "value": parts.number("What the reading is compared with."),
            "severity": _SEVERITY,
        },
        {
            "service": parts.filled_text(_SERVICE),
            "summary": parts.filled_text(
                "What is wrong, for whoever is woken; the reading is put behind it."
            ),
            "description": _DESCRIPTION,
            "match": _match(),
            "groupBy": _group_by("gauge"),
            "for": parts.duration(hold, none=True),
            "clear": clear,
            "runbook": _RUNBOOK,
        },
    )
    return found | {"allOf": [_clears_only("above"), _clears_only("below")]}


def _clears_only(key: str) -> Schema:
    """Return that what begins on one side is over on the other."""
    (wrong,) = set(alerts.CLEAR_KEYS.values()) - {key}
    ops = [op for op, right in alerts.CLEAR_KEYS.items() if right == key]
    return parts.when("op", ops, {"properties": {"clear": {"properties": {wrong: False}}}})


def _window() -> Schema:
    rolling = parts.duration("The last days, up to 92d.")
    calendar = parts.mapping(
        "A period of the calendar.",
        {
            "calendar": parts.choice("The period.", calendars.UNITS),
            "timezone": parts.text("Where it begins at midnight, such as Europe/Berlin."),
        },
    )
    return {"description": "The period that the budget is for.", "anyOf": [rolling, calendar]}


def _indicator() -> Schema:
    ratio = parts.mapping(
        "Bad events among all events, from counters.",
        {"bad": _selector("counter", "Events that are bad."), "total": _selector("counter", "All events.")},
    )
    latency = _selector(
        "histogram",
        "Events of a histogram, of which the slow ones are bad.",
        below=parts.pattern(
            "Events up to here are good; a bucket bound.",
            indicator_specs.LIMIT.pattern,
            "A latency such as 500us, 250ms or 2.5s.",
            "500us",
            "250ms",
        ),
    )
    threshold = _selector(
        "gauge",
        "Readings of a gauge, each of which is an event.",
        op=parts.choice("How a good reading compares.", _OPS),
        value=parts.number("What a reading is compared with."),
    )
    promql = parts.mapping(
        "Bad events among all events, as a Prometheus answers it.",
        {"bad": _expression("Bad events per second."), "total": _expression("All events per second.")},
        {"every": parts.duration("What $window becomes, and how often both are asked; 1m unless written.")},
    )
    return parts.one_of(
        "What an event is, and when it is bad: exactly one of these.",
        {"ratio": ratio, "latency": latency, "threshold": threshold, "promql": promql},
    )


def _expression(about: str) -> Schema:
    return parts.pattern(
        f"{about} PromQL, an instant vector over $window.",
        rf"[\s\S]*{promql_specs.WINDOW.pattern}[\s\S]*",
        "PromQL with $window for the range, such as sum by (node) (rate(x[$window])).",
        "sum by (node) (rate(x[$window]))",
    )


def _alerting() -> Schema:
    return parts.mapping(
        "What is an alert.",
        {"policy": parts.name("A burn policy; none for no burn alerts.", "workbook", "guide", "none")},
        {
            "absent": parts.duration(
                "How long nobody may be able to judge before that is an alert; 2m or more."
            ),
            "runbook": _RUNBOOK,
        },
    )


def _budgeting() -> Schema:
    slice_ = parts.duration("The length of a slice: a part of an hour in whole minutes, up to 30m.")
    occurrences, timeslices, ratios = slices.METHODS
    about = "How the budget is spent"
    return {
        "description": f"{about}; by occurrences unless told otherwise.",
        "type": "object",
        "oneOf": [
            parts.mapping(
                f"{about}: by each bad event.", {"method": parts.choice("By events.", (occurrences,))}
            ),
            parts.mapping(
                f"{about}: by each slice in which too few events were good.",
                {
                    "method": parts.choice("By slices.", (timeslices,)),
                    "slice": slice_,
                    "target": parts.share("The share of good events that makes a slice good."),
                },
            ),
            parts.mapping(
                f"{about}: by the share of bad events of each slice.",
                {"method": parts.choice("By slices, in parts.", (ratios,)), "slice": slice_},
            ),
        ],
    }


def query() -> Schema:
    """Return the schema of a query of a verification."""
    metrics = sorted(metric.name for metric in _metrics(*proofs.KINDS))
    return parts.mapping(
        "What the readings of the node must say: each of a gauge, or by how much a counter rises.",
        {
            "metric": parts.choice("A gauge or counter of the agent.", metrics),
            "op": parts.choice("How it compares when it helped.", _OPS),
            "value": parts.number("What it is compared with."),
        },
        {"match": _match(), "groupBy": _group_by(*proofs.KINDS)},
    )


def _selector(kind: Kind, about: str, **more: Schema) -> Schema:
    return parts.mapping(about, {"metric": _metric(kind), **more}, {"match": _match()})


def _metric(kind: Kind) -> Schema:
    return parts.choice(f"A {kind} of the agent.", sorted(metric.name for metric in _metrics(kind)))


def _metrics(*kinds: Kind) -> list[Metric]:
    return [
        metric for metric in REGISTRY.values() if metric.kind in kinds and metric.exporter != "controller"
    ]


def _match() -> Schema:
    return parts.pattern(
        'Which series: matchers as in PromQL, without braces, such as outcome="failed".',
        rf"{_MATCHER}(?:,{_MATCHER})*(?:,\s*)?",
        'Matchers such as outcome="failed",reason=~"reset|refused".',
    )


def _group_by(*kinds: Kind) -> Schema:
    return _labels(parts.choice("A label that every series has.", _labels_of(*kinds)))


def _group_by_any(*kinds: Kind) -> Schema:
    """Return the same for what may be about anybody's series; those of ours are examples."""
    about = "A label that every series has; of PromQL, any."
    # The reader takes any word, also one that YAML takes for nothing.
    examples = {"examples": _labels_of(*kinds), "type": [*parts.SCALARS, "null"]}
    return _labels(parts.pattern(about, selectors.LABEL_NAME, "A label such as node.") | examples)


def _labels(label: Schema) -> Schema:
    about = "One budget or alert for each combination of these labels."
    return parts.sequence(about, label) | {"uniqueItems": True}


def _labels_of(*kinds: Kind) -> list[str]:
    return sorted({label for metric in _metrics(*kinds) for label in spec_parts.labels_of(metric)})
