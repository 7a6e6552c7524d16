"""The gates of a runbook, in order: the first that says no gives the run its word, and all are on record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from netsre.clock import DAY, Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.model.deeds import Deed
from netsre.model.runbooks import Limits, Run, Runbook, Veto
from netsre.runbook import definition, targets
from netsre.runbook.gates import basics, breaker, limits, people, storm, values
from netsre.runbook.gates.answers import Answer, Verdict, first_no
from netsre.runbook.gates.basics import BLIND_AFTER
from netsre.runbook.gates.circumstances import Act, Circumstances, Holds, KillSwitch
from netsre.runbook.gates.limits import HUMAN_HOLD
from netsre.runbook.gates.names import Gate, title
from netsre.runbook.gates.values import Past

__all__ = [
    "BLIND_AFTER",
    "HUMAN_HOLD",
    "Answer",
    "Change",
    "Circumstances",
    "Gate",
    "Holds",
    "KillSwitch",
    "Past",
    "Verdict",
    "concerns",
    "decide",
    "kill_switch",
    "lookback",
    "of_effect",
    "recheck",
    "stops",
    "title",
]

_NO_PAST: Final = Past()


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a run is about to make, and what bounds it."""

    alert: Alert
    limits: Limits
    unless: tuple[Veto, ...] = ()
    effect: Deed | None = None
    past: Past = _NO_PAST


def concerns(runbook: Runbook, alert: Alert, here: str) -> bool:
    """Tell whether an alert is a runbook's business on the node `here`: if not, no run is recorded."""
    matched, *_ = basics.about(runbook, alert, None, here)
    return matched.passed


def decide(runbook: Runbook, alert: Alert, circumstances: Circumstances) -> Verdict:
    """Return the verdict on a runbook for an alert that just changed its state."""
    target = targets.resolve(runbook.lock, alert.labels)
    act = Act(runbook.name, target, alert, changes=runbook.changes)
    needed = alert.state is AlertState.FIRING
    answers = (
        *basics.about(runbook, alert, target, circumstances.node),
        *_may_act(act, runbook.unless, circumstances, needed=needed),
        basics.blind(circumstances, begun=False, changes=act.changes),
        storm.answer(act, circumstances, comes=True),
        *_limits(act, runbook.limits, circumstances),
    )
    return Verdict(first_no(answers), target or "", answers, definition.of(runbook))


def recheck(run: Run, change: Change, circumstances: Circumstances) -> Verdict:
    """Return the verdict on the next change of a run: every gate but those that the run itself would shut."""
    others = tuple(other for other in circumstances.history if other.id != run.id)
    around = replace(circumstances, history=others)
    act = Act(run.runbook, run.target, change.alert, changes=True)
    answers = (
        *_may_act(act, change.unless, circumstances, needed=True),
        basics.blind(circumstances, begun=True, changes=True),
        storm.answer(act, circumstances, comes=False),
        *_limits(act, change.limits, around, run.id),
        *of_effect(change.effect, change.past, circumstances),
    )
    return Verdict(first_no(answers), run.target, answers)


def of_effect(effect: Deed | None, past: Past, circumstances: Circumstances) -> Iterator[Answer]:
    """Yield the gates that are about the value that a change chooses."""
    return values.answers(effect, past, circumstances.holds.bounds, circumstances.now)


def kill_switch(run: Run, state: KillSwitch) -> Verdict:
    """Return the verdict on taking an effect back: nothing but the kill switch stops that."""
    answers = (basics.kill_switch(state),)
    return Verdict(first_no(answers), run.target, answers)


def stops(state: KillSwitch, holds: Holds, now: Timestamp) -> list[Answer]:
    """Return what keeps every runbook from changing anything, whatever the alert is; pauses are apart."""
    asked = (basics.kill_switch(state), storm.standing(holds, now), limits.of_all(holds, now))
    return [answer for answer in asked if not answer.passed]


def lookback(bounds: Iterable[Limits]) -> int:
    """Return how far back, in milliseconds, runs must be known to judge every limit."""
    # A run that ended within the hold began before it.
    lengths = [2 * HUMAN_HOLD]
    for one in bounds:
        lengths.append(one.cooldown)
        if one.per_day is not None or one.target_per_day is not None:
            lengths.append(DAY)
    return max(lengths)


def _may_act(
    act: Act, vetoes: tuple[Veto, ...], circumstances: Circumstances, *, needed: bool
) -> Iterator[Answer]:
    yield basics.kill_switch(circumstances.kill_switch)
    yield people.paused(act, circumstances)
    yield people.maintenance(act, circumstances)
    yield people.vetoed(act, vetoes, circumstances)
    yield basics.firing(circumstances, needed=needed)


def _limits(act: Act, bounds: Limits, circumstances: Circumstances, besides: str = "") -> Iterator[Answer]:
    now, ran = circumstances.now, limits.ran(circumstances)
    own = [run for run in ran if run.runbook == act.runbook]
    # Who asks people holds the target against itself alone: a question must not stop a mitigation.
    at_work = [run for run in ran if run.runbook == act.runbook or not circumstances.holds.idle(run)]
    yield limits.already_running(at_work, act.target)
    yield limits.needs_human(ran, act.target, now)
    yield breaker.answer(act, bounds, circumstances)
    yield limits.cooldown(own, act.target, bounds, now)
    yield from limits.rates(own, act.target, bounds, now)
    yield limits.targets([run for run in own if not circumstances.holds.idle(run)], act, bounds)
    yield limits.of_all(circumstances.holds, now, besides, changes=act.changes)
    yield limits.common_cause(circumstances, bounds)
