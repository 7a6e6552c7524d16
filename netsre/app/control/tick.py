"""One turn of the controller: read, count, judge, keep; then others are woken who tell and act.

Whatever fails in a turn is counted and said once; the next turn goes on. What was counted and could not be
kept is kept with the next turn, and nothing is announced that is not on disk.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from netsre import clock, conventions
from netsre.alerting import absence, conditions, decide, deploys
from netsre.alerting.describe import Links
from netsre.alerting.transitions import Transition
from netsre.app.control import ACTOR, backfill, incidents, messages, revisions, sources
from netsre.app.control.backfill import Backfill
from netsre.app.control.expressions import Expressions
from netsre.app.control.revisions import Revisions
from netsre.app.control.snapshot import Board, Counts, Past, Recent, Sight, Snapshot, Source
from netsre.app.logs import pairs
from netsre.clock import Clock, Timestamp
from netsre.errors import NetsreError, SourceUnreachable, StoreUnusable
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertSource
from netsre.model.levels import Evaluation
from netsre.slo.buckets import Bucket, Slot, by_slot
from netsre.slo.engine import Engine, Note
from netsre.slo.evaluate import Evaluations
from netsre.slo.targets import Doubt, Reading
from netsre.store.database import Store, Transaction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsre.model.documents import Document
    from netsre.slo.increments import Cursor

_log: Final = logging.getLogger("netsre.controller")

_PRUNE_EVERY: Final = 1 * clock.HOUR
_KEEP_DELIVERED: Final = 7 * clock.DAY
_KEEP_PAGES: Final = 90 * clock.DAY
_MOST_TOLD: Final = 3
"""Doubts that are told of one look at a source."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a turn works with."""

    source: sources.Source
    past: Backfill | None
    """What reads the past of new SLOs, where there is a source that has one."""
    expressions: Expressions | None
    """What asks about SLOs that only a Prometheus can answer, where there is one."""
    engine: Engine
    rules: tuple[AlertRule, ...]
    store: Store
    wake: Callable[[], None]
    """Called when there may be something to tell or to do; returns at once."""
    board: Board
    sight: Sight
    recent: Recent
    clock: Clock
    links: Links
    hold: int
    """Milliseconds for which a burn must be measured to have stopped before its alert ends."""


class Loop:
    """Turns, one after the other, in one thread."""

    def __init__(self, parts: Parts) -> None:
        """Begin without having read anything."""
        self._parts = parts
        self._source = Source(parts.source.name, up=False, reason="not read yet", last_at=None)
        self._counts = Counts()
        self._failures = 0
        self._problem: str | None = None
        self._unsaved: dict[Slot, Bucket] = {}
        self._cursors: dict[str, Cursor] = {}
        self._revisions = Revisions()
        self._memory = conditions.Memory()
        self._past = parts.past
        self._whole = False
        """Whether the past was taken over, and that is not on disk yet."""
        self._turned_at = Timestamp(0)
        self._prune_at = Timestamp(0)

    def tick(self) -> None:
        """Take one turn; never raises but for what ends the process."""
        began = time.monotonic()
        evaluations: Sequence[Evaluation] = ()
        try:
            look = self._look()
            now = self._parts.clock.now()
            # Nothing that takes long stands between a reading and the alert about it.
            self._judge(look, now)
            if look is not None and look.caught_up:
                self._fill_in(now)
            evaluations = self._parts.engine.evaluate(now)
            self._parts.sight.evaluated(evaluations)
            self._keep(evaluations, now, blind=look is None)
            self._parts.wake()
            self._prune(now)
            self._count()
            self._recovered()
        except StoreUnusable as error:
            # What was read counts and is shown; what follows from it waits for the database.
            evaluations = evaluations or self._measured()
            self._failed(str(error))
        except NetsreError as error:
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001  # the loop outlives every mistake
            _log.debug("tick failed", exc_info=True)
            self._failed(f"internal error: {type(error).__name__}: {error}; please report it")
        self._publish(evaluations, time.monotonic() - began)

    def _look(self) -> sources.Look | None:
        """Look at the source and count what is new; None when it could not be read."""
        source = self._source
        try:
            look = self._parts.source.look()
        except SourceUnreachable as error:
            if source.up or source.reason != str(error):
                _log.warning("source %s", pairs(source=source.name, up=0, reason=error))
            self._source = replace(source, up=False, reason=str(error))
            return None
        for reading in look.readings:
            self._parts.sight.read(reading.scrape)
            self._revisions.see(reading.scrape)
            self._observe(reading)
        self._ask()
        doubts = look.doubts + (() if self._parts.expressions is None else self._parts.expressions.doubts)
        reason = _reason(doubts)
        if not source.up or source.reason != reason:
            _log.info("source %s", pairs(source=source.name, up=1, **({"doubt": reason} if reason else {})))
        last_at = max((scrape.at for scrape in look.latest.values()), default=source.last_at)
        self._source = replace(source, up=True, reason=reason, last_at=last_at)
        return look

    def _observe(self, reading: Reading) -> None:
        observation = self._parts.engine.observe(reading.scrape, first=reading.first)
        self._cursors[observation.cursor.node] = observation.cursor
        self._hold(observation.buckets, observation.notes)

    def _ask(self) -> None:
        """Count what a Prometheus answers about expressions."""
        engine, expressions = self._parts.engine, self._parts.expressions
        if expressions is None:
            return
        now = self._parts.clock.now()
        for batch in expressions.look(now, engine.counted_until):
            self._hold(engine.count(batch.pieces, now, {batch.slo: batch.until}), engine.notes(batch.pieces))

    def _hold(self, buckets: Iterable[Bucket], notes: Iterable[Note]) -> None:
        """Have buckets kept with the turn, and say what was noticed."""
        found = tuple(buckets)
        # What will be replaced is not kept: that is for whoever reads the past, anew after a crash.
        unfinished = frozenset() if self._past is None else self._past.names
        kept = (bucket for bucket in found if bucket.slo not in unfinished)
        self._unsaved |= by_slot(kept)
        self._parts.recent.add(found)
        for note in notes:
            _log.debug("measured %s", pairs(note=note.reason, subject=note.subject))

    def _fill_in(self, now: Timestamp) -> None:
        """Take the past of new SLOs over, once it is read."""
        past, engine = self._past, self._parts.engine
        if past is None:
            return
        past.turned_at = now
        try:
            history = past.hand_over(now, engine.read) if past.ready else None
        except SourceUnreachable:
            return  # nothing is lost: the next turn asks again
        if history is None:
            return
        buckets = list(past.recent())
        engine.take_over(past.slos, history)
        self._past, self._whole = None, True
        self._hold(buckets, ())
        _log.info("slo %s", pairs(slos=len(past.slos), note="their past is read"))

    def _judge(self, look: sources.Look | None, now: Timestamp) -> None:
        """Decide on conditions, bring their alerts to disk, and have them told at once."""
        parts = self._parts
        scrapes = () if look is None else look.latest.values()
        with parts.store.write() as transaction:
            _set_aside(transaction, now)
            active = transaction.alerts.active(AlertSource.CONDITION)
            decision = conditions.decide(parts.rules, scrapes, active, self._memory, now, parts.links)
            for transition in decision.transitions:
                record(transaction, transition, now)
            incidents.check(transaction, now)
        self._memory = decision.memory
        if any(transition.announced for transition in decision.transitions):
            parts.wake()

    def _keep(self, evaluations: Evaluations, now: Timestamp, *, blind: bool) -> None:
        """Bring buckets, cursors, alerts and what is to be told of them to disk, all or nothing."""
        parts = self._parts
        with parts.store.write() as transaction:
            transaction.history.save(self._unsaved.values(), self._cursors.values())
            self._revisions.keep(transaction, now)
            if self._whole:
                backfill.end(transaction)
            active = transaction.alerts.active(AlertSource.SLO)
            asked = {slo.name for slo in parts.engine.slos}
            gone = decide.retire(active, asked, now)
            ended = {transition.alert.fingerprint for transition in gone}
            left = {name: alert for name, alert in active.items() if name not in ended}
            silent = {name: alert for name, alert in left.items() if absence.is_one(alert)}
            burning = {name: alert for name, alert in left.items() if name not in silent}
            concerned = decide.concerned(evaluations, burning)
            judged = (
                *decide.decide(concerned, burning, now, parts.hold, links=parts.links, blind=blind),
                *absence.decide(evaluations.watched, silent, now, parts.hold, parts.links),
            )
            for transition in (*gone, *judged):
                record(transaction, transition, now)
        self._unsaved.clear()
        self._revisions.kept()
        self._whole = False
        self._cursors.clear()

    def _prune(self, now: Timestamp) -> None:
        # A clock that was just set may be set again: it deletes nothing before it has gone on for a while.
        was_set = abs(now - self._turned_at) >= _PRUNE_EVERY
        self._turned_at = now
        if was_set:
            self._prune_at = Timestamp(now + _PRUNE_EVERY)
        if now < self._prune_at:
            return
        before = self._parts.engine.prune(now)
        with self._parts.store.write() as transaction:
            transaction.history.prune(before)
            revisions.prune(transaction, now)
            transaction.outbox.prune(Timestamp(now - _KEEP_DELIVERED))
            transaction.received.prune(Timestamp(now - _KEEP_DELIVERED))
            transaction.pages.prune(Timestamp(now - _KEEP_PAGES))
            transaction.slack.prune(Timestamp(now - _KEEP_PAGES))
        self._prune_at = Timestamp(now + _PRUNE_EVERY)

    def _count(self) -> None:
        with self._parts.store.read() as transaction:
            severities = transaction.alerts.severities()
            pending: Mapping[str, int] = dict.fromkeys(messages.CHANNELS, 0) | dict(
                transaction.outbox.pending()
            )
            self._counts = Counts(
                active={severity: severities.count(severity) for severity in decide.SEVERITIES},
                transitions=transaction.alerts.transitions(),
                pending=pending,
                received=transaction.received.counts(),
                runs=transaction.runs.counts(),
            )

    def _measured(self) -> Sequence[Evaluation]:
        try:
            return self._parts.engine.evaluate(self._parts.clock.now())
        except Exception:  # noqa: BLE001  # the loop outlives every mistake
            _log.debug("evaluation failed", exc_info=True)
            return ()

    def _recovered(self) -> None:
        if self._problem is not None:
            _log.info("evaluation works again")
        self._problem = None

    def _failed(self, problem: str) -> None:
        self._failures += 1
        if problem != self._problem:
            _log.error("evaluation failed, no alert is told until it works again %s", pairs(error=problem))
        self._problem = problem

    def _publish(self, evaluations: Sequence[Evaluation], seconds: float) -> None:
        now = self._parts.clock.now()
        previous = self._parts.board.current
        if not evaluations and previous is not None and self._problem is not None:
            evaluations = previous.evaluations
        self._parts.board.current = Snapshot(
            at=now,
            seconds=seconds,
            slos=self._parts.engine.slos,
            evaluations=evaluations,
            recent=self._parts.recent.view(now),
            sources=(self._source,),
            counts=self._counts,
            failures=self._failures,
            problem=self._problem,
            switch=self._parts.board.switch,
            past=None if self._past is None else Past(len(self._past.slos), self._past.progress),
            prometheus=self._parts.expressions is not None,
        )


def _reason(doubts: Sequence[Doubt]) -> str | None:
    """Return what does not count of a source, on one line; None when all of it does."""
    said = [f"{doubt.reason}: {doubt.about}" for doubt in doubts[:_MOST_TOLD]]
    more = len(doubts) - len(said)
    return "; ".join((*said, *([f"and {more} more"] if more else []))) or None


def _set_aside(transaction: Transaction, now: Timestamp) -> None:
    """Take alerts out of the way that cannot be read, so that they are decided anew."""
    broken = transaction.alerts.set_aside()
    for fingerprint in broken:
        transaction.audit.append(now, ACTOR, "alert.unreadable", fingerprint, {})
    if broken:
        said = pairs(rows=len(broken), first=broken[0])
        _log.error("alerts in the database cannot be read, set aside and decided anew %s", said)


def _in_batch(transaction: Transaction, alert: Alert, now: Timestamp) -> Alert:
    """Return an alert that begins now as one of the deploy that was said last."""
    node, since = dict(alert.labels).get(conventions.NODE, ""), Timestamp(now - deploys.OPEN)
    return deploys.join(alert, transaction.events.latest(deploys.KIND, since, now, node))


def record(transaction: Transaction, transition: Transition, now: Timestamp) -> None:
    """Keep an alert as it is now and, when it began or ended, what is to be told and the audit of it."""
    if transition.begins:
        transition = replace(transition, alert=_in_batch(transaction, transition.alert, now))
    alert = transition.alert
    transaction.alerts.save(alert)
    if not transition.announced:
        return
    payload = messages.announcement(transition)
    for channel in messages.CHANNELS:
        transaction.outbox.add(channel, transition.key, payload, now)
    details: Document = {
        "labels": dict(alert.labels),
        "reason": transition.reason.value,
        "fired_at": alert.fired_at,
    }
    transaction.audit.append(now, ACTOR, f"alert.{alert.state}", alert.fingerprint, details)
    incidents.note(transaction, [alert], now)
