"""The controller's own metrics, made of the newest snapshot; what was not measured is absent, never 0."""

from collections.abc import Callable

from netsre import conventions as c
from netsre.adapters import exposition
from netsre.alerting.decide import SEVERITIES
from netsre.app.control.snapshot import Snapshot
from netsre.metrics.readings import Readings
from netsre.model.incidents import Disposition
from netsre.model.levels import Evaluation, Measured
from netsre.model.runbooks import ENDED, RunState


def render(snapshot: Snapshot | None, accept: str, *live: Callable[[Readings], None]) -> tuple[bytes, str]:
    """Return (body, content type) for a client that sent this `Accept` header.

    `live` add what is counted between two ticks.
    """
    readings = Readings()
    for add in live:
        add(readings)
    if snapshot is not None:
        _controller(snapshot, readings)
        for evaluation in snapshot.evaluations:
            _level(evaluation, readings)
        _runs(snapshot, readings)
    return exposition.render(readings, accept)


def _controller(snapshot: Snapshot, readings: Readings) -> None:
    counts = snapshot.counts
    for slo in snapshot.slos:
        readings.put(c.SLO_OBJECTIVE, (slo.name, slo.service), float(slo.objective))
    for source in snapshot.sources:
        readings.put(c.SOURCE_UP, (source.name,), float(source.up))
    readings.put(c.TICK_SECONDS, (), snapshot.seconds)
    readings.put(c.TICK_FAILURES, (), float(snapshot.failures))
    if snapshot.switch is not None:
        readings.put(c.KILL_SWITCH, (), float(snapshot.switch.on))
    for severity in SEVERITIES:
        readings.put(c.ALERTS_ACTIVE, (severity,), float(counts.active.get(severity, 0)))
    for key, count in counts.transitions.items():
        readings.put(c.ALERT_TRANSITIONS, key, float(count))
    for disposition in Disposition:
        readings.put(c.ALERTS_RECEIVED, (disposition.value,), float(counts.received.get(disposition, 0)))
    for channel, count in counts.pending.items():
        readings.put(c.OUTBOX_PENDING, (channel,), float(count))


def _level(evaluation: Evaluation, readings: Readings) -> None:
    who, group = (evaluation.slo.name, evaluation.slo.service), dict(evaluation.group)
    if isinstance(evaluation.budget_remaining, Measured):
        left = float(evaluation.budget_remaining.value)
        readings.put_grouped(c.SLO_BUDGET_REMAINING, who, group, left)
    for window, burn in evaluation.burn.items():
        if isinstance(burn, Measured):
            readings.put_grouped(c.SLO_BURN_RATE, (*who, window), group, float(burn.value))
    readings.put_grouped(c.SLO_COVERAGE, who, group, float(evaluation.coverage))
    good = evaluation.total - evaluation.bad
    readings.put_grouped(c.SLO_EVENTS, (*who, "good"), group, float(good))
    readings.put_grouped(c.SLO_EVENTS, (*who, "bad"), group, float(evaluation.bad))


def _runs(snapshot: Snapshot, readings: Readings) -> None:
    results: dict[tuple[str, str], int] = {}
    waiting: dict[str, int] = {}
    for (runbook, state, reason), count in snapshot.counts.runs.items():
        if state in ENDED:
            results[runbook, state.value] = results.get((runbook, state.value), 0) + count
        waiting[runbook] = waiting.get(runbook, 0) + count * (state is RunState.AWAITING_APPROVAL)
        if state is RunState.REFUSED:
            readings.put(c.RUNS_REFUSED, (runbook, reason), float(count))
    for result, count in results.items():
        readings.put(c.RUNS, result, float(count))
    for runbook, count in waiting.items():
        readings.put(c.RUNS_AWAITING, (runbook,), float(count))
