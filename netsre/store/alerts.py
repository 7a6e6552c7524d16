"""Alerts, every firing of each, and the counts that metrics are made of."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, Row, Text, literal_column, select, type_coerce, update

from netsre import conventions
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.samples import labels
from netsre.store import schema, tallies
from netsre.store.statements import upsert

UNREADABLE: Final = "unreadable"
"""State of a row that was set aside: it is kept, and nobody reads it."""

# Texts are decoded row by row here, and not by their types: one row that is broken must not hide the others.
_COLUMNS: Final = [
    type_coerce(column, Text).label(column.name) if column.name in ("labels", "annotations") else column
    for column in schema.alert.c
]


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
            "source": alert.source.value,
        }
        self._connection.execute(upsert(self._connection.dialect, schema.alert), [row])
        self._count(alert, before)

    def active(self, source: AlertSource | None = None) -> dict[str, Alert]:
        """Return the firing alerts by fingerprint, of one source or of all, without those unreadable."""
        found = ((row.fingerprint, _alert(row)) for row in self._firing())
        return {name: alert for name, alert in found if alert is not None and source in (None, alert.source)}

    def set_aside(self) -> list[str]:
        """Take firing rows that cannot be read out of the way, and count them; return their fingerprints.

        Their alerts are decided anew: without that the row would forbid the same alert to fire.
        """
        broken = [row for row in self._firing() if _alert(row) is None]
        table = schema.alert
        for row in broken:
            this = update(table).where(
                table.c.fingerprint == row.fingerprint, table.c.fired_at == row.fired_at
            )
            self._connection.execute(this.values(state=UNREADABLE))
            tallies.count(self._connection, tallies.ALERT, conventions.OTHER, UNREADABLE)
        return [row.fingerprint for row in broken]

    def find(self, fingerprint: str, fired_at: Timestamp) -> Alert | None:
        """Return one firing of an alert."""
        table = schema.alert
        query = select(*_COLUMNS).where(table.c.fingerprint == fingerprint, table.c.fired_at == fired_at)
        row = self._connection.execute(query).first()
        return None if row is None else _alert(row)

    def newest(self, limit: int) -> list[Alert]:
        """Return every alert that fires, newest first, then those that ended last, up to `limit` in all."""
        firing = sorted(self.active().values(), key=lambda alert: (-alert.fired_at, alert.fingerprint))
        table = schema.alert
        ended = select(*_COLUMNS).where(table.c.resolved_at.is_not(None))
        ended = ended.order_by(table.c.resolved_at.desc(), table.c.fingerprint)
        rows = self._connection.execute(ended.limit(max(0, limit - len(firing))))
        return [*firing, *(alert for row in rows if (alert := _alert(row)) is not None)]

    def transitions(self) -> Mapping[tuple[str, str], int]:
        """Return how often alerts began and ended, ever, by alert name and transition."""
        found = tallies.read(self._connection, tallies.ALERT)
        return MappingProxyType({(tally.name, tally.state): tally.count for tally in found})

    def _firing(self) -> list[Row[tuple[object, ...]]]:
        # A literal: with a parameter SQLite would not know that the index of firing alerts answers this.
        firing = schema.alert.c.state == literal_column(f"'{AlertState.FIRING.value}'")
        return list(self._connection.execute(select(*_COLUMNS).where(firing)))

    def _count(self, alert: Alert, before: Alert | None) -> None:
        name = dict(alert.labels)["alertname"]
        if before is None:
            tallies.count(self._connection, tallies.ALERT, name, AlertState.FIRING.value)
        if alert.resolved_at is not None and (before is None or before.resolved_at is None):
            tallies.count(self._connection, tallies.ALERT, name, AlertState.RESOLVED.value)


def _alert(row: Row[tuple[object, ...]]) -> Alert | None:
    """Return the alert of a row; None for one that another version, or somebody by hand, wrote."""
    try:
        pairs, annotations = _texts(row.labels), _texts(row.annotations)
        state, source = AlertState(row.state), AlertSource(row.source)
    except ValueError:
        return None
    if "alertname" not in pairs:
        return None
    return Alert(
        fingerprint=row.fingerprint,
        labels=labels(pairs),
        annotations=annotations,
        state=state,
        fired_at=Timestamp(row.fired_at),
        resolved_at=row.resolved_at,
        updated_at=Timestamp(row.updated_at),
        clearing_since=row.clearing_since,
        source=source,
    )


def _texts(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        message = "not an object of texts"
        raise ValueError(message)
    return found
