"""Messages reach their channel, however often it fails first, and each has its effect once."""

import json
import logging
import pathlib
import resource
from collections.abc import Iterator

import pytest

from netsre import clock
from netsre.adapters.alert_log import AlertLog
from netsre.alerting import decide
from netsre.app.control import messages
from netsre.app.control.automation import RunbookChannel
from netsre.app.control.dispatch import LONGEST_PAUSE, Channel, Dispatcher, LogChannel, backoff
from netsre.app.control.tick import record
from netsre.clock import Timestamp
from netsre.store.database import Store, Transaction
from netsre.store.outbox import Message
from tests.unit import burning
from tests.unit.app.fakes import world


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return a store with one announced alert."""
    made = burning.store(tmp_path)
    with made.write() as transaction:
        record(transaction, burning.fired(), burning.T0)
    yield made
    made.close()


class Flaky:
    """A channel that fails so many times, and then takes everything."""

    name = messages.LOG

    def __init__(self, failures: int) -> None:
        """Fail so many times."""
        self.failures = failures
        self.taken: list[str] = []

    def deliver(self, message: Message, transaction: Transaction, now: Timestamp) -> None:
        """Fail, or take the message."""
        del transaction, now
        if self.failures:
            self.failures -= 1
            raise OSError("no space left")
        self.taken.append(message.key)


def test_a_message_is_delivered_once(store: Store) -> None:
    """And never again after that."""
    channel = Flaky(0)
    dispatcher = Dispatcher(store, [channel])

    assert [dispatcher.deliver(burning.T0) for _ in range(3)] == [1, 0, 0]
    assert channel.taken == [burning.fired().key]


def test_a_channel_that_fails_gets_the_message_again_ever_more_rarely(store: Store) -> None:
    """After 1 s, then 2 s later, and not in between."""
    channel = Flaky(2)
    dispatcher = Dispatcher(store, [channel])
    times = [0, 999, 1000, 2999, 3000]

    delivered = [dispatcher.deliver(Timestamp(burning.T0 + at)) for at in times]

    assert delivered == [0, 0, 0, 0, 1]


def test_the_pause_grows_to_five_minutes_and_no_further() -> None:
    """However often it failed."""
    assert [backoff(attempts) for attempts in (0, 1, 5)] == [1000, 2000, 32_000]
    assert backoff(10_000) == LONGEST_PAUSE == 5 * clock.MINUTE


def test_a_message_that_fails_does_not_hold_up_the_others(store: Store) -> None:
    """The second alert is announced although the first could not be."""
    other = burning.fired(of=burning.evaluation({"5m": 100, "1h": 100}, group=(("node", "b"),)))
    with store.write() as transaction:
        record(transaction, other, burning.T0)
    channel = Flaky(1)

    Dispatcher(store, [channel]).deliver(burning.T0)

    assert channel.taken == [other.key]


@pytest.mark.parametrize(
    "payload", ["not json", "", "null", "[]", "{}", '{"labels": 1}', '{"labels": {}, "annotations": {}}']
)
def test_a_message_that_is_broken_holds_up_nobody(store: Store, tmp_path: pathlib.Path, payload: str) -> None:
    """It keeps its place and its error, and the alert behind it is announced."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET id = id + 100")
        for channel in (messages.LOG, messages.RUNBOOK):
            connection.exec_driver_sql(
                "INSERT INTO outbox (channel, key, payload, created_at, attempts, next_attempt_at) "
                "VALUES (?, 'broken', ?, 0, 0, 0)",
                (channel, payload),
            )
    path = tmp_path / "alerts.jsonl"
    channels: list[Channel] = [LogChannel(AlertLog(path)), RunbookChannel(world(store, tmp_path))]
    dispatcher = Dispatcher(store, channels)

    assert dispatcher.deliver(burning.T0) == 2

    with store.read() as transaction:
        assert transaction.outbox.pending() == {"log": 1, "runbook": 1}
        assert len(transaction.runs.newest(10)) == 1
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == [burning.fired().key]


def test_an_alert_log_that_takes_nothing_is_said_once_and_written_when_it_does(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an error with what to do, for all messages and attempts together; none is lost."""
    caplog.set_level(logging.INFO)
    other = burning.fired(of=burning.evaluation({"5m": 100, "1h": 100}, group=(("node", "b"),)))
    with store.write() as transaction:
        record(transaction, other, burning.T0)
    path = tmp_path / "alerts.jsonl"
    path.mkdir()
    dispatcher = Dispatcher(store, [LogChannel(AlertLog(path))])

    delivered = [dispatcher.deliver(Timestamp(burning.T0 + at)) for at in (0, 1000)]
    path.rmdir()
    delivered.append(dispatcher.deliver(Timestamp(burning.T0 + 3000)))

    assert delivered == [0, 0, 2]
    assert len(path.read_text().splitlines()) == 2
    said = [(line.levelname, line.getMessage()) for line in caplog.records if "deliver" in line.getMessage()]
    assert [level for level, _ in said] == ["ERROR", "INFO"]
    assert "free some space or make it writable" in said[0][1]
    assert "delivery works again" in said[1][1]


def test_a_disk_without_room_for_the_whole_line_leaves_no_half_of_it(tmp_path: pathlib.Path) -> None:
    """The limit on the size of a file stands in for the end of the disk."""
    path = tmp_path / "alerts.jsonl"
    log = AlertLog(path)
    log.append("a", {"key": "a"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4, before[1]))
    try:
        with pytest.raises(OSError, match="no space left for the whole line"):
            log.append("b", {"key": "b"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert log.append("b", {"key": "b"}) is True
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_the_alert_log_takes_a_key_once_over_restarts(tmp_path: pathlib.Path) -> None:
    """The mark of a delivery can be lost in a crash; the line cannot be doubled."""
    path = tmp_path / "alerts.jsonl"

    written = [AlertLog(path).append(key, {"key": key}) for key in ("a", "b", "a", "b", "c")]

    assert written == [True, True, False, False, True]
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b", "c"]


def test_a_line_that_a_crash_cut_short_is_written_again(tmp_path: pathlib.Path) -> None:
    """Half a line is no line."""
    path = tmp_path / "alerts.jsonl"
    AlertLog(path).append("a", {"key": "a"})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key":"b","sta')

    assert AlertLog(path).append("b", {"key": "b"}) is True
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_the_line_of_an_alert_has_its_key_and_readable_times(store: Store, tmp_path: pathlib.Path) -> None:
    """A SIEM reads this file."""
    path = tmp_path / "alerts.jsonl"
    Dispatcher(store, [LogChannel(AlertLog(path))]).deliver(burning.T0)

    line = json.loads(path.read_text())

    assert line["key"] == burning.fired().key
    assert (line["fired_at"], line["resolved_at"]) == ("2026-01-01T00:00:00.000Z", None)
    assert line["labels"]["severity"] == "page"


def test_the_same_announcement_makes_one_run(store: Store, tmp_path: pathlib.Path) -> None:
    """Delivered twice, as after a crash: one run, one set of audit rows."""
    channel = RunbookChannel(world(store, tmp_path))
    for _ in range(2):
        with store.write() as transaction:
            (message,) = transaction.outbox.due(messages.RUNBOOK, burning.T0, 10, LONGEST_PAUSE)
            channel.deliver(message, transaction, burning.T0)

    with store.read() as transaction:
        assert [run.reason for run in transaction.runs.newest(10)] == ["accepted"]
        verbs = [row.verb for row in transaction.audit.rows() if row.verb.startswith("run.")]
    assert verbs == ["run.received", "run.gated"]


def test_a_refused_run_is_on_record_with_its_word(store: Store, tmp_path: pathlib.Path) -> None:
    """The second firing within the cooldown, while the first run still holds the target."""
    dispatcher = Dispatcher(store, [RunbookChannel(world(store, tmp_path))])
    dispatcher.deliver(burning.T0)
    again = burning.fired(Timestamp(burning.T0 + clock.MINUTE))
    with store.write() as transaction:
        over = decide.retire(transaction.alerts.active(), (), burning.T0)
        for transition in (*over, again):
            record(transaction, transition, burning.T0)

    Dispatcher(store, [RunbookChannel(world(store, tmp_path))]).deliver(Timestamp(burning.T0 + clock.MINUTE))

    with store.read() as transaction:
        found = sorted((run.state.value, run.reason) for run in transaction.runs.newest(10))
        refusals = [row.details for row in transaction.audit.rows() if row.verb == "run.refused"]
    assert found == [("gated", "accepted"), ("refused", "already_running")]
    assert '"reason":"already_running"' in refusals[0]


def test_a_message_becomes_the_alert_it_was_made_of() -> None:
    """Nothing is lost on the way through the outbox."""
    transition = burning.fired()

    assert messages.read_alert(messages.announcement(transition)) == transition.alert


@pytest.mark.parametrize("broken", [{}, {"labels": {}, "annotations": {}}, {"labels": 1, "annotations": {}}])
def test_a_message_of_another_version_is_one_line(broken: dict[str, object]) -> None:
    """It stays in the outbox, with this as its last error."""
    with pytest.raises(messages.MessageUnreadable, match="written by another version"):
        messages.read_alert(broken)  # type: ignore[arg-type]  # on purpose
