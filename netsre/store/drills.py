"""Runs of game days and their append-only journal."""

import json
from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, Row, Select, Text, func, insert, or_, select, type_coerce, update

from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.gamedays import Drill, DrillEntry, DrillKind, DrillState
from netsre.store import schema, tallies


class Drills:
    """Runs of game days and their append-only journal, inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def find(self, drill_id: str) -> Drill | None:
        """Return one drill."""
        return self._one(select(schema.drill).where(schema.drill.c.id == drill_id))

    def active(self) -> Drill | None:
        """Return the drill that is not over; there is at most one."""
        return self._one(select(schema.drill).where(schema.drill.c.active == 1))

    def scheduled(self, gameday: str, at: Timestamp) -> Drill | None:
        """Return what became of one scheduled time of a game day."""
        table = schema.drill
        return self._one(select(table).where(table.c.gameday == gameday, table.c.scheduled_at == at))

    def add(self, drill: Drill) -> None:
        """Record a new drill; the database refuses a second one that is not over."""
        self._connection.execute(
            insert(schema.drill).values(
                id=drill.id, gameday=drill.gameday, profile=drill.profile, by=drill.by,
                scheduled_at=drill.scheduled_at, requested_at=drill.requested_at, **_changing(drill),
            )
        )  # fmt: skip
        self._count(drill)

    def change(self, drill: Drill) -> None:
        """Record the new state and result of a drill, and count it when that is its last."""
        this = update(schema.drill).where(schema.drill.c.id == drill.id)
        self._connection.execute(this.values(**_changing(drill)))
        self._count(drill)

    def newest(self, limit: int) -> list[Drill]:
        """Return the latest drills, newest first."""
        table = schema.drill
        return self._all(select(table).order_by(table.c.requested_at.desc(), table.c.id).limit(limit))

    def between(self, start: Timestamp, end: Timestamp) -> list[Drill]:
        """Return the drills that went on at some moment from `start` to `end`, oldest first."""
        table = schema.drill
        query = select(table).where(
            table.c.requested_at <= end, or_(table.c.ended_at.is_(None), table.c.ended_at >= start)
        )
        return self._all(query.order_by(table.c.requested_at, table.c.id))

    def write(self, drill_id: str, at: Timestamp, kind: DrillKind, data: Document) -> None:
        """Append one line to a drill's journal."""
        table = schema.drill_journal
        last = self._connection.execute(
            select(func.max(table.c.seq)).where(table.c.drill == drill_id)
        ).scalar_one()
        self._connection.execute(
            insert(table).values(drill=drill_id, seq=(last or 0) + 1, at=at, kind=kind.value, data=data)
        )

    def journal(self, drill_id: str) -> tuple[DrillEntry, ...]:
        """Return the journal of a drill in order, without lines that cannot be read."""
        table = schema.drill_journal
        # Decoded row by row: one line that is broken must not hide the others.
        data = type_coerce(table.c.data, Text).label("data")
        query = select(table.c.drill, table.c.seq, table.c.at, table.c.kind, data)
        rows = self._connection.execute(query.where(table.c.drill == drill_id).order_by(table.c.seq))
        return tuple(entry for row in rows if (entry := _entry(row)) is not None)

    def counts(self) -> Mapping[tuple[str, str, str], int]:
        """Return how many drills ended, ever, by game day, state and reason."""
        found = tallies.read(self._connection, tallies.DRILL)
        return Counter({(tally.name, tally.state, tally.reason): tally.count for tally in found})

    def _one(self, query: Select[tuple[object, ...]]) -> Drill | None:
        row = self._connection.execute(query).first()
        return None if row is None else _drill(row)

    def _all(self, query: Select[tuple[object, ...]]) -> list[Drill]:
        return [_drill(row) for row in self._connection.execute(query)]

    def _count(self, drill: Drill) -> None:
        if drill.ended:
            tallies.count(self._connection, tallies.DRILL, drill.gameday, drill.state.value, drill.reason)


def _changing(drill: Drill) -> Mapping[str, object]:
    return {
        "state": drill.state.value,
        "reason": drill.reason,
        "ended_at": drill.ended_at,
        "result": drill.result,
        "active": None if drill.ended else 1,
    }


def _entry(row: Row[tuple[object, ...]]) -> DrillEntry | None:
    """Return a line of a journal; None for one that another version, or somebody by hand, wrote."""
    try:
        kind, data = DrillKind(row.kind), json.loads(row.data)
    except ValueError:
        return None
    return DrillEntry(row.drill, row.seq, Timestamp(row.at), kind, data) if isinstance(data, dict) else None


def _drill(row: Row[tuple[object, ...]]) -> Drill:
    return Drill(
        id=row.id,
        gameday=row.gameday,
        profile=row.profile,
        by=row.by,
        scheduled_at=row.scheduled_at,
        state=DrillState(row.state),
        reason=row.reason,
        requested_at=Timestamp(row.requested_at),
        ended_at=row.ended_at,
        result=row.result,
    )
