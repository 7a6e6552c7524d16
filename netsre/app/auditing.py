"""The audit log outside the database: rows as JSON lines, and the proof that such lines are whole."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.app import resources
from netsre.app.database import opened
from netsre.errors import StoreUnusable
from netsre.model import audit_lines
from netsre.model.audit import START, Broken, Head, Row, follow
from netsre.store.database import Store
from netsre.store.migrations import Migrations

_AT_ONCE: Final = 1000
"""Rows of one view of the database, so that no view stays open for long."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a check of lines found."""

    rows: int
    """Rows that hold."""
    first: int | None
    """The number of the first row."""
    head: Head
    """The last row that holds."""
    broken: Broken | None
    line: int
    """The line where the chain breaks, counted over all files from 1; 0 where it does not."""

    @property
    def trusted(self) -> bool:
        """Tell whether the first link had to be taken on trust, because the rows before are not here."""
        return self.first is not None and self.first > 1


def export(data_dir: Path, address: str | None, after: int, wait: Callable[[], None] | None) -> Iterator[str]:
    """Yield the rows after a number as lines, oldest first; with `wait` go on for ever, waiting for more.

    Raises `StoreUnusable`, also where the database does not reach to that number: it is an older one.
    """
    store = opened(data_dir, address, Migrations.load(str(resources.directory("migrations"))), create=False)
    try:
        store.verify()
        while True:
            rows = _some(store, after)
            yield from map(audit_lines.write, rows)
            after = rows[-1].seq if rows else after
            if rows:
                continue
            if wait is None:
                return
            wait()
    finally:
        store.close()


def verify(lines: Iterable[str]) -> Verified:
    """Check lines of one or more exports in a row; empty lines count for nothing."""
    head, first, rows = START, None, 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = audit_lines.read(line)
        except ValueError as error:
            return Verified(rows, first, head, Broken(head.seq + 1, str(error)), number)
        if first is None:
            first = row.seq
            head = Head(row.seq - 1, row.prev_hash) if row.seq > 1 else START
        found = follow(head, row)
        if isinstance(found, Broken):
            return Verified(rows, first, head, found, number)
        head, rows = found, rows + 1
    return Verified(rows, first, head, None, 0)


def _some(store: Store, after: int) -> list[Row]:
    with store.read() as transaction:
        head = transaction.audit.head()
        if after > head.seq:
            raise StoreUnusable(
                f"{store.where}: its audit ends at row {head.seq}, before row {after}; it was restored "
                "from a backup, or is another database: export it into a new file"
            )
        return list(transaction.audit.rows(after, _AT_ONCE))
