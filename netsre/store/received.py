"""Alerts that Alertmanager sent us, each state of each once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Connection, Row, bindparam, case, delete, exists, func, select, tuple_, update

from netsre.alerting import webhook
from netsre.alerting.webhook import Known, Notice
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.incidents import Disposition, Received
from netsre.store import schema, tallies
from netsre.store.alerts import FIRING
from netsre.store.statements import portions

_RECEIVED: Final = schema.received.c
_ALERT: Final = schema.alert.c

# Made once: for a request with one alert, making its statements would take longer than the database.
_STATES: Final = select(_RECEIVED.fingerprint, _RECEIVED.starts_at, _RECEIVED.status).where(
    _RECEIVED.fingerprint.in_(bindparam("names", expanding=True)),
    _RECEIVED.starts_at.in_(bindparam("times", expanding=True)),
)
# A firing has no end, an end is no firing: two maxima of one column each.
_LAST: Final = (
    select(
        _RECEIVED.fingerprint,
        func.max(_RECEIVED.starts_at).filter(
            _RECEIVED.status == AlertState.FIRING.value, _RECEIVED.starts_at <= bindparam("latest")
        ),
        func.max(_RECEIVED.ends_at).filter(_RECEIVED.ends_at <= bindparam("latest")),
    )
    .where(_RECEIVED.fingerprint.in_(bindparam("names", expanding=True)))
    .group_by(_RECEIVED.fingerprint)
)
_OWN: Final = (
    select(_ALERT.fingerprint)
    .where(_ALERT.fingerprint.in_(bindparam("names", expanding=True)))
    .where(_ALERT.source != AlertSource.WEBHOOK.value)
    .distinct()
)
_INSERT: Final = schema.received.insert()
_END: Final = bindparam("end", type_=_RECEIVED.ends_at.type)
_REPEAT: Final = (
    update(schema.received)
    .where(
        _RECEIVED.fingerprint == bindparam("name"),
        _RECEIVED.starts_at == bindparam("start"),
        _RECEIVED.status == bindparam("state"),
    )
    .values(
        times=_RECEIVED.times + 1, ends_at=case((_RECEIVED.ends_at < _END, _END), else_=_RECEIVED.ends_at)
    )
)


class ReceivedAlerts:
    """Alerts that Alertmanager sent us, each state of each once, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def keep(self, notices: Sequence[Notice], at: Timestamp) -> list[Disposition]:
        """Keep what was sent, count it, and return what each of it is to us, in the same order."""
        notices = self._as_ours(notices)
        known = self._known(notices, at)
        found = [webhook.dispose(notice, known[notice.fingerprint], at) for notice in notices]
        self._insert(
            [
                _row(notice, disposition, at)
                for notice, disposition in zip(notices, found, strict=True)
                if disposition is not Disposition.DUPLICATE
            ]
        )
        self._repeat(
            notice
            for notice, disposition in zip(notices, found, strict=True)
            if disposition is Disposition.DUPLICATE
        )
        for disposition, count in Counter(found).items():
            tallies.count(self._connection, tallies.RECEIVED, "", disposition.value, by=count)
        return found

    def of(self, alerts: Iterable[Alert]) -> list[Received]:
        """Return what was received about these firings, in the order in which it came first."""
        table = schema.received
        columns = [column for column in table.c if column.name != "annotations"]
        found: list[Received] = []
        for keys in portions((alert.fingerprint, alert.fired_at) for alert in alerts):
            query = select(*columns).where(tuple_(table.c.fingerprint, table.c.starts_at).in_(keys))
            found += [_received(row) for row in self._connection.execute(query)]
        return sorted(found, key=lambda row: (row.received_at, row.fingerprint, row.starts_at, row.status))

    def counts(self) -> dict[str, int]:
        """Return how many alerts were received, ever, by what became of them."""
        return {tally.state: tally.count for tally in tallies.read(self._connection, tallies.RECEIVED)}

    def prune(self, before: Timestamp) -> int:
        """Drop what was received before a time, but not of alerts that fire: their next repeat is no news."""
        table, alert = schema.received, schema.alert
        fires = exists().where(alert.c.fingerprint == table.c.fingerprint, alert.c.state == FIRING)
        return self._connection.execute(delete(table).where(table.c.received_at < before, ~fires)).rowcount

    def _as_ours(self, notices: Sequence[Notice]) -> Sequence[Notice]:
        """Return the notices, those of alerts of ours in a batch under the names that they have here."""
        plain = [webhook.without_batch(notice) for notice in notices]
        ours = {
            name
            for names in portions(one.fingerprint for one in plain if one is not None)
            for (name,) in self._connection.execute(_OWN, {"names": names})
        }
        return [
            notice if one is None or one.fingerprint not in ours else one
            for notice, one in zip(notices, plain, strict=True)
        ]

    def _known(self, notices: Sequence[Notice], at: Timestamp) -> dict[str, Known]:
        known = {notice.fingerprint: Known() for notice in notices}
        starts = {notice.fingerprint: set[Timestamp]() for notice in notices}
        for notice in notices:
            starts[notice.fingerprint].add(notice.starts_at)
        for names in portions(known):
            times = {"names": names, "times": list(set[Timestamp]().union(*(starts[name] for name in names)))}
            for name, starts_at, status in self._connection.execute(_STATES, times):
                known[name].states.add((starts_at, AlertState(status)))
            for name, start, end in self._connection.execute(
                _LAST, {"names": names, "latest": at + webhook.AHEAD}
            ):
                known[name].last_start, known[name].last_end = start, end
            for (name,) in self._connection.execute(_OWN, {"names": names}):
                known[name].own = True
        return known

    def _insert(self, rows: list[dict[str, object]]) -> None:
        if rows:
            self._connection.execute(_INSERT, rows)

    def _repeat(self, notices: Iterable[Notice]) -> None:
        """Count what came again; of two ends of one firing the later one is right, as in Alertmanager."""
        rows = [
            {"name": n.fingerprint, "start": n.starts_at, "state": n.status.value, "end": n.ends_at}
            for n in notices
        ]
        if rows:
            self._connection.execute(_REPEAT, rows)


def _received(row: Row[tuple[object, ...]]) -> Received:
    return Received(
        fingerprint=row.fingerprint,
        starts_at=row.starts_at,
        status=row.status,
        ends_at=row.ends_at,
        labels=row.labels,
        disposition=Disposition(row.disposition),
        received_at=row.received_at,
        times=row.times,
    )


def _row(notice: Notice, disposition: Disposition, at: Timestamp) -> dict[str, object]:
    return {
        "fingerprint": notice.fingerprint,
        "starts_at": notice.starts_at,
        "status": notice.status.value,
        "ends_at": notice.ends_at,
        "labels": notice.labels,
        "annotations": notice.annotations,
        "disposition": disposition.value,
        "received_at": at,
        "times": 1,
    }
