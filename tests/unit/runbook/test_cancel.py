"""Cancelled anywhere, a run leaves nothing in force, and does nothing more."""

from dataclasses import dataclass, replace

import pytest

from netsre.model.runbooks import CANCELLED, JournalKind, RunState
from netsre.runbook import journal, progress
from netsre.runbook.approval import Opinion, Word
from netsre.runbook.progress import Finish
from tests.unit.runbook import given
from tests.unit.runbook.given import MemoryNode
from tests.unit.runbook.machine import Machine
from tests.unit.runbook.test_crashes import SCENARIOS


@dataclass
class Cancelled(Machine):
    """A run that somebody cancels when its journal has so many lines."""

    after: int = 0

    def next(self) -> progress.Command:
        """Return the next command."""
        if len(self.entries) >= self.after and not self.said:
            self._append(journal.said(Word("ann", Opinion.CANCEL, "", "test", "1", self.now)))
        return super().next()

    @property
    def said(self) -> bool:
        """Tell whether it is cancelled."""
        return any(entry.kind is JournalKind.CANCEL for entry in self.entries)


@pytest.mark.parametrize("name", ["flood", "growth", "hopeless"])
def test_cancelled_after_any_line_a_run_takes_back_what_it_changed(name: str) -> None:
    """No change is begun after the word; the end is `refused` where nothing was changed, else `undone`."""
    make, _ = SCENARIOS[name]
    whole = Machine(make())
    whole.live()

    for after in range(1, len(whole.entries)):
        machine = Cancelled(make(), after=after)
        finish = machine.live()
        lines = [entry.kind for entry in machine.entries]
        changed = {entry.step for entry in machine.entries if "key" in entry.data}

        assert JournalKind.INTENT not in lines[lines.index(JournalKind.CANCEL) :], after
        state = RunState.UNDONE if changed else RunState.REFUSED
        assert finish == Finish(state, CANCELLED), after
        assert not machine.node.effects(), after
        assert machine.node.limit_now == MemoryNode().limit_now, after


def test_what_a_failure_would_leave_in_force_a_person_who_cancels_takes_back() -> None:
    """`onFailure: stop` is about failures: whoever cancels is told that what was changed is taken back."""
    make, _ = SCENARIOS["hopeless"]
    book = replace(given.BOOK, on_failure="stop")
    whole = Machine(make(), book)
    assert whole.live().state is RunState.FAILED

    for after in range(1, len(whole.entries)):
        machine = Cancelled(make(), book, after=after)
        changed = machine.live().state is RunState.UNDONE

        assert changed == any("key" in entry.data for entry in machine.entries), after
        assert not machine.node.effects(), after
        assert machine.node.limit_now == MemoryNode().limit_now, after
