"""Turns of the controller: what fails in one is said once, and nothing measured or announced is lost."""

import json
import logging
import pathlib
import sqlite3
from collections.abc import Iterator
from typing import cast

import pytest
import sqlalchemy

from netsre import clock
from netsre.app.control.snapshot import Snapshot
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.alerts import AlertState
from netsre.store.database import Store
from netsre.store.sqlite import FILE_NAME
from tests.unit import burning
from tests.unit.app.fakes import HOLD, Machine


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def snapshot(machine: Machine) -> Snapshot:
    """Return the newest snapshot, which must exist."""
    assert machine.board.current is not None
    return machine.board.current


def alerts(store: Store) -> list[tuple[str, AlertState]]:
    """Return severity and state of every firing, newest first."""
    with store.read() as transaction:
        return [(dict(alert.labels)["severity"], alert.state) for alert in transaction.alerts.newest(100)]


def logged(directory: pathlib.Path) -> list[str]:
    """Return the states in the alert log."""
    path = directory / "alerts.jsonl"
    return [json.loads(line)["state"] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_burn_travels_from_the_counter_to_the_evidence(store: Store, tmp_path: pathlib.Path) -> None:
    """Alerts, log lines, runs with journals and audit rows, all after the turn that saw it."""
    machine = Machine(store, tmp_path)

    machine.burn()

    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]
    assert logged(tmp_path) == ["firing", "firing"]
    with store.read() as transaction:
        runs = transaction.runs.newest(10)
        journals = transaction.runs.journal([run.id for run in runs])
        assert transaction.audit.first_broken() is None
        verbs = [row.verb for row in transaction.audit.rows()]
    assert [run.state for run in runs] == ["succeeded", "succeeded"]
    for entries in journals.values():
        assert [entry.kind for entry in entries] == ["gates", "intent", "outcome"]
    assert verbs.count("alert.firing") == verbs.count("run.succeeded") == 2


def test_an_alert_survives_a_restart_with_its_time(store: Store, tmp_path: pathlib.Path) -> None:
    """The second process goes on where the first ended: same firing, no second announcement or run."""
    first = Machine(store, tmp_path)
    first.burn()
    with store.read() as transaction:
        before = {alert.fingerprint: alert.fired_at for alert in transaction.alerts.newest(10)}

    second = Machine(store, tmp_path, first.clock, first.source)
    second.turn(failed=100)

    with store.read() as transaction:
        after = {alert.fingerprint: alert.fired_at for alert in transaction.alerts.newest(10)}
        assert len(transaction.runs.newest(10)) == 2
    assert after == before
    assert logged(tmp_path) == ["firing", "firing"]


def test_what_happened_while_the_controller_was_away_is_counted_once(
    store: Store, tmp_path: pathlib.Path
) -> None:
    """The cursor is kept with the minutes, so that a restart neither loses nor doubles events."""
    first = Machine(store, tmp_path)
    first.turn()
    first.turn(delivered=10, failed=1)

    second = Machine(store, tmp_path, first.clock, first.source)
    second.turn(delivered=20, failed=2)

    (evaluation,) = snapshot(second).evaluations
    assert (int(evaluation.bad), int(evaluation.total)) == (3, 33)


def test_the_last_hour_is_drawn_on_after_a_restart(store: Store, tmp_path: pathlib.Path) -> None:
    """Minute by minute, as before it, and nothing older."""
    first = Machine(store, tmp_path)
    for _ in range(4 * 70):
        first.turn()
    before = snapshot(first).recent

    second = Machine(store, tmp_path, first.clock, first.source)
    second.turn()

    ((group, minutes),) = before.items()
    after = snapshot(second).recent[group]
    assert list(after[:-1]) == [one for one in minutes if one.begin in {later.begin for later in after[:-1]}]
    assert [one.begin for one in after] == list(range(after[0].begin, after[-1].begin + 1, clock.MINUTE))
    assert len(after) == 60


def test_a_source_that_is_down_keeps_alerts_and_says_so_once(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty turns without an agent: one line, both alerts still fire, and that nobody looks is a third."""
    machine = Machine(store, tmp_path)
    machine.burn()
    machine.source.down = "agent does not answer"
    caplog.clear()

    with caplog.at_level(logging.INFO, logger="netsre.controller"):
        for _ in range(20):
            machine.turn()

    assert sorted(alerts(store)) == [("page", "firing"), ("page", "firing"), ("ticket", "firing")]
    with store.read() as transaction:
        names = {dict(alert.labels)["alertname"] for alert in transaction.alerts.newest(10)}
    assert names == {"ErrorBudgetBurn", "TelemetryAbsent"}
    about = [record.message for record in caplog.records if record.message.startswith("source ")]
    assert about == ['source source=agent up=0 reason="agent does not answer"']
    (source,) = snapshot(machine).sources
    assert (source.up, source.reason) == (False, "agent does not answer")
    assert snapshot(machine).problem is None


def test_an_alert_ends_when_it_was_measured_to_be_over(store: Store, tmp_path: pathlib.Path) -> None:
    """Good traffic until the windows are clean, then the hold, then one announcement per alert."""
    machine = Machine(store, tmp_path)
    machine.burn()
    for _ in range(40):
        machine.turn(delivered=10_000)

    assert ("page", AlertState.RESOLVED) in alerts(store)
    assert logged(tmp_path).count("resolved") == [state for _, state in alerts(store)].count(
        AlertState.RESOLVED
    )


def test_a_database_that_refuses_writes_loses_no_minute_and_no_alert(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Turns fail with one line; when it takes writes again, all that was counted meanwhile is there."""
    machine = Machine(store, tmp_path)
    machine.turn()
    refuses = ["ON"]

    @sqlalchemy.event.listens_for(store._engine, "checkout")
    def on_checkout(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        connection.execute(f"PRAGMA query_only={refuses[0]}")

    with caplog.at_level(logging.ERROR, logger="netsre.controller"):
        for _ in range(8):
            machine.turn(failed=100)
    assert (snapshot(machine).failures, len(caplog.records)) == (8, 1)
    assert "readonly database; make it writable" in str(snapshot(machine).problem)
    assert [evaluation.bad for evaluation in snapshot(machine).evaluations] == [800]
    assert alerts(store) == []
    assert not logged(tmp_path)

    refuses[0] = "OFF"
    machine.turn(failed=100)

    assert snapshot(machine).problem is None
    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]
    with store.read() as transaction:
        kept = list(transaction.history.buckets())
    assert sum(bucket.bad for bucket in kept) == 900
    assert sum(bucket.total for bucket in kept) == 1800


def test_an_alert_of_an_slo_that_is_gone_ends_at_the_first_turn(store: Store, tmp_path: pathlib.Path) -> None:
    """Its file was removed while the controller was away."""
    orphan = burning.fired(of=burning.evaluation({"5m": 100, "1h": 100}, of=burning.slo("removed")))
    with store.write() as transaction:
        transaction.alerts.save(orphan.alert)

    Machine(store, tmp_path).turn()

    assert alerts(store) == [("page", AlertState.RESOLVED)]
    assert logged(tmp_path) == ["resolved"]


def test_the_first_turn_after_a_burn_is_a_baseline_not_an_alert(store: Store, tmp_path: pathlib.Path) -> None:
    """Counts from before the first reading happened at an unknown time."""
    machine = Machine(store, tmp_path)

    machine.turn(failed=1000)

    assert alerts(store) == []


def test_a_snapshot_counts_what_is_on_record(store: Store, tmp_path: pathlib.Path) -> None:
    """Metrics made of it survive a restart."""
    first = Machine(store, tmp_path)
    first.burn()
    second = Machine(store, tmp_path, first.clock, first.source)
    second.turn()

    counts = snapshot(second).counts
    assert counts.active == {"page": 1, "ticket": 1}
    assert counts.pending == {"log": 0, "runbook": 0}
    assert counts.transitions["ErrorBudgetBurn", "firing"] == 2
    assert sum(counts.runs.values()) == 2


def test_minutes_that_no_window_reaches_are_forgotten(store: Store, tmp_path: pathlib.Path) -> None:
    """History on disk is bounded by the longest window."""
    machine = Machine(store, tmp_path)
    machine.turn()
    machine.turn()
    machine.clock.at = Timestamp(machine.clock.at + 31 * clock.DAY)
    machine.turn()
    for _ in range(2):
        machine.clock.at = Timestamp(machine.clock.at + 40 * clock.MINUTE)
        machine.turn()

    with store.read() as transaction:
        kept = list(transaction.history.buckets())
    assert kept
    assert min(bucket.begin for bucket in kept) > machine.clock.at - 30 * clock.DAY
    minutes = [bucket.begin for bucket in kept if bucket.step == clock.MINUTE]
    assert min(minutes) >= machine.clock.at - clock.DAY


@pytest.mark.parametrize("back", [clock.HOUR, 2 * clock.DAY])
def test_a_clock_that_is_set_back_blinds_nobody(store: Store, tmp_path: pathlib.Path, back: int) -> None:
    """Events are counted on, an outage that begins then is announced, and nothing counted before is lost."""
    machine = Machine(store, tmp_path)
    machine.turn()
    machine.turn()
    machine.clock.at = Timestamp(machine.clock.at - back)

    machine.turn(failed=100)

    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]
    with store.read() as transaction:
        kept = [one for one in transaction.history.buckets() if one.step == clock.MINUTE]
    assert (sum(bucket.bad for bucket in kept), sum(bucket.total for bucket in kept)) == (100, 300)


def test_a_hold_is_no_longer_because_the_clock_was_set_back(store: Store, tmp_path: pathlib.Path) -> None:
    """The page's windows are clean, its hold began, the clock goes back an hour: it still ends in time."""
    machine = Machine(store, tmp_path)
    machine.burn()
    while not machine.held("page"):
        machine.turn(delivered=10_000)
    machine.clock.at = Timestamp(machine.clock.at - clock.HOUR)

    for _ in range(HOLD // (15 * clock.SECOND) + 1):
        machine.turn(delivered=10_000)

    assert ("page", AlertState.RESOLVED) in alerts(store)


def test_readings_of_a_future_do_not_pile_up(store: Store, tmp_path: pathlib.Path) -> None:
    """A clock that was two days ahead leaves no reading behind that would only be let go of in two days."""
    machine = Machine(store, tmp_path)
    machine.turn()
    machine.clock.at = Timestamp(machine.clock.at - 2 * clock.DAY)

    for _ in range(100):
        machine.turn()

    ages = [machine.clock.at - scrape.at for scrape in machine.sight.scrapes()]
    assert 4 * clock.MINUTE < max(ages) <= 5 * clock.MINUTE
    assert min(ages) == 0
    # All of the last minute, and one a minute before that.
    assert len(ages) <= 5 + 5
    assert sorted(ages)[:5] == [0, 15_000, 30_000, 45_000, 60_000]
    assert all(
        bucket.begin <= machine.clock.at for (_, kept) in snapshot(machine).recent.items() for bucket in kept
    )


def test_a_clock_that_jumps_ahead_for_a_moment_deletes_nothing(store: Store, tmp_path: pathlib.Path) -> None:
    """Ten years ahead for half an hour, then right again: the history is still there."""
    machine = Machine(store, tmp_path)
    machine.turn()
    machine.turn()
    before = machine.clock.at
    for minutes in range(30):
        machine.clock.at = Timestamp(before + 3650 * clock.DAY + minutes * clock.MINUTE)
        machine.turn()
    machine.clock.at = before

    machine.turn(failed=1)

    (evaluation,) = snapshot(machine).evaluations
    assert (int(evaluation.bad), int(evaluation.total)) == (1, 101 + 100)


def test_no_turn_reads_a_table_from_end_to_end(store: Store, tmp_path: pathlib.Path) -> None:
    """Alerts, runs, messages and minutes of years make no turn slower: every statement finds its rows."""
    machine = Machine(store, tmp_path)
    executed: list[tuple[str, tuple[str, ...]]] = []

    @sqlalchemy.event.listens_for(store._engine, "before_cursor_execute")
    def on_execute(
        _connection: object, _cursor: object, statement: str, parameters: object, *_rest: object
    ) -> None:
        one = parameters[0] if isinstance(parameters, list) else parameters
        executed.append((statement, cast("tuple[str, ...]", one)))

    machine.burn()
    machine.turn(failed=100)
    sqlalchemy.event.remove(store._engine, "before_cursor_execute", on_execute)

    scans = set()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        for statement, parameters in executed:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                for *_, step in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                    scans.add(step)
    assert len(scans) > 10
    assert {step for step in scans if step.startswith("SCAN")} <= {
        # These two indexes hold nothing but firing alerts and open incidents.
        "SCAN alert USING INDEX uq_alert_firing",
        "SCAN incident USING INDEX uq_incident_open",
        # Keys of a statement itself.
        "SCAN CONSTANT ROW",
    }


def test_a_full_disk_is_said_once_and_what_happened_meanwhile_is_told_with_room(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an error, with what to do; the alerts and their runs come when there is room."""
    machine = Machine(store, tmp_path)
    pages = [1]

    @sqlalchemy.event.listens_for(store._engine, "begin")
    def on_begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages[0]}")

    def fill() -> None:
        while True:
            with store.write() as transaction:
                transaction.audit.append(burning.T0, "test", "fill", "", {})

    with pytest.raises(StoreUnusable, match="is full"):
        fill()
    machine.burn()
    machine.turn(failed=100)
    told = [(line.levelname, line.getMessage()) for line in caplog.records if "is full" in line.getMessage()]
    silent = logged(tmp_path)
    pages[0] = 100_000
    machine.turn(failed=100)

    ((level, line),) = told
    assert level == "ERROR"
    assert "no alert is told until it works again" in line
    assert "free some space" in line
    assert (silent, logged(tmp_path)) == ([], ["firing", "firing"])
    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]


@pytest.mark.parametrize("column", ["labels", "annotations"])
@pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"a": 1}', '{"a": {}}'])
def test_an_alert_that_cannot_be_read_is_set_aside_once_and_decided_anew(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, column: str, text: str
) -> None:
    """Turns go on, the other alert is untouched, the row is counted, audited and told once."""
    machine = Machine(store, tmp_path)
    machine.burn()
    with store._engine.begin() as connection:
        # The page of two alerts: the column is one of ours, and not what somebody typed.
        statement = f"UPDATE alert SET {column} = ? WHERE labels LIKE '%page%'"  # noqa: S608
        assert connection.exec_driver_sql(statement, (text,)).rowcount == 1

    for _ in range(3):
        machine.turn(failed=100)

    assert snapshot(machine).problem is None
    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]
    assert logged(tmp_path) == ["firing"] * 3
    with store.read() as transaction:
        assert transaction.alerts.transitions()["~other", "unreadable"] == 1
        assert [row.verb for row in transaction.audit.rows()].count("alert.unreadable") == 1
    assert sum("set aside" in record.getMessage() for record in caplog.records) == 1


def test_an_alert_that_ended_and_cannot_be_read_hides_no_other(store: Store, tmp_path: pathlib.Path) -> None:
    """The list goes on without it."""
    machine = Machine(store, tmp_path)
    machine.burn()
    broken = "INSERT INTO alert VALUES ('x', 1, 'no json', '{}', 'resolved', 2, 2, NULL, 'slo')"
    with store._engine.begin() as connection:
        connection.exec_driver_sql(broken)

    assert sorted(alerts(store)) == [("page", "firing"), ("ticket", "firing")]
