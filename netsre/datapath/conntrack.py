"""The kernel's connection tracking counters, as `/proc/net/stat/nf_conntrack` prints them.

One header line of column names, then one line of hexadecimal numbers per CPU. The set of columns differs
between kernels, so they are found by name. `entries` is the total of the table, repeated on each line.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConntrackCounters:
    """One table: entries now, and what happened to it since the namespace was made."""

    entries: int
    insert_failed: int
    drops: int
    early_drops: int

    @property
    def in_use(self) -> bool:
        """Say whether the table ever did anything that its counters still show."""
        return any((self.entries, self.insert_failed, self.drops, self.early_drops))


def parse_statistics(text: str) -> ConntrackCounters:
    """Read the table's counters; raises `ValueError` naming what is not as expected."""
    lines = text.splitlines()
    if len(lines) < 2:  # a header and at least one CPU
        message = "conntrack statistics have no line for any CPU"
        raise ValueError(message)
    columns = lines[0].split()
    rows = [dict(zip(columns, line.split(), strict=False)) for line in lines[1:]]
    return ConntrackCounters(
        entries=_number(rows[0], "entries"),
        insert_failed=sum(_number(row, "insert_failed") for row in rows),
        drops=sum(_number(row, "drop") for row in rows),
        early_drops=sum(_number(row, "early_drop") for row in rows),
    )


def _number(row: Mapping[str, str], column: str) -> int:
    try:
        return int(row[column], 16)
    except KeyError as error:
        message = f"conntrack statistics have no column {column!r} on this kernel"
        raise ValueError(message) from error
