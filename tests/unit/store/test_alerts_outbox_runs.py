"""Alerts, messages and runs: what is unique stays unique, and order is what it says."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.alerts import AlertState
from netsre.model.runbooks import JournalKind, Run, RunState
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")

ALERT = burning.fired().alert
PAUSE = 300_000
RUN = Run(
    "r1", "look", ALERT.fingerprint, burning.T0, "network/a", RunState.GATED, "accepted", burning.T0, None
)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def test_an_alert_comes_back_as_it_was(store: Store) -> None:
    """Every field, also the beginning of a hold."""
    held = dataclasses.replace(ALERT, clearing_since=Timestamp(burning.T0 + 7))
    with store.write() as transaction:
        transaction.alerts.save(ALERT)
        transaction.alerts.save(held)

    with store.read() as transaction:
        assert transaction.alerts.active() == {ALERT.fingerprint: held}
        assert transaction.alerts.find(ALERT.fingerprint, ALERT.fired_at) == held


def test_one_alert_cannot_fire_twice_at_once(store: Store) -> None:
    """The database itself refuses what no code should do."""
    with store.write() as transaction:
        transaction.alerts.save(ALERT)

    again = dataclasses.replace(ALERT, fired_at=Timestamp(burning.T0 + 1))
    with pytest.raises(StoreUnusable), store.write() as transaction:
        transaction.alerts.save(again)


def test_every_firing_is_kept_and_counted(store: Store) -> None:
    """Two firings, one of them over: newest first."""
    over = dataclasses.replace(ALERT, state=AlertState.RESOLVED, resolved_at=Timestamp(burning.T0 + 1))
    again = dataclasses.replace(ALERT, fired_at=Timestamp(burning.T0 + 2))
    with store.write() as transaction:
        transaction.alerts.save(over)
        transaction.alerts.save(again)

    with store.read() as transaction:
        assert transaction.alerts.newest(10) == [again, over]
        assert transaction.alerts.newest(1) == [again]
        assert transaction.alerts.transitions() == {
            ("ErrorBudgetBurn", "firing"): 2,
            ("ErrorBudgetBurn", "resolved"): 1,
        }


def test_a_message_with_the_same_key_is_one_message(store: Store) -> None:
    """Per channel: another channel has its own."""
    with store.write() as transaction:
        for channel in ("log", "log", "runbook"):
            transaction.outbox.add(channel, "key", {"n": 1}, burning.T0)

    with store.read() as transaction:
        assert transaction.outbox.pending() == {"log": 1, "runbook": 1}


def test_messages_wait_for_their_time_and_leave_when_delivered(store: Store) -> None:
    """A failed one keeps its error and comes back when it is due."""
    with store.write() as transaction:
        for key in ("a", "b"):
            transaction.outbox.add("log", key, {}, burning.T0)
        first, second = transaction.outbox.due("log", burning.T0, 10, PAUSE)
        transaction.outbox.delivered(first, burning.T0)
        transaction.outbox.failed(second, "no space", Timestamp(burning.T0 + 5))

    with store.read() as transaction:
        assert transaction.outbox.due("log", Timestamp(burning.T0 + 4), 10, PAUSE) == []
        (waiting,) = transaction.outbox.due("log", Timestamp(burning.T0 + 5), 10, PAUSE)
        assert (waiting.key, waiting.attempts) == ("b", 1)
        assert transaction.outbox.pending() == {"log": 1}


def test_pruning_never_drops_what_was_not_delivered(store: Store) -> None:
    """However old it is."""
    with store.write() as transaction:
        for key in ("old", "done"):
            transaction.outbox.add("log", key, {}, Timestamp(0))
        done = transaction.outbox.due("log", burning.T0, 10, PAUSE)[1]
        transaction.outbox.delivered(done, Timestamp(1))
        assert transaction.outbox.prune(burning.T0) == 1
        assert [message.key for message in transaction.outbox.due("log", burning.T0, 10, PAUSE)] == ["old"]


def test_a_journal_is_numbered_in_order_and_kept_apart(store: Store) -> None:
    """Each run has its own numbers."""
    with store.write() as transaction:
        for run in ("r1", "r2", "r1"):
            transaction.runs.write(run, burning.T0, JournalKind.NOTE, 0, "x", {"of": run})

    with store.read() as transaction:
        journals = transaction.runs.journal(["r1", "r2", "r3"])
    assert [(entry.run, entry.seq) for entry in journals["r1"]] == [("r1", 1), ("r1", 2)]
    assert [entry.seq for entry in journals["r2"]] == [1]
    assert journals["r3"] == ()


def test_limits_see_recent_runs_and_all_that_are_not_over(store: Store) -> None:
    """A run that hangs since yesterday still holds its target."""
    ended = dataclasses.replace(RUN, id="r2", state=RunState.SUCCEEDED, ended_at=burning.T0)
    recent = dataclasses.replace(ended, id="r3", started_at=Timestamp(burning.T0 + 10))
    with store.write() as transaction:
        for run in (RUN, ended, recent):
            transaction.runs.add(run)

    with store.read() as transaction:
        assert [run.id for run in transaction.runs.since(Timestamp(burning.T0 + 5))] == ["r1", "r3"]
        assert [run.id for run in transaction.runs.unended()] == ["r1"]
        assert transaction.runs.counts() == {
            ("look", RunState.GATED, "accepted"): 1,
            ("look", RunState.SUCCEEDED, "accepted"): 2,
        }


def test_a_message_put_off_under_a_clock_that_ran_ahead_is_due(store: Store) -> None:
    """The clock was set back by two days since: nobody waits two days for a page."""
    ahead = Timestamp(burning.T0 + 2 * 86_400_000)
    with store.write() as transaction:
        transaction.outbox.add("log", "k", {}, ahead)
        (message,) = transaction.outbox.due("log", ahead, 10, PAUSE)
        transaction.outbox.failed(message, "no space", Timestamp(ahead + 1000))

        assert [found.key for found in transaction.outbox.due("log", burning.T0, 10, PAUSE)] == ["k"]
        assert transaction.outbox.due("log", ahead, 10, PAUSE) == []
