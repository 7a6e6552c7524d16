"""The audit log: a chain in which every row carries the hash of the row before it.

A row that was changed, removed or slipped in breaks the chain from there on; rows cut off at the end are seen
because the head of the chain is kept apart, in `meta`.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from netsre.clock import Timestamp
from netsre.model.audit import START, Broken, Head, Row, digest, follow
from netsre.model.documents import Document, canonical
from netsre.store import schema

_HEAD: Final = "audit_head"

_APPEND: Final = insert(schema.audit)
_READ_HEAD: Final = select(schema.meta.c.value).where(schema.meta.c.key == _HEAD)
_MOVE_HEAD: Final = update(schema.meta).where(schema.meta.c.key == _HEAD).values(value=bindparam("head"))


class Audit:
    """Appends to the chain inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def append(self, at: Timestamp, actor: str, verb: str, subject: str, details: Document) -> None:
        """Add one row behind the head."""
        head = self.head()
        seq, prev_hash = head.seq, head.hash
        text = canonical(details)
        row_hash = digest((seq + 1, at, actor, verb, subject, text, prev_hash))
        row = {
            "seq": seq + 1, "at": at, "actor": actor, "verb": verb, "subject": subject, "details": text,
            "prev_hash": prev_hash, "hash": row_hash,
        }  # fmt: skip
        self._connection.execute(_APPEND, [row])
        self._connection.execute(_MOVE_HEAD, {"head": f"{seq + 1}:{row_hash}"})

    def rows(self, after: int | None = None, limit: int | None = None) -> Iterable[Row]:
        """Yield the rows after a number in order, the whole log without one; up to `limit` of them."""
        query = select(schema.audit).order_by(schema.audit.c.seq)
        query = query if after is None else query.where(schema.audit.c.seq > after)
        return (Row(*row) for row in self._connection.execute(query.limit(limit)))

    def between(self, begin: Timestamp, end: Timestamp, limit: int) -> Iterable[Row]:
        """Yield the rows of a time in order, up to a number of them, without reading those before."""
        low, high = 0, self.length()
        table = schema.audit
        while low < high:
            # Times only grow, but for a clock that was set back: then a row less or more is found.
            middle = (low + high) // 2
            at = self._connection.execute(select(table.c.at).where(table.c.seq == middle + 1)).scalar()
            low, high = (low, middle) if at is None or at >= begin else (middle + 1, high)
        return (row for row in self.rows(low, limit) if begin <= row.at <= end)

    def length(self) -> int:
        """Return how many rows there are."""
        return self._connection.execute(select(func.count()).select_from(schema.audit)).scalar_one()

    def first_broken(self) -> Broken | None:
        """Check the whole chain; return the first place that does not hold, or None."""
        head = START
        for row in self.rows():
            found = follow(head, row)
            if isinstance(found, Broken):
                return found
            head = found
        return None if head == self.head() else Broken(head.seq + 1, "rows are missing at the end")

    def head(self) -> Head:
        """Return the newest row as `meta` has it; held against other writers until the transaction ends."""
        seq, _, last = self._connection.execute(_READ_HEAD).scalar_one().partition(":")
        return Head(int(seq), last)
