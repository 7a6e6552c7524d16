"""A process that dies at any write, before or after it is on disk, loses nothing and doubles nothing."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator

from netsre.app.control.tick import record
from netsre.clock import Timestamp
from netsre.model.runbooks import RunState
from netsre.store.database import Store, Transaction
from tests.unit import burning
from tests.unit.app.fakes import Machine

DIED = 77
AFTER_THE_WORK = 0


class Dying(Store):
    """A store whose process ends at its n-th write: just before it reaches the disk, or just after."""

    fatal = 0
    before = True
    writes = 0

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction, and perhaps die at its end."""
        self.writes += 1
        with super().write() as transaction:
            yield transaction
            if self.before and self.writes == self.fatal:
                os._exit(DIED)
        if self.writes == self.fatal:
            os._exit(DIED)


def work(directory: pathlib.Path, fatal: int, *, before: bool) -> None:
    """Take a burn from the first counter to the evidence, dying on the way."""
    store = Dying.at(directory, burning.MIGRATIONS)
    assert isinstance(store, Dying)
    store.fatal, store.before = fatal, before
    store.upgrade()
    Machine(store, directory).burn()


def in_a_process(directory: pathlib.Path, fatal: int, *, before: bool) -> int:
    """Do the work in a process of its own and return how that ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work(directory, fatal, before=before)
            code = AFTER_THE_WORK
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def settle(directory: pathlib.Path) -> None:
    """Start again, as after a crash; the burn goes on, and whatever was begun is brought to its end."""
    store = burning.store(directory)
    machine = Machine(store, directory)
    machine.clock.at = Timestamp(burning.T0 + 10 * 60_000)
    machine.source.delivered, machine.source.failed = 10_000, 10_000
    for _ in range(3):
        machine.turn(failed=100)
    assert machine.board.current is not None
    assert machine.board.current.problem is None
    store.close()


def verify(directory: pathlib.Path) -> None:
    """Every alert is announced once, has one run with one outcome, and the audit is whole."""
    store = burning.store(directory)
    with store.read() as transaction:
        alerts = transaction.alerts.newest(100)
        runs = transaction.runs.newest(100)
        journals = transaction.runs.journal([run.id for run in runs])
        verbs = [row.verb for row in transaction.audit.rows()]
        assert transaction.audit.first_broken() is None
        assert not any(transaction.outbox.pending().values())
    store.close()
    keys = [json.loads(line)["key"] for line in (directory / "alerts.jsonl").read_text().splitlines()]
    assert sorted(keys) == sorted(f"{alert.fingerprint}/{alert.fired_at}/firing" for alert in alerts)
    assert len(alerts) == len({alert.fingerprint for alert in alerts}) == 2
    assert {(run.alert, run.fired_at) for run in runs} == {
        (alert.fingerprint, alert.fired_at) for alert in alerts
    }
    assert [run.state for run in runs] == [RunState.SUCCEEDED] * 2
    for entries in journals.values():
        kinds = [entry.kind.value for entry in entries]
        assert (kinds.count("intent"), kinds.count("outcome")) == (1, 1)
    for verb in ("alert.firing", "run.received", "run.gated", "run.executing", "run.succeeded"):
        assert verbs.count(verb) == 2, verb


def test_dying_at_any_write_loses_nothing_and_doubles_nothing(tmp_path: pathlib.Path) -> None:
    """Every write of the whole thread is tried, with the process dying just before it, and just after."""
    for before in (True, False):
        for fatal in range(1, 100):
            directory = tmp_path / f"{fatal}-{before}"
            ended = in_a_process(directory, fatal, before=before)
            assert ended in (DIED, AFTER_THE_WORK)
            settle(directory)
            verify(directory)
            if ended == AFTER_THE_WORK:
                break
        assert fatal > 10, "the work has more writes than this: the deaths did not happen"


def test_a_recovered_step_says_so(tmp_path: pathlib.Path) -> None:
    """Dying after the intent leaves a note beside the outcome."""
    notes = 0
    for fatal in range(1, 100):
        directory = tmp_path / str(fatal)
        if in_a_process(directory, fatal, before=False) == AFTER_THE_WORK:
            break
        settle(directory)
        store = burning.store(directory)
        with store.read() as transaction:
            runs = [run.id for run in transaction.runs.newest(100)]
            journals = transaction.runs.journal(runs).values()
        notes += sum(entry.data == {"note": "recovered"} for entries in journals for entry in entries)
        store.close()

    assert notes == 2


def test_an_announcement_that_was_written_but_not_marked_is_not_written_again(tmp_path: pathlib.Path) -> None:
    """The worst moment: the line is in the alert log, and the mark of its delivery is not on disk."""
    store = burning.store(tmp_path)
    transition = burning.fired()
    with store.write() as transaction:
        record(transaction, transition, burning.T0)
    store.close()
    (tmp_path / "alerts.jsonl").write_text(json.dumps({"key": transition.key}) + "\n")

    store = burning.store(tmp_path)
    Machine(store, tmp_path).turn()
    store.close()

    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [transition.key]
