"""Runs go on where a crash left them, and an action that fails ends its own run only."""

import pathlib
from collections.abc import Iterator

import pytest

from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import Dispatcher
from netsre.app.control.tick import record
from netsre.model import values
from netsre.model.documents import Document
from netsre.model.runbooks import JournalEntry, JournalKind, Run, RunState
from netsre.runbook.actions.contract import (
    Action,
    ActionFailed,
    ActionRefused,
    NodeRefused,
    Subject,
    Views,
)
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import RUNBOOKS, world

NAME = "evidence.collect"


class Says:
    """An action that answers, or raises, what it was given."""

    name = NAME

    def __init__(self, answer: Document | Exception) -> None:
        """Answer this."""
        self._answer = answer
        self.asked: list[Subject] = []

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take nothing."""
        del parameters
        return {}

    def provides(self, parameters: Document) -> frozenset[str]:
        """Promise nothing."""
        del parameters
        return frozenset()

    def observe(self, subject: Subject, parameters: Document, views: Views) -> Document:
        """Answer."""
        del parameters, views
        self.asked.append(subject)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return a store with one gated run."""
    made = burning.store(tmp_path)
    with made.write() as transaction:
        record(transaction, burning.fired(), burning.T0)
    Dispatcher(made, [RunbookChannel(world(made, tmp_path))]).deliver(burning.T0)
    yield made
    made.close()


def advance(
    store: Store, directory: pathlib.Path, action: Action, *, known: bool = True
) -> tuple[Run, tuple[JournalEntry, ...]]:
    """Advance all runs and return the only one with its journal."""
    books = RUNBOOKS if known else ()
    Automation(world(store, directory, runbooks=books, actions={NAME: action})).advance()
    with store.read() as transaction:
        (run,) = transaction.runs.newest(10)
        return run, transaction.runs.journal([run.id])[run.id]


def test_a_run_ends_with_its_evidence_in_the_journal(store: Store, tmp_path: pathlib.Path) -> None:
    """Intent, outcome, succeeded; and a second look finds nothing more to do."""
    action = Says({"seen": 7})

    run, journal = advance(store, tmp_path, action)

    assert (run.state, run.reason, run.ended_at) == (RunState.SUCCEEDED, "steps_done", burning.T0)
    assert [entry.kind for entry in journal] == ["gates", "intent", "outcome"]
    assert journal[2].data == {"ok": True, "evidence": {"seen": 7}}
    advance(store, tmp_path, action)
    assert len(action.asked) == 1


@pytest.mark.parametrize(
    ("error", "reason", "told"),
    [
        (ActionFailed("no reading of the source"), "step_failed", "no reading of the source"),
        (ActionRefused("no_source", "nobody stands out"), "no_source", "nobody stands out"),
        (NodeRefused("not_allowed", "no"), "not_allowed", "no"),
        (ZeroDivisionError("oops"), "internal_error", "internal error: ZeroDivisionError: oops"),
    ],
)
def test_an_action_that_fails_ends_its_run_as_failed(
    store: Store, tmp_path: pathlib.Path, error: Exception, reason: str, told: str
) -> None:
    """The sentence is in the journal, with the word that the run ends with."""
    run, journal = advance(store, tmp_path, Says(error))

    assert (run.state, run.reason) == (RunState.FAILED, reason)
    assert journal[-1].data == {"ok": False, "reason": reason, "error": told}


def test_an_intent_without_an_outcome_is_settled_by_looking_again(
    store: Store, tmp_path: pathlib.Path
) -> None:
    """What a crash between the two leaves; the journal says that it was recovered."""
    with store.write() as transaction:
        (run,) = transaction.runs.unended()
        transaction.runs.write(run.id, burning.T0, JournalKind.INTENT, 0, NAME, {})

    ended, journal = advance(store, tmp_path, Says({}))

    assert [entry.kind for entry in journal] == ["gates", "intent", "note", "outcome"]
    assert journal[2].data == {"note": "recovered"}
    assert ended.state is RunState.SUCCEEDED


def test_an_outcome_without_an_end_only_ends(store: Store, tmp_path: pathlib.Path) -> None:
    """A crash after the outcome does not make the step happen again."""
    with store.write() as transaction:
        (run,) = transaction.runs.unended()
        transaction.runs.write(run.id, burning.T0, JournalKind.INTENT, 0, NAME, {})
        transaction.runs.write(run.id, burning.T0, JournalKind.OUTCOME, 0, NAME, {"ok": True})
    action = Says({})

    ended, journal = advance(store, tmp_path, action)

    assert (ended.state, len(journal), action.asked) == (RunState.SUCCEEDED, 3, [])


def test_a_run_whose_runbook_is_gone_fails(store: Store, tmp_path: pathlib.Path) -> None:
    """Its file was removed while the run waited."""
    run, _ = advance(store, tmp_path, Says({}), known=False)

    assert (run.state, run.reason) == (RunState.FAILED, "runbook_removed")


def test_every_state_of_a_run_is_in_the_audit(store: Store, tmp_path: pathlib.Path) -> None:
    """Received, gated, executing, succeeded: nothing happens off the record."""
    advance(store, tmp_path, Says({}))

    with store.read() as transaction:
        verbs = [row.verb for row in transaction.audit.rows() if row.verb.startswith("run.")]
        assert transaction.audit.first_broken() is None
    assert verbs == ["run.received", "run.gated", "run.executing", "run.succeeded"]


@pytest.mark.parametrize("text", ["", "{", "null", "[]"])
@pytest.mark.parametrize("kind", ["intent", "outcome"])
def test_a_line_of_a_journal_that_cannot_be_read_decides_nothing(
    store: Store, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, kind: str, text: str
) -> None:
    """It becomes a note that keeps its text; the step is looked at again, and it is told once."""
    advance(store, tmp_path, Says({"seen": 7}))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET state = 'executing', ended_at = NULL")
        connection.exec_driver_sql("UPDATE journal SET data = ? WHERE kind = ?", (text, kind))
    with store.read() as transaction:
        (waiting,) = transaction.runs.unended()
        readable = [entry.kind for entry in transaction.runs.journal([waiting.id])[waiting.id]]

    run, journal = advance(store, tmp_path, Says({"seen": 8}))
    advance(store, tmp_path, Says({"seen": 9}))

    assert kind not in readable
    assert run.state is RunState.SUCCEEDED
    assert [entry.data for entry in journal if entry.data.get("note") == "unreadable"] == [
        {"note": "unreadable", "was": text}
    ]
    assert journal[-1].seq == len(journal)
    assert sum("set aside" in record.getMessage() for record in caplog.records) == 1
