"""The JSON of an incident."""

from typing import Any

from pydantic import BaseModel

from netsre.app.control.wire import AlertView, ApprovalView
from netsre.app.numbers import Number


class Summary(BaseModel):
    """One incident in the list."""

    id: str
    node: str
    """The node, or `~` and the name of its alerts, which say no node."""
    state: str
    """`open` or `closed`."""
    severity: str
    """The worst of its alerts."""
    title: str
    opened_at: str
    closed_at: str | None
    alerts: int
    muted: bool
    """Open, and all its alerts are muted: a deploy was announced, or the client is known to be noisy."""


class Incidents(BaseModel):
    """Incidents, newest first."""

    incidents: list[Summary]


class Moments(BaseModel):
    """When each part of an incident was reached; null: not yet, or never."""

    fault: str | None
    """A drill broke something on purpose."""
    detected: str | None
    """The first alert began: the first that pages; where none does, or it was dealt with before, of all."""
    paged: str | None
    """An Alertmanager took the first alert."""
    first_effect: str | None
    verified: str | None
    """A run proved that it helped."""
    closed: str | None


class PageView(BaseModel):
    """One alert as one Alertmanager took it."""

    peer: str
    alert: str
    fingerprint: str
    accepted_at: str
    resolved_at: str | None


class ReceivedView(BaseModel):
    """One state of an alert as Alertmanager sent it to us."""

    alert: str
    fingerprint: str
    status: str
    disposition: str
    received_at: str
    times: int


class GateView(BaseModel):
    """What one gate said."""

    gate: str
    """The word with which it says no."""
    title: str
    """What it asks for, in words."""
    passed: bool
    detail: str


class StepView(BaseModel):
    """One step of a run."""

    step: int
    action: str
    state: str
    """`waiting`, `running`, `unknown`, `done`, `skipped`, `failed`, `undone`, `not_undone`, `not_reached`."""
    said: str
    """What it did, or why it did not, in words."""
    effect: dict[str, Any] | None
    began_at: str | None
    ended_at: str | None
    until: str | None
    """When what it changed ends by itself, or was ended."""
    in_force: bool
    gates: list[GateView]
    """What the gates said at its turn."""
    result: dict[str, Any]
    """Evidence, or the figures of the node."""


class SampleView(BaseModel):
    """One look at the service level."""

    at: str
    verdict: str
    reason: str
    bad: str
    total: str


class NoteView(BaseModel):
    """Something a run met on its way."""

    at: str
    note: str


class RunStory(BaseModel):
    """One run, told from its journal."""

    id: str
    runbook: str
    alert: str
    target: str
    state: str
    ended: bool
    reason: str
    started_at: str
    ended_at: str | None
    accepted: bool | None
    """Whether the gates let it begin; null: they have not said."""
    gates: list[GateView]
    plan: str | None
    """Hash of the plan."""
    requested_by: str | None
    """Who asked for it by hand; null: an alert did."""
    approval: ApprovalView | None
    """What people were asked, and said; null: nothing, or not yet."""
    steps: list[StepView]
    verify: str | None
    """The service level that says whether it helped."""
    samples: list[SampleView]
    notes: list[NoteView]


class DrillView(BaseModel):
    """A drill that went on during the incident."""

    id: str
    gameday: str
    profile: str
    by: str
    state: str
    reason: str
    fault_began_at: str | None
    fault_ended_at: str | None


class Todo(BaseModel):
    """Something that is left to do."""

    text: str
    link: str | None


class Event(BaseModel):
    """Something that happened."""

    at: str
    seconds: Number
    """After the first alert; negative before."""
    kind: str
    """`fault`, `alert`, `page`, `decision`, `effect`, `verification`, `incident`, or the kind of an event."""
    text: str


class IncidentView(BaseModel):
    """One incident: what fired, who was told, what was decided, changed and verified, and what is left."""

    id: str
    node: str
    state: str
    severity: str
    title: str
    opened_at: str
    closed_at: str | None
    muted: bool
    """As in the list."""
    times: Moments
    seconds: dict[str, Number | None]
    """The same moments in seconds after the first alert."""
    alerts_total: int
    alerts: list[AlertView]
    pages: list[PageView]
    received: list[ReceivedView]
    runs: list[RunStory]
    """Those that change something first, each kind oldest first."""
    drills: list[DrillView]
    left: list[Todo]
    timeline: list[Event]
