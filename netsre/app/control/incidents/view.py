"""One incident as one object: facts in, words and times out."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.alerting import describe
from netsre.app.control import wire
from netsre.app.control.incidents import causes, events, left, shapes, steps
from netsre.app.control.incidents.facts import Facts, Fault
from netsre.app.control.incidents.steps import Told
from netsre.app.numbers import Number, number
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.deeds import Silence
from netsre.model.incidents import Incident
from netsre.model.runbooks import JournalEntry, JournalKind, Run, RunState
from netsre.runbook import story
from netsre.runbook.story import WHOLE

TITLED: Final = 20
"""Alerts of an incident that its line in the list is made of."""


def summary(
    incident: Incident, alerts: Sequence[Alert], total: int, *, muted: bool = False
) -> shapes.Summary:
    """Return one line of the list; `alerts` are those that matter most."""
    return shapes.Summary(
        id=incident.id,
        node=incident.node,
        state=_state(incident),
        severity=_severity(alerts),
        title=_title(incident, alerts),
        opened_at=clock.rfc3339(incident.opened_at),
        closed_at=_time(incident.closed_at),
        alerts=total,
        muted=muted and incident.closed_at is None,
    )


def build(facts: Facts, *, muted: bool = False) -> shapes.IncidentView:
    """Return an incident; `muted`: all its alerts are."""
    incident = facts.incident
    told = {
        run.id: steps.read(facts.journals[run.id], story.read(facts.journals[run.id]).plan)
        for run in facts.runs
    }
    runs = [_run(run, told[run.id], facts) for run in facts.runs]
    # What changes something comes before what only looks.
    runs.sort(key=lambda run: all(step.effect is None for step in run.steps))
    moments = _moments(facts, told.values())
    first = moments["detected"] or incident.opened_at
    return shapes.IncidentView(
        id=incident.id,
        node=incident.node,
        state=_state(incident),
        severity=_severity(facts.alerts),
        title=_title(incident, facts.alerts),
        opened_at=clock.rfc3339(incident.opened_at),
        closed_at=_time(incident.closed_at),
        muted=muted and incident.closed_at is None,
        times=shapes.Moments(**{name: _time(at) for name, at in moments.items()}),
        seconds={name: None if at is None else seconds(at - first) for name, at in moments.items()},
        alerts_total=facts.alerts_total,
        alerts=[wire.alert(alert) for alert in facts.alerts],
        pages=_pages(facts),
        received=_received(facts),
        runs=runs,
        drills=[_drill(fault) for fault in facts.faults],
        left=left.left(facts, runs),
        timeline=[
            shapes.Event(at=clock.rfc3339(at), seconds=seconds(at - first), kind=kind, text=text)
            for at, kind, text in events.events(facts, told)
        ],
    )


def seconds(milliseconds: int) -> Number:
    """Return a length of time for JSON."""
    return number(Fraction(milliseconds, clock.SECOND))


def _moments(facts: Facts, told: Iterable[Sequence[Told]]) -> dict[str, Timestamp | None]:
    done = (step for run in told for step in run if step.applied and not isinstance(step.effect, Silence))
    # To keep the noise down mitigates nothing.
    changed = (step.outcome.at for step in done if step.outcome is not None)
    proofs = (
        max(entry.at for entry in facts.journals[run.id] if entry.kind is JournalKind.SAMPLE)
        for run in facts.runs
        if run.state is RunState.SUCCEEDED
        and any(entry.kind is JournalKind.SAMPLE for entry in facts.journals[run.id])
    )
    faults = (fault.began_at for fault in facts.faults if fault.began_at is not None)
    first_effect = min(changed, default=None)
    urgent = _urgent(facts, first_effect)
    names = {alert.fingerprint for alert in urgent}
    pages = (page.accepted_at for page in facts.pages if page.fingerprint in names)
    return {
        "fault": min(faults, default=None),
        "detected": min((alert.fired_at for alert in urgent), default=None),
        "paged": min(pages, default=None),
        "first_effect": first_effect,
        "verified": min(proofs, default=None),
        "closed": facts.incident.closed_at,
    }


def _urgent(facts: Facts, first_effect: Timestamp | None) -> Sequence[Alert]:
    """Return the alerts from which times are counted: pages, where they were not dealt with before.

    A ticket can keep an incident open for days in which nobody hurries.
    """
    pages = [alert for alert in facts.alerts if causes.is_urgent(alert)]
    first = min((alert.fired_at for alert in pages), default=None)
    return pages if first is not None and (first_effect is None or first <= first_effect) else facts.alerts


def _run(run: Run, told: Sequence[Told], facts: Facts) -> shapes.RunStory:
    journal = facts.journals[run.id]
    told_of = story.read(journal)
    plan = told_of.plan
    said = next((e.data for e in journal if e.kind is JournalKind.GATES and e.step == WHOLE), None)
    return shapes.RunStory(
        id=run.id,
        runbook=run.runbook,
        alert=_name(facts, run.alert),
        target=run.target,
        state=run.state.value,
        ended=run.ended,
        reason=run.reason,
        started_at=clock.rfc3339(run.started_at),
        ended_at=_time(run.ended_at),
        accepted=None if said is None else said.get("accepted") is True,
        gates=steps.gates(said or {}),
        plan=None if plan is None else plan.hash,
        requested_by=told_of.owner or None,
        approval=wire.approval(told_of),
        steps=[steps.view(step, facts.released_at(step.key), facts.now, over=run.ended) for step in told],
        verify=None if plan is None or plan.verify is None else plan.verify.proof,
        samples=[_sample(entry) for entry in journal if entry.kind is JournalKind.SAMPLE],
        notes=[_note(entry) for entry in journal if entry.kind is JournalKind.NOTE],
    )


def _sample(entry: JournalEntry) -> shapes.SampleView:
    texts = {name: str(entry.data.get(name, "")) for name in ("verdict", "reason", "bad", "total")}
    return shapes.SampleView(at=clock.rfc3339(entry.at), **texts)


def _note(entry: JournalEntry) -> shapes.NoteView:
    error = entry.data.get("error")
    said = str(entry.data.get("note", "")) + (f": {error}" if error else "")
    return shapes.NoteView(at=clock.rfc3339(entry.at), note=said)


def _pages(facts: Facts) -> list[shapes.PageView]:
    return [
        shapes.PageView(
            peer=page.peer,
            alert=_name(facts, page.fingerprint),
            fingerprint=page.fingerprint,
            accepted_at=clock.rfc3339(page.accepted_at),
            resolved_at=_time(page.resolved_at),
        )
        for page in facts.pages
    ]


def _received(facts: Facts) -> list[shapes.ReceivedView]:
    return [
        shapes.ReceivedView(
            alert=_name(facts, one.fingerprint),
            fingerprint=one.fingerprint,
            status=one.status,
            disposition=one.disposition.value,
            received_at=clock.rfc3339(one.received_at),
            times=one.times,
        )
        for one in facts.received
    ]


def _drill(fault: Fault) -> shapes.DrillView:
    drill = fault.drill
    return shapes.DrillView(
        id=drill.id,
        gameday=drill.gameday,
        profile=drill.profile,
        by=drill.by,
        state=drill.state.value,
        reason=drill.reason,
        fault_began_at=_time(fault.began_at),
        fault_ended_at=_time(fault.ended_at),
    )


def _state(incident: Incident) -> str:
    return "open" if incident.closed_at is None else "closed"


def _severity(alerts: Iterable[Alert]) -> str:
    said = {dict(alert.labels).get("severity", "") for alert in alerts}
    return next((word for word in ("page", "ticket") if word in said), min(said, default=""))


def _title(incident: Incident, alerts: Iterable[Alert]) -> str:
    # A page comes first: a title is cut off where there is no room.
    found = sorted((dict(alert.labels) for alert in alerts), key=lambda labels: not causes.is_page(labels))
    # Automation calling for help is no cause; it is told where there is nothing else.
    told = [labels for labels in found if not describe.is_call(labels)] or found
    what = ", ".join(dict.fromkeys(labels["alertname"] for labels in told)) or "no alert that can be read"
    return what if incident.node.startswith("~") else f"{what} on {incident.node}"


def _name(facts: Facts, fingerprint: str) -> str:
    found = (dict(alert.labels) for alert in facts.alerts if alert.fingerprint == fingerprint)
    return next((causes.named(labels) for labels in found), fingerprint)


def _time(at: Timestamp | None) -> str | None:
    return None if at is None else clock.rfc3339(at)
