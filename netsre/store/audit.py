"""The audit log: a chain in which every row carries the hash of the row before it.

A row that was changed, removed or slipped in breaks the chain from there on; rows cut off at the end are seen
because the head of the chain is kept apart, in `meta`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, update

from netsre.clock import Timestamp
from netsre.model.documents import Document, canonical
from netsre.store import schema

GENESIS: Final = "0" * 64
_HEAD: Final = "audit_head"

_APPEND: Final = insert(schema.audit)
_READ_HEAD: Final = select(schema.meta.c.value).where(schema.meta.c.key == _HEAD).with_for_update()
_MOVE_HEAD: Final = update(schema.meta).where(schema.meta.c.key == _HEAD).values(value=bindparam("head"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the audit log, as stored."""

    seq: int
    at: Timestamp
    actor: str
    verb: str
    subject: str
    details: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place where the chain does not hold."""

    seq: int
    why: str


def digest(content: Sequence[int | str]) -> str:
    """Return the hash of a row: SHA-256 over the canonical JSON list of all its columns but the hash."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


class Audit:
    """Appends to the chain inside a transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        """Work on an open transaction."""
        self._connection = connection

    def append(self, at: Timestamp, actor: str, verb: str, subject: str, details: Document) -> None:
        """Add one row behind the head."""
        seq, prev_hash = self._head()
        text = canonical(details)
        row_hash = digest((seq + 1, at, actor, verb, subject, text, prev_hash))
        row = {
            "seq": seq + 1, "at": at, "actor": actor, "verb": verb, "subject": subject, "details": text,
            "prev_hash": prev_hash, "hash": row_hash,
        }  # fmt: skip
        self._connection.execute(_APPEND, [row])
        self._connection.execute(_MOVE_HEAD, {"head": f"{seq + 1}:{row_hash}"})

    def rows(self) -> Iterable[Row]:
        """Yield the whole log in order."""
        found = self._connection.execute(select(schema.audit).order_by(schema.audit.c.seq))
        return (Row(*row) for row in found)

    def length(self) -> int:
        """Return how many rows there are."""
        return self._connection.execute(select(func.count()).select_from(schema.audit)).scalar_one()

    def first_broken(self) -> Broken | None:
        """Check the whole chain; return the first place that does not hold, or None."""
        seq, previous = 0, GENESIS
        for row in self.rows():
            seq += 1
            if row.seq != seq:
                return Broken(seq, "row is missing")
            if row.prev_hash != previous:
                return Broken(seq, "does not follow the row before it")
            own = digest((row.seq, row.at, row.actor, row.verb, row.subject, row.details, row.prev_hash))
            if own != row.hash:
                return Broken(seq, "content does not match its hash")
            previous = row.hash
        if (seq, previous) != self._head():
            return Broken(seq + 1, "rows are missing at the end")
        return None

    def _head(self) -> tuple[int, str]:
        """Return the newest row's number and hash; held against other writers until the transaction ends."""
        seq, _, last = self._connection.execute(_READ_HEAD).scalar_one().partition(":")
        return int(seq), last
