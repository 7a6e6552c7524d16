"""Questions that are asked again and again, each compiled once and then put to SQLite as it is.

For one database in memory and one thread: there, to have SQLAlchemy look a statement up again costs several
times what its answer costs. Whatever is not a question, or is made anew each time, goes the usual way.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Result, Select
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData


class _Question:
    """One question, as SQLite has it."""

    def __init__(self, statement: Select[Any], connection: Connection, asked: Mapping[str, object]) -> None:
        dialect = connection.dialect
        compiled = statement.compile(dialect=dialect)
        expanded = compiled.construct_expanded_state(dict(asked))
        self._text = expanded.statement
        self._names = tuple(expanded.positiontup or ())
        self._always = dict(expanded.parameters)
        plain = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for name, bind in compiled.binds.items()
        }
        self._sent = {**plain, **expanded.processors}
        columns = list(statement.selected_columns)
        self._keys = SimpleResultMetaData([str(column.key) for column in columns])
        read = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._read = read if any(read) else None

    def ask(self, raw: sqlite3.Connection, asked: Mapping[str, object]) -> Result[Any]:
        """Return the answer, read to its end."""
        values = {**self._always, **asked}
        for name, listed in asked.items():
            if isinstance(listed, list):
                values.update((f"{name}_{number}", one) for number, one in enumerate(listed, 1))
        sent = [self._value(name, values[name]) for name in self._names]
        rows = raw.execute(self._text, sent).fetchall()
        if self._read is not None:
            rows = [tuple(map(_as_read, self._read, row)) for row in rows]
        return IteratorResult(self._keys, iter(rows))

    def _value(self, name: str, value: object) -> object:
        convert = self._sent.get(name)
        return value if convert is None else cast("Callable[[object], object]", convert)(value)


def _as_read(convert: Callable[[object], object] | None, value: object) -> object:
    return value if convert is None else convert(value)


class Questions:
    """All that was asked so far."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        """Know of none yet."""
        self._raw = raw
        self._known: WeakKeyDictionary[Select[Any], dict[tuple[int, ...], _Question]] = WeakKeyDictionary()

    def over(self, connection: Connection) -> Connection:
        """Return a connection that asks what it asked before without detours."""
        return cast("Connection", _Quick(self, connection))

    def answer(self, connection: Connection, statement: object, asked: object) -> Result[Any] | None:
        """Answer a question that was asked before; None: it is another statement, or a new one."""
        if not isinstance(statement, Select) or not isinstance(asked, dict | None):
            return None
        given = asked or {}
        found = self._known.get(statement)
        if found is None:
            # It may have been made for this once, and be gone then.
            self._known[statement] = {}
            return None
        # A list is as many parameters as it has items.
        lengths = tuple(len(one) for one in given.values() if isinstance(one, list))
        if lengths not in found:
            found[lengths] = _Question(statement, connection, given)
        return found[lengths].ask(self._raw, given)


class _Quick:
    """A connection, as far as the store uses one."""

    def __init__(self, questions: Questions, connection: Connection) -> None:
        self._questions = questions
        self._connection = connection
        self.dialect = connection.dialect

    def execute(self, statement: Any, parameters: Any = None) -> Result[Any]:  # noqa: ANN401
        """Carry out a statement."""
        found = self._questions.answer(self._connection, statement, parameters)
        return self._connection.execute(statement, parameters) if found is None else found
