"""How often and how widely: limits of a target, a runbook and all runbooks, counted from runs on record."""

from collections.abc import Iterable, Iterator
from typing import Final

from netsre import clock
from netsre.clock import DAY, HOUR, MINUTE, Timestamp
from netsre.model.runbooks import Limits, Run, RunState
from netsre.runbook.gates.answers import Answer, age_text, within
from netsre.runbook.gates.circumstances import Act, Circumstances, Holds
from netsre.runbook.gates.names import Gate

HUMAN_HOLD: Final = HOUR
"""How long a target is left to people after a run that ended `needs_human` there."""


def ran(circumstances: Circumstances) -> list[Run]:
    """Return the runs that count: a refused one did nothing.

    It starts no cooldown either: a flapping alert would block itself for ever.
    """
    return [run for run in circumstances.history if run.counts]


def already_running(runs: Iterable[Run], target: str | None) -> Answer:
    """Return whether no run of any runbook is at work on the target."""
    holder = next((run for run in runs if run.target == target and not run.ended), None)
    said = "the target is free" if holder is None else f"run {holder.id} of {holder.runbook}"
    return Answer(Gate.ALREADY_RUNNING, holder is None, said)


def needs_human(runs: Iterable[Run], target: str | None, now: Timestamp) -> Answer:
    """Return whether no run left the target to people."""
    left = [
        run
        for run in runs
        if run.target == target
        and run.state is RunState.NEEDS_HUMAN
        and within(now, run.ended_at or run.started_at, HUMAN_HOLD)
    ]
    said = f"run {left[-1].id} of {left[-1].runbook}: {left[-1].reason}" if left else "no run was left open"
    return Answer(Gate.NEEDS_HUMAN, not left, said)


def cooldown(own: Iterable[Run], target: str | None, limits: Limits, now: Timestamp) -> Answer:
    """Return whether the last run of the runbook on the target is long enough ago."""
    ages = [abs(now - run.rests_from) for run in own if run.target == target]
    said = f"last run {age_text(min(ages))} ago" if ages else "no run before"
    passed = all(age >= limits.cooldown for age in ages)
    return Answer(Gate.COOLDOWN, passed, f"{said}, cooldown {clock.duration_text(limits.cooldown)}")


def rates(own: Iterable[Run], target: str | None, limits: Limits, now: Timestamp) -> Iterator[Answer]:
    """Yield whether the runbook has runs left, on all targets and on this one.

    However long one waited for people: once it changed something, it counts from then.
    """
    times = [run.changed_at or run.started_at for run in own]
    yield _counted(Gate.RATE_LIMITED, times, ((HOUR, limits.per_hour), (DAY, limits.per_day)), now)
    here = [run.changed_at or run.started_at for run in own if run.target == target]
    windows = ((HOUR, limits.target_per_hour), (DAY, limits.target_per_day))
    yield _counted(Gate.TARGET_LIMITED, here, windows, now)


def targets(own: Iterable[Run], act: Act, limits: Limits) -> Answer:
    """Return whether few enough other targets are being worked on."""
    elsewhere = {run.target for run in own if not run.ended and run.target != act.target}
    said = f"{len(elsewhere)} other targets in work, at most {limits.max_targets} in all"
    # What only looks acts upon none.
    return Answer(Gate.TOO_MANY_TARGETS, len(elsewhere) < limits.max_targets or not act.changes, said)


def of_all(holds: Holds, now: Timestamp, besides: str = "", *, changes: bool = True) -> Answer:
    """Return whether all runbooks together have changes left; `besides` is the run that asks."""
    times = [run.changed_at for run in holds.changed if run.changed_at is not None and run.id != besides]
    bounds = holds.bounds
    windows = (
        (10 * MINUTE, bounds.per_ten_minutes),
        (HOUR, bounds.per_hour),
        (DAY, bounds.per_day),
    )
    said = _counted(Gate.GLOBAL_LIMITED, times, windows, now, "runs of all runbooks changed something")
    return said if changes else Answer(said.gate, passed=True, detail=f"it only looks; {said.detail}")


def common_cause(circumstances: Circumstances, limits: Limits) -> Answer:
    """Return whether enough of the other targets are without the alert."""
    others, ill = circumstances.others, circumstances.others_alerting
    passed = (others - ill) * 100 >= limits.min_healthy * others
    said = f"{others - ill} of {others} others healthy, at least {limits.min_healthy}%"
    return Answer(Gate.COMMON_CAUSE, passed, said)


def _counted(
    gate: Gate,
    times: Iterable[Timestamp],
    windows: Iterable[tuple[int, int | None]],
    now: Timestamp,
    what: str = "runs",
) -> Answer:
    """Return whether there is less than the most in every window; a window without a most is none."""
    counts = [
        (sum(within(now, at, length) for at in times), most, length)
        for length, most in windows
        if most is not None
    ]
    text = clock.duration_text
    said = ", ".join(f"{count} of {most} within {text(length)}" for count, most, length in counts)
    passed = all(count < most for count, most, _ in counts)
    return Answer(gate, passed, f"{what}: {said}" if said else "no limit")
