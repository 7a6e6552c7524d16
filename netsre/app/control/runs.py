"""What a run leaves on record: its state, the lines of its journal, and the audit of both."""

import hashlib
import logging
from dataclasses import replace
from typing import Final

from netsre.app.control import ACTOR
from netsre.app.logs import pairs
from netsre.clock import Timestamp
from netsre.model import deeds
from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.runbooks import Run, RunState
from netsre.runbook.journal import Line
from netsre.store.database import Transaction

_log: Final = logging.getLogger("netsre.runbook")


def run_name(runbook: str, key: str) -> str:
    """Return the name of the run that a runbook makes of a message."""
    return hashlib.sha256(f"{runbook}\n{key}".encode()).hexdigest()[:16]


def begin(transaction: Transaction, run: Run) -> None:
    """Record a new run."""
    transaction.runs.add(run)
    _audit(transaction, run, run.started_at)


def change(transaction: Transaction, run: Run, state: RunState, reason: str, now: Timestamp) -> Run:
    """Move a run to a state, on record and in the audit."""
    moved = replace(run, state=state, reason=reason)
    if moved.ended:
        moved = replace(moved, ended_at=now)
    transaction.runs.change(moved)
    _audit(transaction, moved, now)
    said = pairs(run=run.id, runbook=run.runbook, state=state, reason=reason, target=run.target)
    # The journal has every step; people at a terminal want the end.
    _log.log(logging.INFO if moved.ended else logging.DEBUG, "run %s", said)
    return moved


def write(transaction: Transaction, run: Run, line: Line, now: Timestamp) -> None:
    """Append a line to the journal of a run."""
    transaction.runs.write(run.id, now, line.kind, line.step, line.action, line.data)


def tell_effect(
    transaction: Transaction, verb: str, key: str, effect: Deed, figures: Document, now: Timestamp
) -> None:
    """Put into the audit, and on the log, what was done; `verb` is `applied` or `undone`."""
    document = deeds.write(effect)
    details: Document = {"effect": document, "result": figures}
    transaction.audit.append(now, ACTOR, f"effect.{verb}", key, details)
    _log.warning("effect %s", pairs(key=key, done=verb, **document))


def _audit(transaction: Transaction, run: Run, now: Timestamp) -> None:
    details: Document = {
        "runbook": run.runbook,
        "alert": run.alert,
        "target": run.target,
        "reason": run.reason,
    }
    transaction.audit.append(now, ACTOR, f"run.{run.state}", run.id, details)
