"""Lines that runs tell people: on record with the outcome of their step, and then on the alert log."""

from collections.abc import Mapping
from typing import Final

from netsre import clock
from netsre.app.control import ACTOR, messages
from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.documents import Document, Json
from netsre.model.runbooks import JournalKind, Run
from netsre.runbook.actions.notify import NOTICE, NOTIFY
from netsre.runbook.journal import Line
from netsre.store.database import Transaction

CHANNELS: Final = (messages.LOG,)
"""Where they are told; those who tell of whole incidents have them from the journal."""


def tell(transaction: Transaction, run: Run, alert: Alert, line: Line, now: Timestamp) -> None:
    """Put up for delivery what an outcome tells people, in its transaction; most tell nothing."""
    evidence = line.data.get("evidence")
    if line.kind is not JournalKind.OUTCOME or line.action != NOTIFY or not isinstance(evidence, Mapping):
        return
    payload: Document = {
        NOTICE: str(evidence.get(NOTICE, "")),
        "run": run.id,
        "runbook": run.runbook,
        "target": run.target,
        "labels": dict(alert.labels),
        "at": clock.rfc3339(now),
    }
    key = f"{run.id}/{line.step}"
    for channel in CHANNELS:
        transaction.outbox.add(channel, key, payload, now)
    transaction.audit.append(now, ACTOR, "notice.told", key, {NOTICE: payload[NOTICE]})


def is_notice(payload: Document) -> bool:
    """Tell whether a message is such a line, and no alert."""
    return NOTICE in payload


def line(payload: Document) -> Mapping[str, Json]:
    """Return what the log of the process says of it."""
    return {key: payload.get(key) for key in ("run", "runbook", "target", NOTICE)}
