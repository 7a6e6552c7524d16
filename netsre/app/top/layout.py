"""Rows become lines of a width: columns are left out, words are shortened with a mark, numbers never."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size

from netsre.app.top.sections import Row, Section
from netsre.app.top.values import Column, Kind, Rate, Value, shown

_WIDTHS: Final = {
    Kind.RATE: 5,
    Kind.SPEED: 5,
    Kind.COUNT: 5,
    Kind.SHARE: 6,
    Kind.WITHIN: 8,
    Kind.BYTES: 7,
    Kind.DURATION: 6,
}
"""What a column of numbers takes at least, so that it does not move with every reading."""
_LEAST: Final = {Kind.NAME: 20, Kind.TEXT: 9}
_GAP: Final = 1


class Piece(NamedTuple):
    """A part of a line."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


class Fitted(NamedTuple):
    """A section as lines."""

    header: Line
    rows: tuple[Line, ...]


def fitted(section: Section, rows: Sequence[Row], sorted_by: str, width: int) -> Fitted:
    """Return the header and a line for each row, none of them wider than `width`."""
    texts = {c.key: [shown(c.kind, row.cells.get(c.key)) for row in rows] for c in section.columns}
    natural = {c.key: min(_natural(c, texts[c.key]), max(1, width)) for c in section.columns}
    columns = _kept(section.columns, natural, width)
    widths = _widths(columns, natural, width)
    header = tuple(
        Piece(_cell(c, c.title, widths[c.key]), "bold underline" if c.key == sorted_by else "bold")
        for c in columns
    )
    lines = (
        tuple(
            Piece(_cell(c, texts[c.key][index], widths[c.key]), _style(c, row.cells.get(c.key)))
            for c in columns
        )
        for index, row in enumerate(rows)
    )
    return Fitted(_spaced(header), tuple(map(_spaced, lines)))


def _natural(column: Column, texts: Sequence[str]) -> int:
    return max(_WIDTHS.get(column.kind, 0), cell_len(column.title), *map(cell_len, texts), 1)


def _least(column: Column, natural: Mapping[str, int]) -> int:
    return min(natural[column.key], _LEAST.get(column.kind, natural[column.key]))


def _kept(columns: Sequence[Column], natural: Mapping[str, int], width: int) -> list[Column]:
    """Leave out columns until the rest has room; those first that are missed least."""
    kept = list(columns)
    while sum(_least(c, natural) + _GAP for c in kept) - _GAP > width and len(kept) > 1:
        first = max(kept[1:], key=lambda column: (column.spare, kept.index(column)))
        kept.remove(first)
    return kept


def _widths(columns: Sequence[Column], natural: Mapping[str, int], width: int) -> dict[str, int]:
    """Give every column what it wants; where that is too much, the widest words get less."""
    widths = {column.key: natural[column.key] for column in columns}
    words = [column for column in columns if column.kind in _LEAST]
    while sum(widths.values()) + _GAP * (len(columns) - 1) > width:
        # What shrinks is above its own least; the widest first.
        able = [c for c in words if widths[c.key] > _least(c, natural)]
        if not able:
            first = columns[0].key
            widths[first] = max(1, widths[first] - 1)
            if widths[first] == 1:
                break
            continue
        widths[max(able, key=lambda c: widths[c.key] - _least(c, natural)).key] -= 1
    return widths


def _cell(column: Column, text: str, width: int) -> str:
    if cell_len(text) > width:
        text = _shortened(text, width, keep_end=column.keep_end or column.kind is Kind.NAME)
    pad = " " * (width - cell_len(text))
    return text + pad if column.is_text else pad + text


def _shortened(text: str, width: int, *, keep_end: bool) -> str:
    """Cut a text, with a mark; names of one kind differ at their end."""
    if not keep_end:
        return set_cell_size(text, max(0, width - 1)).rstrip() + "…"
    kept = text[-width:]
    while cell_len(kept) > width - 1:
        kept = kept[1:]
    return f"…{kept}"


def _style(column: Column, value: Value) -> str:
    number = value.per_second if isinstance(value, Rate) else value
    above = isinstance(number, Fraction) and column.alarm is not None and number > column.alarm
    return "bold red" if above or value == "DOWN" else ""


def _spaced(line: Line) -> Line:
    parts = [part for piece in line for part in (Piece(" " * _GAP), piece)][1:]
    return tuple(parts)
