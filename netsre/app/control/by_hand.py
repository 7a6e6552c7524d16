"""Which alert a run by hand is for: one that fires, on record, and is a trigger of the runbook.

Without one there would be no gate that knows the node's state, no reading to verify by, and no end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from netsre import conventions
from netsre.model.alerts import Alert
from netsre.model.runbooks import Runbook
from netsre.runbook import conditions
from netsre.store.database import Transaction

NOT_FIRING = "alert_not_firing"
AMBIGUOUS = "ambiguous_alert"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class NoCause:
    """Why there is none: a word and a sentence."""

    reason: str
    detail: str


def cause(
    transaction: Transaction, runbook: Runbook, node: str | None, fingerprint: str | None
) -> Alert | NoCause:
    """Return the alert that fires and starts a runbook; of a node or a fingerprint, where one is given."""
    fires = [
        alert
        for alert in transaction.alerts.active().values()
        if _starts(runbook, alert)
        and node in (None, dict(alert.labels).get(conventions.NODE))
        and fingerprint in (None, alert.fingerprint)
    ]
    # Page and ticket of one cause often fire together: the condition of the runbook says which is meant.
    meant = [alert for alert in fires if runbook.when is None or conditions.holds(runbook.when, alert)]
    found = meant or fires
    if len(found) == 1:
        return found[0]
    if found:
        return NoCause(AMBIGUOUS, f"several alerts fire that start it: {_list(found)}; name one with --alert")
    names = ", ".join(dict.fromkeys(trigger.alert for trigger in runbook.triggers))
    where = f" on node {node}" if node else ""
    return NoCause(
        NOT_FIRING, f"no alert that starts it fires{where} (on: {names}), so nothing could be verified"
    )


def _starts(runbook: Runbook, alert: Alert) -> bool:
    return any(trigger.starts(alert) for trigger in runbook.triggers)


def _list(alerts: Sequence[Alert]) -> str:
    shown = (
        f"{dict(alert.labels).get('alertname')} {dict(alert.labels).get('severity', '')} {alert.fingerprint}"
        for alert in alerts[:_SHOWN]
    )
    return ", ".join(shown)
