"""Statements that are compiled once do what they always do."""

import gc
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, delete, insert, select, tuple_

from netsre.app import resources
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.runbooks import JournalKind, Run, RunState
from netsre.store import schema
from netsre.store.memory import MemoryDatabase, MemoryStore
from netsre.store.migrations import Migrations
from netsre.store.statements import upsert

_AT = Timestamp(1_767_225_600_000)
_RUNS = [Run(name, "book", "a", _AT, "t", RunState.EXECUTING, "begun", _AT, None, None) for name in "ab"]


@pytest.fixture
def database() -> MemoryDatabase:
    """Return one that has the schema."""
    made = MemoryDatabase()
    made.upgrade(_migrations())
    made.keep()
    return made


def _migrations() -> Migrations:
    return Migrations.load(str(resources.directory("migrations")))


def _filled(database: MemoryDatabase) -> MemoryStore:
    store = MemoryStore(database, _migrations())
    with store.write() as transaction:
        for run in _RUNS:
            transaction.runs.add(run)
            transaction.runs.write(run.id, _AT, JournalKind.NOTE, -1, "", {"of": run.id})
    return store


def test_each_time_the_same_answer(database: MemoryDatabase) -> None:
    """With parameters, lists of any length, values that are converted, and rows that have names."""
    store = _filled(database)
    asked: tuple[list[str], ...] = (["a"], ["a", "b"], [], ["b"], ["a", "b"], [])
    for names in asked * 3:
        with store.read() as transaction:
            found = transaction.runs.journal(names)
            assert {name: [entry.data for entry in lines] for name, lines in found.items()} == {
                name: [{"of": name}] for name in names
            }
            assert transaction.runs.unended() == _RUNS
            assert [transaction.runs.find(name) for name in "abc"] == [*_RUNS, None]
            assert transaction.runs.last_line("a") == 1


def test_a_converted_value_is_sent_and_read_as_such(database: MemoryDatabase) -> None:
    """A document is one on both ways."""
    table, where = (
        schema.journal,
        schema.journal.c.data == bindparam("what", type_=schema.journal.c.data.type),
    )
    question = select(table.c.run, table.c.data).where(where)
    _filled(database)
    connection = database.statements.over(database.connection)

    answers = [connection.execute(question, {"what": {"of": "b"}}).all() for _ in range(3)]

    assert answers == [[("b", {"of": "b"})]] * 3


def test_what_is_undone_is_not_answered(database: MemoryDatabase) -> None:
    """Nothing of an answer is kept: neither over the end of a transaction, nor over `restore`."""
    store = _filled(database)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            _begin_and_fail(store)
        with store.read() as transaction:
            assert transaction.runs.unended() == _RUNS
    database.restore()
    with store.read() as transaction:
        assert transaction.runs.unended() == []


def _begin_and_fail(store: MemoryStore) -> None:
    with store.write() as transaction:
        transaction.runs.add(Run("c", "book", "a", _AT, "t", RunState.EXECUTING, "", _AT, None, None))
        assert [run.id for run in transaction.runs.unended()] == ["a", "b", "c"]
        raise RuntimeError


def test_statements_that_are_made_once_and_thrown_away_are_forgotten(database: MemoryDatabase) -> None:
    """However many scenarios are played."""
    store = _filled(database)
    known = database.statements._known
    for _ in range(50):
        with store.read() as transaction:
            transaction.runs.newest(5, "book")
    gc.collect()

    assert len(known) < 10


def test_a_change_is_made_each_time_with_its_own_values(database: MemoryDatabase) -> None:
    """Also one that overwrites, of many rows, with documents and without a value."""
    store, dialect = _filled(database), database.connection.dialect
    connection = database.statements.over(database.connection)
    put = upsert(dialect, schema.meta)
    for number in range(3):
        rows = [{"key": name, "value": f"{name}{number}"} for name in "xyz"[: number + 1]]
        connection.execute(put, rows)
    for number in range(3):
        with store.write() as transaction:
            transaction.runs.change(replace(_RUNS[0], reason=f"r{number}"))
            transaction.runs.write("a", _AT, JournalKind.NOTE, -1, "", {"of": [number, None]})

    with store.read() as transaction:
        assert transaction.meta.find("xyz") == {"x": "x2", "y": "y2", "z": "z2"}
        found = transaction.runs.find("a")
        lines = transaction.runs.journal(["a"])["a"]
    assert found == replace(_RUNS[0], reason="r2")
    assert [line.data["of"] for line in lines] == ["a", [0, None], [1, None], [2, None]]


def test_an_insert_of_other_columns_is_another_one(database: MemoryDatabase) -> None:
    """What it is not given has the value that the schema gives it."""
    connection = database.statements.over(database.connection)
    add = insert(schema.run)
    whole = {
        "id": "a", "runbook": "book", "alert": "a", "fired_at": 1, "target": "t", "state": "failed",
        "reason": "r", "started_at": 1, "ended_at": 2, "changed_at": 3,
    }  # fmt: skip
    less = {name: value for name, value in whole.items() if name != "changed_at"}
    for name, row in {"a": whole, "b": whole, "c": less, "d": less, "e": whole}.items():
        connection.execute(add, [{**row, "id": name}])

    rows = connection.execute(select(schema.run.c.id, schema.run.c.changed_at).order_by(schema.run.c.id))
    assert [tuple(row) for row in rows] == [("a", 3), ("b", 3), ("c", None), ("d", None), ("e", 3)]


def test_how_many_rows_a_change_has_changed(database: MemoryDatabase) -> None:
    """As SQLAlchemy tells it."""
    connection = database.statements.over(database.connection)
    forget = delete(schema.meta).where(schema.meta.c.key.in_(bindparam("names", expanding=True)))
    _filled(database)
    connection.execute(insert(schema.meta), [{"key": name, "value": ""} for name in "stuvwx"])

    counts = [
        connection.execute(forget, {"names": names}).rowcount
        for names in (["s"], ["t"], ["t", "u"], ["v", "w"], ["v"], [])
    ]

    assert counts == [1, 1, 1, 2, 0, 0]


def test_pairs_are_asked_for(database: MemoryDatabase) -> None:
    """A list of several columns at once."""
    connection = database.statements.over(database.connection)
    table = schema.run
    pairs = tuple_(table.c.id, table.c.alert).in_(bindparam("pairs", expanding=True))
    question = select(table.c.id).where(pairs).order_by(table.c.id)
    _filled(database)
    for wanted in (
        [("a", "a")],
        [("b", "a")],
        [("b", "x")],
        [("a", "a"), ("b", "a")],
        [("a", "b"), ("b", "a")],
        [],
    ):
        names = [row.id for row in connection.execute(question, {"pairs": wanted})]
        assert names == [name for name, alert in wanted if alert == "a"]


def _begin_twice(store: MemoryStore) -> None:
    with store.write() as transaction:
        transaction.meta.put("kept", "no")
        transaction.runs.add(_RUNS[0])


def test_what_sqlite_refuses_is_refused_as_always(database: MemoryDatabase) -> None:
    """What SQLite refuses is said as the store says everything that it refuses, and nothing is kept."""
    store = _filled(database)
    for _ in range(3):
        with pytest.raises(StoreUnusable, match="UNIQUE constraint failed"):
            _begin_twice(store)
    with store.read() as transaction:
        assert transaction.meta.get("kept") is None
