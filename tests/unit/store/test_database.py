"""A database that cannot be used is one line with a next step, and a transaction is all or nothing."""

import os
import pathlib
import sqlite3
import threading

import pytest
import sqlalchemy

from netsre.errors import StoreUnusable
from netsre.store.database import Store
from netsre.store.sqlite import FILE_NAME
from tests.unit import burning


def test_the_directory_and_the_file_are_private(tmp_path: pathlib.Path) -> None:
    """Alerts and evidence name hosts and addresses."""
    directory = tmp_path / "new"
    burning.store(directory).close()

    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_database_is_one_line(tmp_path: pathlib.Path) -> None:
    """And the file is left as it was."""
    (tmp_path / FILE_NAME).write_text("notes of somebody else\n" * 100)

    with pytest.raises(StoreUnusable, match=r"file is not a database; move the file away"):
        burning.store(tmp_path)
    assert (tmp_path / FILE_NAME).read_text().startswith("notes of somebody else")


def test_a_corrupt_database_is_one_line(tmp_path: pathlib.Path) -> None:
    """A page of zeros where a table was."""
    store = burning.store(tmp_path)
    with store.write() as transaction:
        transaction.alerts.save(burning.fired().alert)
    store.close()
    content = bytearray((tmp_path / FILE_NAME).read_bytes())
    content[4096:] = b"\x01" * (len(content) - 4096)
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(StoreUnusable, match="malformed; stop netsre and restore a backup"):
        burning.store(tmp_path)


def test_a_directory_that_is_a_file_is_one_line(tmp_path: pathlib.Path) -> None:
    """The path and what to do are in it."""
    (tmp_path / "data").write_text("")

    with pytest.raises(StoreUnusable, match=r"data directory .*/data: .*--data-dir"):
        burning.store(tmp_path / "data")


def test_a_directory_that_cannot_be_made_is_one_line() -> None:
    """It names the user who cannot; not even root makes directories there."""
    with pytest.raises(StoreUnusable, match=f"/proc/netsre: .* writable for uid {os.geteuid()}"):
        burning.store(pathlib.Path("/proc/netsre"))


def test_a_check_makes_no_database(tmp_path: pathlib.Path) -> None:
    """A mistyped directory must not look like an empty but healthy one."""
    with pytest.raises(StoreUnusable, match="does not exist"):
        Store.at(tmp_path / "typo", burning.MIGRATIONS, create=False)
    assert not (tmp_path / "typo").exists()


def test_an_exception_undoes_everything_of_its_transaction(tmp_path: pathlib.Path) -> None:
    """An alert without its message, or the other way round, never exists."""
    store = burning.store(tmp_path)

    def write_and_fail() -> None:
        with store.write() as transaction:
            transaction.alerts.save(burning.fired().alert)
            transaction.audit.append(burning.T0, "test", "alert.firing", "x", {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    with store.read() as transaction:
        assert transaction.alerts.active() == {}
        assert transaction.audit.length() == 0
    store.close()


def test_a_full_disk_keeps_what_was_there_and_heals(tmp_path: pathlib.Path) -> None:
    """The error says so, nothing is half-written, and the next attempt with room succeeds."""
    store = burning.store(tmp_path)
    limit = [8]

    @sqlalchemy.event.listens_for(store._engine, "begin")
    def on_begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0]}")

    def write() -> None:
        with store.write() as transaction:
            transaction.audit.append(burning.T0, "test", "first", "x", {})
            transaction.audit.append(burning.T0, "test", "second", "x", {"much": "x" * 100_000})

    with pytest.raises(StoreUnusable, match="full; free some space; nothing was half-written"):
        write()
    with store.read() as transaction:
        assert (transaction.audit.length(), transaction.audit.first_broken()) == (0, None)
    limit[0] = 100_000
    write()
    with store.read() as transaction:
        assert (transaction.audit.length(), transaction.audit.first_broken()) == (2, None)
    store.close()


def test_a_reader_does_not_wait_for_a_writer(tmp_path: pathlib.Path) -> None:
    """The page stays live while an evaluation writes."""
    store = burning.store(tmp_path)
    seen: list[int] = []

    def read() -> None:
        with store.read() as transaction:
            seen.append(len(transaction.alerts.active()))

    with store.write() as transaction:
        transaction.alerts.save(burning.fired().alert)
        reader = threading.Thread(target=read)
        reader.start()
        reader.join()

    assert seen == [0]
    store.close()


def test_what_must_not_be_lost_is_synced_to_disk(tmp_path: pathlib.Path) -> None:
    """Every connection is set to WAL with full synchronisation."""
    store = burning.store(tmp_path)

    with store._engine.connect() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        ]

    assert found == ["wal", 2]
    store.close()


def test_a_locked_database_is_one_line(tmp_path: pathlib.Path) -> None:
    """Somebody else holds the write lock for longer than we wait."""
    store = burning.store(tmp_path)

    @sqlalchemy.event.listens_for(store._engine, "connect")
    def impatient(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout=1")

    store.close()
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnusable, match="another process holds it"), store.write():
        pass
    other.close()
    store.close()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_deleted_under_us_takes_no_more(tmp_path: pathlib.Path, *, replaced: bool) -> None:
    """What went to a file without a name would be lost in silence; put back, it goes on."""
    store = burning.store(tmp_path)
    with store.write() as transaction:
        transaction.alerts.save(burning.fired().alert)
    path = tmp_path / FILE_NAME
    path.rename(tmp_path / "aside")
    if replaced:
        path.write_bytes((tmp_path / "aside").read_bytes())

    why = "was replaced by another file" if replaced else "was deleted"
    for opened in (store.write, store.read):
        with pytest.raises(StoreUnusable, match=f"{why} while netsre runs; put it back"), opened():
            pass

    (tmp_path / "aside").rename(path)
    with store.read() as transaction:
        assert len(transaction.alerts.active()) == 1
    store.close()
