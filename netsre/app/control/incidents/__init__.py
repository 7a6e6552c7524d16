"""Keeps incidents up to date: whoever has an alert begin or end says so here, in the same transaction."""

from collections.abc import Iterable, Sequence

from netsre.app.control import ACTOR
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.store.database import Transaction


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
    for name in transaction.incidents.attach(alerts, now):
        transaction.audit.append(now, ACTOR, "incident.opened", name, {})


def _close(transaction: Transaction, now: Timestamp) -> None:
    for name in transaction.incidents.close(now):
        transaction.audit.append(now, ACTOR, "incident.closed", name, {})
