"""Tables as values: rows, what they are sorted by, and which of them are wanted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from netsre.app.top.values import Column, Rate, Value, Within


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    labels: Mapping[str, str]
    """What it is about, as the agent said it."""
    cells: Mapping[str, Value]
    """By key of the column."""


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a view."""

    name: str
    """What `--json` calls it."""
    columns: tuple[Column, ...]
    """The first is what a row is about."""
    rows: tuple[Row, ...]
    usual: str
    """The column that it is sorted by unless told otherwise."""
    note: str = ""
    """What there is to say where there are no rows, or about those that are."""
    together: tuple[str, ...] = field(default=())
    """Further columns by which rows of one value are sorted, largest first."""


def wanted(rows: Iterable[Row], text: str) -> tuple[Row, ...]:
    """Return the rows in whose names a text occurs, in whatever case."""
    sought = text.casefold()
    return tuple(row for row in rows if sought in _names(row))


def _names(row: Row) -> str:
    said = [value for value in row.cells.values() if isinstance(value, str)]
    return "\n".join([*row.labels.values(), *said]).casefold()


def arranged(section: Section, key: str | None, *, backwards: bool) -> tuple[Row, ...]:
    """Return the rows by one column: numbers from the largest, words from A; what is not known is last.

    A section without that column stays as it usually is.
    """
    column = column_of(section, key)
    words = [c.key for c in section.columns if c.is_text]
    rows = sorted(section.rows, key=lambda row: [str(row.cells.get(word)) for word in words])
    for further in reversed(section.together):
        rows.sort(key=lambda row: _size(row.cells.get(further)), reverse=True)
    known = [row for row in rows if row.cells.get(column.key) is not None]
    if column.is_text:
        known.sort(key=lambda row: str(row.cells[column.key]).casefold(), reverse=backwards)
    else:
        known.sort(key=lambda row: _size(row.cells[column.key]), reverse=not backwards)
    return (*known, *(row for row in rows if row.cells.get(column.key) is None))


def column_of(section: Section, key: str | None) -> Column:
    """Return the column that a section is sorted by when this one is asked for."""
    by_key = {column.key: column for column in section.columns}
    return by_key.get(key or "") or by_key[section.usual]


def sortable(sections: Sequence[Section]) -> tuple[Column, ...]:
    """Return every column of a view once."""
    return tuple({column.key: column for section in sections for column in section.columns}.values())


def _size(value: Value) -> tuple[Fraction, bool]:
    match value:
        case Rate():
            return value.per_second, False
        case Within():
            return Fraction(value.seconds), value.beyond
        case Fraction():
            return value, False
        case _:
            return Fraction(Decimal(-1)), False
