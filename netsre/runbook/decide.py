"""The gates of a runbook, in order: the first that says no gives the run its word."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from netsre.clock import HOUR, Timestamp
from netsre.model.alerts import Alert
from netsre.model.runbooks import Run, Runbook, RunState, Trigger
from netsre.runbook import conditions, targets


class Gate(StrEnum):
    """The answer of the gates: the same word in the metric, the log, the audit and the API."""

    NOT_MATCHED = "not_matched"
    """Another runbook's business; no run is recorded."""
    CONDITION_FALSE = "condition_false"
    NO_TARGET = "no_target"
    """The alert lacks a label of the target: nothing is never read as everything."""
    ALREADY_RUNNING = "already_running"
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates say about one runbook and one transition."""

    reason: Gate
    target: str = ""

    @property
    def accepted(self) -> bool:
        """Tell whether the run may go on."""
        return self.reason is Gate.ACCEPTED


def decide(runbook: Runbook, alert: Alert, history: Iterable[Run], now: Timestamp) -> Verdict:
    """Return the verdict on a runbook for an alert that just changed its state.

    `history` holds the runs of all runbooks: those that are not over, and those begun within `lookback`.
    """
    name = dict(alert.labels).get("alertname", "")
    if Trigger(name, alert.state) not in runbook.triggers:
        return Verdict(Gate.NOT_MATCHED)
    target = targets.resolve(runbook.lock, alert.labels)
    if runbook.when is not None and not conditions.holds(runbook.when, alert):
        return Verdict(Gate.CONDITION_FALSE, target or "")
    if target is None:
        return Verdict(Gate.NO_TARGET)
    return Verdict(_limits(runbook, target, tuple(history), now), target)


def lookback(runbooks: Iterable[Runbook]) -> int:
    """Return how far back, in milliseconds, runs must be known to judge every limit."""
    return max((HOUR, *(runbook.limits.cooldown for runbook in runbooks)))


def _limits(runbook: Runbook, target: str, history: tuple[Run, ...], now: Timestamp) -> Gate:
    # A refused run did nothing, so it starts no cooldown: a flapping alert would block itself for ever.
    ran = [run for run in history if run.state is not RunState.REFUSED]
    if any(run.target == target and not run.ended for run in ran):
        return Gate.ALREADY_RUNNING
    own = [run for run in ran if run.runbook == runbook.name]
    # Either way in time: a run of the future was begun before the clock was set back; it limits as long.
    if any(run.target == target and abs(now - run.started_at) < runbook.limits.cooldown for run in own):
        return Gate.COOLDOWN
    if sum(abs(now - run.started_at) < HOUR for run in own) >= runbook.limits.per_hour:
        return Gate.RATE_LIMITED
    return Gate.ACCEPTED
