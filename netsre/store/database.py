"""Opens the database and hands out transactions; every error of it becomes one line a person can act on."""

import contextlib
import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event, exc

from netsre.errors import StoreUnusable
from netsre.store.alerts import Alerts
from netsre.store.audit import Audit
from netsre.store.drills import Drills
from netsre.store.history import History
from netsre.store.incidents import Incidents
from netsre.store.meta import Meta
from netsre.store.migrations import Migrations
from netsre.store.outbox import Outbox
from netsre.store.pages import Pages
from netsre.store.received import ReceivedAlerts
from netsre.store.runs import Runs

FILE_NAME: Final = "netsre.db"
_BUSY_MILLISECONDS: Final = 10_000
_READ_ONLY: Final = "netsre_read_only"


class Transaction:
    """What can be read and written inside one transaction; all of it happens, or nothing."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self.history = History(connection)
        self.alerts = Alerts(connection)
        self.outbox = Outbox(connection)
        self.runs = Runs(connection)
        self.received = ReceivedAlerts(connection)
        self.pages = Pages(connection)
        self.incidents = Incidents(connection)
        self.drills = Drills(connection)
        self.audit = Audit(connection)
        self.meta = Meta(connection)


class Turns:
    """One thread after the other, in the order in which they came.

    SQLite's own lock is for whoever happens to ask at the right moment: beside one thread that writes all the
    time, another one could ask for seconds.
    """

    def __init__(self) -> None:
        """Begin with nobody."""
        self._lock = threading.Lock()
        self._line: deque[threading.Lock] = deque()

    def wait(self, seconds: float) -> bool:
        """Wait for a turn; tell whether it came in time. One that came must be ended."""
        mine = threading.Lock()
        mine.acquire()
        with self._lock:
            self._line.append(mine)
            if len(self._line) == 1:
                mine.release()
        if mine.acquire(timeout=seconds):
            return True
        with self._lock:
            # It may have come in this very moment.
            if self._line[0] is mine:
                return True
            self._line.remove(mine)
        return False

    def end(self) -> None:
        """End the turn, and give the next one its own."""
        with self._lock:
            self._line.popleft()
            if self._line:
                self._line[0].release()


class Store:
    """The database of the controller."""

    def __init__(
        self, engine: Engine, where: str, migrations: Migrations, identity: tuple[int, int] | None = None
    ) -> None:
        """Use an engine; call `upgrade` or `verify` before anything else.

        `identity` is device and inode of the file `where`, None where the database is no file.
        """
        self._engine = engine
        self._turns = Turns()
        self._where = where
        self._migrations = migrations
        self._identity = identity

    @classmethod
    def at(cls, data_dir: Path, migrations: Migrations, *, create: bool = True) -> "Store":
        """Return the store in a data directory, which is made when missing (mode 0700)."""
        path = data_dir / FILE_NAME
        if not create and not path.exists():
            message = f"database {path} does not exist; start netsre once, or name another --data-dir"
            raise StoreUnusable(message)
        if create:
            _make_private(data_dir, path)
        engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(path)))
        return cls(_prepare(engine), str(path), migrations, _identity(path))

    @property
    def where(self) -> str:
        """Return the place of the database, for people."""
        return self._where

    def upgrade(self) -> bool:
        """Bring the schema up to date; tell whether anything had to be done."""
        with self._translated(), self._engine.begin() as connection:
            return self._migrations.upgrade(connection, self._where)

    def verify(self) -> str:
        """Return the schema's revision; raise `StoreUnusable` unless it is the present one."""
        with self._translated(), self._reading() as connection:
            current = self._migrations.current(connection)
        self._migrations.refuse_unknown(current, self._where)
        if current != self._migrations.head:
            message = (
                f"database {self._where} has schema {current or 'none'}, "
                f"this netsre needs {self._migrations.head}; run `netsre db upgrade`"
            )
            raise StoreUnusable(message)
        return current

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that may write; leaving it normally commits to disk, an exception undoes all.

        The writers of this process take turns, whoever waits longest first.
        """
        self._refuse_another_file()
        if not self._turns.wait(_BUSY_MILLISECONDS / 1000):
            message = (
                f"database {self._where}: another write takes longer than {_BUSY_MILLISECONDS} ms; it goes on"
            )
            raise StoreUnusable(message)
        try:
            with self._translated(), self._engine.begin() as connection:
                yield Transaction(connection)
        finally:
            self._turns.end()

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a view of one moment; it never waits for a writer."""
        self._refuse_another_file()
        with self._translated(), self._reading() as connection:
            yield Transaction(connection)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(**{_READ_ONLY: True})

    def _refuse_another_file(self) -> None:
        """Raise `StoreUnusable` when the file is not the one that was opened.

        Whoever deletes an open database sees no error, and neither would we: all that is written from then on
        would go to a file without a name, and be gone with this process.
        """
        if self._identity is None:
            return
        found = _identity(Path(self._where))
        if found != self._identity:
            what = "was deleted" if found is None else "was replaced by another file"
            message = f"database {self._where} {what} while netsre runs; put it back, or start netsre again"
            raise StoreUnusable(message)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            message = f"database {self._where}: {_advice(error.orig or error)}"
            raise StoreUnusable(message) from error
        except (exc.TimeoutError, sqlite3.Error) as error:
            # The second kind comes from the first statements on a new connection, before SQLAlchemy sees it.
            message = f"database {self._where}: {_advice(error)}"
            raise StoreUnusable(message) from error


def _prepare(engine: Engine) -> Engine:
    """Make SQLite durable and strict, and let SQLAlchemy alone begin transactions."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own implicit BEGIN would leave DDL outside of transactions.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={_BUSY_MILLISECONDS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that began as a reader could not wait for another, only fail.
        reading = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _make_private(directory: Path, path: Path) -> None:
    """Make the directory and an empty database file that only their owner can read."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0:
                # `netsre db upgrade` by root must not lock out the user that the controller runs as.
                owner = directory.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)
    except OSError as error:
        message = f"data directory {directory}: {os.strerror(error.errno or errno.EIO)}; {_owner_advice()}"
        raise StoreUnusable(message) from error


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _owner_advice() -> str:
    return f"make it writable for uid {os.geteuid()}, or name another one with --data-dir"


def _advice(cause: BaseException) -> str:
    """Return what is wrong and what to do about it."""
    name = getattr(cause, "sqlite_errorname", "")
    text = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    advice = {
        "SQLITE_NOTADB": "move the file away, or restore a backup",
        "SQLITE_CORRUPT": "stop netsre and restore a backup; `sqlite3 FILE .recover` may save more",
        "SQLITE_FULL": "free some space; nothing was half-written, and it is tried again",
        "SQLITE_READONLY": _owner_advice(),
        "SQLITE_CANTOPEN": _owner_advice(),
        "SQLITE_BUSY": "another process holds it; stop the other netsre, or name another --data-dir",
        "SQLITE_IOERR": "check the disk (dmesg); it is tried again",
    }
    for prefix, step in advice.items():
        if name.startswith(prefix):
            return f"{text}; {step}"
    return f"{text}; check the server or the file, then start netsre again"
