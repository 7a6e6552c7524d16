"""What automation is kept from: pauses, values in quarantine, and what was set free again."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from netsre.clock import Timestamp
from netsre.model.holds import Pause, Quarantined, Released, Scope
from netsre.store import schema
from netsre.store.statements import insert_once, upsert

# Made once: to put one together takes longer than SQLite takes to answer it.
_PAUSES: Final = select(schema.pause).where(
    schema.pause.c.until > bindparam("now"), schema.pause.c.ended_at.is_(None)
)
_QUARANTINED: Final = select(schema.quarantine).where(
    or_(schema.quarantine.c.until > bindparam("now"), schema.quarantine.c.since > bindparam("now")),
    schema.quarantine.c.key.not_in(
        select(schema.release.c.key).where(schema.release.c.kind == Released.QUARANTINE.value)
    ),
)
_CLOSED: Final = select(schema.release.c.key, schema.release.c.at).where(
    schema.release.c.kind == Released.BREAKER.value
)


class Holds:
    """Keeps them inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def pause(self, pause: Pause) -> Pause:
        """Keep a pause; return the one that has its id already, where there is one."""
        row = {
            "id": pause.id, "scope": pause.scope.value, "name": pause.name, "owner": pause.owner,
            "reason": pause.reason, "created_at": pause.created_at, "until": pause.until,
            "ended_at": pause.ended_at, "ended_by": pause.ended_by,
        }  # fmt: skip
        self._connection.execute(insert_once(self._connection.dialect, schema.pause, ("id",)), [row])
        found = self._connection.execute(select(schema.pause).where(schema.pause.c.id == pause.id)).one()
        return _pause(found)

    def resume(self, pause_id: str, at: Timestamp, by: str) -> bool:
        """End a pause; tell whether it stood."""
        table = schema.pause
        standing = (table.c.id == pause_id, table.c.ended_at.is_(None), table.c.until > at)
        ended = self._connection.execute(update(table).where(*standing).values(ended_at=at, ended_by=by))
        return ended.rowcount > 0

    def pauses(self, now: Timestamp) -> list[Pause]:
        """Return the pauses that stand, the oldest first."""
        rows = self._connection.execute(_PAUSES, {"now": now})
        return sorted(map(_pause, rows), key=lambda one: (one.created_at, one.id))

    def quarantine(self, one: Quarantined) -> None:
        """Put a value into quarantine; a new failure takes the place of an old one, and of its release."""
        row = {"key": one.key, "run": one.run, "since": one.since, "until": one.until}
        self._connection.execute(upsert(self._connection.dialect, schema.quarantine), [row])
        table = schema.release
        self._connection.execute(
            delete(table).where(table.c.kind == Released.QUARANTINE.value, table.c.key == one.key)
        )

    def quarantined(self, now: Timestamp) -> list[Quarantined]:
        """Return the values that are in quarantine and were not released, by key."""
        rows = self._connection.execute(_QUARANTINED, {"now": now})
        found = [Quarantined(row.key, row.run, row.since, row.until) for row in rows]
        return sorted((one for one in found if one.stands(now)), key=lambda one: one.key)

    def release(self, kind: Released, key: str, at: Timestamp, by: str, reason: str) -> None:
        """Keep that somebody set something free."""
        row = {"kind": kind.value, "key": key, "at": at, "by": by, "reason": reason}
        self._connection.execute(upsert(self._connection.dialect, schema.release), [row])

    def closed(self) -> Mapping[str, Timestamp]:
        """Return when the circuit of each runbook was closed last."""
        rows = self._connection.execute(_CLOSED)
        return MappingProxyType({row.key: Timestamp(row.at) for row in rows})


def _pause(row: object) -> Pause:
    found = row._mapping  # type: ignore[attr-defined]  # noqa: SLF001
    scope = found["scope"]
    return Pause(
        id=found["id"],
        # Of a kind that this version does not know: as wide as there is.
        scope=Scope(scope) if scope in set(Scope) else Scope.ALL,
        name=found["name"],
        owner=found["owner"],
        reason=found["reason"],
        created_at=Timestamp(found["created_at"]),
        until=Timestamp(found["until"]),
        ended_at=found["ended_at"],
        ended_by=found["ended_by"],
    )
