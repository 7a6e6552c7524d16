"""The way of a run that has a plan: step by step, then verification, then, if it must be, back again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.alerts import Alert
from netsre.model.conditions import Condition
from netsre.model.deeds import Deed, Silence
from netsre.model.directory import ALONE, Directory
from netsre.model.documents import Json
from netsre.model.runbooks import CANCELLED, OnFailure, RunState, Verification
from netsre.runbook import conditions, references, story, tries
from netsre.runbook.commands import (
    Apply,
    Command,
    Fail,
    Finish,
    Replan,
    Sample,
    Settle,
    SettleUndo,
    Skip,
    Undo,
    Wait,
)
from netsre.runbook.decide import Gate
from netsre.runbook.gates import basics
from netsre.runbook.journal import NOT_UNDONE, UNREACHABLE
from netsre.runbook.plan import CONDITION_FALSE, Kind, Plan, Planned
from netsre.runbook.story import Story, Turn
from netsre.runbook.tries import MOST_BEGUN, given_up, pause, reason_of
from netsre.runbook.verify import NO_READING, Outcome

MOST_SAMPLES: Final = 1_000
READING_WAIT: Final = clock.MINUTE
"""How long a step waits for a reading: before a change a fresh one, for `still(alert)` one since the last."""
PLAN_CHANGED: Final = "plan_changed"
_UNTIL_MET: Final = "until_met"
_MISTAKES: Final = frozenset({"internal_error", "step_failed", "unknown_action"})
"""Why there is no effect, where that says nothing about the node."""
INCONCLUSIVE: Final = "verify_inconclusive"
"""The word for a run of which nothing that was measured says whether it helped."""
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
    interval: int
    """Milliseconds between two readings."""
    watched: bool = True
    """Whether this controller was there, and could hear people, since it last looked at the run."""
    directory: Directory = ALONE
    """Whose word can be asked for."""


@dataclass(frozen=True, slots=True)
class _Stop:
    """No further step: the word why."""

    reason: str
    refused: bool = False
    """A gate said no."""
    on_failure: OnFailure | None = None
    """What the step says that follows; None: what the plan says."""


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
        over: set[int] = set()
        for planned in self.plan.steps:
            loop, turn = planned.manner.round, self.told.turn(planned.step)
            if loop is not None and self._loop_over(planned, turn):
                over.add(loop.loop)
            if loop is not None and loop.loop in over:
                continue
            command = self._round(planned, turn) or self._step(planned, turn)
            if isinstance(command, _Stop):
                return self._end(replace(command, on_failure=planned.manner.on_failure))
            if command is not None:
                return command
        return self._verify()

    def _step(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        return self._observation(planned, turn) if _looks(planned) else self._change(planned, turn)

    def _loop_over(self, planned: Planned, turn: Turn) -> bool:
        """Tell whether a step was where its loop ended before its last round."""
        if turn.outcome is None or turn.outcome.get("over") is not True:
            return False
        return not self._stands_after_all(planned, turn)

    def _round(self, planned: Planned, turn: Turn) -> Command | None:
        """Return what comes before the first step of a further round: a rest, then whether it is needed."""
        loop = planned.manner.round
        fresh = turn.outcome is None and not turn.open and turn.gate is None and turn.planned is None
        if loop is None or not loop.first or loop.number == 1 or not fresh or turn.silent:
            return None
        ends = (self.told.turn(other.step).ended_at for other in self.plan.steps if _before(other, planned))
        ended = max(ends, default=self.told.planned_at)
        if abs(self.now - ended) < loop.wait:
            return Wait(Timestamp(ended + loop.wait), "round")
        held = self._holds(planned, loop.until)
        return Skip(planned.step, planned.action, _UNTIL_MET, over=True) if held is True else held or None

    def _cancelled(self) -> Command:
        """Return the way out: what was begun is settled, what was done is taken back."""
        for planned in self.plan.steps:
            turn = self.told.turn(planned.step)
            if turn.open and not _looks(planned):
                return self._settle(planned, turn)
        return self._end(_Stop(CANCELLED, refused=True))

    def _observation(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        manner = planned.manner
        if turn.done and not self._stands_after_all(planned, turn):
            return None
        if turn.outcome is not None and not turn.done:
            again = tries.another(turn, manner, self.now)
            if again is not True:
                return again or _failed(planned, turn)
        return tries.observe(planned.step, planned.action, planned.parameters, turn, self.now, manner)

    def _change(self, planned: Planned, turn: Turn) -> Command | _Stop | None:
        if turn.done and not self._stands_after_all(planned, turn):
            return None
        if turn.open:
            return self._settle(planned, turn)
        if turn.outcome is not None and not turn.done:
            again = tries.another_change(turn, reason_of(turn.outcome), planned.manner, self.now)
            if again is not True:
                return again or _failed(planned, turn)
        if turn.gate is not None and turn.gate.get("accepted") is not True:
            return self._shut(planned, str(turn.gate.get("reason", Gate.KILL_SWITCH_UNREADABLE)))
        return self._condition(planned) or self._begin(planned, turn)

    def _stands_after_all(self, planned: Planned, turn: Turn) -> bool:
        """Tell whether a step or round was left out because the alert was over, and the alert stands again.

        The first reading after a change may catch a table that is being filled anew. While it is verified
        whether the run helped, such a step still can; once, as it then has another outcome.
        """
        word, loop = (turn.outcome or {}).get("skipped"), planned.manner.round
        asked = {CONDITION_FALSE: planned.condition, _UNTIL_MET: None if loop is None else loop.until}
        condition = asked.get(word) if isinstance(word, str) else None
        if condition is None or not conditions.measures(condition) or self._verified_enough():
            return False
        read_at = self.present.read_at
        stands = read_at is not None and read_at > turn.ended_at and self.present.still is True
        return stands and self._holds(planned, condition) is (word == CONDITION_FALSE)

    def _settle(self, planned: Planned, turn: Turn) -> Command:
        if isinstance(turn.effect, Silence) and turn.silent:
            # A mitigation does not wait for what only keeps the noise down, and ends by itself.
            return Skip(planned.step, planned.action, UNREACHABLE)
        known = turn.effect is not None and deeds.observable(turn.effect)
        if turn.effect is None or not known or given_up(turn.silent, planned.manner):
            return _unknown(planned)
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
        held = self._holds(planned, planned.condition)
        if held is False:
            return Skip(planned.step, planned.action, CONDITION_FALSE)
        return None if held is True else held

    def _holds(self, planned: Planned, condition: Condition) -> bool | Command:
        """Tell whether a condition holds now, or what must come before that can be told."""
        still = self.present.still
        if conditions.measures(condition) and (still is None or not self._seen_since_change()):
            return self._wait_for_reading(planned)
        loop = planned.manner.round
        sees = loop.sees if loop is not None and condition is loop.until else planned.manner.sees
        seen = self._seen(sees)
        return conditions.holds(condition, self.present.alert, still=still is True, evidence=seen)

    def _seen(self, sees: Sequence[tuple[str, int]]) -> Mapping[str, Json]:
        """Return evidence by its name; what was not seen is not there."""
        evidence = self.told.evidence()
        return {
            name: evidence[step][name] for name, step in sees if step in evidence and name in evidence[step]
        }

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
            return self._replan(planned, turn)
        current = turn.planned or planned
        if current.kind is Kind.SKIP:
            return Skip(planned.step, planned.action, current.reason)
        if _further(planned) and current.kind is Kind.REFUSE and current.reason not in _MISTAKES:
            # What the rounds before did is to be verified all the same; there is no more to do it to.
            return Skip(planned.step, planned.action, current.reason, over=True)
        if self.told.request is not None and current.effect not in (None, *self._approved(planned)):
            message = "it would do something else by now than what people were asked about"
            current = replace(current, effect=None, reason=PLAN_CHANGED, message=message)
        if current.effect is None:
            return Fail(planned.step, planned.action, current.reason or "step_failed", current.message)
        if not self._sees() and abs(self.now - self.told.last_at) < READING_WAIT:
            # Who just started, here or on the node, is soon read: no reason to have the gates give up before.
            return Wait(Timestamp(self.told.last_at + READING_WAIT), "reading")
        return Apply(planned.step, planned.action, self._key(planned), current.effect, self.plan)

    def _sees(self) -> bool:
        read_at = self.present.read_at
        return basics.fresh(None if read_at is None else self.now - read_at, self.present.interval)

    def _replan(self, planned: Planned, turn: Turn) -> Command:
        if given_up(turn.silent, planned.manner):
            return Fail(planned.step, planned.action, tries.SILENT, "the node gave no answer")
        if planned.kind is Kind.LATER:
            # By what was seen since the plan was made; what is read from there is never a reference again.
            seen = self._seen(planned.manner.sees)
            planned = replace(planned, parameters=references.resolved(planned.parameters, seen))
        return pause(turn.silent, self.now) or Replan(planned)

    def _approved(self, planned: Planned) -> Sequence[Deed | None]:
        """Return the effects of a step that people were asked about; planned later, any of its action."""
        if planned.kind is not Kind.LATER:
            return (planned.effect,)
        return [step.effect for step in self.plan.steps if step.action == planned.action]

    def _key(self, planned: Planned) -> str:
        return f"{self.told.run}/{planned.step}"

    def _verify(self) -> Command:
        since, verify, samples = self.told.changed_at, self.plan.verify, self.told.samples
        if since is None:
            return Finish(RunState.FAILED, self._left_out())
        if verify is None:
            return self._end(_Stop("not_verified"))
        if _passes(samples, since, verify.samples) >= verify.needed:
            return Finish(RunState.SUCCEEDED, "verified")
        if self._verified_enough():
            return self._unproven(verify)
        newest = max((since, *(looked.read_at for looked in samples)))
        if self.present.read_at is not None and self.present.read_at > newest:
            return Sample(verify, since)
        return Wait(Timestamp(since + verify.within), "reading")

    def _unproven(self, verify: Verification) -> Command:
        """End a run that was not proven to help while there was time."""
        samples = self.told.samples
        if verify.no_data == "keep" and not self.told.undoing and _nobody_can_tell(samples):
            return Finish(RunState.NEEDS_HUMAN, INCONCLUSIVE)
        return self._end(_Stop(_unverified(samples)))

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
        # What goes on after a failure does not stop: then only a gate did.
        own = stop.on_failure if stop.on_failure in ("stop", "undo") else None
        # Whoever cancels a run is told that what it changed is taken back: that is no failure.
        if stop.reason != CANCELLED and (own or self.plan.on_failure) == "stop":
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
            if given_up(turn.silent, planned.manner) or not deeds.observable(effect):
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


def _further(planned: Planned) -> bool:
    """Tell whether a step belongs to a round after the first."""
    return planned.manner.round is not None and planned.manner.round.number > 1


def _before(other: Planned, planned: Planned) -> bool:
    """Tell whether a step comes before another one of the same loop."""
    mine, its = planned.manner.round, other.manner.round
    return mine is not None and its is not None and mine.loop == its.loop and other.step < planned.step


def _failed(planned: Planned, turn: Turn) -> _Stop | None:
    """Return what a step that failed means for the run; None where it goes on without it."""
    return None if planned.manner.on_failure == "continue" else _Stop(reason_of(turn.outcome or {}))


def _unknown(planned: Planned) -> Command:
    """Return what follows a change of which nobody says whether it was made."""
    if planned.manner.on_failure == "continue":
        return Fail(planned.step, planned.action, "effect_unknown", "nobody says whether it was done")
    return Finish(RunState.NEEDS_HUMAN, "effect_unknown")


def _passes(samples: Sequence[story.Looked], since: Timestamp, most: int) -> int:
    """Count those that passed of the last samples, each from a newer reading than the one before."""
    count, newer = 0, None
    for looked in samples[: -most - 1 : -1]:
        if looked.read_at <= since or (newer is not None and looked.read_at >= newer):
            break
        count, newer = count + (looked.verdict is Outcome.PASS), looked.read_at
    return count


def _nobody_can_tell(samples: Sequence[story.Looked]) -> bool:
    """Tell whether nothing that was measured speaks against what was changed."""
    return not any(looked.verdict in (Outcome.FAIL, Outcome.ERROR) for looked in samples)


def _unverified(samples: Sequence[story.Looked]) -> str:
    """Return the word of a verification whose time is over: what the last sample said that had a reading.

    Who was just started has none of before, and nothing to compare its first one with: that unsays nothing.
    """
    nothing = (Outcome.INCONCLUSIVE, NO_READING)
    said = (looked.verdict for looked in reversed(samples) if (looked.verdict, looked.reason) != nothing)
    match next(said, Outcome.INCONCLUSIVE):
        case Outcome.INCONCLUSIVE:
            return INCONCLUSIVE
        case Outcome.ERROR:
            return "verify_error"
        case Outcome.PASS | Outcome.FAIL:
            return "verify_failed"
