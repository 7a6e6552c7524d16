"""Keeps incidents up to date: whoever has an alert begin or end says so here, in the same transaction."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from netsre import conventions
from netsre.app.control import ACTOR
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.store.database import Transaction

if TYPE_CHECKING:
    from netsre.model.documents import Document

_AUDITED: Final = 100
"""Names of incidents that one row of the audit has."""


def note(transaction: Transaction, alerts: Iterable[Alert], now: Timestamp) -> None:
    """Give alerts that begin to their incidents, and close what an end leaves without any."""
    told = list(alerts)
    _open(transaction, [alert for alert in told if alert.state is AlertState.FIRING], now)
    if any(alert.state is not AlertState.FIRING for alert in told):
        _close(transaction, now)


def check(transaction: Transaction, now: Timestamp) -> None:
    """Close what has come to its end by the end of a run, and give a home to alerts that have none."""
    _open(transaction, transaction.incidents.homeless(), now)
    _close(transaction, now)


def _open(transaction: Transaction, alerts: Sequence[Alert], now: Timestamp) -> None:
    _audit(transaction, "incident.opened", transaction.incidents.attach(alerts, now), now)


def _close(transaction: Transaction, now: Timestamp) -> None:
    _audit(transaction, "incident.closed", transaction.incidents.close(now), now)


def _audit(transaction: Transaction, verb: str, names: Sequence[str], now: Timestamp) -> None:
    """Put one row into the audit, also when a storm of somebody else's alerts opens thousands."""
    if not names:
        return
    subject = names[0] if len(names) == 1 else conventions.OTHER
    details: Document = {"count": len(names), "first": names[:_AUDITED]}
    transaction.audit.append(now, ACTOR, verb, subject, details)
