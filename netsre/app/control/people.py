"""Calls people where automation could not help: an alert `RunbookNeedsHuman` like any other alert.

It pages, but where the alert that the run was for is a ticket, and the node is as it was before.

One firing covers every run of a runbook on a node until the alerts have ended that those runs were for. What
cannot help again by itself is told; what only says that another run is at it, is not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from netsre import clock, conventions
from netsre.alerting import describe, transitions
from netsre.app.control import asking, tick
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.runbooks import CANCELLED, DENIED, Run, Runbook, RunState
from netsre.model.samples import Labels, labels
from netsre.runbook import course, remains, story
from netsre.runbook.approval import Verdict
from netsre.runbook.commands import Ask
from netsre.runbook.consent import NO_APPROVER
from netsre.runbook.decide import Gate
from netsre.runbook.gates import people as gates
from netsre.store.database import Transaction

_QUIET: Final = frozenset(
    {
        *(Gate.NOT_MATCHED, Gate.CONDITION_FALSE, Gate.ALREADY_RUNNING, Gate.ALERT_NOT_FIRING),
        *("alert_resolved", DENIED, CANCELLED),
    }
)
"""Ends after which nobody is called: nothing is wrong, another run is at it, or people are there."""
_OF_ALL: Final = frozenset({Gate.STORM, Gate.GLOBAL_LIMITED})
"""What stops all runbooks: one call for all of them."""

_DID_NOTHING: Final = frozenset({RunState.REFUSED, RunState.EXPIRED})
_LEFT_AS_IT_WAS: Final = _DID_NOTHING | {RunState.UNDONE}
"""Ends after which the node is as it was before the run."""

_DO: Final = {
    Gate.KILL_SWITCH_ON.value: "Act by hand; when automation may act again, run netsre kill-switch off.",
    Gate.KILL_SWITCH_UNREADABLE.value: "Act by hand; run netsre kill-switch status, then set it.",
    Gate.COMMON_CAUSE.value: "Look for what the nodes have in common: this is not one node's trouble.",
    Gate.BLIND.value: "Find out why the agent of this node is not read; act by hand meanwhile.",
    Gate.COOLDOWN.value: "It came back soon after a run; find the cause, and act by hand.",
    Verdict.EXPIRED.value: "Act by hand, or start it again with netsre runbook run.",
    NO_APPROVER: "Too few people may approve it; act by hand, then see to its approval.",
    Gate.RATE_LIMITED.value: "It comes back again and again; find the cause, and act by hand.",
    Gate.TARGET_LIMITED.value: "It comes back again and again; find the cause, and act by hand.",
    Gate.GLOBAL_LIMITED.value: "Automation has changed a lot; look what for, and act by hand.",
    Gate.STORM.value: "Many alerts at once have one cause; find it. Nothing is changed meanwhile.",
    Gate.CIRCUIT_OPEN.value: "Find out why it does not help, then netsre runbook close NAME --reason TEXT.",
    Gate.PAUSED.value: "Somebody paused it: see netsre runbook pauses. Act by hand, or resume it.",
    Gate.MAINTENANCE.value: "A window of maintenance is open (netsre runbook pauses). Act by hand, or wait.",
    Gate.VETOED.value: "An alert fires beside which it must not act; see to that one first.",
    Gate.OSCILLATION.value: "The value was left a short while ago: decide by hand which one it is to be.",
    Gate.QUARANTINED.value: "A run gave the value up: act, or run netsre runbook release KEY --reason TEXT.",
}
_OTHERWISE: Final = "Act by hand, by the page of the runbook."


@dataclass(frozen=True, slots=True)
class People:
    """Whoever is called when a run did not help."""

    world: World

    def ended(self, transaction: Transaction, run: Run, alert: Alert | None, now: Timestamp) -> None:
        """Call people for a run that just ended, if they are needed, in the transaction of its end."""
        if not self._needed(transaction, run, alert):
            return
        identity = _identity(run, alert)
        known = asking.known(transaction, identity)
        before = asking.runs_of(known)
        left = _left(transaction, run)
        told = self._annotations(run, left, [*before[1 - asking.MOST_RUNS :], run.id])
        if known is None:
            reason, source = transitions.Reason.RUN_NEEDS_HUMAN, AlertSource.AUTOMATION
            begun = transitions.begin(identity, told, now, reason, source)
            tick.record(transaction, begun, now)
        else:
            reason = transitions.Reason.ANOTHER_RUN_NEEDS_HUMAN
            tick.record(transaction, transitions.go_on(known, told, now, reason), now)

    def asked(self, transaction: Transaction, run: Run, alert: Alert, command: Ask, now: Timestamp) -> None:
        """Call people for a run that waits for their word."""
        asking.tell(transaction, self.world, run, alert, command, now)

    def release(self) -> None:
        """End every call whose runs were for alerts that have ended, and every answered question."""
        with self.world.store.read() as transaction:
            over = [alert for alert in _calls(transaction) if not _stands(transaction, alert)]
        if not over:
            return
        with self.world.store.write() as transaction:
            now = self.world.clock.now()
            for alert in over:
                answered = asking.is_question(alert)
                reasons = transitions.Reason
                reason = reasons.AWAITS_NO_MORE if answered else reasons.CAUSE_ENDED
                tick.record(transaction, transitions.end(alert, now, reason), now)

    def _needed(self, transaction: Transaction, run: Run, alert: Alert | None) -> bool:
        runbook = self.world.runbooks.get(run.runbook)
        if run.state is RunState.SUCCEEDED or run.reason in _QUIET:
            return False
        if run.reason == Gate.MAINTENANCE and not _asked(transaction, run):
            return False
        # The file of a runbook that is gone cannot say that it only looked.
        if runbook is not None and not runbook.changes:
            return False
        if run.state is RunState.REFUSED and run.reason == Gate.VETOED and runbook is not None:
            return not self._in_hands(transaction, runbook, alert)
        return run.reason != Gate.COOLDOWN or not self._goes_on(transaction, run)

    def _in_hands(self, transaction: Transaction, vetoed: Runbook, alert: Alert | None) -> bool:
        """Tell whether each alert beside which it must not act has a runbook: that one helps, or calls."""
        if alert is None:
            return False
        firing = transaction.alerts.firing_as(sorted({veto.alert for veto in vetoed.unless}))
        against = [one for one in firing if any(gates.forbids(veto, one, alert) for veto in vetoed.unless)]
        acting = [book for book in self.world.runbooks.values() if book.changes and book.name != vetoed.name]
        starts = [trigger.starts for book in acting for trigger in book.triggers]
        return bool(against) and all(any(start(one) for start in starts) for one in against)

    def _goes_on(self, transaction: Transaction, refused: Run) -> bool:
        """Tell whether the run before was for an alert that has not ended: its end was told."""
        earlier = [
            run
            for run in transaction.runs.newest(asking.MOST_RUNS, refused.runbook)
            if run.target == refused.target and run.counts and run.id != refused.id
        ]
        if not earlier:
            return False
        alert = transaction.alerts.find(earlier[0].alert, earlier[0].fired_at)
        return alert is not None and alert.state is AlertState.FIRING

    def _annotations(self, run: Run, left: str, names: Iterable[str]) -> dict[str, str]:
        links, ended = self.world.links, clock.rfc3339(run.ended_at or run.started_at)
        helped = "may not have helped" if run.reason == course.INCONCLUSIVE else "did not help"
        # Of what did nothing it is not known whether it would have helped.
        did = "did not act" if run.state in _DID_NOTHING else helped
        what = f"runbook {run.runbook} {did} on {run.target or 'no target'}"
        return {
            "summary": f"{'no runbook changes anything' if _of_all(run) else what}: {run.reason}",
            "description": f"Run {run.id} ended {run.state} at {ended} ({run.reason}). {left} "
            + _DO.get(run.reason, _OTHERWISE),
            "runbook_url": links.runbook(run.runbook),
            "dashboard_url": links.base,
            "reason": run.reason,
            asking.RUNS: " ".join(names),
        }


def _left(transaction: Transaction, run: Run) -> str:
    """Say how a run left the node; the journal is read only where something may have been done."""
    journal = () if run.state in _DID_NOTHING else transaction.runs.journal([run.id])[run.id]
    return remains.told(run.state, story.read(journal), unclear=run.reason == course.INCONCLUSIVE)


def _asked(transaction: Transaction, run: Run) -> bool:
    """Tell whether people were asked about a run: they count on it."""
    return story.read(transaction.runs.journal([run.id])[run.id]).request is not None


def _identity(run: Run, alert: Alert | None) -> Labels:
    if not _of_all(run):
        return asking.identity(describe.NEEDS_HUMAN, _severity(run, alert), run, alert)
    about = {} if alert is None else dict(alert.labels)
    named = {
        "alertname": describe.NEEDS_HUMAN,
        "severity": conventions.SEVERITY_PAGE,
        conventions.NODE: about.get(conventions.NODE, ""),
        # A label, so that it is no news to the call for another reason.
        "reason": run.reason,
    }
    return labels({name: value for name, value in named.items() if value})


def _severity(run: Run, alert: Alert | None) -> str:
    """Wake nobody for what was a ticket before its runbook failed, unless something may be left there."""
    ticket = conventions.SEVERITY_TICKET
    is_ticket = alert is not None and dict(alert.labels).get("severity") == ticket
    return ticket if is_ticket and run.state in _LEFT_AS_IT_WAS else conventions.SEVERITY_PAGE


def _of_all(run: Run) -> bool:
    return run.state is RunState.REFUSED and run.reason in _OF_ALL


def _calls(transaction: Transaction) -> Iterable[Alert]:
    return transaction.alerts.active(AlertSource.AUTOMATION).values()


def _stands(transaction: Transaction, call: Alert) -> bool:
    if asking.is_question(call):
        return asking.waits(transaction, call)
    for name in asking.runs_of(call):
        run = transaction.runs.find(name)
        cause = None if run is None else transaction.alerts.find(run.alert, run.fired_at)
        if cause is not None and cause.state is AlertState.FIRING:
            return True
    return False
