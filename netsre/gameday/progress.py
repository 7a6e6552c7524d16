"""What a drill does next, from its journal and from what is seen: the same answer after a crash as before it.

requested -> injecting -> watching -> cleaning -> passed | failed | aborted          (refused: never injected)

However it goes, the way out is one: stop the fault, take back what automation changed for it, prove that the
host is as it was before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.gameday import journal as lines
from netsre.gameday.decide import LATE_AFTER, Gate, budget_gate
from netsre.gameday.journal import BEYOND, INJECT, RELEASE, STOP, Told
from netsre.model.effects import Effect, InForce
from netsre.model.gamedays import STAGES, Drill, DrillEntry, DrillKind, DrillState, GameDay, Stage
from netsre.model.levels import Ratio

ALLOWANCE: Final = 2 * clock.SECOND
"""What is seen may be so old: a stage is missed when it is reached late, not when it is heard of late."""
PATIENCE: Final = 90 * clock.SECOND
"""How long cleaning may take; after that the proof says what is left."""
RUN_PATIENCE: Final = 60 * clock.SECOND
"""How long cleaning waits for a run to end by itself before it takes its effects back all the same."""
RECEIPT_PATIENCE: Final = 10 * clock.SECOND
"""How long a drill that passed waits for its alert to come back from Alertmanager."""
_GRACE: Final = 5 * clock.SECOND
"""After the fault's own end, for the lab to have ended it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the lab says of the fault of this drill."""

    running: bool
    begun_at: Timestamp | None
    """None: the lab knows nothing of it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen now; None where nobody answered."""

    fault: Seen | None
    stages: Mapping[str, Timestamp]
    """When each stage was reached, as far as that can be seen."""
    notes: Mapping[str, Mapping[str, str]]
    """What else to write down about a stage."""
    failure: str
    """Why the expected run will not help, empty while it may."""
    running: bool
    """A run that answers the fault is not over."""
    in_force: Sequence[InForce] | None
    """Effects of the runs that answered."""
    limit: int | None
    budget_left: Ratio
    switch: Gate
    """ACCEPTED, or why the kill switch says no."""
    receipt_due: bool
    """The alert went to an Alertmanager that should send it back, and has not come back yet."""
    settle: int
    """Milliseconds after the end of the fault in which an alert about it can still begin."""


@dataclass(frozen=True, slots=True)
class Inject:
    """Write the intent, then have the lab begin the fault."""


@dataclass(frozen=True, slots=True)
class Write:
    """Append one line that tells of something which has happened, or was decided."""

    line: lines.Line


@dataclass(frozen=True, slots=True)
class Stop:
    """Have the lab end the fault; `again`: the intent stands already."""

    again: bool


@dataclass(frozen=True, slots=True)
class Release:
    """Have the node take an effect back; `again`: the intent stands already."""

    key: str
    effect: Effect
    again: bool


@dataclass(frozen=True, slots=True)
class Prove:
    """Write down whether the host is as before, and what of it is not."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """The drill is over."""

    state: DrillState
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something else is seen."""


Command = Inject | Write | Stop | Release | Prove | Finish | Wait

_WAIT: Final = Wait()


def next_command(
    drill: Drill, gameday: GameDay | None, entries: Sequence[DrillEntry], facts: Facts, now: Timestamp
) -> Command:
    """Return what to do next; `gameday` is None when its file is gone since the drill began."""
    told = lines.read(entries)
    if gameday is not None:
        gameday = replace(gameday, fault=replace(gameday.fault, profile=drill.profile))
    if told.verdict is not None:
        return _cleaning(told, told.verdict, gameday, facts, now)
    if gameday is None:
        return _end(DrillState.ABORTED, "gameday_removed")
    if told.abort is not None:
        return _end(DrillState.ABORTED, "asked", f"by {told.abort.data.get('by')}")
    intent = told.intents.get(INJECT)
    if intent is None:
        return _beginning(drill, facts, now)
    if INJECT not in told.outcomes:
        return _settling(intent.at, gameday, facts, now)
    return _watching(told, gameday, facts, now)


def state_of(entries: Sequence[DrillEntry]) -> DrillState:
    """Return where a drill that is not over stands."""
    told = lines.read(entries)
    if told.verdict is not None:
        return DrillState.CLEANING
    if told.injected_at is not None:
        return DrillState.WATCHING
    return DrillState.INJECTING if INJECT in told.intents else DrillState.REQUESTED


def due(told: Told, gameday: GameDay, stage: Stage) -> Timestamp | None:
    """Return by when a stage must be reached; None while that cannot be said, before the table is beyond."""
    start = told.stages.get(BEYOND) if gameday.fault.profile == "tcp" else told.injected_at
    if start is None or told.injected_at is None:
        return None
    return Timestamp(min(start + gameday.deadlines[stage], told.injected_at + gameday.fault.duration))


def _beginning(drill: Drill, facts: Facts, now: Timestamp) -> Command:
    # Asked for before a crash, perhaps long ago: the gates that can change by themselves are asked again.
    if now - (drill.scheduled_at or drill.requested_at) > LATE_AFTER:
        return _end(DrillState.REFUSED, Gate.LATE.value)
    if facts.switch is not Gate.ACCEPTED:
        return _end(DrillState.REFUSED, facts.switch.value)
    if facts.fault is None:
        return _end(DrillState.REFUSED, Gate.NO_LAB.value)
    if facts.limit is None:
        return _end(DrillState.REFUSED, Gate.NO_NODE.value)
    return Inject()


def _settling(begun: Timestamp, gameday: GameDay, facts: Facts, now: Timestamp) -> Command:
    """Find out by looking whether the fault began: it is never begun a second time."""
    if facts.fault is None:
        if now > begun + gameday.fault.duration + _GRACE:
            return Write(lines.not_injected("no_lab", "the lab never said whether it began the fault"))
        return _WAIT
    if facts.fault.begun_at is not None:
        return Write(lines.injected(facts.fault.begun_at))
    return Write(lines.not_injected("not_injected", "the lab knows nothing of the fault"))


def _watching(told: Told, gameday: GameDay, facts: Facts, now: Timestamp) -> Command:
    if told.injected_at is None:
        outcome = told.outcomes[INJECT].data
        return _end(DrillState.FAILED, str(outcome.get("reason")), str(outcome.get("message")))
    for stage in (BEYOND, *STAGES):
        at = facts.stages.get(stage)
        if at is not None and stage not in told.stages:
            return Write(lines.reached(stage, at, **facts.notes.get(stage, {})))
    missed = _missed(told, told.injected_at, gameday, facts, now)
    if missed is not None:
        return missed
    if all(stage in told.stages for stage in STAGES):
        return _end(DrillState.PASSED, "verified")
    return _stopped_early(gameday, facts) or _WAIT


def _stopped_early(gameday: GameDay, facts: Facts) -> Command | None:
    """Return the end of a drill that must not, or cannot, go on."""
    if facts.switch is not Gate.ACCEPTED:
        return _end(DrillState.ABORTED, facts.switch.value)
    if budget_gate(gameday, facts.budget_left) is Gate.BUDGET_LOW:
        return _end(DrillState.ABORTED, Gate.BUDGET_LOW.value)
    if facts.fault is not None and not facts.fault.running:
        return _end(DrillState.FAILED, "fault_ended", "the fault ended before it was verified to be healed")
    return None


def _missed(
    told: Told, injected_at: Timestamp, gameday: GameDay, facts: Facts, now: Timestamp
) -> Command | None:
    for stage in STAGES:
        at, latest = told.stages.get(stage), due(told, gameday, stage)
        if at is not None:
            if latest is not None and at > latest:
                late = clock.duration_text(at - latest)
                return _end(DrillState.FAILED, stage, f"{late} after its deadline")
            continue
        if facts.failure and stage in ("mitigated", "verified"):
            return _end(DrillState.FAILED, stage, facts.failure)
        if latest is not None and now > latest + ALLOWANCE:
            return _end(DrillState.FAILED, stage, "not reached by its deadline")
        break
    if BEYOND not in told.stages and now > injected_at + gameday.fault.duration + ALLOWANCE:
        return _end(DrillState.FAILED, BEYOND, "the table was never seen beyond the value of the alert")
    return None


def _end(state: DrillState, reason: str, detail: str = "") -> Write:
    return Write(lines.verdict(state, reason, detail))


def _cleaning(
    told: Told, verdict: DrillEntry, gameday: GameDay | None, facts: Facts, now: Timestamp
) -> Command:
    state, reason = DrillState(str(verdict.data.get("state"))), str(verdict.data.get("reason"))
    if INJECT not in told.intents:
        return Finish(state, reason)
    if told.proof is not None:
        if state is DrillState.PASSED and told.proof.data.get("restored") is not True:
            return Finish(DrillState.FAILED, "not_restored")
        return Finish(state, reason)
    return (
        _stopping(told, facts)
        or _releasing(told, verdict, facts, now)
        or _proving(told, verdict, gameday, facts, now)
    )


def _stopping(told: Told, facts: Facts) -> Command | None:
    if STOP not in told.intents:
        return Stop(again=False)
    if facts.fault is None:
        return None
    if facts.fault.running:
        return Stop(again=True)
    return Write(lines.stopped()) if told.unsettled(STOP) else None


def _releasing(told: Told, verdict: DrillEntry, facts: Facts, now: Timestamp) -> Command | None:
    if facts.in_force is None:
        return None
    standing = {effect.key for effect in facts.in_force}
    for key in told.intents:
        name = key.removeprefix(RELEASE)
        if key.startswith(RELEASE) and told.unsettled(key) and name not in standing:
            return Write(lines.released(name))
    # Either way in time: a clock that is set makes nothing wait longer.
    if facts.running and abs(now - verdict.at) < RUN_PATIENCE:
        return None
    for effect in facts.in_force:
        return Release(effect.key, effect.effect, again=RELEASE + effect.key in told.intents)
    return None


def _proving(
    told: Told, verdict: DrillEntry, gameday: GameDay | None, facts: Facts, now: Timestamp
) -> Command:
    problems = tuple(_problems(told, gameday, facts, now))
    if abs(now - verdict.at) > _patience(told, verdict, gameday):
        return Prove(problems)
    waits = (
        bool(problems),
        facts.receipt_due and _passed(verdict) and abs(now - verdict.at) < RECEIPT_PATIENCE,
        # What was full a moment ago may still be told of, and somebody may still answer that.
        not _passed(verdict) and abs(now - _over_at(told, verdict)) < facts.settle,
    )
    return _WAIT if any(waits) else Prove(())


def _problems(told: Told, gameday: GameDay | None, facts: Facts, now: Timestamp) -> list[str]:
    """Return what of the host is not known to be as it was before."""
    found = []
    if facts.fault is None:
        # A fault has its own end: the lab need not answer for that.
        if now < _fault_over(told, gameday):
            found.append("lab_silent")
    elif facts.fault.running:
        found.append("fault_running")
    if facts.running:
        found.append("run_active")
    if facts.in_force is None or facts.limit is None:
        found.append("node_silent")
        return found
    found += [f"effect {effect.key}" for effect in facts.in_force]
    if facts.limit != told.limit_before:
        found.append(f"limit {facts.limit}, before {told.limit_before}")
    return found


def _patience(told: Told, verdict: DrillEntry, gameday: GameDay | None) -> int:
    return max(PATIENCE, _fault_over(told, gameday) - verdict.at)


def _fault_over(told: Told, gameday: GameDay | None) -> int:
    """Return by when the fault has ended by itself, at the latest."""
    begun = told.intents[INJECT].at
    return begun if gameday is None else (told.injected_at or begun) + gameday.fault.duration + _GRACE


def _over_at(told: Told, verdict: DrillEntry) -> Timestamp:
    stopped = told.outcomes.get(STOP)
    return verdict.at if stopped is None else stopped.at


def _passed(verdict: DrillEntry) -> bool:
    return verdict.kind is DrillKind.VERDICT and verdict.data.get("state") == DrillState.PASSED
