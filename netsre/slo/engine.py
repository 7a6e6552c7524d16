"""The SLO engine: scrapes in, buckets and cursors to keep out, evaluations on demand.

It holds everything in memory and does no I/O. What must survive a restart leaves it in an `Observation`; keep
its buckets (by SLO, group, length and begin, replacing) and its cursor (by node) in one transaction, and give
both back to the constructor: nothing is then lost or counted twice, whenever the process ends.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from netsre import clock, conventions
from netsre.clock import Timestamp
from netsre.model.levels import SLO, Slices, ThresholdIndicator
from netsre.model.samples import Labels, Scrape
from netsre.slo import calendars, definition, increments, indicators, promql, tiers
from netsre.slo.buckets import Bucket
from netsre.slo.evaluate import Evaluations, Frame, Level, Past, Span, Window
from netsre.slo.grid import Columns, Integers
from netsre.slo.history import History
from netsre.slo.increments import Cursor, Increments, Reason
from netsre.slo.indicators import Measure, Meter
from netsre.slo.promql import Piece
from netsre.slo.slicer import Slicer
from netsre.slo.slices import events_of
from netsre.slo.track import Sums

_GONE_AFTER: Final = clock.HOUR


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a scrape that people may want to know; never an error."""

    reason: str
    """A word: `baseline`, `duplicate`, `clock_set_back`, `counter_reset`, `not_a_number` or an anomaly's."""
    subject: str
    """The node, series or SLO it is about."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one scrape changed."""

    buckets: tuple[Bucket, ...]
    """Minutes that changed and coarser slots that ended, with all they hold: twice written is once."""
    cursor: Cursor
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _Measured:
    """What one scrape measured that happened since the same time."""

    since: Timestamp | None
    rows: list[int] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Quiet:
    """What every scrape of one node measures, as rows of the history while these stay what they are."""

    generation: int
    groups: Mapping[tuple[int, Labels], int]
    """By index of the SLO and group, the row of its events."""
    rows: Integers
    sliced: Mapping[int, tuple[Slices, int]]
    """By row of events, the slices and the row that these are counted in."""


class Engine:
    """Evaluates SLOs over scrapes of any number of nodes."""

    def __init__(
        self,
        slos: Iterable[SLO],
        history: Iterable[Bucket] = (),
        cursors: Iterable[Cursor] = (),
        nodes: Collection[str] | None = None,
        *,
        prometheus: bool = False,
    ) -> None:
        """Start where the stored buckets and cursors ended.

        The buckets must be of what these SLOs measure (`definition.current`). `nodes` are all that will be
        read, None when that is not known: groups of other nodes are gone. `prometheus` says whether one will
        be asked what only it can answer; without, such SLOs say that they need one.
        """
        self._prometheus = prometheus
        self.slos = tuple(sorted(slos, key=lambda slo: slo.name))
        self._definitions = {slo.name: definition.of(slo) for slo in self.slos}
        self._meter = Meter(self.slos)
        self._followed = indicators.followed(self.slos)
        self._lengths = _lengths(self.slos)
        self._calendars = {slo.calendar for slo in self.slos if slo.calendar is not None}
        longest = {calendar.longest for calendar in self._calendars}
        self._history = History(history, self._lengths | longest, calendars.edges(self._calendars))
        self._counted = promql.counted(self.slos, self._history)
        """Up to when those that a Prometheus answers were counted, by name."""
        self._slicer = Slicer(self._history)
        self._cursors = {cursor.node: cursor for cursor in cursors}
        self._nodes = nodes
        self._quiets: dict[str, _Quiet] = {}
        self._frame = Frame((), frozenset())
        self._framed: tuple[int, frozenset[int]] | None = None
        self._strange: frozenset[int] = frozenset()
        """Positions of groups of nodes that nobody reads."""
        self._passing: list[tuple[int, int, str | None]] = []
        """Positions, rows and nodes of groups that may end before their node does."""
        self._answered: list[tuple[int, int, str]] = []
        """The same of groups that a Prometheus answers, with their SLO."""

    def observe(self, scrape: Scrape, *, first: bool = False) -> Observation:
        """Count one scrape; one of the same time as the last of its node changes nothing.

        With `first` its counters have nothing to do with those before: they count from here on.
        """
        before = None if first else self._cursors.get(scrape.node)
        counted, cursor = increments.advance(before, scrape, self._followed)
        self._cursors[scrape.node] = cursor
        notes = _notes(counted, scrape.node)
        if counted.reason is Reason.DUPLICATE:
            return Observation((), cursor, notes)
        # A reading of a gauge is of its own moment, however long nobody looked before it.
        events, readings = _Measured(counted.since), _Measured(None)
        quiet = self._quiet(scrape.node)
        sliced, unknown = dict(quiet.sliced), set[int]()
        for index, group, measure in self._meter.measure(scrape, counted):
            slo, key = self.slos[index], (index, group)
            notes += tuple(Note(anomaly, subject(slo, group)) for anomaly in sorted(measure.anomalies))
            if measure.anomalies and not measure.total:
                # The source answered, but not about this: no reading, so that coverage shows it.
                unknown |= {quiet.groups[key]} if key in quiet.groups else set()
                continue
            row = quiet.groups[key] if key in quiet.groups else self._events_row(slo, group)
            found = readings if isinstance(slo.indicator, ThresholdIndicator) else events
            found.rows.append(row)
            found.measures.append(measure)
            if slo.slices is not None:
                sliced[row] = slo.slices, self._history.row(slo.name, self._definitions[slo.name], group)
        self._history.move_to(scrape.at)
        buckets: list[Bucket] = []
        for found in (events, readings):
            if found.rows:
                buckets += self._history.count(found.rows, found.measures, found.since, counted.until)
        rows = np.setdiff1d(quiet.rows, list(unknown)) if unknown else quiet.rows
        buckets += self._history.mark(rows, counted.until)
        for row, (slices, slice_row) in sliced.items():
            if row not in unknown:
                buckets += self._slicer.close(slices, (row, slice_row), scrape.at)
        return Observation((*buckets, *self._history.close(scrape.at)), cursor, notes)

    def _quiet(self, node: str) -> _Quiet:
        """Return what a scrape of a node measures whatever it shows."""
        known = self._quiets.get(node)
        if known is not None and known.generation == self._history.generation:
            return known
        groups = {key: self._events_row(self.slos[key[0]], key[1]) for key in self._meter.always(node)}
        sliced: dict[int, tuple[Slices, int]] = {}
        for (index, group), row in groups.items():
            slo = self.slos[index]
            if slo.slices is not None:
                sliced[row] = slo.slices, self._history.row(slo.name, self._definitions[slo.name], group)
        rows = np.array(list(groups.values()), np.int64)
        found = _Quiet(self._history.generation, groups, rows, sliced)
        self._quiets[node] = found
        return found

    def count(
        self, pieces: Iterable[Piece], now: Timestamp, asked: Mapping[str, Timestamp] = MappingProxyType({})
    ) -> tuple[Bucket, ...]:
        """Count what a Prometheus answered, of any age; return what is to be kept, in one transaction.

        Pieces of a time that was counted before change nothing: each SLO is counted once, oldest first. Of a
        budget of slices they are those of whole slices (`promql.due`). `asked` says up to when SLOs were
        asked, by name: where there was no answer there is no piece, and nobody is to ask again.
        """
        self._history.move_to(now)
        # What is over before anything of it is late: from here on it is kept whenever it changes.
        buckets = self._history.close(now)
        found: dict[int, list[Piece]] = {}
        for piece in pieces:
            if piece.end > self._counted.get(self.slos[piece.slo].name, 0):
                found.setdefault(piece.slo, []).append(piece)
        buckets += self._fill(found)
        newest = {self.slos[index].name: max(piece.end for piece in new) for index, new in found.items()}
        for name, until in (*newest.items(), *asked.items()):
            self._counted[name] = max(self._counted.get(name, until), until)
        return tuple(buckets)

    def _fill(self, found: Mapping[int, Iterable[Piece]]) -> list[Bucket]:
        spans: dict[tuple[Timestamp, Timestamp], _Measured] = {}
        for index, pieces in found.items():
            slo = self.slos[index]
            for begin, end, group, measure in promql.fillings(slo, pieces):
                span = spans.setdefault((begin, end), _Measured(begin))
                span.rows.append(self._history.row(slo.name, self._definitions[slo.name], group))
                span.measures.append(measure)
        return self._history.fill((*span, spans[span].rows, spans[span].measures) for span in sorted(spans))

    def counted_until(self, slo: SLO) -> Timestamp | None:
        """Return up to when an SLO was counted, or asked for; None before the first piece."""
        return self._counted.get(slo.name)

    def notes(self, pieces: Iterable[Piece]) -> tuple[Note, ...]:
        """Return what people may want to know of pieces: one note for each SLO, group and anomaly."""
        said = {
            (subject(self.slos[piece.slo], piece.group), anomaly)
            for piece in pieces
            for anomaly in piece.measure.anomalies
        }
        return tuple(Note(anomaly, about) for about, anomaly in sorted(said))

    def _events_row(self, slo: SLO, group: Labels) -> int:
        """Return where the events of an SLO are counted: with a budget of slices they have their own row."""
        if slo.slices is None:
            return self._history.row(slo.name, self._definitions[slo.name], group)
        return self._history.row(events_of(slo.name), definition.of_events(slo), group)

    @property
    def read(self) -> Mapping[str, Timestamp]:
        """Return the time of the last scrape of each node."""
        return {node: cursor.at for node, cursor in self._cursors.items()}

    @property
    def history(self) -> History:
        """Return everything that was measured."""
        return self._history

    def take_over(self, slos: Iterable[SLO], history: History) -> None:
        """Have the past of some SLOs from a history of the same scrapes, up to the last of each node."""
        names = {slo.name for slo in slos}
        self._history.take_over(history, names | {events_of(name) for name in names})

    def groups(self, slo: SLO) -> tuple[Labels, ...]:
        """Return the groups of an SLO that were measured within the history, sorted.

        An SLO without groups always has one, so that it shows before its first reading.
        """
        return self._history.groups(slo.name) or (() if slo.group_by else ((),))

    def evaluate(self, now: Timestamp) -> Evaluations:
        """Return where every group of every SLO stands, by SLO name and group.

        Groups that are gone are left out. A namespace or a workload ends: a group of more than a node is gone
        when its source was read for an hour since and did not know it any more. A node is not gone because it
        is silent, but one that nobody reads any more, or that has another name now, will never speak again.
        """
        history = self._history
        history.move_to(now)
        frame = self._up_to_date()
        columns = {length: history.running(length) for length in self._lengths}
        near = frame.near(columns)
        return Evaluations(frame, self._past(columns, now), now, near, self._gone())

    def prune(self, now: Timestamp) -> Mapping[int, Timestamp]:
        """Forget what no window reaches any more; return before which time slots of each length may go.

        With them go the cursors of sources that were not read since: nodes come and go under new names.
        """
        before = self._history.prune(now)
        oldest = min(before.values())
        self._cursors = {node: cursor for node, cursor in self._cursors.items() if cursor.at >= oldest}
        return before

    def _up_to_date(self) -> Frame:
        for slo in self.slos:
            if not slo.group_by:
                self._history.row(slo.name, self._definitions[slo.name], ())
        state = (self._history.generation, self._history.wide)
        if state != self._framed:
            named = {slo.name: slo for slo in self.slos}
            rows = [(row, key) for row, key in self._history.rows() if key.slo in named]
            levels = [Level(row, named[key.slo], key.group) for row, key in rows]
            self._frame, self._framed = Frame(levels, self._history.wide), state
            self._sort_out()
        return self._frame

    def _sort_out(self) -> None:
        """Find out which groups may be gone, and by what that is known."""
        nodes: list[tuple[int, Level, str | None]] = []
        self._answered = []
        for at, level in enumerate(self._frame.levels):
            if promql.indicator(level.slo) is None:
                nodes.append((at, level, dict(level.group).get(conventions.NODE)))
            elif _may_pass(level.slo):
                self._answered.append((at, level.row, level.slo.name))
        known = {None, *((node for _, _, node in nodes) if self._nodes is None else self._nodes)}
        self._strange = frozenset(at for at, _, node in nodes if node not in known)
        self._passing = [(at, level.row, node) for at, level, node in nodes if _may_pass(level.slo)]

    def _past(self, columns: Mapping[int, Columns], now: Timestamp) -> Past:
        """Return what the rows hold; the sums stay as they are now."""
        history = self._history
        still: dict[Span, Columns] = {length: sums.copy() for length, sums in columns.items()}
        minutes: dict[Span, int] = {
            length: tiers.minutes_covered(history.tiers, length, now) for length in columns
        }
        wide: dict[tuple[int, Span], Sums] = {
            (row, length): history.sums(row, length, now) for row in history.wide for length in columns
        }
        for calendar in self._calendars:
            begin = calendars.start(calendar, now)
            still[calendar] = history.since(begin, now)
            minutes[calendar] = calendars.minutes_since(begin, now)
            wide |= {(row, calendar): history.sums_since(row, begin, now) for row in history.wide}

        def held(row: int, span: Span) -> Window:
            return Window(wide.get((row, span)) or still[span].sums(row), minutes[span])

        return Past(held, history.seen(), self._prometheus)

    def _gone(self) -> frozenset[int]:
        """Return the positions of the groups that are gone."""
        read = {cursor.node: cursor.at for cursor in self._cursors.values()}
        newest: dict[str | None, Timestamp] = dict(read.items())
        newest[None] = max(read.values(), default=Timestamp(0))
        ended = set()
        for at, row, node in self._passing:
            last = self._history.last_reading(row)
            if last is not None and node in newest and newest[node] - last > _GONE_AFTER:
                ended.add(at)
        for at, row, name in self._answered:
            last, asked = self._history.last_reading(row), self._counted.get(name)
            if last is not None and asked is not None and asked - last > _GONE_AFTER:
                ended.add(at)
        return self._strange | ended


def _lengths(slos: Iterable[SLO]) -> set[int]:
    """Return the lengths of all rolling windows."""
    return {
        length
        for slo in slos
        for length in (
            *((slo.window,) if slo.calendar is None else ()),
            *(slo.policy.windows if slo.policy else ()),
        )
    }


def _may_pass(slo: SLO) -> bool:
    return not set(slo.group_by) <= {conventions.NODE}


def subject(slo: SLO, group: Labels) -> str:
    """Return how notes name one group of an SLO: `flow-success{node="a"}`."""
    pairs = ",".join(f'{name}="{value}"' for name, value in group)
    return f"{slo.name}{{{pairs}}}" if pairs else slo.name


def _notes(counted: Increments, node: str) -> tuple[Note, ...]:
    notes = [] if counted.reason is Reason.COUNTED else [Note(counted.reason, node)]
    # One note for each metric: a restart in disguise would otherwise be a thousand lines.
    notes += [Note("counter_reset", name) for name in sorted({series.name for series in counted.resets})]
    notes += [Note("not_a_number", name) for name in sorted({series.name for series in counted.unusable})]
    return tuple(notes)
