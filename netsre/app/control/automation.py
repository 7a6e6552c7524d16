"""Runs runbooks: a message becomes runs, each gated; an accepted run goes on step by step, over any crash.

The runs of a message and the mark of its delivery are one transaction, and a run's name follows from the
message: no restart makes a second run of one announcement. The intent of a step is on disk before the step
begins.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netsre.app.control import messages
from netsre.app.logs import pairs
from netsre.clock import Clock, Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document
from netsre.model.runbooks import JournalKind, Run, Runbook, RunState
from netsre.runbook import decide, progress
from netsre.runbook.actions.contract import Action, ActionFailed, Subject, Views
from netsre.store.database import Store, Transaction
from netsre.store.outbox import Message

_log: Final = logging.getLogger("netsre.runbook")

ACTOR: Final = "controller"


class RunbookChannel:
    """The channel that makes runs of announcements."""

    name = messages.RUNBOOK

    def __init__(self, runbooks: Sequence[Runbook]) -> None:
        """Judge every announcement by these runbooks."""
        self._runbooks = runbooks

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Record one run for every runbook that the announcement concerns, refused ones too."""
        alert = messages.read_alert(message.payload)
        since = Timestamp(now - decide.lookback(self._runbooks))
        history = transaction.runs.since(since)
        for runbook in self._runbooks:
            verdict = decide.decide(runbook, alert, history, now)
            run_id = run_name(runbook.name, message.key)
            if verdict.reason is decide.Gate.NOT_MATCHED or transaction.runs.find(run_id) is not None:
                continue
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
            transaction.runs.add(received)
            _audit(transaction, received, now)
            state = RunState.GATED if verdict.accepted else RunState.REFUSED
            history.append(change(transaction, received, state, verdict.reason.value, now))


def run_name(runbook: str, key: str) -> str:
    """Return the name of the run that a runbook makes of a message."""
    return hashlib.sha256(f"{runbook}\n{key}".encode()).hexdigest()[:16]


def change(transaction: Transaction, run: Run, state: RunState, reason: str, now: Timestamp) -> Run:
    """Move a run to a state, on record and in the audit."""
    moved = replace(run, state=state, reason=reason)
    if moved.ended:
        moved = replace(moved, ended_at=now)
    transaction.runs.change(moved)
    _audit(transaction, moved, now)
    said = pairs(run=run.id, runbook=run.runbook, state=state, reason=reason, target=run.target)
    # The journal has every step; people at a terminal want the end.
    _log.log(logging.INFO if moved.ended else logging.DEBUG, "run %s", said)
    return moved


def _audit(transaction: Transaction, run: Run, now: Timestamp) -> None:
    details: Document = {
        "runbook": run.runbook,
        "alert": run.alert,
        "target": run.target,
        "reason": run.reason,
    }
    transaction.audit.append(now, ACTOR, f"run.{run.state}", run.id, details)


@dataclass(frozen=True, slots=True)
class Automation:
    """Takes the runs that are not over to their end."""

    store: Store
    runbooks: Mapping[str, Runbook]
    actions: Mapping[str, Action]
    views: Views
    clock: Clock

    def advance(self) -> int:
        """Execute every run that waits, also those a crash interrupted; return how many ended."""
        with self.store.read() as transaction:
            waiting = transaction.runs.unended()
        for run in waiting:
            self._execute(run)
        return len(waiting)

    def _execute(self, run: Run) -> None:
        runbook = self.runbooks.get(run.runbook)
        with self.store.read() as transaction:
            alert = transaction.alerts.find(run.alert, run.fired_at)
            broken = transaction.runs.unreadable(run.id)
        if broken:
            self._set_aside(run, broken)
        while True:
            with self.store.read() as transaction:
                journal = transaction.runs.journal([run.id])[run.id]
            command = progress.next_command(runbook, journal)
            if isinstance(command, progress.Finish) or runbook is None or alert is None:
                self._finish(run, command)
                return
            run = self._step(run, runbook, alert, command)

    def _set_aside(self, run: Run, broken: Sequence[int]) -> None:
        with self.store.write() as transaction:
            transaction.runs.set_aside(run.id, broken)
            what: Document = {"runbook": run.runbook, "lines": list(broken)}
            transaction.audit.append(self.clock.now(), ACTOR, "run.unreadable", run.id, what)
        said = pairs(run=run.id, runbook=run.runbook, lines=len(broken))
        _log.error("journal has lines that cannot be read, set aside %s", said)

    def _finish(self, run: Run, command: progress.Command) -> None:
        # An alert is never deleted; should it be gone all the same, the run must not wait for ever.
        gone = progress.Finish(RunState.FAILED, "alert_removed")
        finish = command if isinstance(command, progress.Finish) else gone
        with self.store.write() as transaction:
            change(transaction, run, finish.state, finish.reason, self.clock.now())

    def _step(
        self, run: Run, runbook: Runbook, alert: Alert, command: progress.Begin | progress.Settle
    ) -> Run:
        step = runbook.steps[command.step]
        with self.store.write() as transaction:
            now = self.clock.now()
            if run.state is not RunState.EXECUTING:
                run = change(transaction, run, RunState.EXECUTING, run.reason, now)
            if isinstance(command, progress.Begin):
                intent = {"with": step.parameters}
                transaction.runs.write(run.id, now, JournalKind.INTENT, command.step, step.action, intent)
            else:
                # Whatever was observed before the crash is lost, and had no effect: it is observed again.
                note = {"note": "recovered"}
                transaction.runs.write(run.id, now, JournalKind.NOTE, command.step, step.action, note)
        outcome = self._observe(Subject(run.id, alert, run.target), step.action, step.parameters)
        with self.store.write() as transaction:
            now = self.clock.now()
            transaction.runs.write(run.id, now, JournalKind.OUTCOME, command.step, step.action, outcome)
        return run

    def _observe(self, subject: Subject, name: str, parameters: Document) -> Document:
        action = self.actions.get(name)
        if action is None:
            return {"ok": False, "error": f"action {name} does not exist in this version"}
        try:
            return {"ok": True, "evidence": action.observe(subject, parameters, self.views)}
        except ActionFailed as error:
            return {"ok": False, "error": str(error)}
        except Exception as error:  # noqa: BLE001
            # One action's mistake ends its run, and not the controller.
            _log.exception("action failed %s", pairs(run=subject.run, action=name))
            return {"ok": False, "error": f"internal error: {type(error).__name__}: {error}"}
