"""Evidence of what was changed lately: deploys and other events, policies, and what automation did itself."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.documents import Json
from netsre.runbook.actions.contract import Subject, Views
from netsre.runbook.actions.evidence_datapath import NO_POLICIES, Topic, missing
from netsre.runbook.actions.evidence_span import Span, cut, levels, whole

BACK: Final = clock.HOUR


def _changes(subject: Subject, span: Span, views: Views) -> Json:
    """Return what people said that they did, and runs, of the last hour, newest first; and the revision."""
    since = Timestamp(span.last.at - BACK)
    happened = views.records.happened(since)
    events: list[dict[str, Json]] = [
        {
            "at": clock.rfc3339(event.at),
            "kind": event.kind,
            "node": event.node,
            "text": event.text,
            "by": event.person,
        }
        for event in sorted(happened.events, key=lambda event: -event.at)
    ]
    runs: list[dict[str, Json]] = [
        {
            "at": clock.rfc3339(run.changed_at or run.started_at),
            "run": run.id,
            "runbook": run.runbook,
            "target": run.target,
            "state": run.state.value,
            "reason": run.reason,
            "changed": run.changed_at is not None,
        }
        for run in sorted(happened.runs, key=lambda run: -(run.changed_at or run.started_at))
        if run.id != subject.run
    ]
    found = {"since": clock.rfc3339(since), **cut("events", events), **cut("runs", runs)}
    return {**found, "policy_revision": _revision(span)}


def _revision(span: Span) -> Json:
    now = span.levels(conventions.POLICY_REVISION)
    if not now:
        return missing(NO_POLICIES)
    before = [] if span.first is None else levels(span.first, conventions.POLICY_REVISION)
    return {
        "since": span.since(),
        "now": whole(now[0][1]),
        "before": whole(before[0][1]) if before else missing("not_measured"),
    }


TOPICS: Final[Mapping[str, Topic]] = MappingProxyType({"changes": _changes})
