"""Carries out one command of a run: the intent is on disk before the node hears of it, the outcome after.

No transaction is open while a node or an action is asked, and no line is written but those that the command
names. Whatever ends this process in between, the journal leads the next one to the same place.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from netsre.app.control import notices, runs
from netsre.app.control.people import People
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.model import values
from netsre.model.alerts import Alert
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.model.runbooks import Run
from netsre.runbook import decide, journal, parameters, plan, progress, verify
from netsre.runbook.actions.contract import (
    Action,
    ActionFailed,
    ActionRefused,
    Change,
    LeftOut,
    NodeRefused,
    NodeUnreachable,
    Observation,
    Subject,
    Views,
)
from netsre.runbook.journal import Line
from netsre.store.database import Transaction

_log: Final = logging.getLogger("netsre.runbook")

INTERNAL: Final = "internal_error"
FAILED: Final = "step_failed"


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that goes on now."""

    run: Run
    alert: Alert
    seen: int
    """Number of the last line of the journal that the command was decided by."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Does what `progress` says, with what the world offers."""

    world: World

    def carry_out(self, turn: Turn, command: progress.Command) -> Run:
        """Carry out a command that neither waits nor ends the run, and return the run as it is then."""
        match command:
            case progress.Observe():
                run = self._observe(turn, command)
            case progress.MakePlan() | progress.Ask() | progress.Replan():
                run = self._plan(turn, command)
            case progress.Apply():
                run = self._apply(turn, command)
            case progress.Settle():
                run = self._settle(turn, command)
            case progress.Undo():
                run = self._undo(turn, command)
            case progress.SettleUndo():
                run = self._settle_undo(turn, command)
            case progress.Skip() | progress.Fail() | progress.Sample():
                run = self._write(turn, command, self._line(turn, command))
            case progress.Wait() | progress.Finish():
                raise ValueError(f"{command} is nothing to carry out")
        return run

    def _subject(self, turn: Turn) -> Subject:
        """Return what actions are told of a run."""
        return self.world.subject(turn.run.id, turn.run.runbook, turn.alert, turn.run.target)

    def _line(self, turn: Turn, command: progress.Skip | progress.Fail | progress.Sample) -> Line:
        match command:
            case progress.Skip(step, action, reason, over):
                return journal.skipped(step, action, reason, over=over)
            case progress.Fail(step, action, reason, message):
                return journal.failed(step, action, reason, message)
            case progress.Sample(verification, since):
                slo, readings = self.world.slos.get(verification.slo), self.world.readings(turn.alert)
                return verify.sample(verification, slo, readings, turn.alert.labels, since).line()

    def _observe(self, turn: Turn, command: progress.Observe) -> Run:
        step, action = command.step, command.action
        begun = journal.observing(step, action, command.parameters)
        run = self._write(turn, command, journal.recovered(step, action) if command.again else begun)
        line = self._look(turn, command)
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            run = self._enter(transaction, run, command)
            runs.write(transaction, run, line, now)
            notices.tell(transaction, run, turn.alert, line, now)
        return run

    def _look(self, turn: Turn, command: progress.Observe) -> Line:
        step, name = command.step, command.action
        action = self.world.actions.get(name)
        if not isinstance(action, Observation):
            message = f"action {name} does not exist in this version"
            return journal.failed(step, name, "unknown_action", message)
        try:
            seen = action.observe(self._subject(turn), command.parameters, self.world.sight)
        except NodeUnreachable as error:
            return journal.unanswered(step, name, str(error))
        except (ActionRefused, NodeRefused) as error:
            return journal.failed(step, name, error.reason, str(error))
        except ActionFailed as error:
            return journal.failed(step, name, FAILED, str(error))
        except Exception as error:  # noqa: BLE001
            # One action's mistake ends its run, and not the controller.
            return journal.failed(step, name, INTERNAL, _mistake(self._subject(turn), name, error))
        return journal.observed(step, name, seen)

    def _plan(self, turn: Turn, command: progress.MakePlan | progress.Ask | progress.Replan) -> Run:
        match command:
            case progress.MakePlan():
                return self._make_plan(turn, command)
            case progress.Ask():
                return self._ask(turn, command)
            case progress.Replan():
                return self._replan(turn, command)

    def _make_plan(self, turn: Turn, command: progress.MakePlan) -> Run:
        actions, views = self.world.actions, self.world.sight
        runbook = parameters.bound(self.world.runbooks[turn.run.runbook], command.given, actions)
        try:
            made = plan.make(runbook, self._subject(turn), command.evidence, views, careful(actions))
        except NodeUnreachable as error:
            return self._note(turn.run, journal.unanswered(-1, "", str(error)))
        return self._write(turn, command, made.line())

    def _ask(self, turn: Turn, command: progress.Ask) -> Run:
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            # People have the time from when it is on disk, and everybody is told the same end of it.
            asked = replace(command, request=replace(command.request, asked_at=now))
            run = self._enter(transaction, turn.run, command)
            runs.write(transaction, run, journal.asked(asked.request), now)
            People(self.world).asked(transaction, run, turn.alert, asked, now)
        return run

    def _replan(self, turn: Turn, command: progress.Replan) -> Run:
        planned = command.planned
        try:
            fresh = plan.again(planned, self._subject(turn), self.world.sight, careful(self.world.actions))
        except NodeUnreachable as error:
            return self._note(turn.run, journal.unanswered(planned.step, planned.action, str(error)))
        return self._write(turn, command, fresh.line())

    def _apply(self, turn: Turn, command: progress.Apply) -> Run:
        step, action, key, effect = command.step, command.action, command.key, command.effect
        run, accepted = self._admit(turn, command)
        if not accepted:
            return run
        try:
            figures = self.world.reach.apply(key, effect)
        except NodeUnreachable as error:
            # Whether it was done is unknown: the intent stays open, and is settled by looking.
            _log.warning("no answer %s", pairs(run=run.id, key=key, error=error))
            return run
        except LeftOut as error:
            return self._note(run, journal.left_out(step, action, error.reason, str(error)))
        except NodeRefused as error:
            return self._note(run, journal.failed(step, action, error.reason, str(error)))
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            runs.write(transaction, run, journal.applied(step, action, figures), now)
            runs.tell_effect(transaction, "applied", key, effect, figures, now)
        return run

    def _admit(self, turn: Turn, command: progress.Apply) -> tuple[Run, bool]:
        """Ask the gates once more; what they say, and the intent when they say yes, is one transaction."""
        limits = command.plan.limits
        with self.world.store.write() as transaction:
            if transaction.runs.last_line(turn.run.id) != turn.seen:
                return turn.run, False  # a person said something meanwhile, which comes first
            circumstances = self.world.circumstances(transaction, turn.alert, command.plan)
            past = self.world.past(transaction, command.effect)
            change = decide.Change(turn.alert, limits, command.plan.unless, command.effect, past)
            verdict = decide.recheck(turn.run, change, circumstances)
            runs.write(transaction, turn.run, verdict.line(command.step, command.action), circumstances.now)
            if not verdict.accepted:
                return turn.run, False
            run = self._enter(transaction, turn.run, command)
            transaction.runs.change_begins(run.id, circumstances.now)
            intent = journal.applying(command.step, command.action, command.key, command.effect)
            runs.write(transaction, run, intent, circumstances.now)
        return run, True

    def _settle(self, turn: Turn, command: progress.Settle) -> Run:
        step, action, key, effect = command.step, command.action, command.key, command.effect
        found = self._stands(turn, command)
        if not isinstance(found, Standing):
            return found
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            run = self._enter(transaction, turn.run, command)
            runs.write(transaction, run, journal.settled(step, action, found), now)
            if found is not Standing.ABSENT:
                recovered: Document = {"recovered": found.value}
                runs.tell_effect(transaction, "applied", key, effect, recovered, now)
        return run

    def _undo(self, turn: Turn, command: progress.Undo) -> Run:
        step, action, key, effect = command.step, command.action, command.key, command.effect
        verdict = decide.kill_switch(turn.run, self.world.kill_switch())
        if not verdict.accepted:
            return self._note(turn.run, verdict.line(step, action))
        run = self._write(turn, command, journal.undoing(step, action, key, effect))
        try:
            figures = self.world.reach.undo(key, effect)
        except NodeUnreachable as error:
            _log.warning("node does not answer %s", pairs(run=run.id, key=key, error=error))
            return run
        except NodeRefused as error:
            return self._note(run, journal.undo_failed(step, action, error.reason, str(error)))
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            runs.write(transaction, run, journal.undone(step, action, figures), now)
            runs.tell_effect(transaction, "undone", key, effect, figures, now)
        return run

    def _settle_undo(self, turn: Turn, command: progress.SettleUndo) -> Run:
        step, action, key, effect = command.step, command.action, command.key, command.effect
        found = self._stands(turn, command)
        if not isinstance(found, Standing):
            return found
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            run = self._enter(transaction, turn.run, command)
            runs.write(transaction, run, journal.undo_settled(step, action, found), now)
            if found is not Standing.APPLIED:
                runs.tell_effect(transaction, "undone", key, effect, {"recovered": found.value}, now)
        return run

    def _stands(self, turn: Turn, command: progress.Settle | progress.SettleUndo) -> Standing | Run:
        """Ask the node what became of an effect; where it gives no answer, note that and return the run."""
        try:
            return self.world.reach.look(command.key, command.effect)
        except (NodeUnreachable, NodeRefused) as error:
            return self._note(turn.run, journal.unanswered(command.step, command.action, str(error)))

    def _write(self, turn: Turn, command: progress.Command, line: Line) -> Run:
        """Append a line and bring the run into the state of the command, in one transaction."""
        with self.world.store.write() as transaction:
            run = self._enter(transaction, turn.run, command)
            runs.write(transaction, run, line, self.world.clock.now())
        return run

    def _note(self, run: Run, line: Line) -> Run:
        """Append a line and leave the run in its state."""
        with self.world.store.write() as transaction:
            runs.write(transaction, run, line, self.world.clock.now())
        return run

    def _enter(self, transaction: Transaction, run: Run, command: progress.Command) -> Run:
        state = progress.state_of(command)
        if state is None or state is run.state:
            return run
        return runs.change(transaction, run, state, run.reason, self.world.clock.now())


@dataclass(frozen=True, slots=True)
class _Careful:
    """A change whose mistakes are refusals: what was changed before it can still be verified, or undone."""

    change: Change

    @property
    def name(self) -> str:
        """Return the name that a step uses."""
        return self.change.name

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take the parameters of a step."""
        return self.change.read(parameters)

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Deed:
        """Return the effect; raises `ActionRefused` for a mistake of the action's own too."""
        try:
            return self.change.plan(subject, parameters, views)
        except (ActionFailed, NodeRefused, NodeUnreachable):
            raise
        except Exception as error:
            raise ActionRefused(INTERNAL, _mistake(subject, self.name, error)) from error


def careful(actions: Mapping[str, Action]) -> Mapping[str, Action]:
    """Return actions as planning uses them: the mistake of one ends its run, and not the controller."""
    return {
        name: _Careful(action) if isinstance(action, Change) else action for name, action in actions.items()
    }


def _mistake(subject: Subject, action: str, error: Exception) -> str:
    _log.error("action failed %s", pairs(run=subject.run, action=action), exc_info=error)
    return f"internal error: {type(error).__name__}: {error}"
