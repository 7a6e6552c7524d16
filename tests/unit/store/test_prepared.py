"""Questions that are compiled once answer as they always do."""

import gc

import pytest
from sqlalchemy import bindparam, insert, select

from netsre.app import resources
from netsre.clock import Timestamp
from netsre.model.runbooks import JournalKind, Run, RunState
from netsre.store import schema
from netsre.store.memory import MemoryDatabase, MemoryStore
from netsre.store.migrations import Migrations

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
    connection = database.questions.over(database.reader)

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
    known = database.questions._known
    for _ in range(50):
        with store.read() as transaction:
            transaction.runs.newest(5)
    gc.collect()

    assert len(known) < 10


def test_a_command_is_no_question(database: MemoryDatabase) -> None:
    """It goes the usual way, each time."""
    command = insert(schema.meta).values(value="x")
    store = MemoryStore(database, _migrations())
    for name in ("one", "two", "three"):
        with store.write() as transaction:
            transaction.meta._connection.execute(command, {"key": name})
    with store.read() as transaction:
        assert [transaction.meta.get(name) for name in ("one", "two", "three")] == ["x"] * 3
