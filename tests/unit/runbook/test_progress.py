"""What a run does next follows from its journal alone."""

from netsre.model.documents import Document
from netsre.model.runbooks import JournalEntry, JournalKind, RunState
from netsre.runbook import progress
from netsre.runbook.progress import Begin, Finish, Settle
from tests.unit import burning
from tests.unit.runbook.test_decide import BOOK

OK: Document = {"ok": True}


def entry(kind: JournalKind, data: Document) -> JournalEntry:
    """Return a line of the journal about the only step."""
    return JournalEntry("run", 1, burning.T0, kind, 0, "evidence.collect", data)


def test_an_empty_journal_begins_the_first_step() -> None:
    """Nothing was done yet."""
    assert progress.next_command(BOOK, []) == Begin(0)


def test_an_intent_without_an_outcome_is_settled_not_begun() -> None:
    """The step may have happened: that is what a crash leaves."""
    assert progress.next_command(BOOK, [entry(JournalKind.INTENT, {})]) == Settle(0)


def test_a_note_changes_nothing() -> None:
    """Only outcomes end a step."""
    journal = [entry(JournalKind.INTENT, {}), entry(JournalKind.NOTE, {"note": "recovered"})]

    assert progress.next_command(BOOK, journal) == Settle(0)


def test_the_last_outcome_ends_the_run() -> None:
    """Every step has a good outcome."""
    journal = [entry(JournalKind.INTENT, {}), entry(JournalKind.OUTCOME, OK)]

    assert progress.next_command(BOOK, journal) == Finish(RunState.SUCCEEDED, "steps_done")


def test_the_first_bad_outcome_ends_the_run() -> None:
    """No step follows one that failed, and an outcome that does not say ok is bad."""
    for bad in ({"ok": False}, {}, {"ok": "yes"}):
        journal = [entry(JournalKind.INTENT, {}), entry(JournalKind.OUTCOME, bad)]

        assert progress.next_command(BOOK, journal) == Finish(RunState.FAILED, "step_failed")


def test_a_run_whose_runbook_is_gone_fails() -> None:
    """It must not wait for ever, holding its target."""
    assert progress.next_command(None, []) == Finish(RunState.FAILED, "runbook_removed")
