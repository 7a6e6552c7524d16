"""Which database a test's store is in: a file of its directory, or a database of a server."""

import contextlib
import contextvars
import pathlib
from collections.abc import Iterator
from typing import Final, Protocol

from netsre.store import schema
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from tests.postgresql import Server

_EMPTIED: Final = f"TRUNCATE {', '.join(schema.metadata.tables)} RESTART IDENTITY"
_REMEMBER: Final = "CREATE TABLE meta_at_first AS SELECT * FROM meta"
_AS_AT_FIRST: Final = "INSERT INTO meta SELECT * FROM meta_at_first"
"""The migrations write into this table alone."""


class Databases(Protocol):
    """Databases of a server, one for each directory of a test."""

    def address(self, directory: pathlib.Path) -> str:
        """Return the address of the one that stands for a directory."""

    def give_back(self) -> None:
        """End their use by a test."""


class New:
    """New ones, without a table, for whoever leaves none as it was."""

    def __init__(self, server: Server) -> None:
        """Begin with none."""
        self._server = server
        self._names: dict[pathlib.Path, str] = {}

    def address(self, directory: pathlib.Path) -> str:
        """Return the address of the one that stands for a directory."""
        if directory not in self._names:
            self._names[directory] = f"new_{len(self._names)}"
            self._server.run(f"CREATE DATABASE {self._names[directory]}")
        return self._server.address(self._names[directory])

    def give_back(self) -> None:
        """Remove them."""
        for name in self._names.values():
            self._server.run(f"DROP DATABASE {name} WITH (FORCE)")


class Kept:
    """Of this version's schema, and else empty; one test uses them after the other: making one is slow."""

    def __init__(self, server: Server, migrations: Migrations) -> None:
        """Begin with none."""
        self._server = server
        self._migrations = migrations
        self._free: list[str] = []
        self._used: dict[pathlib.Path, str] = {}

    def address(self, directory: pathlib.Path) -> str:
        """Return the address of the one that stands for a directory."""
        if directory not in self._used:
            self._used[directory] = self._free.pop() if self._free else self._new()
        return self._server.address(self._used[directory])

    def give_back(self) -> None:
        """Have those that are used be as they were made."""
        for name in self._used.values():
            self._server.run(f"{_EMPTIED}; {_AS_AT_FIRST}", name)
        self._free += self._used.values()
        self._used.clear()

    def _new(self) -> str:
        name = f"kept_{len(self._used)}"
        self._server.run(f"CREATE DATABASE {name}")
        store = Store.served(self._server.address(name), self._migrations)
        store.upgrade()
        store.close()
        self._server.run(_REMEMBER, name)
        return name


_USED: Final = contextvars.ContextVar[Databases | None]("used", default=None)


@contextlib.contextmanager
def on(databases: Databases) -> Iterator[None]:
    """Have stores that are opened within be in databases of a server."""
    before = _USED.set(databases)
    try:
        yield
    finally:
        _USED.reset(before)
        databases.give_back()


def opened(directory: pathlib.Path, migrations: Migrations) -> Store:
    """Return the store that stands for a directory; its schema may be of no age yet."""
    used = _USED.get()
    if used is None:
        return Store.at(directory, migrations)
    return Store.served(used.address(directory), migrations)
