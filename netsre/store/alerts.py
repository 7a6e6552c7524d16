"""Alerts, every firing of each, and the counts that metrics are made of."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Text,
    bindparam,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)

from netsre import conventions
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.documents import canonical
from netsre.model.samples import labels
from netsre.store import schema, tallies
from netsre.store.statements import portions, upsert

UNREADABLE: Final = "unreadable"
"""State of a row that was set aside: it is kept, and nobody reads it."""

# A literal: with a parameter SQLite would not know that the index of firing alerts answers this.
FIRING: Final[ColumnElement[str]] = literal_column(f"'{AlertState.FIRING.value}'")
OURS: Final = schema.alert.c.source != AlertSource.WEBHOOK.value
"""Of somebody else's alerts there may be any number, and few of our questions are about them."""

# Texts are decoded row by row here, and not by their types: one row that is broken must not hide the others.
_COLUMNS: Final = [
    type_coerce(column, Text).label(column.name) if column.name in ("labels", "annotations") else column
    for column in schema.alert.c
]
_TOLD: Final = select(*_COLUMNS).where(
    schema.alert.c.state == FIRING,
    schema.alert.c.fingerprint.in_(bindparam("names", expanding=True)),
    ~OURS,
)


# Made once: to put one together takes longer than SQLite takes to answer it.
_FIND: Final = select(*_COLUMNS).where(
    schema.alert.c.fingerprint == bindparam("name"), schema.alert.c.fired_at == bindparam("at")
)
_FIRING: Final = select(*_COLUMNS).where(schema.alert.c.state == FIRING)
_FIRING_OURS: Final = _FIRING.where(OURS)
_FIRING_OF: Final = MappingProxyType(
    {source: _FIRING.where(schema.alert.c.source == source.value) for source in AlertSource}
)
_OTHERS: Final = (
    select(*_COLUMNS)
    .where(schema.alert.c.state == FIRING, ~OURS)
    .order_by(schema.alert.c.fired_at.desc(), schema.alert.c.fingerprint)
    .limit(bindparam("most"))
)
_ENDED: Final = (
    select(*_COLUMNS)
    .where(schema.alert.c.resolved_at.is_not(None))
    .order_by(schema.alert.c.resolved_at.desc(), schema.alert.c.fingerprint)
    .limit(bindparam("most"))
)


class Alerts:
    """Keeps alerts inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def save(self, alert: Alert) -> None:
        """Write one firing of an alert over what was known of it, and count that it began or ended.

        Where somebody else told of the same alert, theirs ends with the beginning of ours: both cannot fire.
        """
        before = self.find(alert.fingerprint, alert.fired_at)
        if before is None and alert.resolved_at is None and alert.source is not AlertSource.WEBHOOK:
            theirs = self.told([alert.fingerprint]).values()
            ended = [replace(a, state=AlertState.RESOLVED, resolved_at=alert.fired_at) for a in theirs]
            self.save_all(ended, theirs)
        self._write([alert])
        self._count([alert], {} if before is None else {_key(before): before})

    def save_all(self, alerts: Sequence[Alert], firing: Iterable[Alert]) -> None:
        """Write many firings of somebody else's, each once; `firing` are those that `told` returned."""
        # Those that ended make room for those that begin: one alert fires once at a time.
        self._write(sorted(alerts, key=lambda alert: alert.state is AlertState.FIRING))
        self._count(alerts, {_key(alert): alert for alert in firing})

    def active(self, source: AlertSource | None = None) -> dict[str, Alert]:
        """Return the firing alerts by fingerprint, of one source or of all, without those unreadable."""
        rows = self._connection.execute(_FIRING if source is None else _FIRING_OF[source])
        return {alert.fingerprint: alert for row in rows if (alert := _alert(row)) is not None}

    def firing_as(self, names: Iterable[str]) -> list[Alert]:
        """Return the firing alerts, ours and others, that are called so, without those unreadable."""
        labels_text = type_coerce(schema.alert.c.labels, Text)
        # In canonical JSON there is one way to write it; a value that looks like it is seen below.
        written = [labels_text.contains(canonical({"alertname": n})[1:-1], autoescape=True) for n in names]
        if not written:
            return []
        rows = self._connection.execute(_FIRING.where(or_(*written)))
        return [alert for row in rows if (alert := _alert(row)) is not None]

    def told(self, fingerprints: Iterable[str]) -> dict[str, Alert]:
        """Return those of these alerts that fire because somebody else told of them, by fingerprint.

        A row of one that cannot be read is set aside, as `set_aside` does with those of ours.
        """
        found: dict[str, Alert] = {}
        for names in portions(fingerprints):
            rows = list(self._connection.execute(_TOLD, {"names": names}))
            self._set_aside(rows)
            found |= {alert.fingerprint: alert for row in rows if (alert := _alert(row)) is not None}
        return found

    def set_aside(self) -> list[str]:
        """Take firing rows of ours that cannot be read out of the way; return their fingerprints.

        Their alerts are decided anew: without that the row would forbid the same alert to fire.
        """
        return self._set_aside(self._firing())

    def _set_aside(self, rows: Iterable[Row[tuple[object, ...]]]) -> list[str]:
        broken = [row for row in rows if _alert(row) is None]
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
        row = self._connection.execute(_FIND, {"name": fingerprint, "at": fired_at}).first()
        return None if row is None else _alert(row)

    def newest(self, limit: int) -> list[Alert]:
        """Return every alert of ours that fires, newest first, then others that fire, then those that ended.

        Up to `limit` in all, unless more of ours fire: of somebody else's there may be any number.
        """
        ours = (alert for row in self._firing() if (alert := _alert(row)) is not None)
        firing = sorted(ours, key=lambda alert: (-alert.fired_at, alert.fingerprint))
        rows = self._connection.execute(_OTHERS, {"most": max(0, limit - len(firing))})
        firing += [alert for row in rows if (alert := _alert(row)) is not None]
        rows = self._connection.execute(_ENDED, {"most": max(0, limit - len(firing))})
        return [*firing, *(alert for row in rows if (alert := _alert(row)) is not None)]

    def since(self, ended: Timestamp) -> list[Alert]:
        """Return every alert of ours that fires, and those that ended at a time or later."""
        late = select(*_COLUMNS).where(schema.alert.c.resolved_at >= ended, OURS)
        rows = (*self._firing(), *self._connection.execute(late))
        return [alert for row in rows if (alert := _alert(row)) is not None]

    def severities(self) -> list[str]:
        """Return the severity of every alert of ours that fires."""
        found = (_alert(row) for row in self._firing())
        return [dict(alert.labels).get("severity", "") for alert in found if alert is not None]

    def transitions(self) -> Mapping[tuple[str, str], int]:
        """Return how often alerts began and ended, ever, by alert name and transition."""
        found = tallies.read(self._connection, tallies.ALERT)
        return MappingProxyType({(tally.name, tally.state): tally.count for tally in found})

    def _firing(self) -> list[Row[tuple[object, ...]]]:
        return list(self._connection.execute(_FIRING_OURS))

    def _write(self, alerts: Iterable[Alert]) -> None:
        rows = [
            {
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
            for alert in alerts
        ]
        if rows:
            self._connection.execute(upsert(self._connection.dialect, schema.alert), rows)

    def _count(self, alerts: Iterable[Alert], before: Mapping[tuple[str, Timestamp], Alert]) -> None:
        reached: Counter[tuple[str, AlertState]] = Counter()
        for alert in alerts:
            name, known = dict(alert.labels)["alertname"], before.get(_key(alert))
            if known is None:
                reached[name, AlertState.FIRING] += 1
            if alert.resolved_at is not None and (known is None or known.resolved_at is None):
                reached[name, AlertState.RESOLVED] += 1
        for (name, state), count in reached.items():
            tallies.count(self._connection, tallies.ALERT, name, state.value, by=count)


def _key(alert: Alert) -> tuple[str, Timestamp]:
    return alert.fingerprint, alert.fired_at


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
