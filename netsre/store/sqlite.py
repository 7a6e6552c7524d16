"""A database in a file of this machine: private, durable, and never another one than was opened."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, Engine, event

from netsre.errors import StoreUnusable

FILE_NAME: Final = "netsre.db"
READ_ONLY: Final = "netsre_read_only"
"""The option of a connection that only reads."""
UNHURRIED: Final = "netsre_unhurried"
"""The option of a connection whose statements may take as long as they take."""
ALONE: Final = "netsre_alone"
"""The option of a connection that only reads, where nobody writes meanwhile: it needs no transaction."""


class SqliteFile:
    """The file of a data directory."""

    def __init__(self, data_dir: Path, *, create: bool, patience: int) -> None:
        """Open the file of a directory, which is made when missing (mode 0700); raises `StoreUnusable`.

        A writer waits so many milliseconds for another one.
        """
        path = data_dir / FILE_NAME
        if not create and not path.exists():
            message = f"database {path} does not exist; start netsre once, or name another --data-dir"
            raise StoreUnusable(message)
        if create:
            _make_private(data_dir, path)
        engine = sqlalchemy.create_engine(sqlalchemy.URL.create("sqlite", database=str(path)))
        self.engine = prepare(engine, patience)
        self.where = str(path)
        self._identity = _identity(path)

    def refuse_another(self) -> None:
        """Raise `StoreUnusable` when the file is not the one that was opened.

        Whoever deletes an open database sees no error, and neither would we: all that is written from then on
        would go to a file without a name, and be gone with this process.
        """
        found = _identity(Path(self.where))
        if found != self._identity:
            what = "was deleted" if found is None else "was replaced by another file"
            message = f"database {self.where} {what} while netsre runs; put it back, or start netsre again"
            raise StoreUnusable(message)

    def advice(self, cause: BaseException) -> str:
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
        return f"{text}; check the file, then start netsre again"


def prepare(engine: Engine, patience: int) -> Engine:
    """Make SQLite durable and strict, and let SQLAlchemy alone begin transactions."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own implicit BEGIN would leave DDL outside of transactions.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={patience}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # A writer takes its lock at once: one that began as a reader could not wait for another, only fail.
        options = connection.get_execution_options()
        if options.get(ALONE, False):
            return
        reading = options.get(READ_ONLY, False)
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
