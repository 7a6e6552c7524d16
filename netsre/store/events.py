"""What people said that they did."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from netsre.clock import Timestamp
from netsre.model.events import Event
from netsre.store import schema

# Made once: to put one together takes longer than SQLite takes to answer it.
_LATEST: Final = (
    select(schema.event)
    .where(
        schema.event.c.kind == bindparam("of"),
        schema.event.c.at.between(bindparam("begin"), bindparam("end")),
        schema.event.c.node.in_(bindparam("nodes", expanding=True)),
    )
    .order_by(schema.event.c.at.desc(), schema.event.c.id)
    .limit(1)
)


class Events:
    """Keeps events inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def add(self, event: Event) -> bool:
        """Keep an event, unless there is one of its id; tell whether it is new."""
        if self.find(event.id) is not None:
            return False
        self._connection.execute(insert(schema.event), [asdict(event)])
        return True

    def find(self, event_id: str) -> Event | None:
        """Return one event."""
        found = self._connection.execute(select(schema.event).where(schema.event.c.id == event_id)).first()
        return None if found is None else _event(found)

    def between(self, begin: Timestamp, end: Timestamp, node: str, limit: int) -> list[Event]:
        """Return the events of a time about a node, or about all, in order, up to a number of them."""
        table = schema.event
        query = select(table).where(table.c.at.between(begin, end), table.c.node.in_(("", node)))
        return _events(self._connection.execute(query.order_by(table.c.at, table.c.id).limit(limit)))

    def latest(self, kind: str, begin: Timestamp, end: Timestamp, node: str) -> Event | None:
        """Return the last event of a kind and a time about a node, or about all."""
        asked = {"of": kind, "begin": begin, "end": end, "nodes": ["", node]}
        found = self._connection.execute(_LATEST, asked).first()
        return None if found is None else _event(found)

    def prune(self, kind: str, person: str, before: Timestamp) -> int:
        """Drop the events of a kind before a time that one person said; return how many."""
        table = schema.event.c
        old = delete(schema.event).where(table.at < before, table.kind == kind, table.person == person)
        return self._connection.execute(old).rowcount

    def newest(self, limit: int) -> list[Event]:
        """Return the latest events, newest first."""
        table = schema.event
        query = select(table).order_by(table.c.at.desc(), table.c.id).limit(limit)
        return _events(self._connection.execute(query))


def _events(rows: Iterable[Row[tuple[object, ...]]]) -> list[Event]:
    return [_event(row) for row in rows]


def _event(row: Row[tuple[object, ...]]) -> Event:
    return Event(row.id, row.kind, row.node, row.text, Timestamp(row.at), Timestamp(row.said_at), row.person)
