"""The lease that decides which controller leads."""

from sqlalchemy import BigInteger, Connection, literal_column, select

from netsre.clock import Timestamp
from netsre.errors import Fenced
from netsre.model.leases import Lease
from netsre.store import schema
from netsre.store.statements import upsert

_NAME = "controller"
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)",
    "sqlite": "CAST(round((julianday('now') - 2440587.5) * 86400000) AS integer)",
}
"""Milliseconds since 1970 by the clock of the database."""


class Leases:
    """Keeps the lease inside a transaction of the caller; writers of all processes take turns."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def now(self) -> Timestamp:
        """Return the time by the database's clock."""
        now = literal_column(_NOW[self._connection.dialect.name], BigInteger)
        return Timestamp(self._connection.execute(select(now)).scalar_one())

    def find(self) -> Lease | None:
        """Return the lease; None when nobody ever had it."""
        table = schema.lease
        row = self._connection.execute(select(table).where(table.c.name == _NAME)).first()
        return None if row is None else Lease(row.node, row.holder, row.epoch, Timestamp(row.expires_at))

    def keep(self, lease: Lease) -> None:
        """Write the lease in place of what it was."""
        row = {
            "name": _NAME,
            "node": lease.node,
            "holder": lease.holder,
            "epoch": lease.epoch,
            "expires_at": lease.expires_at,
        }
        self._connection.execute(upsert(self._connection.dialect, schema.lease), [row])

    def refuse_another(self, epoch: int) -> None:
        """Raise `Fenced` unless the newest term is that of an epoch."""
        found = self.find()
        if found is None or found.epoch != epoch:
            who = "nobody" if found is None else f"{found.holder} (epoch {found.epoch})"
            raise Fenced(f"fenced: the term of epoch {epoch} is over, {who} leads; nothing was written")
