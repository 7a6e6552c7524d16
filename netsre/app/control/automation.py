"""Runs runbooks: a message becomes runs, each gated; an accepted run goes on step by step, over any crash.

The runs of a message and the mark of its delivery are one transaction, and a run's name follows from the
message: no restart makes a second run of one announcement. What a run does next is read from its journal each
time, so that there is nothing else that a crash could lose.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netsre.alerting import describe
from netsre.app.control import ACTOR, messages, runs
from netsre.app.control.carry_out import Hands, Turn
from netsre.app.control.people import People
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.runbooks import JournalEntry, JournalKind, Run, Runbook, RunState
from netsre.runbook import decide, progress
from netsre.store.database import Transaction
from netsre.store.outbox import Message

_log: Final = logging.getLogger("netsre.runbook")

_MOST_COMMANDS: Final = 100
"""Commands that one run may take before the others have their turn."""


class RunbookChannel:
    """The channel that makes runs of announcements."""

    name = messages.RUNBOOK

    def __init__(self, world: World) -> None:
        """Judge every announcement by the runbooks of a world."""
        self._world = world
        self._people = People(world)

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Record one run for every runbook that the announcement concerns, refused ones too."""
        alert = messages.read_alert(message.payload)
        if dict(alert.labels).get("alertname") == describe.NEEDS_HUMAN:
            return  # automation calls people, and not itself
        for runbook in self._world.runbooks.values():
            self._judge(message, transaction, runbook, alert, now)

    def _judge(
        self, message: Message, transaction: Transaction, runbook: Runbook, alert: Alert, now: Timestamp
    ) -> None:
        verdict = decide.decide(runbook, alert, self._world.circumstances(transaction, alert))
        run_id = runs.run_name(runbook.name, message.key)
        if verdict.reason is decide.Gate.NOT_MATCHED or transaction.runs.find(run_id) is not None:
            return
        received = Run(
            id=run_id,
            runbook=runbook.name,
            alert=alert.fingerprint,
            fired_at=alert.fired_at,
            target=verdict.target,
            state=RunState.RECEIVED,
            reason="received",
            started_at=now,
            ended_at=None,
        )
        runs.begin(transaction, received)
        runs.write(transaction, received, verdict.line(), now)
        state = RunState.GATED if verdict.accepted else RunState.REFUSED
        run = runs.change(transaction, received, state, verdict.reason.value, now)
        if run.ended:
            self._people.ended(transaction, run, alert, now)


@dataclass(frozen=True, slots=True)
class Automation:
    """Takes the runs that are not over further."""

    world: World

    def advance(self) -> int:
        """Take every run as far as it goes now, also those a crash interrupted; return how many ended.

        A run that waits, for a reading or for a node, is left until the next time. The mistake of one keeps
        no other from going on; it is raised at the end.
        """
        with self.world.store.read() as transaction:
            going_on = transaction.runs.unended()
        ended, mistakes = 0, list[Exception]()
        for run in going_on:
            try:
                ended += self._advance(run)
            except Exception as error:  # noqa: BLE001
                mistakes.append(error)
        People(self.world).release()
        if mistakes:
            raise mistakes[0]
        return ended

    def _advance(self, run: Run) -> bool:
        with self.world.store.read() as transaction:
            broken = transaction.runs.unreadable(run.id)
        if broken:
            self._set_aside(run, broken)
        for _ in range(_MOST_COMMANDS):
            with self.world.store.read() as transaction:
                alert = transaction.alerts.find(run.alert, run.fired_at)
                journal = transaction.runs.journal([run.id])[run.id]
            command = self._next(run, alert, journal)
            if isinstance(command, progress.Finish):
                self._finish(run, alert, command)
                return True
            if isinstance(command, progress.Wait) or alert is None:
                return False
            run = Hands(self.world).carry_out(Turn(run, alert), command)
        return False

    def _next(self, run: Run, alert: Alert | None, journal: Sequence[JournalEntry]) -> progress.Command:
        if alert is None:
            # An alert is never deleted; should it be gone all the same, the run must not wait for ever.
            changed = any(entry.kind is JournalKind.INTENT and "effect" in entry.data for entry in journal)
            return progress.Finish(RunState.NEEDS_HUMAN if changed else RunState.FAILED, "alert_removed")
        world = self.world
        return progress.next_command(
            world.runbooks.get(run.runbook), world.actions, journal, world.clock.now(), world.present(alert)
        )

    def _set_aside(self, run: Run, broken: Sequence[int]) -> None:
        with self.world.store.write() as transaction:
            transaction.runs.set_aside(run.id, broken)
            what: Document = {"runbook": run.runbook, "lines": list(broken)}
            transaction.audit.append(self.world.clock.now(), ACTOR, "run.unreadable", run.id, what)
        said = pairs(run=run.id, runbook=run.runbook, lines=len(broken))
        _log.error("journal has lines that cannot be read, set aside %s", said)

    def _finish(self, run: Run, alert: Alert | None, finish: progress.Finish) -> None:
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            ended = runs.change(transaction, run, finish.state, finish.reason, now)
            People(self.world).ended(transaction, ended, alert, now)
