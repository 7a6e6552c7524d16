"""Which Alertmanager took which alert, and when."""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, exists, select, tuple_, update

from netsre.clock import Timestamp
from netsre.model.alerts import Alert
from netsre.model.incidents import Page
from netsre.store import schema
from netsre.store.alerts import FIRING
from netsre.store.statements import insert_once, portions


class Pages:
    """Which Alertmanager took which alert, and when, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def accepted(self, peer: str, alerts: Iterable[Alert], at: Timestamp) -> None:
        """Keep that a peer took alerts as they are now; of each beginning and end the first time stays."""
        table = schema.page
        rows = [
            {
                "peer": peer,
                "fingerprint": alert.fingerprint,
                "fired_at": alert.fired_at,
                "accepted_at": at,
                "resolved_at": None if alert.resolved_at is None else at,
            }
            for alert in alerts
        ]
        if rows:
            keys = ("peer", "fingerprint", "fired_at")
            self._connection.execute(insert_once(self._connection.dialect, table, keys), rows)
        ended = [
            {"key": row["fingerprint"], "at": row["fired_at"]}
            for row in rows
            if row["resolved_at"] is not None
        ]
        if ended:
            this = update(table).where(
                table.c.peer == peer,
                table.c.fingerprint == bindparam("key"),
                table.c.fired_at == bindparam("at"),
                table.c.resolved_at.is_(None),
            )
            self._connection.execute(this.values(resolved_at=at), ended)

    def of(self, alerts: Iterable[Alert]) -> list[Page]:
        """Return what was told of these firings, by peer and time."""
        table = schema.page
        found: list[Page] = []
        for keys in portions((alert.fingerprint, alert.fired_at) for alert in alerts):
            query = select(table).where(tuple_(table.c.fingerprint, table.c.fired_at).in_(keys))
            found += [Page(*row) for row in self._connection.execute(query)]
        return sorted(found, key=lambda page: (page.accepted_at, page.peer, page.fingerprint))

    def prune(self, before: Timestamp) -> int:
        """Drop what was told before a time of alerts that have ended; return how much."""
        table, alert = schema.page, schema.alert
        fires = exists().where(alert.c.fingerprint == table.c.fingerprint, alert.c.state == FIRING)
        return self._connection.execute(delete(table).where(table.c.accepted_at < before, ~fires)).rowcount
