"""What a run does next, from its journal alone: the same answer after a crash as before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from netsre.model.runbooks import JournalEntry, JournalKind, Runbook, RunState


@dataclass(frozen=True, slots=True)
class Begin:
    """Write the intent of a step, then take it."""

    step: int


@dataclass(frozen=True, slots=True)
class Settle:
    """A step was begun and nobody knows how it ended: find out, and do not just repeat it."""

    step: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The run is over."""

    state: RunState
    reason: str


Command = Begin | Settle | Finish


def next_command(runbook: Runbook | None, journal: Sequence[JournalEntry]) -> Command:
    """Return what to do next; `runbook` is None when its file is gone since the run began."""
    if runbook is None:
        return Finish(RunState.FAILED, "runbook_removed")
    outcomes = {entry.step: entry for entry in journal if entry.kind is JournalKind.OUTCOME}
    intents = {entry.step for entry in journal if entry.kind is JournalKind.INTENT}
    for index in range(len(runbook.steps)):
        outcome = outcomes.get(index)
        if outcome is None:
            return Settle(index) if index in intents else Begin(index)
        if outcome.data.get("ok") is not True:
            return Finish(RunState.FAILED, "step_failed")
    return Finish(RunState.SUCCEEDED, "steps_done")
