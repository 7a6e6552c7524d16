"""What the rows of a history hold, by tier and slot: whole events in grids, anything else in exact tracks."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from decimal import Decimal

import numpy as np

from netsre.slo import exact, tiers
from netsre.slo.grid import Grid, Integers, is_whole, whole
from netsre.slo.tiers import Ladder
from netsre.slo.track import Sums, Track

Places = Sequence[tuple[int, int]]
"""Slots: the index of the tier and the number of each."""


class Slots:
    """The slots of all tiers."""

    def __init__(self, ladder: Ladder, lengths: Iterable[int]) -> None:
        """Begin without rows, for windows of some lengths in ms."""
        widths: list[list[int]] = [[] for _ in ladder]
        for length in lengths:
            index = tiers.holding(ladder, length)
            widths[index].append(ladder[index].width(length))
        self.grids = tuple(Grid(tier, held) for tier, held in zip(ladder, widths, strict=True))
        """By tier."""
        self.wide: dict[int, tuple[Track, ...]] = {}
        """The rows whose amounts are no whole events, or too many, each with a track for each tier."""

    def reserve(self, rows: int) -> None:
        """Make room for so many rows."""
        for grid in self.grids:
            grid.reserve(rows)

    def clear(self, row: int) -> None:
        """Forget everything of one row."""
        for grid in self.grids:
            grid.clear(row)
        self.wide.pop(row, None)

    def add(
        self,
        places: Places,
        rows: Sequence[int],
        bad: Sequence[Decimal],
        total: Sequence[Decimal],
        measured: Sequence[int],
    ) -> None:
        """Add the same to each of some slots, of some rows, each named once."""
        failed, events = whole(bad), whole(total)
        if failed is None or events is None or not self.wide.keys().isdisjoint(rows):
            self._add_mixed(places, rows, bad, total, measured)
            return
        self.add_whole(places, *(np.array(column, np.int64) for column in (rows, failed, events, measured)))

    def _add_mixed(
        self,
        places: Places,
        rows: Sequence[int],
        bad: Sequence[Decimal],
        total: Sequence[Decimal],
        measured: Sequence[int],
    ) -> None:
        narrow: list[tuple[int, int, int, int]] = []
        for row, failed, events, minutes in zip(rows, bad, total, measured, strict=True):
            if row not in self.wide and is_whole(failed) and is_whole(events):
                narrow.append((row, int(failed), int(events), minutes))
                continue
            tracks = self._widened(row)
            for index, slot in places:
                tracks[index].add(slot, failed, events, minutes)
        self.add_whole(places, *np.array(narrow, np.int64).reshape(-1, 4).T)

    def add_whole(
        self, places: Places, rows: Integers, bad: Integers, total: Integers, measured: Integers
    ) -> None:
        """Add the same whole events to each of some slots, of some narrow rows, each named once."""
        for index, slot in places:
            self.grids[index].add(rows, slot, bad, total, measured)

    def mark(self, places: Places, minute: int, rows: Integers) -> list[int]:
        """Count a minute, by its number, as measured in each of some slots; return in which it was not yet.

        Rows in which it was are left as they are.
        """
        wide = [row for row in rows.tolist() if row in self.wide] if self.wide else []
        rested = [row for row in wide if not self.sums(0, row, minute, minute + 1).measured]
        for row in rested:
            for index, slot in places:
                self.wide[row][index].add(slot, exact.ZERO, exact.ZERO, 1)
        narrow = np.setdiff1d(rows, wide) if wide else rows
        newly = narrow[self.grids[0].cells(narrow, minute).measured == 0]
        nothing = np.zeros(len(newly), np.int64)
        self.add_whole(places, newly, nothing, nothing, np.ones(len(newly), np.int64))
        return [*newly.tolist(), *rested]

    def sums(self, index: int, row: int, first: int, end: int) -> Sums:
        """Return the sums of one row over the slots of a tier in `[first, end)`."""
        if row in self.wide:
            return self.wide[row][index].sums(first, end)
        cells = [self.grids[index].cell(row, slot) for slot in range(first, end)]
        bad, total, measured = (sum(column) for column in zip(*cells, strict=True))
        return Sums(Decimal(bad), Decimal(total), measured)

    def held(self, index: int, slot: int, rows: Sequence[int]) -> Iterator[tuple[int, Sums]]:
        """Yield some rows with what they hold in one slot of a tier."""
        cells = self.grids[index].cells(np.array(rows, np.int64), slot)
        columns = zip(rows, cells.bad.tolist(), cells.total.tolist(), cells.measured.tolist(), strict=True)
        for row, bad, total, measured in columns:
            if row in self.wide:
                yield row, self.wide[row][index].sums(slot, slot + 1)
            else:
                yield row, Sums(Decimal(bad), Decimal(total), measured)

    def holds(self, index: int, slot: int, rows: Sequence[int]) -> bool:
        """Tell whether any of some rows holds anything in one slot of a tier."""
        cells = self.grids[index].cells(np.array(rows, np.int64), slot)
        wide = (self.wide[row][index] for row in self.wide.keys() & rows)
        return bool(np.any(cells.total | cells.measured)) or any(slot in track.slots for track in wide)

    def used(self, index: int, slot: int) -> list[int]:
        """Return the rows that hold anything in one slot of a tier."""
        narrow = self.grids[index].used(slot).tolist()
        return sorted([*narrow, *(row for row, tracks in self.wide.items() if slot in tracks[index].slots)])

    def numbers(self, index: int) -> list[int]:
        """Return the slots of a tier that anything happened in, oldest first."""
        wide = (slot for tracks in self.wide.values() for slot in tracks[index].slots)
        return sorted({*self.grids[index].slots(), *wide})

    def busy(self, index: int) -> Collection[int]:
        """Return the rows that hold anything in any slot of a tier."""
        return self.grids[index].busy() | {row for row, tracks in self.wide.items() if tracks[index].slots}

    def keep(self, index: int, first: int, last: int) -> None:
        """Forget every slot of a tier but those from the first to the last; of wide rows what is older."""
        self.grids[index].keep(first, last)
        for tracks in self.wide.values():
            tracks[index].prune(first)

    def raise_to(self, index: int, slot: int, minutes: Sequence[int]) -> list[int]:
        """Have a slot hold what some minutes in a row hold together, where that is more, or as much.

        Returns the rows in which that is another number than before. More are more events, or as many and
        more minutes with a reading.
        """
        grid = self.grids[index]
        by = self.grids[0].over(minutes) - grid.over((slot,))
        more = (by.total > 0) | ((by.total == 0) & (by.measured >= 0))
        rows = np.flatnonzero(more & ((by.total != 0) | (by.measured != 0) | (by.bad != 0)))
        grid.add(rows, slot, by.bad[rows], by.total[rows], by.measured[rows])
        return [*rows.tolist(), *self._raise_wide(index, slot, minutes)]

    def _raise_wide(self, index: int, slot: int, minutes: Sequence[int]) -> Iterator[int]:
        for row, tracks in self.wide.items():
            made = tracks[0].sums(minutes[0], minutes[-1] + 1)
            known = tracks[index].sums(slot, slot + 1)
            if made != known and (made.total, made.measured) >= (known.total, known.measured):
                bad, total = exact.subtract(made.bad, known.bad), exact.subtract(made.total, known.total)
                tracks[index].add(slot, bad, total, made.measured - known.measured)
                yield row

    def _widened(self, row: int) -> tuple[Track, ...]:
        """Return the exact tracks of a row, which its whole events move to when it has none yet."""
        if row not in self.wide:
            tracks = tuple(Track() for _ in self.grids)
            for grid, track in zip(self.grids, tracks, strict=True):
                for slot in grid.slots():
                    bad, total, measured = grid.cell(row, slot)
                    if total or measured:
                        track.add(slot, Decimal(bad), Decimal(total), measured)
                grid.clear(row)
            self.wide[row] = tracks
        return self.wide[row]
