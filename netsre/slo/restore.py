"""How a history is taken over from what was kept of it.

Buckets come in any order, and are put in their slots one column of rows after the other: those of one length
and begin best come together. Nothing of them is held for longer than that.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np

from netsre.clock import Timestamp
from netsre.model.samples import Labels
from netsre.slo.buckets import Bucket
from netsre.slo.grid import Integers
from netsre.slo.moments import Moments
from netsre.slo.slots import Slots
from netsre.slo.tiers import Ladder

Rows = Callable[[str, str, Labels], int]
"""Gives the row of an SLO, definition and group."""

_PLACE: Final = attrgetter("step", "begin")


class _Column(NamedTuple):
    """What some rows, each named once, hold in one slot."""

    rows: list[int]
    bad: list[Decimal]
    total: list[Decimal]
    measured: list[int]


class Owed(NamedTuple):
    """A slot that is over, and in which rows the disk lacks it as it is."""

    tier: int
    """Its index."""
    slot: int
    rows: list[int]


def restore(
    buckets: Iterable[Bucket], ladder: Ladder, row_of: Rows, slots: Slots, moments: Moments
) -> tuple[Timestamp | None, list[Owed]]:
    """Take over buckets; return the newest begin of all, None without any, and what is to be kept yet.

    Raises `ValueError` where a slot comes twice: it would count twice.
    """
    newest: Timestamp | None = None
    index_of = {tier.step: index for index, tier in enumerate(ladder)}
    for (step, begin), together in groupby(buckets, _PLACE):
        index = index_of[step]
        slot, column = ladder[index].slot(begin), _column(together, row_of)
        rows = column.rows
        if len(set(rows)) < len(rows) or slots.holds(index, slot, rows):
            raise ValueError(f"history: a slot of {step} ms at {begin} came twice")
        # A minute is measured or not, whatever earlier versions wrote.
        measured = [min(count, 1) for count in column.measured] if index == 0 else column.measured
        slots.add(((index, slot),), rows, column.bad, column.total, measured)
        moments.read(_where(rows, measured), begin)
        moments.happened(_where(rows, column.total), begin)
        newest = begin if newest is None else max(newest, begin)
    return newest, [] if newest is None else _owed(ladder, slots, newest)


def _column(buckets: Iterable[Bucket], row_of: Rows) -> _Column:
    """Return what buckets of one slot say, by row."""
    found = _Column([], [], [], [])
    # One by one: where many are alive at once, the garbage collector takes longer than all of this.
    for slo, group, _, bad, total, measured, definition, _ in buckets:
        found.rows.append(row_of(slo, definition, group))
        found.bad.append(bad)
        found.total.append(total)
        found.measured.append(measured)
    return found


def _where(rows: list[int], amounts: Iterable[object]) -> Integers:
    """Return the rows in which there is any."""
    return np.array([row for row, amount in zip(rows, amounts, strict=True) if amount], np.int64)


def _owed(ladder: Ladder, slots: Slots, newest: Timestamp) -> list[Owed]:
    """Have coarser slots hold what minutes make; return those that changed and that nobody will hand out.

    A slot and its minutes may each lack what the other has: what was late, or what was too old for a minute.
    """
    owed: list[Owed] = []
    for index, tier in list(enumerate(ladder))[1:]:
        made: dict[int, list[int]] = {}
        for number in slots.numbers(0):
            minute = ladder[0].start(number)
            if tier.holds(minute):
                made.setdefault(tier.slot(minute), []).append(number)
        for slot, minutes in made.items():
            rows = slots.raise_to(index, slot, minutes)
            if rows and slot < tier.slot(newest):
                owed.append(Owed(index, slot, rows))
    return owed
