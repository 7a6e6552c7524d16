"""One postmortem as one object: reads what is on record, and counts."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final

from netsre import clock
from netsre.app.control.incidents import facts as incident_facts
from netsre.app.control.incidents import view as incident_view
from netsre.app.control.incidents.events import Happened
from netsre.app.control.incidents.facts import MOST_ALERTS
from netsre.app.control.incidents.shapes import Event, IncidentView
from netsre.app.control.postmortem import levels, measures, people, period
from netsre.app.control.postmortem.levels import Asked
from netsre.app.control.postmortem.period import Period
from netsre.app.control.postmortem.shapes import Began, Level, Postmortem
from netsre.app.numbers import number
from netsre.clock import Timestamp
from netsre.model.incidents import Incident
from netsre.model.levels import Evaluation
from netsre.slo import definition
from netsre.store.database import Transaction

_MOST_ROWS: Final = 500
"""Rows of the audit that are looked at."""


def read(
    transaction: Transaction, incident: Incident, evaluations: Iterable[Evaluation], now: Timestamp
) -> Postmortem:
    """Return the postmortem of an incident as far as it is on record; `evaluations` are those of now."""
    known = incident_facts.read(transaction, incident, now)
    story = incident_view.build(known)
    moments = {name: _at(text) for name, text in story.times.model_dump().items()}
    first = min(at for at in (moments["fault"], moments["detected"], incident.opened_at) if at is not None)
    counted = period.of(first, incident.closed_at or now, now)
    verified_by = frozenset(run.verify for run in story.runs if run.verify is not None)
    asked = levels.concerned(evaluations, known.alerts, verified_by, incident.node)
    found = levels.shown(_level(transaction, one, counted, now) for one in asked)
    began = _began(moments, found)
    rows = transaction.audit.between(counted.shown_from, counted.end, _MOST_ROWS)
    return Postmortem(
        incident=story,
        written_at=clock.rfc3339(now),
        began=began,
        measures=measures.measures(moments | {"began": _at(began.at)}),
        counted_from=clock.rfc3339(counted.begin),
        counted_to=clock.rfc3339(min(counted.end, now)),
        step_seconds=counted.step // clock.SECOND,
        levels=found[: levels.MOST],
        levels_left_out=max(len(found) - levels.MOST, 0),
        timeline=_timeline(story, people.events(rows)),
        gaps=_gaps(story, found, counted),
    )


def _level(transaction: Transaction, asked: Asked, counted: Period, now: Timestamp) -> Level:
    slo = asked.now.slo
    what = (slo.name, definition.of(slo), asked.now.group)
    buckets = transaction.history.between(what, counted.step, counted.shown_from, counted.shown_to)
    return levels.build(asked, buckets, counted, now)


def _began(moments: dict[str, Timestamp | None], found: Sequence[Level]) -> Began:
    fault, detected = moments["fault"], moments["detected"]
    # A drill that began later is no reason for the first alert.
    if fault is not None and (detected is None or fault <= detected):
        return Began(at=clock.rfc3339(fault), by="a drill broke something on purpose then")
    if detected is not None:
        burned = [level for level in found if level.why == levels.ALERT]
        since = [(at, level) for level in burned if (at := levels.bad_since(level, detected)) is not None]
        if since:
            at, level = min(since, key=lambda one: one[0])
            said = (
                f"{level.slo} lost more than it may from this slot on, without a break until the first alert"
            )
            return Began(at=clock.rfc3339(at), by=said)
    return Began(at=None, by="nothing on record says when it began")


def _timeline(story: IncidentView, more: Iterable[Happened]) -> list[Event]:
    """Return all of it in order; things of one moment stay in the order of cause and effect."""
    zero = _at(story.times.detected) or clock.parse_rfc3339(story.opened_at)
    added = [
        Event(
            at=clock.rfc3339(at),
            seconds=number(Fraction(at - zero, clock.SECOND)),
            kind=kind,
            text=text,
        )
        for at, kind, text in more
    ]
    return sorted([*story.timeline, *added], key=lambda event: event.at)


def _gaps(story: IncidentView, found: Sequence[Level], counted: Period) -> list[str]:
    """Return what a reader must know is missing."""
    step = clock.duration_text(counted.step)
    gaps = [
        f"Slots of {step} count whole: what happened in them before or after the incident is in the sums."
    ]
    if story.state == "open":
        gaps.append("The incident is still open: every number will change.")
    if not found:
        gaps.append("No service level that is evaluated now is about it, so that no budget was counted.")
    defined = {level.slo for level in found}
    lost = {alert.labels["slo"] for alert in story.alerts if "slo" in alert.labels} - defined
    gaps += [
        f"An alert is about the service level {name}, which is not evaluated now." for name in sorted(lost)
    ]
    gaps += [
        f"{level.slo} was measured in {level.minutes_measured} of {level.minutes} minutes."
        for level in found
        if level.minutes_measured < level.minutes
    ]
    if story.alerts_total > len(story.alerts):
        gaps.append(f"Of {story.alerts_total} alerts the first {MOST_ALERTS} are here.")
    return [
        *gaps,
        "The controller keeps no values of metrics beside service levels: see the dashboards.",
        "Deploys and changes are those that were said with netsre event add; of policies the revision.",
    ]


def _at(text: str | None) -> Timestamp | None:
    return None if text is None else clock.parse_rfc3339(text)
