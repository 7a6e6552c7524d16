"""Alerts, every firing of each, and the counts that metrics are made of."""

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import Connection, Row, literal_column, select

from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertState
from netsre.store import schema, tallies
from netsre.store.statements import upsert


class Alerts:
    """Keeps alerts inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def save(self, alert: Alert) -> None:
        """Write one firing of an alert over what was known of it, and count that it began or ended."""
        before = self.find(alert.fingerprint, alert.fired_at)
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
        self._count(alert, before)

    def active(self) -> dict[str, Alert]:
        """Return the firing alerts by fingerprint."""
        # A literal: with a parameter SQLite would not know that the index of firing alerts answers this.
        firing = schema.alert.c.state == literal_column(f"'{AlertState.FIRING.value}'")
        query = select(schema.alert).where(firing)
        return {row.fingerprint: _alert(row) for row in self._connection.execute(query)}

    def find(self, fingerprint: str, fired_at: Timestamp) -> Alert | None:
        """Return one firing of an alert."""
        table = schema.alert
        query = select(table).where(table.c.fingerprint == fingerprint, table.c.fired_at == fired_at)
        row = self._connection.execute(query).first()
        return None if row is None else _alert(row)

    def newest(self, limit: int) -> list[Alert]:
        """Return every alert that fires, newest first, then those that ended last, up to `limit` in all."""
        firing = sorted(self.active().values(), key=lambda alert: (-alert.fired_at, alert.fingerprint))
        table = schema.alert
        ended = select(table).where(table.c.resolved_at.is_not(None))
        ended = ended.order_by(table.c.resolved_at.desc(), table.c.fingerprint)
        rows = self._connection.execute(ended.limit(max(0, limit - len(firing))))
        return [*firing, *(_alert(row) for row in rows)]

    def transitions(self) -> Mapping[tuple[str, str], int]:
        """Return how often alerts began and ended, ever, by alert name and transition."""
        found = tallies.read(self._connection, tallies.ALERT)
        return MappingProxyType({(tally.name, tally.state): tally.count for tally in found})

    def _count(self, alert: Alert, before: Alert | None) -> None:
        name = dict(alert.labels)["alertname"]
        if before is None:
            tallies.count(self._connection, tallies.ALERT, name, AlertState.FIRING.value)
        if alert.resolved_at is not None and (before is None or before.resolved_at is None):
            tallies.count(self._connection, tallies.ALERT, name, AlertState.RESOLVED.value)


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
