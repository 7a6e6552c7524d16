"""The JSON of the API: its shapes, and how values get there. Here, and not before, numbers are rounded."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from netsre import clock
from netsre.app.control.pager import PeerState
from netsre.app.control.snapshot import GroupKey, Snapshot
from netsre.app.kill_switch import Switch
from netsre.app.numbers import Number, figures, number
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.levels import SLO, Evaluation
from netsre.model.runbooks import JournalEntry, Run
from netsre.model.samples import Labels
from netsre.runbook import story
from netsre.runbook.story import Story
from netsre.slo import evaluate
from netsre.slo.buckets import Bucket

Minute = tuple[str, Number, Number]
"""Where the minute begins (RFC 3339), bad events, all events."""


class SloView(BaseModel):
    """Where one group of an SLO stands; null has its reason in `reasons`."""

    name: str
    service: str
    description: str
    group: dict[str, str]
    labels: dict[str, str]
    """What the file of the SLO says of it."""
    objective: Number
    window: str
    good: Number | None
    bad: Number | None
    total: Number | None
    sli: Number | None
    budget_remaining: Number | None
    coverage: Number | None
    burn: dict[str, Number | None]
    firing: list[str]
    reasons: dict[str, str]
    recent: list[Minute]


class Slos(BaseModel):
    """Every SLO and group."""

    slos: list[SloView]


class AlertView(BaseModel):
    """One firing of an alert."""

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    fired_at: str
    resolved_at: str | None
    updated_at: str


class Alerts(BaseModel):
    """Every alert that fires, newest first, then those that ended, newest first."""

    alerts: list[AlertView]


class EntryView(BaseModel):
    """One line of a journal."""

    seq: int
    at: str
    kind: str
    step: int
    action: str
    # Whatever the action saw: its shape is the action's.
    data: dict[str, Any]


class WordView(BaseModel):
    """What one person said about a plan."""

    at: str
    person: str
    verdict: str
    """`approve` or `deny`."""
    via: str


class ApprovalView(BaseModel):
    """What people were asked about a run."""

    plan: str
    """Hash of the plan."""
    by: list[str]
    """People and groups whose approval counts; empty: everybody's who is known."""
    quorum: int
    veto: bool
    """Without a word, the run acts when the time is over."""
    asked_at: str
    until: str
    words: list[WordView]


class RunView(BaseModel):
    """One run of a runbook."""

    id: str
    runbook: str
    alert: str
    target: str
    state: str
    result: str | None
    reason: str
    started_at: str
    ended_at: str | None
    requested_by: str | None
    """Who asked for it by hand; null: an alert did."""
    approval: ApprovalView | None
    """What people were asked; null: nothing, or not yet."""
    journal: list[EntryView]


class Runs(BaseModel):
    """Runs, newest first."""

    runs: list[RunView]


class Received(BaseModel):
    """How many alerts of a request were what to us; all of them are on disk."""

    kept: dict[str, int]


class PeerView(BaseModel):
    """One Alertmanager that is told of alerts."""

    peer: str
    up: bool | None
    """Null before its first answer."""
    reason: str | None
    last_accepted_at: str | None


class SourceView(BaseModel):
    """One source of measurements."""

    name: str
    up: bool
    reason: str | None
    last_at: str | None


class PastView(BaseModel):
    """The past of new service levels, out of a Prometheus, while it is read."""

    slos: int
    progress: Number
    """How much was read, between 0 and 1."""


class Specs(BaseModel):
    """How many specs are in force."""

    slos: int
    runbooks: int


class SwitchView(BaseModel):
    """The kill switch."""

    state: str
    """`on` stops all automation."""
    reason: str
    by: str
    at: str
    problem: str


Role = Literal["leader", "standby"]


class Status(BaseModel):
    """The controller itself."""

    version: str
    node: str
    data_dir: str
    """Where its tokens are, for those who may read them."""
    database: str
    role: Role
    """`standby` while another controller of the same database evaluates, pages and acts."""
    leader: str | None
    """Who does; null where nobody did yet."""
    started_at: str
    interval_seconds: Number
    last_tick_at: str | None
    tick_seconds: Number | None
    tick_failures: int
    problem: str | None
    problems: dict[str, str]
    """What automation cannot do now, by duty."""
    kill_switch: SwitchView | None
    """Null before the first look."""
    pauses: list[str] | None
    """What is paused, by whom, until when and why; null where the database does not say."""
    sources: list[SourceView]
    past: PastView | None
    """Null where no past is read."""
    alertmanagers: list[PeerView]
    slack: dict[str, Any] | None
    """How Slack fares; null where nothing is told there."""
    outbox: dict[str, int]
    specs: Specs


class Readiness(BaseModel):
    """Whether the controller does its work, and why not."""

    ready: bool
    reasons: list[str]
    role: Role


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has control characters; write a name on one line")
    return text


Who = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_on_one_line)]
"""Who asks for something, as logs and terminals will show it."""


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str


def slos(snapshot: Snapshot | None) -> Slos:
    """Return every SLO; one that was never measured is there too, with nulls."""
    if snapshot is None:
        return Slos(slos=[])
    views = [level(evaluation, snapshot.recent) for evaluation in snapshot.evaluations]
    known = {evaluation.slo.name for evaluation in snapshot.evaluations}
    views += [
        unknown(slo, (), evaluate.unread(slo, prometheus=snapshot.prometheus).reason)
        for slo in snapshot.slos
        if slo.name not in known
    ]
    return Slos(slos=sorted(views, key=lambda view: (view.name, sorted(view.group.items()))))


def alert(value: Alert) -> AlertView:
    """Return one firing of an alert."""
    return AlertView(
        fingerprint=value.fingerprint,
        labels=dict(value.labels),
        annotations=dict(value.annotations),
        state=value.state.value,
        fired_at=clock.rfc3339(value.fired_at),
        resolved_at=_time(value.resolved_at),
        updated_at=clock.rfc3339(value.updated_at),
    )


def approval(told: Story) -> ApprovalView | None:
    """Return what people were asked about a run, and what they said; None where they were not asked."""
    asked = told.request
    if asked is None:
        return None
    return ApprovalView(
        plan=asked.plan,
        by=list(asked.by),
        quorum=asked.quorum,
        veto=asked.veto,
        asked_at=clock.rfc3339(asked.asked_at),
        until=clock.rfc3339(asked.until),
        words=[
            WordView(at=clock.rfc3339(word.at), person=word.person, verdict=word.opinion.value, via=word.via)
            for word in told.words
            if word.plan == asked.plan
        ],
    )


def run(value: Run, journal: Sequence[JournalEntry]) -> RunView:
    """Return one run with its journal."""
    told = story.read(journal)
    return RunView(
        id=value.id,
        runbook=value.runbook,
        alert=value.alert,
        target=value.target,
        state=value.state.value,
        result=value.state.value if value.ended else None,
        reason=value.reason,
        started_at=clock.rfc3339(value.started_at),
        ended_at=_time(value.ended_at),
        requested_by=told.owner or None,
        approval=approval(told),
        journal=[
            EntryView(
                seq=entry.seq,
                at=clock.rfc3339(entry.at),
                kind=entry.kind.value,
                step=entry.step,
                action=entry.action,
                data=dict(entry.data),
            )
            for entry in journal
        ],
    )


def peers(states: Iterable[PeerState]) -> list[PeerView]:
    """Return how the Alertmanagers fare."""
    return [
        PeerView(peer=s.name, up=s.up, reason=s.reason, last_accepted_at=_time(s.last_accepted_at))
        for s in states
    ]


def switch(value: Switch | None) -> SwitchView | None:
    """Return the kill switch as it was seen last."""
    if value is None:
        return None
    return SwitchView(state=value.state, reason=value.reason, by=value.by, at=value.at, problem=value.problem)


def sources(snapshot: Snapshot | None) -> list[SourceView]:
    """Return the sources of measurements."""
    return [
        SourceView(name=source.name, up=source.up, reason=source.reason, last_at=_time(source.last_at))
        for source in (snapshot.sources if snapshot else ())
    ]


def past(snapshot: Snapshot | None) -> PastView | None:
    """Return how far the past of new service levels is read; None where none is."""
    found = snapshot.past if snapshot else None
    return None if found is None else PastView(slos=found.slos, progress=round(found.progress, 4))


def level(evaluation: Evaluation, recent: Mapping[GroupKey, Sequence[Bucket]]) -> SloView:
    """Return where one group of an SLO stands."""
    slo = evaluation.slo
    return SloView(
        name=slo.name,
        service=slo.service,
        description=slo.description,
        group=dict(evaluation.group),
        labels=dict(slo.labels),
        objective=number(slo.objective),
        window=slo.window_text,
        recent=[
            (clock.rfc3339(bucket.begin), number(bucket.bad), number(bucket.total))
            for bucket in recent.get((slo.name, evaluation.group), ())
        ],
        **figures(evaluation),
    )


def unknown(slo: SLO, group: Labels, reason: str) -> SloView:
    """Return one group of an SLO of which no number is known, for a reason."""
    windows = slo.policy.windows if slo.policy else ()
    burn: dict[str, Number | None] = {clock.duration_text(length): None for length in windows}
    fields = ("good", "bad", "total", "sli", "budget_remaining", "coverage")
    without = (*fields, *(f"burn.{window}" for window in burn))
    return SloView(
        name=slo.name,
        service=slo.service,
        description=slo.description,
        group=dict(group),
        labels=dict(slo.labels),
        objective=number(slo.objective),
        window=slo.window_text,
        good=None,
        bad=None,
        total=None,
        sli=None,
        budget_remaining=None,
        coverage=None,
        burn=burn,
        firing=[],
        reasons=dict.fromkeys(without, reason),
        recent=[],
    )


def _time(at: Timestamp | None) -> str | None:
    return None if at is None else clock.rfc3339(at)
