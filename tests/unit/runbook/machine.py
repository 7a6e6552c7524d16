"""Carries out the commands of a run on a node in memory, and dies wherever a test wants it to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from netsre import clock
from netsre.app.control.reach import NOTHING, Outside, Reach
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.deeds import Deed
from netsre.model.effects import Standing
from netsre.model.runbooks import JournalEntry, Run, Runbook, RunState
from netsre.runbook import decide, journal, parameters, plan, progress, standing, verify
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import (
    Action,
    ActionFailed,
    LeftOut,
    NodeRefused,
    NodeUnreachable,
    Observation,
)
from netsre.runbook.decide import Circumstances, KillSwitch
from netsre.runbook.journal import Line
from tests.unit.runbook import given

INTERVAL = 5 * clock.SECOND
MOST_COMMANDS = 2_000


class Died(Exception):
    """The process was killed."""


@dataclass
class Machine:
    """A run, its journal, and the world around it."""

    node: given.MemoryNode = field(default_factory=given.MemoryNode)
    book: Runbook | None = given.BOOK
    alert: Alert = given.ALERT
    kill_switch: KillSwitch = KillSwitch.OFF
    dies_at: frozenset[int] = frozenset()
    """Points, counted over all lives, at which the process is killed."""
    down: int = 2 * clock.SECOND
    now: Timestamp = given.T0
    entries: list[JournalEntry] = field(default_factory=list)
    commands: list[progress.Command] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    """What came before or after each point that was passed, over all lives."""
    readings: bool = True
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Parameters that somebody chose who began the run by hand; empty: an alert began it."""
    actions: Mapping[str, Action] = field(default_factory=lambda: ACTIONS)
    outside: Outside = NOTHING

    def __post_init__(self) -> None:
        """Begin with one reading, and with what the gates said when the alert was announced."""
        self.views = given.MemoryViews(self.node, [])
        self.run = Run(
            "run1", "conntrack-exhaustion", self.alert.fingerprint, given.T0, "conntrack/a",
            RunState.GATED, "accepted", given.T0, None,
        )  # fmt: skip
        self._read()
        if self.chosen:
            self._append(journal.requested("ann", "api", "k", self.chosen))
        if self.book is not None:
            book = parameters.bound(self.book, self.chosen, self.actions)
            self._append(decide.decide(book, self.alert, self.circumstances()).line())

    def live(self) -> progress.Finish:
        """Run to the end, over every death."""
        while True:
            try:
                return self._life()
            except Died:
                self.views.seen.clear()
                self.pass_time(self.down)

    def circumstances(self) -> Circumstances:
        """Return what the gates judge by now."""
        seen = self.views.seen
        return Circumstances(
            now=self.now,
            history=(self.run,),
            kill_switch=self.kill_switch,
            firing=self.alert.state == "firing",
            reading_age=self.now - seen[-1].at if seen else None,
            interval=INTERVAL,
            node="a",
        )

    def pass_time(self, length: int) -> None:
        """Let time pass, with a reading every interval."""
        until = self.now + length
        while self.now < until:
            before = self.now
            self.now = Timestamp(min(until, (self.now // INTERVAL + 1) * INTERVAL))
            if self.readings and self.now // INTERVAL != before // INTERVAL:
                self._read()

    def next(self) -> progress.Command:
        """Return the next command."""
        return progress.next_command(self.book, self.actions, self.entries, self.now, self.present())

    def present(self) -> progress.Present:
        """Return what a step is judged by."""
        seen = self.views.seen
        still = standing.still(self.alert, (given.RULE,), (), seen)
        return progress.Present(self.alert, still, seen[-1].at if seen else None, INTERVAL)

    def carry_out(self, command: progress.Command) -> None:
        """Do what one command says, line for line."""
        match command:
            case progress.Observe():
                self._observe(command)
            case progress.MakePlan():
                self._plan(command)
            case progress.Ask(request, _):
                self.write(journal.asked(request))
            case progress.Replan(planned):
                self._replan(planned)
            case progress.Apply():
                self._apply(command)
            case progress.Undo():
                self._undo(command)
            case progress.Wait(until, _):
                assert until > self.now, "a wait that is over would turn for ever"
                self.pass_time(clock.SECOND)
            case progress.Finish():
                raise AssertionError(command)
            case _:
                self.write(self._line(command))

    def _line(
        self,
        command: progress.Skip | progress.Fail | progress.Settle | progress.SettleUndo | progress.Sample,
    ) -> Line:
        match command:
            case progress.Skip(step, action, reason, over):
                return journal.skipped(step, action, reason, over=over)
            case progress.Fail(step, action, reason, message):
                return journal.failed(step, action, reason, message)
            case progress.Sample(wanted, since):
                slo, labels = given.HEADROOM, self.alert.labels
                return verify.sample(wanted, slo, self.views.seen, labels, since).line()
            case progress.Settle(step, action, key, effect):
                looked, tell = self._look(key, effect), journal.settled
            case progress.SettleUndo(step, action, key, effect):
                looked, tell = self._look(key, effect), journal.undo_settled
        return journal.unanswered(step, action, "silent") if looked is None else tell(step, action, looked)

    def write(self, *lines: Line) -> None:
        """Append lines in one transaction."""
        kinds = " ".join(line.kind.value for line in lines)
        self.point(f"before {kinds}")
        for line in lines:
            self._append(line)
        self.point(f"after {kinds}")

    def point(self, name: str) -> None:
        """Die here, if a test says so."""
        self.points.append(name)
        if len(self.points) in self.dies_at:
            raise Died

    def _life(self) -> progress.Finish:
        for _ in range(MOST_COMMANDS):
            command = self.next()
            self.commands.append(command)
            if isinstance(command, progress.Finish):
                return command
            self.carry_out(command)
        raise AssertionError("the run does not end")

    def _append(self, line: Line) -> None:
        number = len(self.entries) + 1
        # A store gives back what JSON has of it: a list where there was a tuple.
        data = json.loads(json.dumps(line.data))
        self.entries.append(
            JournalEntry(self.run.id, number, self.now, line.kind, line.step, line.action, data)
        )

    def _read(self) -> None:
        share = f"{self.node.entries * 1000 // self.node.limit_now / 1000}"
        self.views.seen.append(given.reading(self.now - given.T0, share))

    def _observe(self, command: progress.Observe) -> None:
        step, action = command.step, command.action
        begun = journal.observing(step, action, command.parameters)
        self.write(journal.recovered(step, action) if command.again else begun)
        done = self.actions[action]
        assert isinstance(done, Observation)
        try:
            self.write(
                journal.observed(step, action, done.observe(given.SUBJECT, command.parameters, self.views))
            )
        except NodeUnreachable:
            self.write(journal.unanswered(step, action, "silent"))
        except ActionFailed as error:
            self.write(journal.failed(step, action, "step_failed", str(error)))

    def _plan(self, command: progress.MakePlan) -> None:
        assert self.book is not None
        book = parameters.bound(self.book, command.given, self.actions)
        try:
            self.write(plan.make(book, given.SUBJECT, command.evidence, self.views, self.actions).line())
        except NodeUnreachable:
            self.write(journal.unanswered(-1, "", "silent"))

    def _replan(self, planned: plan.Planned) -> None:
        try:
            self.write(plan.again(planned, given.SUBJECT, self.views, self.actions).line())
        except NodeUnreachable:
            self.write(journal.unanswered(planned.step, planned.action, "silent"))

    def _apply(self, command: progress.Apply) -> None:
        step, action, key = command.step, command.action, command.key
        change = decide.Change(self.alert, command.plan.limits, command.plan.unless, command.effect)
        verdict = decide.recheck(self.run, change, self.circumstances())
        if not verdict.accepted:
            self.write(verdict.line(step, action))
            return
        self.write(verdict.line(step, action), journal.applying(step, action, key, command.effect))
        try:
            self.point("before apply")
            figures = Reach(self.node, self.outside).apply(key, command.effect)
            self.point("after apply")
        except LeftOut as refusal:
            self.write(journal.left_out(step, action, refusal.reason, str(refusal)))
        except NodeRefused as refusal:
            self.write(journal.failed(step, action, refusal.reason, str(refusal)))
        except NodeUnreachable:
            return
        else:
            self.write(journal.applied(step, action, figures))

    def _undo(self, command: progress.Undo) -> None:
        step, action, key = command.step, command.action, command.key
        verdict = decide.kill_switch(self.run, self.kill_switch)
        if not verdict.accepted:
            self.write(verdict.line(step, action))
            return
        self.write(journal.undoing(step, action, key, command.effect))
        try:
            self.point("before undo")
            figures = Reach(self.node, self.outside).undo(key, command.effect)
            self.point("after undo")
        except NodeRefused as refusal:
            self.write(journal.undo_failed(step, action, refusal.reason, str(refusal)))
        except NodeUnreachable:
            return
        else:
            self.write(journal.undone(step, action, figures))

    def _look(self, key: str, effect: Deed) -> Standing | None:
        try:
            return Reach(self.node, self.outside).look(key, effect)
        except NodeUnreachable:
            return None
