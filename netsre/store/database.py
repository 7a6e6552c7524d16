"""Opens the database and hands out transactions; every error of it becomes one line a person can act on."""

import contextlib
import copy
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, Protocol, Self

from sqlalchemy import Connection, Engine, exc

from netsre.errors import StoreUnusable
from netsre.store.alerts import Alerts
from netsre.store.audit import Audit
from netsre.store.drills import Drills
from netsre.store.events import Events
from netsre.store.history import History
from netsre.store.holds import Holds
from netsre.store.incidents import Incidents
from netsre.store.leases import Leases
from netsre.store.meta import Meta
from netsre.store.migrations import Migrations
from netsre.store.outbox import Outbox
from netsre.store.pages import Pages
from netsre.store.postgresql import PostgresqlServer
from netsre.store.received import ReceivedAlerts
from netsre.store.runs import Runs
from netsre.store.slack import SlackMessages
from netsre.store.sqlite import READ_ONLY, UNHURRIED, SqliteFile

_BUSY_MILLISECONDS: Final = 10_000


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
        self.holds = Holds(connection)
        self.events = Events(connection)
        self.audit = Audit(connection)
        self.leases = Leases(connection)
        self.meta = Meta(connection)
        self.slack = SlackMessages(connection)


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


class Place(Protocol):
    """Where a database is, and what is particular about it."""

    engine: Engine
    where: str
    """For people; without a secret."""

    def refuse_another(self) -> None:
        """Raise `StoreUnusable` when this is not the database any more that was opened."""

    def advice(self, cause: BaseException) -> str:
        """Return in a line what is wrong and what to do about it."""


class Store:
    """The database of the controller."""

    def __init__(self, place: Place, migrations: Migrations) -> None:
        """Use a place; call `upgrade` or `verify` before anything else."""
        self._place = place
        self._engine = place.engine
        self._turns = Turns()
        self._migrations = migrations
        self._epoch: int | None = None

    @classmethod
    def at(cls, data_dir: Path, migrations: Migrations, *, create: bool = True) -> "Store":
        """Return the store in a data directory, which is made when missing (mode 0700)."""
        return cls(SqliteFile(data_dir, create=create, patience=_BUSY_MILLISECONDS), migrations)

    @classmethod
    def served(cls, address: str, migrations: Migrations) -> "Store":
        """Return the store of a PostgreSQL server; raises `BadInput` for what is no address of one."""
        return cls(PostgresqlServer(address, patience=_BUSY_MILLISECONDS), migrations)

    def of_term(self, epoch: int | None) -> Self:
        """Return it for what one term writes: each transaction that comes later than its end raises `Fenced`.

        None is a term without an end, of the only controller that there can be. Connections are shared.
        """
        mine = copy.copy(self)
        mine._epoch = epoch  # noqa: SLF001  it is one of our own
        return mine

    @property
    def where(self) -> str:
        """Return the place of the database, for people."""
        return self._place.where

    def upgrade(self) -> bool:
        """Bring the schema up to date; tell whether anything had to be done."""
        unhurried = self._engine.execution_options(**{UNHURRIED: True})
        with self._translated(), unhurried.begin() as connection:
            return self._migrations.upgrade(connection, self._place.where)

    def verify(self) -> str:
        """Return the schema's revision; raise `StoreUnusable` unless it is the present one."""
        with self._translated(), self._reading() as connection:
            current = self._migrations.current(connection)
        self._migrations.refuse_unknown(current, self._place.where)
        if current != self._migrations.head:
            message = (
                f"database {self._place.where} has schema {current or 'none'}, "
                f"this netsre needs {self._migrations.head}; run `netsre db upgrade`"
            )
            raise StoreUnusable(message)
        return current

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that may write; leaving it normally commits to disk, an exception undoes all.

        The writers of this process take turns, whoever waits longest first.
        """
        self._place.refuse_another()
        if not self._turns.wait(_BUSY_MILLISECONDS / 1000):
            long = f"another write takes longer than {_BUSY_MILLISECONDS} ms; it goes on"
            message = f"database {self._place.where}: {long}"
            raise StoreUnusable(message)
        try:
            with self._translated(), self._writing() as connection:
                transaction = Transaction(self._used(connection))
                if self._epoch is not None:
                    # No other term begins before this transaction ends: writers go one after the other.
                    transaction.leases.refuse_another(self._epoch)
                yield transaction
        finally:
            self._turns.end()

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """Open a view of one moment; it never waits for a writer."""
        self._place.refuse_another()
        with self._translated(), self._reading() as connection:
            yield Transaction(self._used(connection))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _used(self, connection: Connection) -> Connection:
        """Return what statements go through."""
        return connection

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection.execution_options(**{READ_ONLY: True})

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            message = f"database {self._place.where}: {self._place.advice(error.orig or error)}"
            raise StoreUnusable(message) from error
        except (exc.TimeoutError, sqlite3.Error) as error:
            # The second kind comes from the first statements on a new connection, before SQLAlchemy sees it.
            message = f"database {self._place.where}: {self._place.advice(error)}"
            raise StoreUnusable(message) from error
