"""Alerts that Alertmanager sent us, each state of each once."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, select, tuple_, update

from netsre.alerting import webhook
from netsre.alerting.webhook import Known, Notice
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource, AlertState
from netsre.model.incidents import Disposition, Received
from netsre.store import schema, tallies
from netsre.store.alerts import FIRING
from netsre.store.statements import portions


class ReceivedAlerts:
    """Alerts that Alertmanager sent us, each state of each once, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def keep(self, notices: Sequence[Notice], at: Timestamp) -> list[Disposition]:
        """Keep what was sent, count it, and return what each of it is to us, in the same order."""
        known = self._known(notices)
        found = [webhook.dispose(notice, known[notice.fingerprint]) for notice in notices]
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

    def _known(self, notices: Sequence[Notice]) -> dict[str, Known]:
        known = {notice.fingerprint: Known() for notice in notices}
        table, alert = schema.received, schema.alert
        for keys in portions({(notice.fingerprint, notice.starts_at) for notice in notices}):
            states = select(table.c.fingerprint, table.c.starts_at, table.c.status)
            states = states.where(tuple_(table.c.fingerprint, table.c.starts_at).in_(keys))
            for name, starts_at, status in self._connection.execute(states):
                known[name].states.add((starts_at, AlertState(status)))
        # A firing has no end, an end is no firing: two maxima of one column each.
        last = select(
            table.c.fingerprint,
            func.max(table.c.starts_at).filter(table.c.status == AlertState.FIRING.value),
            func.max(table.c.ends_at),
        ).group_by(table.c.fingerprint)
        own = select(alert.c.fingerprint).where(alert.c.source != AlertSource.WEBHOOK.value).distinct()
        for names in portions(known):
            for name, start, end in self._connection.execute(last.where(table.c.fingerprint.in_(names))):
                known[name].last_start, known[name].last_end = start, end
            for (name,) in self._connection.execute(own.where(alert.c.fingerprint.in_(names))):
                known[name].own = True
        return known

    def _insert(self, rows: list[dict[str, object]]) -> None:
        if rows:
            self._connection.execute(schema.received.insert(), rows)

    def _repeat(self, notices: Iterable[Notice]) -> None:
        """Count what came again; of two ends of one firing the later one is right, as in Alertmanager."""
        table = schema.received
        end = bindparam("end", type_=table.c.ends_at.type)
        later = func.coalesce(table.c.ends_at, end) < end
        rows = [
            {"name": n.fingerprint, "start": n.starts_at, "state": n.status.value, "end": n.ends_at}
            for n in notices
        ]
        if not rows:
            return
        this = update(table).where(
            table.c.fingerprint == bindparam("name"),
            table.c.starts_at == bindparam("start"),
            table.c.status == bindparam("state"),
        )
        self._connection.execute(this.values(times=table.c.times + 1), rows)
        self._connection.execute(this.where(later).values(ends_at=end), rows)


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
