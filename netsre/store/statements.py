"""Statements that SQLite and PostgreSQL both know and SQLAlchemy offers per dialect only.

Each is made once: making one takes longer than a small database needs to carry it out.
"""

import functools
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.dml import Insert

_Key = TypeVar("_Key")
_MOST_KEYS: Final = 1_000
"""In one statement; SQLite takes 32,766 values, PostgreSQL 65,535."""


def portions(keys: Iterable[_Key]) -> Iterator[list[_Key]]:
    """Cut keys into lists that one statement can ask for."""
    rest = iter(keys)
    while portion := list(islice(rest, _MOST_KEYS)):
        yield portion


def upsert(dialect: Dialect, table: Table) -> Insert:
    """Return an insert that overwrites the row with the same primary key."""
    return _upsert(dialect.name, table)


def insert_once(dialect: Dialect, table: Table, keys: tuple[str, ...]) -> Insert:
    """Return an insert that leaves a row with the same key as it is."""
    return _insert_once(dialect.name, table, keys)


def increase(dialect: Dialect, table: Table, counter: str) -> Insert:
    """Return an insert that adds to the counter of the row with the same primary key."""
    return _increase(dialect.name, table, counter)


@functools.cache
def _upsert(dialect: str, table: Table) -> Insert:
    keys = [column.name for column in table.primary_key]
    if dialect == "postgresql":
        to_postgresql = postgresql.insert(table)
        new = {c.name: c for c in to_postgresql.excluded if c.name not in keys}
        return to_postgresql.on_conflict_do_update(index_elements=keys, set_=new)
    to_sqlite = sqlite.insert(table)
    new = {c.name: c for c in to_sqlite.excluded if c.name not in keys}
    return to_sqlite.on_conflict_do_update(index_elements=keys, set_=new)


@functools.cache
def _insert_once(dialect: str, table: Table, keys: tuple[str, ...]) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=keys)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=keys)


@functools.cache
def _increase(dialect: str, table: Table, counter: str) -> Insert:
    keys = [column.name for column in table.primary_key]
    if dialect == "postgresql":
        to_postgresql = postgresql.insert(table)
        more = {counter: table.c[counter] + to_postgresql.excluded[counter]}
        return to_postgresql.on_conflict_do_update(index_elements=keys, set_=more)
    to_sqlite = sqlite.insert(table)
    more = {counter: table.c[counter] + to_sqlite.excluded[counter]}
    return to_sqlite.on_conflict_do_update(index_elements=keys, set_=more)
