"""What happened in an incident, in the order in which it did."""

from collections.abc import Iterator, Mapping, Sequence

from netsre.app.control import ACTOR
from netsre.app.control.incidents import causes, steps
from netsre.app.control.incidents.facts import Facts
from netsre.app.control.incidents.steps import Told
from netsre.clock import Timestamp
from netsre.model.events import Event
from netsre.model.runbooks import JournalKind, Run

Happened = tuple[Timestamp, str, str]
"""When, of which kind, and what."""


def events(facts: Facts, told: Mapping[str, Sequence[Told]]) -> list[Happened]:
    """Return what happened; things of one moment stand in the order of cause and effect."""
    found = [
        *((one.at, one.kind, _said(one)) for one in facts.said),
        *_faults(facts),
        *_alerts(facts),
        *_told(facts),
        *(event for run in facts.runs for event in _run(run, told[run.id], facts)),
    ]
    if facts.incident.closed_at is not None:
        found.append((facts.incident.closed_at, "incident", "incident closed"))
    return sorted(found, key=lambda event: event[0])


def _said(event: Event) -> str:
    return event.text if event.person == ACTOR else f"{event.person}: {event.text}"


def _faults(facts: Facts) -> Iterator[Happened]:
    for fault in facts.faults:
        name = f"drill {fault.drill.gameday} ({fault.drill.profile})"
        if fault.began_at is not None:
            yield fault.began_at, "fault", f"{name}: fault began"
        if fault.ended_at is not None:
            yield fault.ended_at, "fault", f"{name}: fault stopped"


def _alerts(facts: Facts) -> Iterator[Happened]:
    for alert in facts.alerts:
        labels = dict(alert.labels)
        name = f"{causes.named(labels)} ({labels.get('severity', 'no severity')})"
        yield alert.fired_at, "alert", f"{name} began"
        if alert.resolved_at is not None:
            yield alert.resolved_at, "alert", f"{name} ended"


def _told(facts: Facts) -> Iterator[Happened]:
    names = {alert.fingerprint: causes.named(dict(alert.labels)) for alert in facts.alerts}
    for page in facts.pages:
        name = names.get(page.fingerprint, page.fingerprint)
        yield page.accepted_at, "page", f"{page.peer} took {name}"
        if page.resolved_at is not None:
            yield page.resolved_at, "page", f"{page.peer} took the end of {name}"
    for one in facts.received:
        name = names.get(one.fingerprint, one.fingerprint)
        yield one.received_at, "page", f"Alertmanager sent {name} ({one.status}, {one.disposition})"


def _run(run: Run, told: Sequence[Told], facts: Facts) -> Iterator[Happened]:
    # What people refused had begun, and ends later.
    decided = "began" if run.counts else "refused"
    why = "" if run.counts else f": {run.reason}"
    yield run.started_at, "decision", f"run of {run.runbook} {decided}{why}"
    for step in told:
        yield from _step(step, facts.released_at(step.key))
    yield from _words(run, facts)
    for entry in facts.journals[run.id]:
        if entry.kind is JournalKind.SAMPLE:
            yield entry.at, "verification", f"{entry.data.get('verdict')} ({entry.data.get('reason')})"
    if run.ended_at is not None and run.counts:
        yield run.ended_at, "decision", f"run of {run.runbook} {run.state} ({run.reason})"


def _words(run: Run, facts: Facts) -> Iterator[Happened]:
    """Yield what people were asked about a run, and what they said."""
    for entry in facts.journals[run.id]:
        person = entry.data.get("person")
        match entry.kind:
            case JournalKind.REQUESTED:
                yield entry.at, "decision", f"{person} asked for a run of {run.runbook}"
            case JournalKind.APPROVAL_REQUESTED:
                until = entry.data.get("until")
                yield entry.at, "decision", f"run of {run.runbook} asks people, until {until}"
            case JournalKind.APPROVAL:
                said = f"{person} said {entry.data.get('verdict')}"
                yield entry.at, "decision", f"{said} to run of {run.runbook}"
            case JournalKind.CANCEL:
                yield entry.at, "decision", f"{person} cancelled run of {run.runbook}"
            case _:
                pass


def _step(step: Told, released: Timestamp | None) -> Iterator[Happened]:
    effect = step.effect
    if step.outcome is not None and (said := steps.notice(step)):
        yield step.outcome.at, "notice", said
    if effect is None or not step.applied or step.outcome is None:
        return
    yield step.outcome.at, "effect", steps.words(effect)
    if step.undone_at is not None:
        yield step.undone_at, "effect", f"taken back: {steps.words(effect)}"
    elif released is not None:
        yield released, "effect", f"taken back by the drill: {steps.words(effect)}"
    elif step.lapsed_at is not None:
        yield step.lapsed_at, "effect", f"found to be no longer in force: {steps.words(effect)}"
