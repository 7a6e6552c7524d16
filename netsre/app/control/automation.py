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
from netsre.app.control import ACTOR, holding, messages, runs, starts
from netsre.app.control.carry_out import Hands, Turn
from netsre.app.control.people import People
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.runbooks import JournalEntry, JournalKind, Run, Runbook, RunState
from netsre.runbook import progress
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
        if describe.is_call(dict(alert.labels)):
            return  # automation calls people, and not itself
        for runbook in self._world.runbooks.values():
            self._judge(message, transaction, runbook, alert, now)

    def _judge(
        self, message: Message, transaction: Transaction, runbook: Runbook, alert: Alert, now: Timestamp
    ) -> None:
        run = starts.start(self._world, transaction, runbook, alert, starts.Occasion(message.key), now)
        if run is not None and run.ended:
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
        self.world.vigil.keep({run.id for run in going_on})
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
        for _ in range(_MOST_COMMANDS):
            with self.world.store.read() as transaction:
                alert = transaction.alerts.find(run.alert, run.fired_at)
                journal, broken = transaction.runs.lines(run.id)
            if broken:
                self._set_aside(run, broken)
                continue
            command = self._next(run, alert, journal)
            seen = journal[-1].seq if journal else 0
            if isinstance(command, progress.Finish):
                if self._finish(run, alert, command, seen):
                    return True
                continue  # somebody said something meanwhile
            if isinstance(command, progress.Wait) or alert is None:
                return False
            run = Hands(self.world).carry_out(Turn(run, alert, seen), command)
        return False

    def _next(self, run: Run, alert: Alert | None, journal: Sequence[JournalEntry]) -> progress.Command:
        if alert is None:
            # An alert is never deleted; should it be gone all the same, the run must not wait for ever.
            changed = any(entry.kind is JournalKind.INTENT and "effect" in entry.data for entry in journal)
            return progress.Finish(RunState.NEEDS_HUMAN if changed else RunState.FAILED, "alert_removed")
        world = self.world
        return progress.next_command(
            world.runbooks.get(run.runbook), world.actions, journal, world.clock.now(), world.met(run, alert)
        )

    def _set_aside(self, run: Run, broken: Sequence[int]) -> None:
        with self.world.store.write() as transaction:
            transaction.runs.set_aside(run.id, broken)
            what: Document = {"runbook": run.runbook, "lines": list(broken)}
            transaction.audit.append(self.world.clock.now(), ACTOR, "run.unreadable", run.id, what)
        said = pairs(run=run.id, runbook=run.runbook, lines=len(broken))
        _log.error("journal has lines that cannot be read, set aside %s", said)

    def _finish(self, run: Run, alert: Alert | None, finish: progress.Finish, seen: int) -> bool:
        """End a run; False when its journal has more than this end was decided by: a person's word."""
        with self.world.store.write() as transaction:
            if transaction.runs.last_line(run.id) != seen:
                return False
            now = self.world.clock.now()
            ended = runs.change(transaction, run, finish.state, finish.reason, now)
            journal = transaction.runs.journal([run.id])[run.id]
            holding.quarantine(transaction, ended, journal, self.world.bounds, now)
            People(self.world).ended(transaction, ended, alert, now)
        return True
