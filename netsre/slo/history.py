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
from netsre.slo import exact, tiers
from netsre.slo.buckets import Bucket, Held, Key, coarser, sorted_out
from netsre.slo.gaps import LONG_GAP, fill, minute_of, spread
from netsre.slo.grid import Columns, Grid, Integers, Minutes, is_whole
from netsre.slo.indicators import Measure
from netsre.slo.moments import Moments, Seen
from netsre.slo.tiers import HOURS, Edges, nowhere
from netsre.slo.track import NOTHING, Sums, Track


class History:
    """The past of every SLO and group."""

    def __init__(
        self,
        buckets: Iterable[Bucket] = (),
        lengths: Iterable[int] = (30 * clock.DAY,),
        edges: Edges = nowhere,
    ) -> None:
        """Start from stored buckets, each slot once, for windows of some lengths in ms and some edges."""
        self._lengths = tuple(sorted(set(lengths)))
        self.tiers = tiers.ladder(max(self._lengths, default=clock.DAY), edges)
        self._grids = tuple(Grid(tier, self._widths(index)) for index, tier in enumerate(self.tiers))
        self._rows: dict[tuple[str, Labels], int] = {}
        self._keys: list[Key | None] = []
        self._vacant: list[int] = []
        self._wide: dict[int, tuple[Track, ...]] = {}
        self._moments = Moments()
        self._handed_out: list[int | None] = [None for _ in self.tiers]
        self._owed: list[Bucket] = []
        self.keeps = True
        """Whether slots are handed out to be kept; where nobody keeps them, they are not put together."""
        self.generation = 0
        """Counts how often rows came or went."""
        self._load(buckets)

    def row(self, slo: str, definition: str, group: Labels) -> int:
        """Return the row of an SLO and group; a new one when there is none yet."""
        known = self._rows.get((slo, group))
        if known is not None:
            return known
        row = self._vacant.pop() if self._vacant else len(self._keys)
        if row == len(self._keys):
            self._keys.append(None)
            for grid in self._grids:
                grid.reserve(row + 1)
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
                    found += self._buckets(index, slot, self._used(index, slot))
            self._handed_out[index] = last if first is None else max(first, last)
        return found

    def slots(self) -> Iterator[tuple[int, int, Columns]]:
        """Yield index of the tier, number and content of every slot of all rows but the wide ones."""
        rows, grids = np.arange(len(self._keys), dtype=np.int64), enumerate(self._grids)
        return ((index, slot, grid.cells(rows, slot)) for index, grid in grids for slot in grid.slots())

    def tracks(self, row: int) -> tuple[Track, ...] | None:
        """Return the tracks of a wide row, one for each tier; None for any other."""
        return self._wide.get(row)

    def held(self, begin: Timestamp, end: Timestamp) -> Iterator[Bucket]:
        """Yield all slots that end after the first time and not after the second, with all they hold."""
        for index, tier in enumerate(self.tiers):
            wide = (slot for tracks in self._wide.values() for slot in tracks[index].slots)
            for slot in sorted({*self._grids[index].slots(), *wide}):
                if begin < tier.start(slot + 1) <= end:
                    yield from self._buckets(index, slot, self._used(index, slot))

    def take_over(self, other: "History", slos: Collection[str]) -> None:
        """Have the past of some SLOs from another history, of no use then, in place of what is here."""
        for row, key in [(row, key) for row, key in self.rows() if key.slo in slos]:
            self._remove(row, key)
        seen = other.seen()
        pairs = [(row, self.row(key.slo, key.definition, key.group)) for row, key in other.rows()]
        for row, mine in pairs:
            self._moments.remember(mine, *((at,) if at is not None else () for at in seen(row)))
            if tracks := other.tracks(row):
                self._wide[mine] = tracks
        theirs, ours = np.array(pairs, np.int64).reshape(-1, 2).T
        for index, slot, cells in other.slots():
            bad, total, measured = cells.bad[theirs], cells.total[theirs], cells.measured[theirs]
            self._grids[index].add(ours, slot, bad, total, measured.astype(np.uint8))

    def move_to(self, now: Timestamp) -> None:
        """Have windows end now."""
        for grid in self._grids:
            grid.move_to(grid.tier.slot(now))

    def running(self, length: int) -> Columns:
        """Return the sums of all rows but the wide ones over a window that ends now (`move_to`); no copy."""
        index = tiers.holding(self.tiers, length)
        return self._grids[index].running(self.tiers[index].width(length))

    @property
    def wide(self) -> frozenset[int]:
        """Return the rows whose amounts are no whole events: they are summed one by one, by `sums`."""
        return frozenset(self._wide)

    def sums(self, row: int, length: int, now: Timestamp) -> Sums:
        """Return the sums of one row over the window of a length that ends at a time."""
        index = tiers.holding(self.tiers, length)
        tier = self.tiers[index]
        end = tier.slot(now) + 1
        return self._held(index, row, end - tier.width(length), end)

    def minutes(self, row: int, begin: Timestamp, end: Timestamp) -> Sums:
        """Return the sums of one row over whole minutes of the last hours."""
        tier = self.tiers[0]
        return self._held(0, row, tier.slot(begin), tier.slot(end))

    def since(self, begin: Timestamp, now: Timestamp) -> Columns:
        """Return the sums of all rows but the wide ones over a period until now."""
        spans = tiers.since(self.tiers, begin, now)
        return reduce(add, (self._grids[index].between(first, last) for index, first, last in spans))

    def sums_since(self, row: int, begin: Timestamp, now: Timestamp) -> Sums:
        """Return the sums of a wide row over a period until now."""
        spans, tracks = tiers.since(self.tiers, begin, now), self._wide[row]
        return reduce(add, (tracks[index].sums(first, last + 1) for index, first, last in spans))

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
            self._grids[index].keep(first, tier.slot(now) + tier.slots)
            for tracks in self._wide.values():
                tracks[index].prune(first)
        busy = self._grids[HOURS].busy() | {row for row, tracks in self._wide.items() if tracks[HOURS].slots}
        for row, key in list(self.rows()):
            if row not in busy:
                self._remove(row, key)
        return tiers.kept(self.tiers, now, self._handed_out)

    def _held(self, index: int, row: int, first: int, end: int) -> Sums:
        if row in self._wide:
            return self._wide[row][index].sums(first, end)
        cells = [self._grids[index].cell(row, slot) for slot in range(first, end)]
        bad, total, measured = (sum(column) for column in zip(*cells, strict=True))
        return Sums(Decimal(bad), Decimal(total), measured)

    def _widths(self, index: int) -> list[int]:
        held = [length for length in self._lengths if tiers.holding(self.tiers, length) == index]
        return [self.tiers[index].width(length) for length in held]

    def _remove(self, row: int, key: Key) -> None:
        for grid in self._grids:
            grid.clear(row)
        self._wide.pop(row, None)
        del self._rows[key.slo, key.group]
        self._keys[row] = None
        self._vacant.append(row)
        self.generation += 1

    def _add(
        self, minute: Timestamp, rows: Sequence[int], bad: Sequence[Decimal], total: Sequence[Decimal]
    ) -> None:
        whole: list[tuple[int, int, int]] = []
        for row, bad_events, events in zip(rows, bad, total, strict=True):
            if events:
                self._moments.happened(row, minute)
            if row not in self._wide and is_whole(bad_events) and is_whole(events):
                whole.append((row, int(bad_events), int(events)))
                continue
            self._add_wide(minute, row, Sums(bad_events, events, 0))
        if whole:
            where, bad_counts, counts = np.array(whole, np.int64).T
            self._add_whole(minute, where, bad_counts, counts, np.zeros(len(where), np.uint8))

    def _add_whole(
        self, minute: Timestamp, rows: Integers, bad: Integers, total: Integers, measured: Minutes
    ) -> None:
        for index, grid in enumerate(self._grids):
            if self._reaches(index, minute):
                grid.add(rows, self.tiers[index].slot(minute), bad, total, measured)

    def _add_wide(self, minute: Timestamp, row: int, more: Sums) -> None:
        for index, track in enumerate(self._widened(row)):
            if self._reaches(index, minute):
                track.add(self.tiers[index].slot(minute), more.bad, more.total, more.measured)

    def _reaches(self, index: int, minute: Timestamp) -> bool:
        """Tell whether a tier has a slot for a minute, and reaches back to it."""
        tier, present = self.tiers[index], self._grids[index].present
        return tier.holds(minute) and (present is None or tier.slot(minute) > present - tier.slots)

    def _mark_read(self, minute: Timestamp, rows: Integers) -> list[int]:
        """Count a minute as measured, once; return the rows in which it was not yet."""
        slot = self.tiers[0].slot(minute)
        self._moments.read(rows, minute)
        wide = [row for row in rows.tolist() if row in self._wide] if self._wide else []
        rested = [row for row in wide if not self._wide[row][0].sums(slot, slot + 1).measured]
        for row in rested:
            self._add_wide(minute, row, Sums(exact.ZERO, exact.ZERO, 1))
        narrow = np.setdiff1d(rows, wide) if wide else rows
        newly = narrow[self._grids[0].cells(narrow, slot).measured == 0]
        if len(newly):
            nothing = np.zeros(len(newly), np.int64)
            self._add_whole(minute, newly, nothing, nothing, np.ones(len(newly), np.uint8))
        return [*newly.tolist(), *rested]

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

    def _used(self, index: int, slot: int) -> list[int]:
        """Return the rows that hold anything in a slot."""
        narrow = self._grids[index].used(slot).tolist()
        wide = [row for row, tracks in self._wide.items() if slot in tracks[index].slots]
        return sorted([*narrow, *wide])

    def _buckets(self, index: int, slot: int, rows: Sequence[int]) -> Iterator[Bucket]:
        """Yield what some rows hold in one slot of a tier."""
        tier = self.tiers[index]
        cells = self._grids[index].cells(np.array(rows, np.int64), slot)
        columns = zip(rows, cells.bad.tolist(), cells.total.tolist(), cells.measured.tolist(), strict=True)
        for row, bad, total, measured in columns:
            key = self._keys[row]
            if key is None:
                continue
            held = Sums(Decimal(bad), Decimal(total), measured)
            if row in self._wide:
                held = self._wide[row][index].sums(slot, slot + 1)
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

    def _widened(self, row: int) -> tuple[Track, ...]:
        """Return the exact tracks of a row, which its whole events move to when it has none yet."""
        if row not in self._wide:
            tracks = tuple(Track() for _ in self.tiers)
            for grid, track in zip(self._grids, tracks, strict=True):
                for slot in grid.slots():
                    bad, total, measured = grid.cell(row, slot)
                    if total or measured:
                        track.add(slot, Decimal(bad), Decimal(total), measured)
                grid.clear(row)
            self._wide[row] = tracks
        return self._wide[row]

    def _load(self, buckets: Iterable[Bucket]) -> None:
        """Take over stored buckets. What was not handed out before the process ended is owed, to be kept."""
        minutes, coarse, newest = sorted_out(buckets)
        if newest is None:
            return
        owed: list[tuple[int, int, int]] = []
        for index, tier in enumerate(self.tiers):
            first = self._handed_out[index] = tier.slot(newest)
            stored, made = coarse.get(tier.step, {}), coarser(minutes, tier)
            placed: dict[int, list[tuple[int, Sums]]] = {}
            for key in {**made, **stored}:
                row, fresh, known = self._row_of(key), made.get(key, {}), stored.get(key, {})
                for slot in {**fresh, **known}:
                    # Either may lack what the other has: what was late, or what was too old for its minute.
                    found = fresh.get(slot, NOTHING), known.get(slot, NOTHING)
                    true = max(found, key=lambda sums: (sums.total, sums.measured))
                    placed.setdefault(slot, []).append((row, true))
                    if index and slot < first and true != known.get(slot):
                        owed.append((index, slot, row))
            for slot, held in placed.items():
                self._put(index, slot, held)
        self._owed = [bucket for index, slot, row in owed for bucket in self._buckets(index, slot, [row])]
        self._remember(minutes, 1)
        for step, slots in coarse.items():
            self._remember(slots, step)

    def _remember(self, stored: Mapping[Key, Held], step: int) -> None:
        """Take over when something was read, and happened, last; a slot begins at `step` times its number."""
        for key, held in stored.items():
            row = self._row_of(key)
            read = (slot * step for slot, sums in held.items() if sums.measured)
            events = (slot * step for slot, sums in held.items() if sums.total)
            self._moments.remember(row, read, events)

    def _row_of(self, key: Key) -> int:
        return self.row(key.slo, key.definition, key.group)

    def _put(self, index: int, slot: int, held: Sequence[tuple[int, Sums]]) -> None:
        """Restore one slot of one tier for some rows."""
        whole = []
        for row, sums in held:
            if row not in self._wide and is_whole(sums.bad) and is_whole(sums.total):
                whole.append((row, int(sums.bad), int(sums.total), sums.measured))
            else:
                self._widened(row)[index].add(slot, sums.bad, sums.total, sums.measured)
        if whole:
            rows, bad, total, measured = np.array(whole, np.int64).T
            self._grids[index].add(rows, slot, bad, total, measured.astype(np.uint8))
