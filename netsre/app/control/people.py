"""Calls people where automation could not help: an alert `RunbookNeedsHuman` like any other alert.

One firing covers every run of a runbook on a node until the alerts have ended that those runs were for. What
cannot help again by itself is told; what only says that another run is at it, is not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe, transitions
from netsre.app.control import tick
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model import alerts
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.runbooks import Run, RunState
from netsre.model.samples import Labels, labels
from netsre.runbook.decide import Gate
from netsre.store.database import Transaction

_RUNS: Final = "runs"
"""The annotation with the names of the runs that an alert is about, newest last."""
_MOST_RUNS: Final = 20

_QUIET: Final = frozenset(
    {
        Gate.NOT_MATCHED,
        Gate.CONDITION_FALSE,
        Gate.OTHER_NODE,
        Gate.ALREADY_RUNNING,
        Gate.ALERT_NOT_FIRING,
        "alert_resolved",
    }
)
"""Ends after which nobody has to do anything here: nothing is wrong any more, or somebody else is at it."""

_LEFT: Final = {
    RunState.REFUSED: "It changed nothing.",
    RunState.FAILED: "Look into its journal for what it changed; every effect ends by itself.",
    RunState.UNDONE: "It did not help, and everything it changed was taken back.",
    RunState.NEEDS_HUMAN: "In which state it left the node is not known, or it may not go on.",
}
_DO: Final = {
    Gate.KILL_SWITCH_ON.value: "Act by hand; when automation may act again, run netsre kill-switch off.",
    Gate.KILL_SWITCH_UNREADABLE.value: "Act by hand; run netsre kill-switch status, then set it.",
    Gate.COMMON_CAUSE.value: "Look for what the nodes have in common: this is not one node's trouble.",
    Gate.BLIND.value: "Find out why the agent of this node is not read; act by hand meanwhile.",
    Gate.COOLDOWN.value: "It came back soon after a run; find the cause, and act by hand.",
    Gate.RATE_LIMITED.value: "It comes back again and again; find the cause, and act by hand.",
}
_OTHERWISE: Final = "Act by hand, by the page of the runbook."


@dataclass(frozen=True, slots=True)
class People:
    """Whoever is called when a run did not help."""

    world: World

    def ended(self, transaction: Transaction, run: Run, alert: Alert | None, now: Timestamp) -> None:
        """Call people for a run that just ended, if they are needed, in the transaction of its end."""
        if not self._needed(transaction, run):
            return
        identity = _identity(run, alert)
        known = transaction.alerts.active(AlertSource.AUTOMATION).get(alerts.fingerprint(identity))
        before = known.annotations.get(_RUNS, "").split() if known is not None else []
        told = self._annotations(run, [*before[1 - _MOST_RUNS :], run.id])
        if known is None:
            reason, source = transitions.Reason.RUN_NEEDS_HUMAN, AlertSource.AUTOMATION
            begun = transitions.begin(identity, told, now, reason, source)
            tick.record(transaction, begun, now)
        else:
            reason = transitions.Reason.ANOTHER_RUN_NEEDS_HUMAN
            tick.record(transaction, transitions.go_on(known, told, now, reason), now)

    def release(self) -> None:
        """End every call whose runs were all for alerts that have ended."""
        with self.world.store.read() as transaction:
            over = [alert for alert in _calls(transaction) if not _stands(transaction, alert)]
        if not over:
            return
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            for alert in over:
                reason = transitions.Reason.CAUSE_ENDED
                tick.record(transaction, transitions.end(alert, now, reason), now)

    def _needed(self, transaction: Transaction, run: Run) -> bool:
        runbook = self.world.runbooks.get(run.runbook)
        if run.state is RunState.SUCCEEDED or run.reason in _QUIET:
            return False
        # The file of a runbook that is gone cannot say that it only looked.
        if runbook is not None and runbook.mode != "auto":
            return False
        return run.reason != Gate.COOLDOWN or not self._goes_on(transaction, run)

    def _goes_on(self, transaction: Transaction, refused: Run) -> bool:
        """Tell whether the run before was for an alert that has not ended: its end was told."""
        earlier = [
            run
            for run in transaction.runs.newest(_MOST_RUNS, refused.runbook)
            if run.target == refused.target and run.state is not RunState.REFUSED and run.id != refused.id
        ]
        if not earlier:
            return False
        alert = transaction.alerts.find(earlier[0].alert, earlier[0].fired_at)
        return alert is not None and alert.state is AlertState.FIRING

    def _annotations(self, run: Run, names: Iterable[str]) -> dict[str, str]:
        links, ended = self.world.links, clock.rfc3339(run.ended_at or run.started_at)
        return {
            "summary": f"runbook {run.runbook} did not help on {run.target or 'no target'}: {run.reason}",
            "description": f"Run {run.id} ended {run.state} at {ended} ({run.reason}). {_LEFT[run.state]} "
            + _DO.get(run.reason, _OTHERWISE),
            "runbook_url": links.runbook(run.runbook),
            "dashboard_url": links.base,
            "reason": run.reason,
            _RUNS: " ".join(names),
        }


def _identity(run: Run, alert: Alert | None) -> Labels:
    about = {} if alert is None else dict(alert.labels)
    named = {
        "alertname": describe.NEEDS_HUMAN,
        "severity": conventions.SEVERITY_PAGE,
        "runbook": run.runbook,
        conventions.NODE: about.get(conventions.NODE, ""),
        "service": about.get("service", ""),
    }
    return labels({name: value for name, value in named.items() if value})


def _calls(transaction: Transaction) -> Iterable[Alert]:
    return transaction.alerts.active(AlertSource.AUTOMATION).values()


def _stands(transaction: Transaction, call: Alert) -> bool:
    for name in call.annotations.get(_RUNS, "").split():
        run = transaction.runs.find(name)
        cause = None if run is None else transaction.alerts.find(run.alert, run.fired_at)
        if cause is not None and cause.state is AlertState.FIRING:
            return True
    return False
