"""Alerts as messages: what the outbox keeps and what channels send."""

from collections.abc import Mapping
from typing import Final

from netsre import clock
from netsre.alerting.transitions import Transition
from netsre.clock import Timestamp
from netsre.errors import NetsreError
from netsre.model.alerts import Alert, AlertState, fingerprint
from netsre.model.documents import Document, Json
from netsre.model.samples import labels

LOG: Final = "log"
RUNBOOK: Final = "runbook"
CHANNELS: Final = (LOG, RUNBOOK)


class MessageUnreadable(NetsreError):
    """A stored message is not of this version."""


def announcement(transition: Transition) -> Document:
    """Return the message about an alert that began or ended."""
    alert = transition.alert
    return {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state.value,
        "reason": transition.reason.value,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "updated_at": alert.updated_at,
    }


def read_alert(payload: Document) -> Alert:
    """Return the alert of a message; raises `MessageUnreadable` for one that is none."""
    pairs, notes = _texts(payload.get("labels")), _texts(payload.get("annotations"))
    fired, resolved, updated = (payload.get(key) for key in ("fired_at", "resolved_at", "updated_at"))
    if not isinstance(fired, int) or not isinstance(updated, int) or not isinstance(resolved, int | None):
        message = "message has no times; it was written by another version"
        raise MessageUnreadable(message)
    identity = labels(pairs)
    return Alert(
        fingerprint=fingerprint(identity),
        labels=identity,
        annotations=notes,
        state=AlertState(str(payload.get("state"))),
        fired_at=Timestamp(fired),
        resolved_at=None if resolved is None else Timestamp(resolved),
        updated_at=Timestamp(updated),
    )


def line(key: str, payload: Document) -> Document:
    """Return a message as a line for people and other programs: with its key, and times as text."""
    times = {
        name: clock.rfc3339(Timestamp(at))
        for name in ("fired_at", "resolved_at", "updated_at")
        if isinstance(at := payload.get(name), int)
    }
    return {**payload, **times, "key": key}


def _texts(value: Json) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        message = "message has no labels or annotations; it was written by another version"
        raise MessageUnreadable(message)
    return {str(name): str(text) for name, text in value.items()}
