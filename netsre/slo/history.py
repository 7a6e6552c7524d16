"""What was measured, for every SLO and group: bad events, all events, and minutes with a reading, by tier.

Every event is in the slot of each tier that it happened in. Minutes are handed out to be kept with every
reading, coarser slots when they are over: until then, and for hours after, they can be made of their minutes
again, so that nothing is lost or counted twice whenever the process ends. Whole events are kept in grids,
anything else in tracks of exact decimals.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import add

import numpy as np

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels
from netsre.slo import tiers
from netsre.slo.buckets import Bucket, Key
from netsre.slo.gaps import LONG_GAP, fill, minute_of, spread
from netsre.slo.grid import Columns, Integers
from netsre.slo.indicators import Measure
from netsre.slo.moments import Moments, Seen
from netsre.slo.restore import restore
from netsre.slo.slots import Slots
from netsre.slo.tiers import HOURS, Edges, nowhere
from netsre.slo.track import Sums, Track


class History:
    """The past of every SLO and group."""

    def __init__(
        self,
        buckets: Iterable[Bucket] = (),
        lengths: Iterable[int] = (30 * clock.DAY,),
        edges: Edges = nowhere,
    ) -> None:
        """Start from stored buckets, for windows of some lengths in ms and some edges.

        Each slot is stored once, in whatever order; that by length and begin is the quickest.
        """
        asked = frozenset(lengths)
        self.tiers = tiers.ladder(max(asked, default=clock.DAY), edges)
        self._slots = Slots(self.tiers, asked)
        self._rows: dict[tuple[str, Labels], int] = {}
        self._keys: list[Key | None] = []
        self._vacant: list[int] = []
        self._moments = Moments()
        self._handed_out: list[int | None] = [None for _ in self.tiers]
        self.keeps = True
        """Whether slots are handed out to be kept; where nobody keeps them, they are not put together."""
        self.generation = 0
        """Counts how often rows came or went."""
        newest, owed = restore(buckets, self.tiers, self.row, self._slots, self._moments)
        if newest is not None:
            self._handed_out = [tier.slot(newest) for tier in self.tiers]
        # What was not handed out before the process ended.
        self._owed = [bucket for place in owed for bucket in self._buckets(*place)]

    def row(self, slo: str, definition: str, group: Labels) -> int:
        """Return the row of an SLO and group; a new one when there is none yet."""
        known = self._rows.get((slo, group))
        if known is not None:
            return known
        row = self._vacant.pop() if self._vacant else len(self._keys)
        if row == len(self._keys):
            self._keys.append(None)
            self._slots.reserve(row + 1)
        self._moments.begin(row)
        self._keys[row] = Key(slo, definition, group)
        self._rows[slo, group] = row
        self.generation += 1
        return row

    def rows(self) -> Iterator[tuple[int, Key]]:
        """Yield every row with what it is about."""
        return ((row, key) for row, key in enumerate(self._keys) if key is not None)

    def count(
        self, rows: Sequence[int], measures: Sequence[Measure], since: Timestamp | None, until: Timestamp
    ) -> list[Bucket]:
        """Add what one reading, made at `until`, measured of some rows, each named once, since `since`.

        Returns every slot to be kept now, with all it holds. The reading itself belongs to the minute of
        `until`: minutes of a gap are known by their events and still count as not measured.
        """
        here = minute_of(until)
        busy = [row for row, measure in zip(rows, measures, strict=True) if measure.total]
        touched: dict[Timestamp, dict[int, None]] = {here: dict.fromkeys(busy)}
        if since is None or until - since <= LONG_GAP:
            self._add(here, rows, [m.bad for m in measures], [m.total for m in measures])
        else:
            oldest = until - self.tiers[-1].span
            for minute, shares in spread(zip(rows, measures, strict=True), since, until, oldest).items():
                held = shares.values()
                self._add(minute, list(shares), [sums.bad for sums in held], [sums.total for sums in held])
                touched.setdefault(minute, {}).update(dict.fromkeys(shares))
        touched[here] |= dict.fromkeys(self._mark_read(here, np.array(rows, np.int64)))
        return list(self._to_keep(touched))

    def mark(self, rows: Integers, at: Timestamp) -> list[Bucket]:
        """Count the minute of a time as measured for some rows; return those that were not, as `count`."""
        here = minute_of(at)
        return list(self._to_keep({here: dict.fromkeys(self._mark_read(here, rows))}))

    def fill(
        self, spans: Iterable[tuple[Timestamp, Timestamp, Sequence[int], Sequence[Measure]]]
    ) -> list[Bucket]:
        """Add what was measured of whole minutes: from, until, rows, each named once, and their events.

        Returns every slot to be kept now, with all it holds. Events are shared out evenly; every minute of a
        span was looked at, and counts as measured.
        """
        touched: dict[Timestamp, dict[int, None]] = {}
        for begin, end, rows, measures in spans:
            for minute, bad, total in fill(begin, end, measures):
                self._add(minute, rows, bad, total)
                self._mark_read(minute, np.array(rows, np.int64))
                touched.setdefault(minute, {}).update(dict.fromkeys(rows))
        return list(self._to_keep(touched))

    def close(self, now: Timestamp) -> list[Bucket]:
        """Return the coarser slots that are over since this was asked last, with all they hold."""
        found, self._owed = self._owed, []
        for index in range(1, len(self.tiers)):
            tier, first = self.tiers[index], self._handed_out[index]
            last = tier.slot(now)
            if first is not None:
                for slot in range(max(first, last - tier.slots), last if self.keeps else 0):
                    found += self._buckets(index, slot, self._slots.used(index, slot))
            self._handed_out[index] = last if first is None else max(first, last)
        return found

    def slots(self) -> Iterator[tuple[int, int, Columns]]:
        """Yield index of the tier, number and content of every slot of all rows but the wide ones."""
        rows, grids = np.arange(len(self._keys), dtype=np.int64), enumerate(self._slots.grids)
        return ((index, slot, grid.cells(rows, slot)) for index, grid in grids for slot in grid.slots())

    def tracks(self, row: int) -> tuple[Track, ...] | None:
        """Return the tracks of a wide row, one for each tier; None for any other."""
        return self._slots.wide.get(row)

    def held(self, begin: Timestamp, end: Timestamp) -> Iterator[Bucket]:
        """Yield all slots that end after the first time and not after the second, with all they hold."""
        for index, tier in enumerate(self.tiers):
            for slot in self._slots.numbers(index):
                if begin < tier.start(slot + 1) <= end:
                    yield from self._buckets(index, slot, self._slots.used(index, slot))

    def take_over(self, other: "History", slos: Collection[str]) -> None:
        """Have the past of some SLOs from another history, of no use then, in place of what is here."""
        for row, key in [(row, key) for row, key in self.rows() if key.slo in slos]:
            self._remove(row, key)
        seen = other.seen()
        pairs = [(row, self.row(key.slo, key.definition, key.group)) for row, key in other.rows()]
        for row, mine in pairs:
            self._moments.remember(mine, seen(row))
            if tracks := other.tracks(row):
                self._slots.wide[mine] = tracks
        theirs, ours = np.array(pairs, np.int64).reshape(-1, 2).T
        for index, slot, cells in other.slots():
            bad, total, measured = cells.bad[theirs], cells.total[theirs], cells.measured[theirs]
            self._slots.add_whole(((index, slot),), ours, bad, total, measured)

    def move_to(self, now: Timestamp) -> None:
        """Have windows end now."""
        for grid in self._slots.grids:
            grid.move_to(grid.tier.slot(now))

    def running(self, length: int) -> Columns:
        """Return the sums of all rows but the wide ones over a window that ends now (`move_to`); no copy."""
        index = tiers.holding(self.tiers, length)
        return self._slots.grids[index].running(self.tiers[index].width(length))

    @property
    def wide(self) -> frozenset[int]:
        """Return the rows whose amounts are no whole events: they are summed one by one, by `sums`."""
        return frozenset(self._slots.wide)

    def sums(self, row: int, length: int, now: Timestamp) -> Sums:
        """Return the sums of one row over the window of a length that ends at a time."""
        index = tiers.holding(self.tiers, length)
        tier = self.tiers[index]
        end = tier.slot(now) + 1
        return self._slots.sums(index, row, end - tier.width(length), end)

    def minutes(self, row: int, begin: Timestamp, end: Timestamp) -> Sums:
        """Return the sums of one row over whole minutes of the last hours."""
        tier = self.tiers[0]
        return self._slots.sums(0, row, tier.slot(begin), tier.slot(end))

    def since(self, begin: Timestamp, now: Timestamp) -> Columns:
        """Return the sums of all rows but the wide ones over a period until now."""
        spans = tiers.since(self.tiers, begin, now)
        return reduce(add, (self._slots.grids[index].between(first, last) for index, first, last in spans))

    def sums_since(self, row: int, begin: Timestamp, now: Timestamp) -> Sums:
        """Return the sums of a wide row over a period until now."""
        spans = tiers.since(self.tiers, begin, now)
        return reduce(add, (self._slots.sums(index, row, first, last + 1) for index, first, last in spans))

    def read_until(self, slos: Collection[str]) -> Mapping[str, Timestamp]:
        """Return the end of the finest slot that holds the last reading of each of some SLOs that has one."""
        rows: dict[str, list[int]] = {}
        for row, key in self.rows():
            if key.slo in slos and self.last_reading(row) is not None:
                rows.setdefault(key.slo, []).append(row)
        return {slo: self._read_until(mine) for slo, mine in rows.items()}

    def _read_until(self, rows: Sequence[int]) -> Timestamp:
        last = max(self.last_reading(row) or 0 for row in rows)
        begun = ((index, tier) for index, tier in enumerate(self.tiers) if last % tier.step == 0)
        held = ((tier.step, self._slots.held(index, tier.slot(last), rows)) for index, tier in begun)
        return Timestamp(last + min(step for step, sums in held if any(one.measured for _, one in sums)))

    def groups(self, slo: str) -> tuple[Labels, ...]:
        """Return the groups of an SLO that were measured, sorted."""
        return tuple(sorted(key.group for _, key in self.rows() if key.slo == slo))

    def last_reading(self, row: int) -> Timestamp | None:
        """Return the last minute in which a row was read; None when it never was."""
        return self._moments.last_read(row)

    def seen(self) -> Callable[[int], Seen]:
        """Return what says when a row was read, and had an event, last, as it is now."""
        return self._moments.now()

    def prune(self, now: Timestamp) -> Mapping[int, Timestamp]:
        """Forget what no window reaches any more; return before which time slots of each length may go."""
        for index, tier in enumerate(self.tiers):
            first = tier.slot(now) - tier.slots + 1
            # Of a future as far away nobody will ask: the clock was ahead for a while.
            self._slots.keep(index, first, tier.slot(now) + tier.slots)
        busy = self._slots.busy(HOURS)
        for row, key in list(self.rows()):
            if row not in busy:
                self._remove(row, key)
        return tiers.kept(self.tiers, now, self._handed_out)

    def _remove(self, row: int, key: Key) -> None:
        self._slots.clear(row)
        del self._rows[key.slo, key.group]
        self._keys[row] = None
        self._vacant.append(row)
        self.generation += 1

    def _add(
        self, minute: Timestamp, rows: Sequence[int], bad: Sequence[Decimal], total: Sequence[Decimal]
    ) -> None:
        busy = [row for row, events in zip(rows, total, strict=True) if events]
        self._moments.happened(np.array(busy, np.int64), minute)
        self._slots.add(self._places(minute), rows, bad, total, [0] * len(rows))

    def _places(self, minute: Timestamp) -> list[tuple[int, int]]:
        """Return the slots that what happened in a minute is in."""
        reached = (index for index in range(len(self.tiers)) if self._reaches(index, minute))
        return [(index, self.tiers[index].slot(minute)) for index in reached]

    def _reaches(self, index: int, minute: Timestamp) -> bool:
        """Tell whether a tier has a slot for a minute, and reaches back to it."""
        tier, present = self.tiers[index], self._slots.grids[index].present
        return tier.holds(minute) and (present is None or tier.slot(minute) > present - tier.slots)

    def _mark_read(self, minute: Timestamp, rows: Integers) -> list[int]:
        """Count a minute as measured, once; return the rows in which it was not yet."""
        self._moments.read(rows, minute)
        return self._slots.mark(self._places(minute), self.tiers[0].slot(minute), rows)

    def _to_keep(self, touched: Mapping[Timestamp, Mapping[int, None]]) -> Iterator[Bucket]:
        """Yield minutes, and those coarser slots that were handed out before or have no minutes any more."""
        again: dict[tuple[int, int], dict[int, None]] = {}
        for minute, rows in sorted(touched.items()) if self.keeps else ():
            kept = self._reaches(0, minute)
            if kept:
                yield from self._buckets(0, self.tiers[0].slot(minute), list(rows))
            for index in range(1, len(self.tiers)):
                slot, first = self.tiers[index].slot(minute), self._handed_out[index]
                if not kept or (first is not None and slot < first):
                    again.setdefault((index, slot), {}).update(rows)
        for (index, slot), rows in sorted(again.items()):
            if self._reaches(index, self.tiers[index].start(slot)):
                yield from self._buckets(index, slot, list(rows))

    def _buckets(self, index: int, slot: int, rows: Sequence[int]) -> Iterator[Bucket]:
        """Yield what some rows hold in one slot of a tier."""
        tier = self.tiers[index]
        for row, held in self._slots.held(index, slot, rows):
            key = self._keys[row]
            if key is not None:
                yield Bucket(
                    key.slo,
                    key.group,
                    tier.start(slot),
                    held.bad,
                    held.total,
                    held.measured,
                    key.definition,
                    tier.step,
                )
