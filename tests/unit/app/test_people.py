"""People are called for a run that did not help, once for each trouble, and not for one that only looked."""

import pathlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from netsre import clock
from netsre.alerting import transitions
from netsre.app.control import runs, tick
from netsre.app.control.automation import RunbookChannel
from netsre.app.control.dispatch import Dispatcher
from netsre.app.control.people import People
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.runbooks import Run, RunState, Trigger, Veto
from netsre.model.samples import labels
from netsre.runbook import journal
from netsre.runbook.approval import Request
from netsre.runbook.journal import Line
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.crashing import BOOK
from tests.unit.app.fakes import RUNBOOKS, SetClock, world

IDENTITY = labels(
    {"alertname": "ConntrackUtilization", "severity": "page", "service": "node-conntrack", "node": "a"}
)


@pytest.fixture
def desk(tmp_path: pathlib.Path) -> Iterator["Desk"]:
    """Return a desk."""
    store = burning.store(tmp_path)
    yield Desk(store, world(store, tmp_path, SetClock(), runbooks=(BOOK, *RUNBOOKS)))
    store.close()


class Desk:
    """Ends runs, and says who was called."""

    def __init__(self, store: Store, known: World) -> None:
        """Begin with an alert that fires."""
        self.store = store
        self.people = People(known)
        self.cause = self.fire(burning.T0)
        self._number = 0

    def fire(self, at: Timestamp, severity: str = "page") -> Alert:
        """Let the alert fire."""
        reason = transitions.Reason.CONDITION_STARTED
        identity = labels({**dict(IDENTITY), "severity": severity})
        begun = transitions.begin(identity, {}, at, reason, AlertSource.CONDITION)
        with self.store.write() as transaction:
            tick.record(transaction, begun, at)
        return begun.alert

    def resolve(self, alert: Alert) -> None:
        """End the alert."""
        with self.store.write() as transaction:
            reason = transitions.Reason.CONDITION_ENDED
            tick.record(transaction, transitions.end(alert, burning.T0, reason), burning.T0)

    def end(
        self,
        state: RunState,
        reason: str,
        *,
        runbook: str = BOOK.name,
        cause: Alert | None = None,
        lines: Iterable[Line] = (),
    ) -> Run:
        """End a run."""
        self._number += 1
        about = cause or self.cause
        at = Timestamp(burning.T0 + self._number * clock.SECOND)
        run = Run(
            f"run{self._number}", runbook, about.fingerprint, about.fired_at, "t", state, reason, at, at
        )
        with self.store.write() as transaction:
            transaction.runs.add(run)
            for line in lines:
                runs.write(transaction, run, line, at)
            self.people.ended(transaction, run, about, at)
        return run

    def calls(self) -> list[Alert]:
        """Return the calls, newest first."""
        with self.store.read() as transaction:
            found = transaction.alerts.newest(10)
        return [alert for alert in found if alert.source is AlertSource.AUTOMATION]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (RunState.REFUSED, "rate_limited"),
        (RunState.REFUSED, "kill_switch_on"),
        (RunState.REFUSED, "kill_switch_unreadable"),
        (RunState.REFUSED, "common_cause"),
        (RunState.REFUSED, "no_source"),
        (RunState.REFUSED, "no_target"),
        (RunState.REFUSED, "blind"),
        (RunState.REFUSED, "paused"),
        (RunState.REFUSED, "vetoed"),
        (RunState.REFUSED, "target_limited"),
        (RunState.REFUSED, "global_limited"),
        (RunState.REFUSED, "storm"),
        (RunState.REFUSED, "circuit_open"),
        (RunState.UNDONE, "oscillation"),
        (RunState.REFUSED, "quarantined"),
        (RunState.FAILED, "node_unreachable"),
        (RunState.UNDONE, "verify_failed"),
        (RunState.NEEDS_HUMAN, "effect_unknown"),
    ],
)
def test_a_run_that_did_not_help_calls_people(desk: "Desk", state: RunState, reason: str) -> None:
    """With the word and the run, through every channel."""
    run = desk.end(state, reason)

    (call,) = desk.calls()
    assert (call.state, call.annotations["reason"], call.annotations["runs"]) == ("firing", reason, run.id)
    assert call.annotations["runbook_url"].endswith("/runbooks/conntrack-exhaustion")
    with desk.store.read() as transaction:
        pending = transaction.outbox.pending()
        assert "alert.firing" in [r.verb for r in transaction.audit.rows() if r.subject == call.fingerprint]
    assert pending["log"] == 2


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.UNDONE, "and everything it changed was taken back"),
        (RunState.NEEDS_HUMAN, "and what it changed stays"),
    ],
)
def test_who_is_called_hears_that_nothing_was_measured_and_how_it_was_left(
    desk: "Desk", state: RunState, said: str
) -> None:
    """It is not called a failure, and not a success."""
    desk.end(state, "verify_inconclusive")

    (call,) = desk.calls()
    assert f"Nothing that was measured says whether it helped, {said}." in call.annotations["description"]
    assert "may not have helped" in call.annotations["summary"]


@pytest.mark.parametrize(
    ("state", "reason", "severity"),
    [
        (RunState.REFUSED, "no_prefilter", "ticket"),
        (RunState.REFUSED, "vetoed", "ticket"),
        (RunState.EXPIRED, "approval_expired", "ticket"),
        (RunState.UNDONE, "verify_failed", "ticket"),
        (RunState.FAILED, "node_unreachable", "page"),
        (RunState.NEEDS_HUMAN, "effect_unknown", "page"),
    ],
)
def test_a_ticket_wakes_nobody_by_its_runbook(
    desk: "Desk", state: RunState, reason: str, severity: str
) -> None:
    """What could wait until the morning can wait still, unless something may be left on the node."""
    desk.end(state, reason, cause=desk.fire(burning.T0, "ticket"))

    (call,) = desk.calls()
    assert dict(call.labels)["severity"] == severity


@pytest.mark.parametrize(
    ("state", "reason", "runbook"),
    [
        (RunState.SUCCEEDED, "verified", BOOK.name),
        (RunState.REFUSED, "condition_false", BOOK.name),
        (RunState.REFUSED, "already_running", BOOK.name),
        (RunState.REFUSED, "maintenance", BOOK.name),
        (RunState.REFUSED, "alert_not_firing", BOOK.name),
        (RunState.FAILED, "alert_resolved", BOOK.name),
        (RunState.REFUSED, "rate_limited", "network-evidence"),
        (RunState.FAILED, "step_failed", "network-evidence"),
    ],
)
def test_nobody_is_called_where_nothing_is_to_be_done(
    desk: "Desk", state: RunState, reason: str, runbook: str
) -> None:
    """It helped, was not wanted, is over, another run is at it, or the runbook only looks."""
    desk.end(state, reason, runbook=runbook)

    assert desk.calls() == []


@pytest.mark.parametrize(
    ("state", "reason", "what"),
    [
        (RunState.REFUSED, "cooldown", "did not act on t: cooldown"),
        (RunState.EXPIRED, "approval_expired", "did not act on t: approval_expired"),
        (RunState.UNDONE, "verify_failed", "did not help on t: verify_failed"),
        (RunState.NEEDS_HUMAN, "effect_unknown", "did not help on t: effect_unknown"),
    ],
)
def test_what_did_nothing_is_not_said_to_have_been_no_help(
    desk: "Desk", state: RunState, reason: str, what: str
) -> None:
    """Whoever is called knows whether it was tried."""
    desk.end(state, reason)

    (call,) = desk.calls()
    assert call.annotations["summary"] == f"runbook conntrack-exhaustion {what}"


def test_a_failed_run_that_did_nothing_does_not_say_that_its_effects_end(desk: "Desk") -> None:
    """There are none."""
    desk.end(RunState.FAILED, "node_unreachable")

    (call,) = desk.calls()
    assert ". It changed nothing. " in f". {call.annotations['description'].split('). ')[1]}"


@pytest.mark.parametrize(("other", "called"), [("ConntrackUtilization", []), ("Elsewhere", ["vetoed"])])
def test_nobody_is_called_where_the_runbook_of_the_veto_is_at_work(
    tmp_path: pathlib.Path, other: str, called: list[str]
) -> None:
    """That one helps, or calls by itself; of an alert without a runbook nobody would hear."""
    shy = replace(BOOK, name="shy", triggers=(), unless=(Veto(other),))
    store = burning.store(tmp_path)
    desk = Desk(store, world(store, tmp_path, SetClock(), runbooks=(BOOK, shy)))
    pairs = labels({"alertname": other, "node": "a", "netns": "other"})
    begun = transitions.begin(
        pairs, {}, burning.T0, transitions.Reason.CONDITION_STARTED, AlertSource.CONDITION
    )
    with store.write() as transaction:
        tick.record(transaction, begun, burning.T0)

    desk.end(RunState.REFUSED, "vetoed", runbook="shy")

    assert [call.annotations["reason"] for call in desk.calls()] == called
    store.close()


def test_who_was_asked_is_told_that_maintenance_stopped_it(desk: "Desk") -> None:
    """Somebody said yes, or let the time for a no go by, and counts on it."""
    asked = journal.asked(Request("ab" * 32, (), 1, False, burning.T0, clock.MINUTE))
    run = desk.end(RunState.REFUSED, "maintenance", lines=[asked])

    (call,) = desk.calls()
    assert (call.annotations["reason"], call.annotations["runs"]) == ("maintenance", run.id)
    assert "netsre runbook pauses" in call.annotations["description"]


def test_a_cooldown_is_told_only_when_the_trouble_came_back(desk: "Desk") -> None:
    """While the alert goes on that the run before was for, its end was told; after that it is news."""
    desk.end(RunState.SUCCEEDED, "verified")
    desk.end(RunState.REFUSED, "cooldown")
    quiet = desk.calls()
    desk.resolve(desk.cause)
    again = desk.fire(Timestamp(burning.T0 + clock.MINUTE))
    desk.end(RunState.REFUSED, "cooldown", cause=again)

    assert quiet == []
    assert [call.annotations["reason"] for call in desk.calls()] == ["cooldown"]


def test_one_call_covers_every_run_until_their_alerts_have_ended(desk: "Desk") -> None:
    """Two runs, one page; it ends after the second alert, not after the first."""
    other = replace(desk.cause, fired_at=Timestamp(burning.T0 + 1))
    first = desk.end(RunState.UNDONE, "verify_failed")
    desk.resolve(desk.cause)
    other = desk.fire(other.fired_at)
    second = desk.end(RunState.NEEDS_HUMAN, "effect_unknown", cause=other)
    desk.people.release()
    (call,) = desk.calls()
    desk.resolve(other)
    desk.people.release()

    assert (call.state, call.annotations["runs"]) == (AlertState.FIRING, f"{first.id} {second.id}")
    assert call.annotations["reason"] == "effect_unknown"
    assert [call.state for call in desk.calls()] == [AlertState.RESOLVED]


@pytest.mark.parametrize(
    ("name", "expected"), [("RunbookNeedsHuman", []), ("ConntrackUtilization", ["accepted"])]
)
def test_a_call_starts_no_runbook(tmp_path: pathlib.Path, name: str, expected: list[str]) -> None:
    """Not even one that somebody wrote for it."""
    store = burning.store(tmp_path)
    book = replace(BOOK, triggers=(Trigger(name, AlertState.FIRING),), mode="observe")
    identity = labels({**dict(IDENTITY), "alertname": name})
    reason = transitions.Reason.RUN_NEEDS_HUMAN
    begun = transitions.begin(identity, {}, burning.T0, reason, AlertSource.AUTOMATION)
    with store.write() as transaction:
        tick.record(transaction, begun, burning.T0)

    Dispatcher(store, [RunbookChannel(world(store, tmp_path, runbooks=(book,)))]).deliver(burning.T0)

    with store.read() as transaction:
        assert [run.reason for run in transaction.runs.newest(10)] == expected
    store.close()
