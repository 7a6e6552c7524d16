"""A database that is nowhere but in the memory of this process, and as it was before within a millisecond."""

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Final

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.pool import StaticPool

from netsre.store import sqlite
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from netsre.store.prepared import Statements

WHERE: Final = "in memory"


class MemoryDatabase:
    """One connection, for one thread: what is written is read at once, and no disk is waited for.

    Its statements stay compiled over every `restore`, which is what makes it worth while.
    """

    where = WHERE

    def __init__(self) -> None:
        """Open an empty one, without a schema."""
        self._raw = sqlite3.connect(":memory:", check_same_thread=False)
        made = sqlalchemy.create_engine(
            "sqlite://", creator=lambda: self._raw, poolclass=StaticPool, query_cache_size=2_000
        )
        self.engine = sqlite.prepare(made, patience=0)
        self.statements = Statements(self._raw)
        self.connection = self.engine.connect().execution_options(**{sqlite.ALONE: True})
        self._kept = b""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep what is written meanwhile, or with an exception none of it."""
        self._raw.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._raw.rollback()
            raise
        self._raw.commit()

    def upgrade(self, migrations: Migrations) -> None:
        """Make this version's schema."""
        Store(self, migrations).upgrade()

    def keep(self) -> None:
        """Remember everything as it is now."""
        self._kept = self._raw.serialize()

    def restore(self) -> None:
        """Have everything as it was when it was kept."""
        self._raw.deserialize(self._kept)

    def refuse_another(self) -> None:
        """Nobody can take it away."""

    def advice(self, cause: BaseException) -> str:
        """Return what is wrong: nothing that a person could mend."""
        return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


class MemoryStore(Store):
    """The store in such a database: each statement is compiled once, and readers need no transaction."""

    def __init__(self, place: MemoryDatabase, migrations: Migrations) -> None:
        """Use a database that has its schema."""
        super().__init__(place, migrations)
        self._memory = place

    def _used(self, connection: Connection) -> Connection:
        return self._memory.statements.over(connection)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._memory.transaction():
            yield self._memory.connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        yield self._memory.connection
