"""What a drill sees: the lab, the node, and what the store knows of alerts, pages and runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from netsre import conventions
from netsre.app.control import messages
from netsre.app.control.drill_world import Ground, LabRefused, LabSilent
from netsre.clock import Timestamp
from netsre.gameday import budget
from netsre.gameday.decide import Gate, Surroundings
from netsre.gameday.journal import BEYOND, INJECT, Told
from netsre.gameday.progress import Facts, Seen
from netsre.model.alerts import Alert, AlertState
from netsre.model.documents import Document
from netsre.model.effects import InForce
from netsre.model.gamedays import Drill, GameDay
from netsre.model.levels import Evaluation, NoData, Ratio
from netsre.model.runbooks import JournalEntry, JournalKind, Run, RunState
from netsre.model.samples import Scrape
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from netsre.slo import exact
from netsre.store.database import Transaction

_MOST_ALERTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the store knows of the answer to a fault."""

    alert: Alert | None
    """The first firing of the expected alert."""
    paged: tuple[Timestamp, str] | None
    """When, and by whom: an Alertmanager, or the alert log where there is none."""
    received: bool
    """It came back from an Alertmanager."""
    runs: tuple[Run, ...]
    """Every run for an alert of the target."""
    run: Run | None
    """That of the expected runbook."""
    mitigated_at: Timestamp | None


_NO_ANSWER: Final = Answer(None, None, received=False, runs=(), run=None, mitigated_at=None)


def surroundings(ground: Ground, gameday: GameDay | None, scheduled_at: Timestamp | None) -> Surroundings:
    """Return what the gates of a game day are asked about, now."""
    fault = _fault(ground, "")
    limit, _ = _node(ground)
    switch = ground.switch()
    with ground.store.read() as transaction:
        active, firing = transaction.drills.active(), _firing(ground, transaction)
        ran = (
            transaction.drills.scheduled(gameday.name, scheduled_at)
            if gameday is not None and scheduled_at is not None
            else None
        )
    return Surroundings(
        ran=ran is not None,
        switch_on=switch is not Gate.ACCEPTED,
        switch_readable=switch is not Gate.KILL_SWITCH_UNREADABLE,
        lab=fault is not None,
        node=limit is not None,
        active=active is not None,
        firing=firing,
        refusal="" if gameday is None or ground.lab is None else ground.refusal(gameday, ground.lab.server),
        budget_left=_budget_left(ground, gameday),
    )


def facts(ground: Ground, drill: Drill, gameday: GameDay | None, told: Told) -> Facts:
    """Return what a drill is judged by, now."""
    # What the node says first: a run that ends after that has nothing more in force than was seen.
    fault, (limit, in_force) = _fault(ground, drill.id), _node(ground)
    since = _since(told)
    found = _NO_ANSWER if since is None or gameday is None else answer(ground, gameday, since)
    stages, peak = dict(_reached(found)), None
    if gameday is not None and since is not None:
        beyond, peak = _table(ground, gameday, since)
        stages |= {} if beyond is None else {BEYOND: beyond}
    note: dict[str, str] = {} if peak is None else {"peak": f"{peak:f}"}
    own = {run.id for run in found.runs}
    return Facts(
        fault=fault,
        stages=stages,
        notes={name: {**note, **_paged_by(name, found)} for name in stages},
        failure=_failure(found),
        running=any(not run.ended for run in found.runs),
        in_force=None
        if in_force is None
        else tuple(effect for effect in in_force if effect.key.partition("/")[0] in own),
        limit=limit,
        budget_left=_budget_left(ground, gameday),
        switch=ground.switch(),
        receipt_due=ground.alertmanagers and found.paged is not None and not found.received,
        settle=2 * ground.interval,
    )


def answer(ground: Ground, gameday: GameDay, since: Timestamp) -> Answer:
    """Return what answered a fault that began at `since`."""
    with ground.store.read() as transaction:
        ours = [
            alert
            for alert in transaction.alerts.newest(_MOST_ALERTS)
            if alert.fired_at >= since and _is_of_target(ground, alert)
        ]
        firings = {(alert.fingerprint, alert.fired_at) for alert in ours}
        runs = tuple(run for run in transaction.runs.since(since) if (run.alert, run.fired_at) in firings)
        alert = min(
            (alert for alert in ours if dict(alert.labels)["alertname"] == gameday.expect.alert),
            key=lambda alert: alert.fired_at,
            default=None,
        )
        if alert is None:
            return Answer(None, None, received=False, runs=runs, run=None, mitigated_at=None)
        run = _expected(runs, alert, gameday)
        journal = transaction.runs.journal([run.id])[run.id] if run is not None else ()
        return Answer(
            alert=alert,
            paged=_paged(ground, transaction, alert),
            received=bool(transaction.received.of([alert])),
            runs=runs,
            run=run,
            mitigated_at=_first_effect(journal),
        )


def figures(ground: Ground, drill: Drill, gameday: GameDay, told: Told) -> Document:
    """Return what was measured in the end, for the proof and for people."""
    since = _since(told)
    found = _NO_ANSWER if since is None else answer(ground, gameday, since)
    slo = ground.slos.get(gameday.expect.slo)
    evaluation = _evaluation(ground, gameday)
    intent = told.intents.get(INJECT)
    before = budget.read(intent.data.get("budget")) if intent is not None else None
    after = None if evaluation is None else budget.sums(evaluation)
    burned = budget.burned(slo, before, after)
    received, why = _received(ground, found)
    return {
        "budget_burned": None if isinstance(burned, NoData) else budget.text(burned.value),
        "budget_burned_reason": burned.reason if isinstance(burned, NoData) else None,
        "alertmanager_received": received,
        "alertmanager_received_reason": why,
        "alert": None if found.alert is None else found.alert.fingerprint,
        "run": None if found.run is None else found.run.id,
        "incident": _incident(ground, found),
        "fault": {**_fault_figures(ground, drill), "peak_utilization": _peak(ground, gameday, told)},
    }


def before(ground: Ground, gameday: GameDay) -> budget.Sums | None:
    """Return what the service level of a game day has counted by now."""
    evaluation = _evaluation(ground, gameday)
    return None if evaluation is None else budget.sums(evaluation)


def _since(told: Told) -> Timestamp | None:
    intent = told.intents.get(INJECT)
    return told.injected_at or (intent.at if intent is not None else None)


def _fault(ground: Ground, key: str) -> Seen | None:
    try:
        return None if ground.lab is None else ground.lab.seen(key)
    except (LabSilent, LabRefused):
        return None


def _node(ground: Ground) -> tuple[int | None, Sequence[InForce] | None]:
    node = ground.sight.node
    try:
        return node.limit().limit, node.effects()
    except (NodeUnreachable, NodeRefused):
        return None, None


def _is_of_target(ground: Ground, alert: Alert) -> bool:
    return ground.lab is not None and dict(alert.labels).get(conventions.NETNS) == ground.lab.server


def _firing(ground: Ground, transaction: Transaction) -> frozenset[str]:
    active = transaction.alerts.active().values()
    return frozenset(dict(alert.labels)["alertname"] for alert in active if _is_of_target(ground, alert))


def _evaluation(ground: Ground, gameday: GameDay) -> Evaluation | None:
    server = "" if ground.lab is None else ground.lab.server
    return budget.of_target(ground.sight.evaluations(), gameday.expect.slo, server)


def _budget_left(ground: Ground, gameday: GameDay | None) -> Ratio:
    return NoData(budget.NOT_MEASURED) if gameday is None else budget.left(_evaluation(ground, gameday))


def _table(ground: Ground, gameday: GameDay, since: Timestamp) -> tuple[Timestamp | None, Decimal | None]:
    """Return when the table was first seen beyond the value of the alert, and the most of it in use."""
    rule = ground.rules.get(gameday.expect.alert)
    seen = [
        (scrape.at, value)
        for scrape in ground.sight.scrapes()
        if scrape.at >= since
        for value in _utilization(ground, scrape)
    ]
    beyond = (at for at, value in seen if rule is not None and exact.COMPARE[rule.op](value, rule.value))
    return min(beyond, default=None), max((value for _, value in seen), default=None)


def _utilization(ground: Ground, scrape: Scrape) -> Iterable[Decimal]:
    for series, value in scrape.values.items():
        if series.name == conventions.CONNTRACK_UTILIZATION:
            labels = dict(series.labels)
            if ground.lab is not None and labels.get(conventions.NETNS) == ground.lab.server:
                yield value


def _peak(ground: Ground, gameday: GameDay, told: Told) -> str | None:
    since = _since(told)
    _, now = (None, None) if since is None else _table(ground, gameday, since)
    noted = [Decimal(str(note["peak"])) for note in told.notes.values() if "peak" in note]
    peak = max([*noted, *([now] if now is not None else [])], default=None)
    return None if peak is None else f"{peak:f}"


def _expected(runs: Sequence[Run], alert: Alert, gameday: GameDay) -> Run | None:
    """Return the run that should help: of several, one that may still, or did."""
    ours = [run for run in runs if run.runbook == gameday.expect.runbook and run.alert == alert.fingerprint]
    return min(ours, key=lambda run: (_is_lost(run), run.started_at, run.id), default=None)


def _is_lost(run: Run) -> bool:
    return run.ended and run.state is not RunState.SUCCEEDED


def _failure(found: Answer) -> str:
    run = found.run
    return "" if run is None or not _is_lost(run) else f"run {run.id} ended {run.state}: {run.reason}"


def _reached(found: Answer) -> Mapping[str, Timestamp]:
    run = found.run
    verified = run.ended_at if run is not None and run.state is RunState.SUCCEEDED else None
    times = {
        "detected": None if found.alert is None else found.alert.fired_at,
        "paged": None if found.paged is None else found.paged[0],
        "mitigated": found.mitigated_at,
        "verified": verified,
    }
    return {stage: at for stage, at in times.items() if at is not None}


def _paged_by(stage: str, found: Answer) -> Mapping[str, str]:
    return {"by": found.paged[1]} if stage == "paged" and found.paged is not None else {}


def _paged(ground: Ground, transaction: Transaction, alert: Alert) -> tuple[Timestamp, str] | None:
    if ground.alertmanagers:
        pages = transaction.pages.of([alert])
        first = min(pages, key=lambda page: page.accepted_at, default=None)
        return None if first is None else (first.accepted_at, first.peer)
    key = f"{alert.fingerprint}/{alert.fired_at}/{AlertState.FIRING}"
    told = transaction.outbox.delivered_at(messages.LOG, key)
    return None if told is None else (told, messages.LOG)


def _first_effect(journal: Sequence[JournalEntry]) -> Timestamp | None:
    """Return when the first effect of a run was in force; to keep the noise down mitigates nothing."""
    begun = (entry for entry in journal if entry.kind is JournalKind.INTENT)
    effects = {entry.step: entry.data["effect"] for entry in begun if "effect" in entry.data}
    changes = {
        step
        for step, effect in effects.items()
        if not (isinstance(effect, Mapping) and effect.get("kind") == "silence")
    }
    done = (
        entry.at
        for entry in journal
        if entry.kind is JournalKind.OUTCOME
        and entry.step in changes
        and entry.data.get("ok") is True
        and "skipped" not in entry.data
    )
    return min(done, default=None)


def _received(ground: Ground, found: Answer) -> tuple[bool | None, str | None]:
    if not ground.alertmanagers:
        return None, "no_alertmanager"
    return found.received, None


def _incident(ground: Ground, found: Answer) -> str | None:
    if found.alert is None:
        return None
    with ground.store.read() as transaction:
        incident = transaction.incidents.of(found.alert)
    return None if incident is None else incident.id


def _fault_figures(ground: Ground, drill: Drill) -> Document:
    try:
        return {} if ground.lab is None else ground.lab.figures(drill.id)
    except (LabSilent, LabRefused):
        return {}
