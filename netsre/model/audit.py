"""The chain of the audit log: what a row is, what its hash covers, and how a row follows the one before it.

It needs no database, so that whoever holds a copy of the log can check it, wherever that is.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netsre.clock import Timestamp
from netsre.model.documents import canonical

GENESIS: Final = "0" * 64
"""What the first row says of the row before it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the audit log, as stored."""

    seq: int
    at: Timestamp
    actor: str
    verb: str
    subject: str
    details: str
    """Canonical JSON; the hash covers it as text."""
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place where the chain does not hold."""

    seq: int
    why: str


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of a chain: its number, and its hash."""

    seq: int
    hash: str

    def __str__(self) -> str:
        """Return `number:hash`."""
        return f"{self.seq}:{self.hash}"


START: Final = Head(0, GENESIS)
"""Before the first row."""


def digest(content: Sequence[int | str]) -> str:
    """Return the hash of a row: SHA-256 over the canonical JSON list of all its columns but the hash."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def follow(head: Head, row: Row) -> Head | Broken:
    """Return the head after a row, or why the row cannot stand behind this head."""
    seq = head.seq + 1
    if row.seq != seq:
        return Broken(seq, "row is missing")
    if row.prev_hash != head.hash:
        return Broken(seq, "does not follow the row before it")
    own = digest((row.seq, row.at, row.actor, row.verb, row.subject, row.details, row.prev_hash))
    return Head(seq, row.hash) if own == row.hash else Broken(seq, "content does not match its hash")
