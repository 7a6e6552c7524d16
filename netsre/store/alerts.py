"""Alerts, every firing of each, and the counts that metrics are made of."""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import Connection, Row, func, select

from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.store import schema
from netsre.store.statements import upsert


class Alerts:
    """Keeps alerts inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def save(self, alert: Alert) -> None:
        """Write one firing of an alert over what was known of it."""
        row = {
            "fingerprint": alert.fingerprint,
            "fired_at": alert.fired_at,
            "labels": alert.labels,
            "annotations": dict(alert.annotations),
            "state": alert.state.value,
            "resolved_at": alert.resolved_at,
            "updated_at": alert.updated_at,
            "clearing_since": alert.clearing_since,
        }
        self._connection.execute(upsert(self._connection.dialect, schema.alert), [row])

    def active(self) -> dict[str, Alert]:
        """Return the firing alerts by fingerprint."""
        query = select(schema.alert).where(schema.alert.c.state == AlertState.FIRING.value)
        return {row.fingerprint: _alert(row) for row in self._connection.execute(query)}

    def find(self, fingerprint: str, fired_at: Timestamp) -> Alert | None:
        """Return one firing of an alert."""
        table = schema.alert
        query = select(table).where(table.c.fingerprint == fingerprint, table.c.fired_at == fired_at)
        row = self._connection.execute(query).first()
        return None if row is None else _alert(row)

    def newest(self, limit: int) -> list[Alert]:
        """Return the latest firings, newest first."""
        table = schema.alert
        query = select(table).order_by(table.c.fired_at.desc(), table.c.fingerprint).limit(limit)
        return [_alert(row) for row in self._connection.execute(query)]

    def transitions(self) -> Mapping[tuple[str, str], int]:
        """Return how often alerts began and ended, ever, by alert name and transition."""
        table = schema.alert
        query = select(table.c.labels, func.count(), func.count(table.c.resolved_at)).group_by(table.c.labels)
        counts: dict[tuple[str, str], int] = {}
        for pairs, fired, resolved in self._connection.execute(query):
            name = dict(pairs)["alertname"]
            for transition, count in ((AlertState.FIRING, fired), (AlertState.RESOLVED, resolved)):
                key = (name, transition.value)
                counts[key] = counts.get(key, 0) + count
        return MappingProxyType(counts)


def _alert(row: Row[tuple[object, ...]]) -> Alert:
    return Alert(
        fingerprint=row.fingerprint,
        labels=row.labels,
        annotations=row.annotations,
        state=AlertState(row.state),
        fired_at=Timestamp(row.fired_at),
        resolved_at=row.resolved_at,
        updated_at=Timestamp(row.updated_at),
        clearing_since=row.clearing_since,
    )
