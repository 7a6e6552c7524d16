"""Measured history: buckets of every length, and the cursor of every source."""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Final

from sqlalchemy import Connection, delete, select

from netsre.clock import Timestamp
from netsre.model.documents import canonical
from netsre.model.samples import Labels, Series, labels
from netsre.slo.buckets import Bucket
from netsre.slo.increments import Cursor
from netsre.store import schema
from netsre.store.statements import upsert

_AT_ONCE: Final = 500
"""Rows in memory while all are read; through thousands the garbage collector would look again and again."""

_slot: Final = schema.slo_bucket.c
_BUCKETS: Final = (
    select(
        _slot.slo, _slot.labels, _slot.begin, _slot.bad, _slot.total, _slot.measured, _slot.definition,
        _slot.step,
    )
    .order_by(_slot.step, _slot.begin)
    .execution_options(yield_per=_AT_ONCE)
)  # fmt: skip
_CURSORS: Final = select(schema.slo_cursor)


class History:
    """Keeps buckets and cursors inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def save(self, buckets: Iterable[Bucket], cursors: Iterable[Cursor]) -> None:
        """Write buckets and cursors over what was there; buckets hold full values, so twice is once."""
        rows = [
            {
                "slo": b.slo,
                "definition": b.definition,
                "labels": b.group,
                "step": b.step,
                "begin": b.begin,
                "bad": b.bad,
                "total": b.total,
                "measured": b.measured,
            }
            for b in buckets
        ]
        if rows:
            self._connection.execute(upsert(self._connection.dialect, schema.slo_bucket), rows)
        for cursor in cursors:
            series = canonical(
                [[key.name, dict(key.labels), f"{value:f}"] for key, value in cursor.values.items()]
            )
            row = {
                "node": cursor.node,
                "at": cursor.at,
                "started_at": cursor.started_at,
                "followed": canonical(sorted(cursor.followed)),
                "series": series,
            }
            self._connection.execute(upsert(self._connection.dialect, schema.slo_cursor), [row])

    def buckets(self) -> Iterator[Bucket]:
        """Yield all buckets by length and begin, as they are read; use them up inside the transaction."""
        rows = self._connection.execute(_BUCKETS).partitions()
        return map(Bucket._make, chain.from_iterable(rows))

    def between(
        self, what: tuple[str, str, Labels], step: int, begin: Timestamp, end: Timestamp
    ) -> list[Bucket]:
        """Return the buckets of a length of one SLO, definition and group that begin in a time, in order."""
        table = schema.slo_bucket
        (slo, definition, group) = what
        query = select(table).where(
            table.c.slo == slo,
            table.c.definition == definition,
            table.c.labels == group,
            table.c.step == step,
            table.c.begin >= begin,
            table.c.begin < end,
        )
        return [
            Bucket(slo, group, Timestamp(row.begin), row.bad, row.total, row.measured, definition, step)
            for row in self._connection.execute(query.order_by(table.c.begin))
        ]

    def nodes(self) -> frozenset[str]:
        """Return the node of every source."""
        return frozenset(self._connection.execute(select(schema.slo_cursor.c.node)).scalars())

    def cursors(self) -> list[Cursor]:
        """Return the cursor of every source."""
        return [
            Cursor(
                node=row.node,
                at=Timestamp(row.at),
                started_at=Timestamp(row.started_at),
                followed=frozenset(json.loads(row.followed)),
                values={
                    Series(name, labels(pairs)): Decimal(value)
                    for name, pairs, value in json.loads(row.series)
                },
            )
            for row in self._connection.execute(_CURSORS)
        ]

    def definitions(self) -> frozenset[tuple[str, str]]:
        """Return every SLO that has buckets, with each definition that they are of."""
        query = select(schema.slo_bucket.c.slo, schema.slo_bucket.c.definition).distinct()
        return frozenset((row.slo, row.definition) for row in self._connection.execute(query))

    def drop(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Drop all buckets of some SLOs, each with the definition they are of."""
        table = schema.slo_bucket
        for slo, definition in wanted:
            where = (table.c.slo == slo, table.c.definition == definition)
            self._connection.execute(delete(table).where(*where))

    def prune(self, before: Mapping[int, Timestamp]) -> int:
        """Drop the buckets of each length that began before a time of its own; return how many.

        A source that was not read since the earliest of these times is forgotten.
        """
        table, sources = schema.slo_bucket, schema.slo_cursor
        oldest = min(before.values(), default=Timestamp(0))
        self._connection.execute(delete(sources).where(sources.c.at < oldest))
        return sum(
            self._connection.execute(delete(table).where(table.c.step == step, table.c.begin < at)).rowcount
            for step, at in before.items()
        )
