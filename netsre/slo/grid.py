"""Whole events of many tracks by slot of one tier, as 64-bit integers, with running sums over windows.

Rows are tracks. Every slot that anything happened in has a column. Running sums end at the present slot: they
are kept up as events and slots come, and are summed anew after a jump of the clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from netsre.slo.tiers import Tier
from netsre.slo.track import Sums

Integers = NDArray[np.int64]
Whole = NDArray[np.signedinteger[Any]]
Minutes = NDArray[np.uint8]

_FIRST_ROWS: Final = 64

_MOST_WHOLE: Final = 1 << 43
"""Events of one reading that a grid takes: a quarter of such readings, one in 5 s, stays within 64 bits."""

_MOST_NARROW: Final = 2**31 - 1

_Number = TypeVar("_Number", bound=np.integer[Any])


@dataclass(slots=True)
class Columns:
    """One number for each row: events, and minutes with at least one reading."""

    bad: Integers
    total: Integers
    measured: Integers

    def __add__(self, other: "Columns") -> "Columns":
        """Return the sums of both."""
        return Columns(self.bad + other.bad, self.total + other.total, self.measured + other.measured)

    def __sub__(self, other: "Columns") -> "Columns":
        """Return the differences of both."""
        return Columns(self.bad - other.bad, self.total - other.total, self.measured - other.measured)

    def copy(self) -> "Columns":
        """Return the numbers as they are now."""
        return Columns(self.bad.copy(), self.total.copy(), self.measured.copy())

    def sums(self, row: int) -> Sums:
        """Return the numbers of one row."""
        return Sums(Decimal(int(self.bad[row])), Decimal(int(self.total[row])), int(self.measured[row]))


@dataclass(slots=True)
class _Column:
    """What one slot holds for each row; rows that came later than its last event are not there.

    In 32 bits while its events fit, which takes half of the memory.
    """

    bad: Whole
    total: Whole
    measured: Minutes

    def reach(self, rows: int) -> None:
        """Have room for so many rows."""
        if len(self.measured) < rows:
            self.bad, self.total = _widened(self.bad, rows), _widened(self.total, rows)
            self.measured = _widened(self.measured, rows)

    def add(self, rows: Integers, bad: Integers, total: Integers, measured: Integers) -> None:
        more = self.total[rows] + total
        if self.total.dtype != np.int64 and more.max(initial=0) > _MOST_NARROW:
            self.bad, self.total = self.bad.astype(np.int64), self.total.astype(np.int64)
        self.total[rows] = more
        self.bad[rows] += bad
        self.measured[rows] = self.measured[rows] + measured


class Grid:
    """The slots of one tier."""

    def __init__(self, tier: Tier, widths: Iterable[int]) -> None:
        """Begin without rows; `widths` are the windows, in slots, whose sums are kept running."""
        self.tier = tier
        self.present: int | None = None
        """The slot that windows end with; None before the first `move_to`."""
        self._rows = 0
        self._columns: dict[int, _Column] = {}
        self._running = {width: _nothing(0) for width in sorted(set(widths))}

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        if rows <= self._rows:
            return
        self._rows = max(_FIRST_ROWS, 1 << (rows - 1).bit_length())
        for sums in self._running.values():
            sums.bad, sums.total = _widened(sums.bad, self._rows), _widened(sums.total, self._rows)
            sums.measured = _widened(sums.measured, self._rows)

    def move_to(self, slot: int) -> None:
        """Have windows end with a slot from now on."""
        if slot == self.present:
            return
        before, self.present = self.present, slot
        for width, sums in self._running.items():
            # Scrapes may be minutes apart: a few slots on are cheaper than a whole window.
            if before is not None and before < slot < before + width:
                for passed in range(before + 1, slot + 1):
                    self._count(sums, passed - width, np.subtract)
                    self._count(sums, passed, np.add)
            else:
                self._running[width] = self._summed(width, slot)

    def add(self, rows: Integers, slot: int, bad: Integers, total: Integers, measured: Integers) -> None:
        """Add to one slot of some rows, each named once."""
        if not len(rows):
            return
        column = self._columns.get(slot)
        if column is None:
            column = self._columns[slot] = _empty(self._rows)
        column.reach(self._rows)
        column.add(rows, bad, total, measured)
        for width, sums in self._running.items():
            if self.present is not None and self.present - width < slot <= self.present:
                sums.bad[rows] += bad
                sums.total[rows] += total
                sums.measured[rows] += measured

    def running(self, width: int) -> Columns:
        """Return the sums over the window of one of the widths that ends with the present slot; no copy."""
        return self._running[width]

    def between(self, first: int, last: int) -> Columns:
        """Return the sums over the slots from the first to the last."""
        return self._summed(last - first + 1, last)

    def over(self, slots: Iterable[int]) -> Columns:
        """Return the sums over some slots."""
        found = _nothing(self._rows)
        for slot in slots:
            self._count(found, slot, np.add)
        return found

    def cells(self, rows: Integers, slot: int) -> Columns:
        """Return what some rows hold in one slot."""
        column = self._columns.get(slot)
        if column is None:
            return _nothing(len(rows))
        column.reach(self._rows)
        held = (part[rows].astype(np.int64) for part in (column.bad, column.total, column.measured))
        return Columns(*held)

    def cell(self, row: int, slot: int) -> tuple[int, int, int]:
        """Return bad and total events and measured minutes of one row in one slot."""
        column = self._columns.get(slot)
        if column is None or row >= len(column.bad):
            return 0, 0, 0
        return int(column.bad[row]), int(column.total[row]), int(column.measured[row])

    def used(self, slot: int) -> Integers:
        """Return the rows that hold anything in one slot."""
        column = self._columns.get(slot)
        if column is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero(column.total | column.measured)

    def slots(self) -> list[int]:
        """Return the slots that anything happened in, oldest first."""
        return sorted(self._columns)

    def clear(self, row: int) -> None:
        """Forget everything of one row."""
        for column in self._columns.values():
            if row < len(column.bad):
                column.bad[row] = column.total[row] = column.measured[row] = 0
        for sums in self._running.values():
            sums.bad[row] = sums.total[row] = sums.measured[row] = 0

    def keep(self, first: int, last: int) -> None:
        """Forget every slot but those from the first to the last."""
        for slot in [slot for slot in self._columns if not first <= slot <= last]:
            for width, sums in self._running.items():
                if self.present is not None and self.present - width < slot <= self.present:
                    self._count(sums, slot, np.subtract)
            del self._columns[slot]

    def busy(self) -> frozenset[int]:
        """Return the rows that hold anything in any slot."""
        return frozenset(row for slot in self._columns for row in self.used(slot).tolist())

    def _summed(self, width: int, last: int) -> Columns:
        return self.over(slot for slot in self._columns if last - width < slot <= last)

    def _count(self, sums: Columns, slot: int, how: np.ufunc) -> None:
        column = self._columns.get(slot)
        if column is None:
            return
        for total, part in (
            (sums.bad, column.bad), (sums.total, column.total), (sums.measured, column.measured),
        ):  # fmt: skip
            there = total[: len(part)]
            how(there, part, out=there)


def is_whole(amount: Decimal) -> bool:
    """Tell whether a grid takes an amount of one reading."""
    return amount <= _MOST_WHOLE and amount == int(amount)


def whole(amounts: Sequence[Decimal]) -> list[int] | None:
    """Return amounts of one reading as numbers; None where a grid does not take all (`is_whole`)."""
    # Step by step over all of them, which is several times as fast as one amount after the other.
    found = list(map(int, amounts))
    return found if found == list(amounts) and max(found, default=0) <= _MOST_WHOLE else None


def _empty(rows: int) -> _Column:
    return _Column(np.zeros(rows, np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.uint8))


def _nothing(rows: int) -> Columns:
    return Columns(*(np.zeros(rows, np.int64) for _ in range(3)))


def _widened(part: NDArray[_Number], rows: int) -> NDArray[_Number]:
    wider = np.zeros(rows, part.dtype)
    wider[: len(part)] = part
    return wider
