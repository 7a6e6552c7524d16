"""What the store knows that keeps automation from acting; whoever cannot read it does not act."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from netsre.app.control import ACTOR
from netsre.clock import DAY, Timestamp
from netsre.model.holds import Bounds, Quarantined
from netsre.model.runbooks import JournalEntry, Run, Runbook, RunState
from netsre.runbook.bounds import MOST_FAILURES
from netsre.runbook.decide import Holds, Past
from netsre.runbook.gates import breaker, storm, values
from netsre.runbook.plan import Plan
from netsre.store.database import Transaction

_MOST_ASKED: Final = 500
"""Rows that are looked at for a storm: several times those that make one."""
_DID_NOT_HELP: Final = frozenset({"verify_failed", "undo_failed"})
"""Ends of a run whose values are not to be chosen again."""


def holds(
    transaction: Transaction,
    runbooks: Mapping[str, Runbook],
    bounds: Bounds,
    now: Timestamp,
    plan: Plan | None,
) -> Holds:
    """Return what is on record now; a plan may know vetoes that are not on file any more."""
    looking = [name for name, book in runbooks.items() if not book.changes]
    changing = {name for name, book in runbooks.items() if book.changes}
    vetoes = [veto for book in runbooks.values() for veto in book.unless]
    if plan is not None:
        changing.add(plan.runbook)
        vetoes.extend(plan.unless)
    return Holds(
        bounds=bounds,
        changed=tuple(
            transaction.runs.changed(Timestamp(now - DAY), sorted(changing), MOST_FAILURES, breaker.BY_PEOPLE)
        ),
        asked=tuple(transaction.runs.asked(Timestamp(now - storm.lookback(bounds)), looking, _MOST_ASKED)),
        pauses=tuple(transaction.holds.pauses(now)),
        closed=transaction.holds.closed(),
        firing=tuple(transaction.alerts.firing_as(sorted({veto.alert for veto in vetoes}))),
        asking=frozenset(name for name, book in runbooks.items() if book.approval is not None),
    )


def past(transaction: Transaction, bounds: Bounds, now: Timestamp) -> Past:
    """Return what was chosen before, as far back as it matters."""
    # Taking back, and a further change of a run, can be later than its first change.
    back = Timestamp(now - bounds.oscillation - DAY)
    runs = transaction.runs.changed(back, (), 0)
    journals = transaction.runs.journal([run.id for run in runs])
    moves = tuple(move for run in runs for move in values.moves(journals[run.id]))
    return Past(moves, tuple(transaction.holds.quarantined(now)))


def quarantine(
    transaction: Transaction, run: Run, journal: Sequence[JournalEntry], bounds: Bounds, now: Timestamp
) -> None:
    """Put the values that an ended run chose into quarantine, if it ended because they did not help.

    If it helped, then so with a revision that was left for it: nobody is to come back to that.
    """
    for key in _failed(run, journal):
        until = Timestamp(now + bounds.quarantine)
        transaction.holds.quarantine(Quarantined(key, run.id, now, until))
        transaction.audit.append(now, ACTOR, "value.quarantined", key, {"run": run.id, "until": until})


def _failed(run: Run, journal: Sequence[JournalEntry]) -> Iterator[str]:
    for setting in values.settings(journal):
        if run.reason in _DID_NOT_HELP:
            yield setting.key
        elif run.state is RunState.SUCCEEDED and setting.left is not None:
            yield setting.left
