"""What a run does next, from its journal alone: the same answer after a crash as before it.

Whoever executes carries out one command, writes the lines that the command's description names, and asks
again. Nothing else is kept anywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.documents import Document
from netsre.model.effects import Effect
from netsre.model.runbooks import JournalEntry, Runbook, RunState, Verification
from netsre.runbook import conditions, definition, story
from netsre.runbook.actions.contract import Action, Change, Observation
from netsre.runbook.decide import Gate
from netsre.runbook.journal import NOT_APPLIED, NOT_UNDONE
from netsre.runbook.plan import Kind, Plan, Planned
from netsre.runbook.story import Story, Turn
from netsre.runbook.verify import Outcome

PATIENCE: Final = clock.MINUTE
"""How long a node may stay silent before the run goes on without its answer."""
MOST_LOOKS: Final = 40
"""Looks at a silent node, whatever the clock says."""
MOST_BEGUN: Final = 2
"""Intents of one change: one that the node never heard of is begun once more."""
MOST_SAMPLES: Final = 1_000
READING_WAIT: Final = clock.MINUTE
"""How long `still(alert)` waits for a reading made after the last change."""
_PAUSES: Final = (1 * clock.SECOND, 2 * clock.SECOND, 4 * clock.SECOND, 8 * clock.SECOND)
_STOPPED: Final = frozenset({Gate.KILL_SWITCH_ON.value, Gate.KILL_SWITCH_UNREADABLE.value})


@dataclass(frozen=True, slots=True)
class Present:
    """What a step is judged by at its turn."""

    alert: Alert
    """As it is on record now."""
    still: bool | None
    """Whether the newest reading shows what the alert says (`standing.still`); None: it cannot be told."""
    read_at: Timestamp | None
    """When the newest reading of the alert's node was made."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Write `observing` (or `recovered`, where `again`), look, write `observed` or `failed`.

    The node did not answer: write `unanswered` instead of an outcome.
    """

    step: int
    action: str
    parameters: Document
    again: bool
    """It was begun before, and nobody knows how it ended; looking has no effect."""


@dataclass(frozen=True, slots=True)
class MakePlan:
    """Make the plan (`plan.make`) and write its line; `unanswered(-1, "", …)` when the node is silent."""

    evidence: Mapping[int, Document]


@dataclass(frozen=True, slots=True)
class Replan:
    """Plan one step anew (`plan.again`) and write its line; `unanswered` when the node is silent."""

    planned: Planned


@dataclass(frozen=True, slots=True)
class Skip:
    """Write `skipped`."""

    step: int
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Write `failed`."""

    step: int
    action: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Ask the gates (`decide.recheck` with `plan.limits`) and write their line for the step.

    They say no: that is all. They say yes: write `applying` in the same transaction, then have the node apply
    it, then write `applied`, or `failed` with the word of the node's refusal. No answer: write nothing.
    """

    step: int
    action: str
    key: str
    effect: Effect
    plan: Plan


@dataclass(frozen=True, slots=True)
class Settle:
    """A change was begun and nobody knows how it ended: look, and write `settled`; never repeat it.

    The node did not answer: write `unanswered`. It refuses to look: write `unanswered` likewise.
    """

    step: int
    action: str
    key: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Sample:
    """Write the line of `verify.sample`."""

    verify: Verification
    since: Timestamp


@dataclass(frozen=True, slots=True)
class Undo:
    """Ask the kill switch (`decide.kill_switch`) and, when it is not off, write its line for the step.

    It is off: write `undoing`, have the node take the effect back, write `undone`, or `undo_failed` with the
    word of the node's refusal. No answer: write nothing.
    """

    step: int
    action: str
    key: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class SettleUndo:
    """Taking back was begun and nobody knows how it ended: look, and write `undo_settled` or `unanswered`."""

    step: int
    action: str
    key: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Wait:
    """There is nothing to do before a time, or before the next reading."""

    until: Timestamp
    what: str
    """A word: `node`, `reading`."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    state: RunState
    reason: str


Command = (
    Observe | MakePlan | Replan | Skip | Fail | Apply | Settle | Sample | Undo | SettleUndo | Wait | Finish
)


def next_command(
    runbook: Runbook | None,
    actions: Mapping[str, Action],
    journal: Sequence[JournalEntry],
    now: Timestamp,
    present: Present,
) -> Command:
    """Return what to do next; `runbook` is None when its file is gone since the run began."""
    told = story.read(journal)
    if told.touched:
        # A plan that cannot be read was set aside: what else was to be done, nobody knows.
        lost = Finish(RunState.NEEDS_HUMAN, "plan_lost")
        return lost if told.plan is None else _Course(told, told.plan, now, present).next()
    judged = told.definition if told.plan is None else told.plan.definition
    if runbook is None or judged not in ("", definition.of(runbook)):
        return Finish(RunState.FAILED, "runbook_removed" if runbook is None else "runbook_changed")
    if told.plan is None:
        return _before_plan(runbook, actions, told, now, present)
    if told.plan.refused is not None:
        return Finish(RunState.REFUSED, told.plan.refused.reason)
    return _Course(told, told.plan, now, present).next()


def state_of(command: Command) -> RunState | None:
    """Return the state that a run is in with a command; None: it stays as it is."""
    match command:
        case Observe() | Replan() | Skip() | Fail() | Apply() | Settle():
            return RunState.EXECUTING
        case MakePlan():
            return RunState.PLANNED
        case Sample():
            return RunState.VERIFYING
        case Undo() | SettleUndo():
            return RunState.UNDOING
        case Finish(state):
            return state
        case Wait():
            return None


def _before_plan(
    runbook: Runbook, actions: Mapping[str, Action], told: Story, now: Timestamp, present: Present
) -> Command:
    for index, step in enumerate(runbook.steps):
        action = actions.get(step.action)
        if isinstance(action, Change):
            return _make_plan(told, now, present)
        if not isinstance(action, Observation):
            return Finish(RunState.FAILED, "unknown_action")
        turn = told.turn(index)
        if not turn.done:
            if turn.outcome is not None:
                return Finish(RunState.FAILED, _reason(turn.outcome))
            return _observe(index, step.action, step.parameters, turn, now)
    return Finish(RunState.SUCCEEDED, "steps_done")


def _make_plan(told: Story, now: Timestamp, present: Present) -> Command:
    if present.alert.state is not AlertState.FIRING:
        return Finish(RunState.FAILED, "alert_resolved")
    silent = told.turn(story.WHOLE).silent
    if _given_up(silent):
        return Finish(RunState.FAILED, "node_unreachable")
    return _pause(silent, now) or MakePlan(told.evidence())


def _observe(step: int, action: str, parameters: Document, turn: Turn, now: Timestamp) -> Command:
    if _given_up(turn.silent):
        return Fail(step, action, "node_unreachable", "the node gave no answer")
    return _pause(turn.silent, now) or Observe(step, action, parameters, turn.open)


def _given_up(silent: Sequence[Timestamp]) -> bool:
    """Tell whether a node was silent for too long, as the journal says: the present does not matter."""
    return bool(silent) and (abs(silent[-1] - silent[0]) >= PATIENCE or len(silent) >= MOST_LOOKS)


def _pause(silent: Sequence[Timestamp], now: Timestamp) -> Wait | None:
    """Return how long a silent node is left alone before it is asked again."""
    if not silent:
        return None
    pause = _PAUSES[min(len(silent), len(_PAUSES)) - 1]
    # Also when the clock was set back: an hour is not waited for.
    return Wait(Timestamp(silent[-1] + pause), "node") if abs(now - silent[-1]) < pause else None


def _reason(outcome: Document) -> str:
    reason = outcome.get("reason")
    return reason if isinstance(reason, str) and reason else "step_failed"


@dataclass(frozen=True, slots=True)
class _Stop:
    """No further step: the word why."""

    reason: str
    refused: bool = False
    """A gate said no."""


@dataclass(frozen=True, slots=True)
class _Course:
    """A run that has a plan; from here on the runbook's file does not matter."""

    told: Story
    plan: Plan
    now: Timestamp
    present: Present

    def next(self) -> Command:
        for planned in self.plan.steps:
            turn = self.told.turn(planned.step)
            command = self._observation(planned, turn) if _looks(planned) else self._change(planned, turn)
            if isinstance(command, _Stop):
                return self._end(command)
            if command is not None:
                return command
        return self._verify()

    def _observation(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        if turn.done:
            return None
        if turn.outcome is not None:
            return _Stop(_reason(turn.outcome))
        return _observe(planned.step, planned.action, planned.parameters, turn, self.now)

    def _change(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        if turn.done:
            return None
        if turn.open:
            return self._settle(planned, turn)
        if turn.outcome is not None:
            reason = _reason(turn.outcome)
            if reason != NOT_APPLIED or turn.begun >= MOST_BEGUN:
                return _Stop(reason)
        if turn.gate is not None and turn.gate.get("accepted") is not True:
            return self._shut(planned, str(turn.gate.get("reason", Gate.KILL_SWITCH_UNREADABLE)))
        return self._condition(planned) or self._begin(planned, turn)

    def _settle(self, planned: Planned, turn: Turn) -> Command:
        if turn.effect is None or _given_up(turn.silent):
            return Finish(RunState.NEEDS_HUMAN, "effect_unknown")
        settle = Settle(planned.step, planned.action, self._key(planned), turn.effect)
        return _pause(turn.silent, self.now) or settle

    def _shut(self, planned: Planned, reason: str) -> Command | _Stop:
        """Return what a gate that says no before a change means for the run."""
        if reason != Gate.ALERT_NOT_FIRING:
            return _Stop(reason, refused=True)
        if self.told.applied:
            # What was done is to be verified all the same; more is not needed.
            return Skip(planned.step, planned.action, "alert_resolved")
        return Finish(RunState.FAILED, "alert_resolved")

    def _condition(self, planned: Planned) -> Command | None:
        if planned.condition is None:
            return None
        still = self.present.still
        if conditions.measures(planned.condition) and (still is None or not self._seen_since_change()):
            return self._wait_for_reading(planned)
        if conditions.holds(planned.condition, self.present.alert, still=still is True):
            return None
        return Skip(planned.step, planned.action, "condition_false")

    def _seen_since_change(self) -> bool:
        changed, read_at = self.told.changed_at, self.present.read_at
        return read_at is not None and (changed is None or read_at > changed)

    def _wait_for_reading(self, planned: Planned) -> Command:
        since = self.told.changed_at or self.told.planned_at
        if abs(self.now - since) >= READING_WAIT:
            message = "no reading since the last change says whether the alert still stands"
            return Fail(planned.step, planned.action, Gate.BLIND.value, message)
        return Wait(Timestamp(since + READING_WAIT), "reading")

    def _begin(self, planned: Planned, turn: Turn) -> Command:
        if planned.again and turn.planned is None:
            if _given_up(turn.silent):
                return Fail(planned.step, planned.action, "node_unreachable", "the node gave no answer")
            return _pause(turn.silent, self.now) or Replan(planned)
        current = turn.planned or planned
        if current.kind is Kind.SKIP:
            return Skip(planned.step, planned.action, current.reason)
        if current.effect is None:
            return Fail(planned.step, planned.action, current.reason or "step_failed", current.message)
        return Apply(planned.step, planned.action, self._key(planned), current.effect, self.plan)

    def _key(self, planned: Planned) -> str:
        return f"{self.told.run}/{planned.step}"

    def _verify(self) -> Command:
        since, verify, samples = self.told.changed_at, self.plan.verify, self.told.samples
        if since is None:
            return Finish(RunState.FAILED, self._left_out())
        if verify is None:
            return self._end(_Stop("not_verified"))
        if _passes(samples, since) >= verify.samples:
            return Finish(RunState.SUCCEEDED, "verified")
        over = abs(self.now - since) >= verify.within or len(samples) >= MOST_SAMPLES
        if over or self.told.undoing:
            return self._end(_Stop(_unverified(samples)))
        newest = max((since, *(looked.read_at for looked in samples)))
        if self.present.read_at is not None and self.present.read_at > newest:
            return Sample(verify, since)
        return Wait(Timestamp(since + verify.within), "reading")

    def _left_out(self) -> str:
        """Return the word of the last step that was left out, for a run that had nothing to do."""
        outcomes = (self.told.turn(planned.step).outcome for planned in reversed(self.plan.steps))
        words = (outcome.get("skipped") for outcome in outcomes if outcome is not None)
        return next((word for word in words if isinstance(word, str)), "nothing_to_do")

    def _end(self, stop: _Stop) -> Command:
        if not self.told.applied:
            return Finish(RunState.REFUSED if stop.refused else RunState.FAILED, stop.reason)
        if stop.reason in _STOPPED:
            return Finish(RunState.NEEDS_HUMAN, stop.reason)
        if self.plan.on_failure == "stop":
            return Finish(RunState.FAILED, stop.reason)
        failed = False
        for planned in reversed(self.plan.steps):
            turn = self.told.turn(planned.step)
            if turn.effect is None or not turn.reversible or turn.undone:
                continue
            command = self._undo(planned, turn, turn.effect)
            if command is not None:
                return command
            failed = True
        return Finish(RunState.NEEDS_HUMAN, "undo_failed") if failed else Finish(RunState.UNDONE, stop.reason)

    def _undo(self, planned: Planned, turn: Turn, effect: Effect) -> Command | None:
        """Return how an effect is taken back; None when that failed."""
        step, action, key = planned.step, planned.action, self._key(planned)
        if turn.undo_open:
            if _given_up(turn.silent):
                return None
            return _pause(turn.silent, self.now) or SettleUndo(step, action, key, effect)
        if turn.undo_outcome is not None:
            again = _reason(turn.undo_outcome) == NOT_UNDONE and turn.undo_begun < MOST_BEGUN
            if not again:
                return None
        if turn.gate is not None and turn.gate.get("accepted") is not True:
            return Finish(RunState.NEEDS_HUMAN, str(turn.gate.get("reason", Gate.KILL_SWITCH_UNREADABLE)))
        return Undo(step, action, key, effect)


def _looks(planned: Planned) -> bool:
    return planned.kind is Kind.OBSERVE


def _passes(samples: Sequence[story.Looked], since: Timestamp) -> int:
    """Count the samples that passed at the end of the row, each from a newer reading than the one before."""
    count, newer = 0, None
    for looked in reversed(samples):
        fresh = looked.read_at > since and (newer is None or looked.read_at < newer)
        if looked.verdict is not Outcome.PASS or not fresh:
            break
        count, newer = count + 1, looked.read_at
    return count


def _unverified(samples: Sequence[story.Looked]) -> str:
    """Return the word of a verification whose time is over: what the last sample said."""
    match samples[-1].verdict if samples else Outcome.INCONCLUSIVE:
        case Outcome.INCONCLUSIVE:
            return "verify_inconclusive"
        case Outcome.ERROR:
            return "verify_error"
        case Outcome.PASS | Outcome.FAIL:
            return "verify_failed"


Begin = Observe
