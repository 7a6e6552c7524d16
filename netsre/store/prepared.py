"""Statements that are carried out again and again, each compiled once and then given to SQLite as it is.

For one database in memory and one thread: there, to have SQLAlchemy look a statement up again costs several
times what it takes to carry it out. A statement that is made anew each time goes the usual way.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Delete, Insert, Result, Select, Update
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

Values = Mapping[str, object]
_Known = Select[Any] | Insert | Update | Delete
_Convert = Callable[[object], object]
_NOTHING: Final[Values] = {}


@dataclass(frozen=True, slots=True)
class _Written:
    """What is known of a change."""

    rowcount: int


class _Prepared:
    """One statement, as SQLite has it."""

    def __init__(self, statement: _Known, connection: Connection, given: Values) -> None:
        dialect = connection.dialect
        # As for many rows: for a single one a change would be asked for the keys that it makes.
        compiled = statement.compile(
            dialect=dialect, column_keys=list(given), for_executemany=not isinstance(statement, Select)
        )
        expanded = compiled.construct_expanded_state(dict(given))
        self._text = expanded.statement
        self._always = dict(expanded.parameters)
        plain = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        sent = {**plain, **expanded.processors}
        self._places = [
            (name, cast("_Convert | None", sent.get(name))) for name in expanded.positiontup or ()
        ]
        self._columns = _Columns(statement, connection) if isinstance(statement, Select) else None

    def carry_out(self, raw: sqlite3.Connection, rows: Sequence[Values]) -> Result[Any]:
        """Return the answer, read to its end, or what was changed."""
        if self._columns is not None:
            return self._columns.result(raw.execute(self._text, self._values(rows[0])).fetchall())
        done = raw.executemany(self._text, map(self._values, rows))
        return cast("Result[Any]", _Written(done.rowcount))

    def _values(self, given: Values) -> list[object]:
        values = {**self._always, **given}
        for name, listed in given.items():
            if isinstance(listed, list):
                values.update(_numbered(name, listed))
        return [values[name] if convert is None else convert(values[name]) for name, convert in self._places]


def _numbered(name: str, listed: Iterable[object]) -> Iterator[tuple[str, object]]:
    """Name the items of a list as SQLAlchemy does, and the parts of those that are tuples."""
    for number, one in enumerate(listed, 1):
        if isinstance(one, tuple):
            yield from _numbered(f"{name}_{number}", one)
        else:
            yield f"{name}_{number}", one


class _Columns:
    """How the rows of an answer are read."""

    def __init__(self, statement: Select[Any], connection: Connection) -> None:
        dialect = connection.dialect
        columns = list(statement.selected_columns)
        self._keys = SimpleResultMetaData([str(column.key) for column in columns])
        read = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._read = read if any(read) else None

    def result(self, rows: list[Any]) -> Result[Any]:
        """Return rows as SQLAlchemy does."""
        if self._read is not None:
            rows = [tuple(map(_as_read, self._read, row)) for row in rows]
        return IteratorResult(self._keys, iter(rows))


def _as_read(convert: _Convert | None, value: object) -> object:
    return value if convert is None else convert(value)


class Statements:
    """All that were carried out so far."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        """Know of none yet."""
        self._raw = raw
        self._known: WeakKeyDictionary[_Known, dict[tuple[object, ...], _Prepared]] = WeakKeyDictionary()

    def over(self, connection: Connection) -> Connection:
        """Return a connection that carries out what it did before without detours."""
        return cast("Connection", _Quick(self, connection))

    def carry_out(self, connection: Connection, statement: object, given: object) -> Result[Any] | None:
        """Carry out a statement that was carried out before; None: it is of another kind, or a new one."""
        if not isinstance(statement, _Known):
            return None
        rows = cast("list[Values]", given if isinstance(given, list) else [given or _NOTHING])
        known = self._known.get(statement)
        if known is None:
            # It may have been made for this once, and be gone then.
            self._known[statement] = {}
            return None
        # A list is as many parameters as it has items; and an insert is of the columns that it is given.
        shape = tuple((name, len(one) if isinstance(one, list) else None) for name, one in rows[0].items())
        if shape not in known:
            known[shape] = _Prepared(statement, connection, rows[0])
        return known[shape].carry_out(self._raw, rows)


class _Quick:
    """A connection, as far as the store uses one."""

    def __init__(self, statements: Statements, connection: Connection) -> None:
        self._statements = statements
        self._connection = connection
        self.dialect = connection.dialect

    def execute(self, statement: Any, parameters: Any = None) -> Result[Any]:  # noqa: ANN401
        """Carry out a statement."""
        done = self._statements.carry_out(self._connection, statement, parameters)
        return self._connection.execute(statement, parameters) if done is None else done
