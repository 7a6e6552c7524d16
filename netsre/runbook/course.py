"""The way of a run that has a plan: step by step, then verification, then, if it must be, back again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.alerts import Alert
from netsre.model.deeds import Deed, Silence
from netsre.model.directory import ALONE, Directory
from netsre.model.documents import Document
from netsre.model.runbooks import CANCELLED, RunState
from netsre.runbook import conditions, story
from netsre.runbook.commands import (
    Apply,
    Command,
    Fail,
    Finish,
    Observe,
    Replan,
    Sample,
    Settle,
    SettleUndo,
    Skip,
    Undo,
    Wait,
)
from netsre.runbook.decide import Gate
from netsre.runbook.journal import NOT_APPLIED, NOT_UNDONE, UNREACHABLE
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
"""How long a step waits for a reading: after a start any, for `still(alert)` one since the last change."""
_PAUSES: Final = (1 * clock.SECOND, 2 * clock.SECOND, 4 * clock.SECOND, 8 * clock.SECOND)
PLAN_CHANGED: Final = "plan_changed"
_CONDITION_FALSE: Final = "condition_false"
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
    watched: bool = True
    """Whether this controller was there, and could hear people, since it last looked at the run."""
    directory: Directory = ALONE
    """Whose word can be asked for."""


def observe(step: int, action: str, parameters: Document, turn: Turn, now: Timestamp) -> Command:
    """Return how an observation goes on that has no outcome yet."""
    if given_up(turn.silent):
        return Fail(step, action, "node_unreachable", "the node gave no answer")
    return pause(turn.silent, now) or Observe(step, action, parameters, turn.open)


def given_up(silent: Sequence[Timestamp]) -> bool:
    """Tell whether a node was silent for too long, as the journal says: the present does not matter."""
    return bool(silent) and (abs(silent[-1] - silent[0]) >= PATIENCE or len(silent) >= MOST_LOOKS)


def pause(silent: Sequence[Timestamp], now: Timestamp) -> Wait | None:
    """Return how long a silent node is left alone before it is asked again."""
    if not silent:
        return None
    length = _PAUSES[min(len(silent), len(_PAUSES)) - 1]
    # Also when the clock was set back: an hour is not waited for.
    return Wait(Timestamp(silent[-1] + length), "node") if abs(now - silent[-1]) < length else None


def reason_of(outcome: Document) -> str:
    """Return the word of an outcome that is not ok."""
    reason = outcome.get("reason")
    return reason if isinstance(reason, str) and reason else "step_failed"


@dataclass(frozen=True, slots=True)
class _Stop:
    """No further step: the word why."""

    reason: str
    refused: bool = False
    """A gate said no."""


@dataclass(frozen=True, slots=True)
class Course:
    """A run that has a plan; from here on the runbook's file does not matter."""

    told: Story
    plan: Plan
    now: Timestamp
    present: Present

    def next(self) -> Command:
        """Return what to do next."""
        if self.told.cancelled is not None:
            return self._cancelled()
        for planned in self.plan.steps:
            turn = self.told.turn(planned.step)
            command = self._observation(planned, turn) if _looks(planned) else self._change(planned, turn)
            if isinstance(command, _Stop):
                return self._end(command)
            if command is not None:
                return command
        return self._verify()

    def _cancelled(self) -> Command:
        """Return the way out: what was begun is settled, what was done is taken back."""
        for planned in self.plan.steps:
            turn = self.told.turn(planned.step)
            if turn.open and not _looks(planned):
                return self._settle(planned, turn)
        return self._end(_Stop(CANCELLED, refused=True))

    def _observation(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        if turn.done:
            return None
        if turn.outcome is not None:
            return _Stop(reason_of(turn.outcome))
        return observe(planned.step, planned.action, planned.parameters, turn, self.now)

    def _change(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        if turn.done and not self._stands_after_all(planned, turn):
            return None
        if turn.open:
            return self._settle(planned, turn)
        if turn.outcome is not None and not turn.done:
            reason = reason_of(turn.outcome)
            if reason != NOT_APPLIED or turn.begun >= MOST_BEGUN:
                return _Stop(reason)
        if turn.gate is not None and turn.gate.get("accepted") is not True:
            return self._shut(planned, str(turn.gate.get("reason", Gate.KILL_SWITCH_UNREADABLE)))
        return self._condition(planned) or self._begin(planned, turn)

    def _stands_after_all(self, planned: Planned, turn: Turn) -> bool:
        """Tell whether a step was left out because the alert was over, and the alert stands again.

        The first reading after a change may catch a table that is being filled anew. While it is verified
        whether the run helped, such a step still can; once, as it then has another outcome.
        """
        if planned.condition is None or not conditions.measures(planned.condition) or self._verified_enough():
            return False
        read_at, outcome = self.present.read_at, turn.outcome or {}
        fresh = read_at is not None and read_at > turn.ended_at
        return fresh and self.present.still is True and outcome.get("skipped") == _CONDITION_FALSE

    def _settle(self, planned: Planned, turn: Turn) -> Command:
        if isinstance(turn.effect, Silence) and turn.silent:
            # A mitigation does not wait for what only keeps the noise down, and ends by itself.
            return Skip(planned.step, planned.action, UNREACHABLE)
        if turn.effect is None or given_up(turn.silent) or not deeds.observable(turn.effect):
            return Finish(RunState.NEEDS_HUMAN, "effect_unknown")
        settle = Settle(planned.step, planned.action, self._key(planned), turn.effect)
        return pause(turn.silent, self.now) or settle

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
        return Skip(planned.step, planned.action, _CONDITION_FALSE)

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
            if given_up(turn.silent):
                return Fail(planned.step, planned.action, "node_unreachable", "the node gave no answer")
            return pause(turn.silent, self.now) or Replan(planned)
        current = turn.planned or planned
        if current.kind is Kind.SKIP:
            return Skip(planned.step, planned.action, current.reason)
        if self.told.request is not None and current.effect not in (None, planned.effect):
            message = "it would do something else by now than what people were asked about"
            current = replace(current, effect=None, reason=PLAN_CHANGED, message=message)
        if current.effect is None:
            return Fail(planned.step, planned.action, current.reason or "step_failed", current.message)
        if self.present.read_at is None and abs(self.now - self.told.last_at) < READING_WAIT:
            # Who just started has seen nothing yet: no reason to give up before the gates may judge.
            return Wait(Timestamp(self.told.last_at + READING_WAIT), "reading")
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
        if self._verified_enough():
            return self._end(_Stop(_unverified(samples)))
        newest = max((since, *(looked.read_at for looked in samples)))
        if self.present.read_at is not None and self.present.read_at > newest:
            return Sample(verify, since)
        return Wait(Timestamp(since + verify.within), "reading")

    def _verified_enough(self) -> bool:
        """Tell whether the time for a verdict is over, or the way back has begun: it has one direction."""
        since, verify, told = self.told.changed_at, self.plan.verify, self.told
        over = since is None or verify is None or abs(self.now - since) >= verify.within
        return over or told.undoing or len(told.samples) >= MOST_SAMPLES

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

    def _undo(self, planned: Planned, turn: Turn, effect: Deed) -> Command | None:
        """Return how an effect is taken back; None when that failed."""
        step, action, key = planned.step, planned.action, self._key(planned)
        if turn.undo_open:
            if given_up(turn.silent) or not deeds.observable(effect):
                return None
            return pause(turn.silent, self.now) or SettleUndo(step, action, key, effect)
        if turn.undo_outcome is not None:
            again = reason_of(turn.undo_outcome) == NOT_UNDONE and turn.undo_begun < MOST_BEGUN
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
