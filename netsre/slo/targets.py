"""Samples of a store become the scrapes that they were: what a target showed at one moment, in order.

A target is what Prometheus scrapes: the labels that its `up` has, and with them all its series. Without `up`
the job, the instance and the label that names the node have to do. A node is one target at a time:

| situation                                          | what is made of it                                |
|----------------------------------------------------|---------------------------------------------------|
| `up` is 1                                          | a scrape, also where none of its series was there |
| `up` is 0 or missing, and no sample either         | no scrape: the minute was not measured            |
| `up` is missing, but there are samples             | a scrape                                          |
| `process_start_time_seconds` moved                 | the source restarted                              |
| it was missing and is there now                    | a first scrape                                    |
| other labels of the target, the same start         | the same source, whose counters go on             |
| other labels, started since the last scrape        | the source restarted                              |
| other labels, any other start or none              | a first scrape                                    |
| all series of a counter have other labels          | a first scrape                                    |
| two targets take turns under one node              | doubt: their events would be counted twice        |
| times of a series repeat or fall                   | doubt, unless the sample is the same              |

A first scrape counts nothing: what was counted under the old name must not be counted again under the new.
The labels of a target are no part of its series, as they are none of what an agent shows.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Labels, RecordedSeries, Scrape, Series
from netsre.slo.increments import JITTER

AMBIGUOUS_TARGET: Final = "ambiguous_target"
CONTRADICTORY_SAMPLES: Final = "contradictory_samples"
NO_NODE_LABEL: Final = "no_node_label"

JOB: Final = "job"
INSTANCE: Final = "instance"

_TURNS_WITHIN: Final = 5 * clock.MINUTE
"""A target that is back so soon was never gone: Prometheus itself calls it stale only then."""
_UNKNOWN: Final = Timestamp(0)

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why numbers about some samples cannot be trusted."""

    reason: str
    """A word: one of the constants here, or of whoever read the samples."""
    about: str
    """For people."""
    name: str | None = None
    """The samples of this name only; None for all."""
    node: str | None = None
    """The samples of this node only; None for all."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a store recorded in one span of time."""

    followed: tuple[RecordedSeries, ...]
    """Series that SLOs are about."""
    up: tuple[RecordedSeries, ...]
    starts: tuple[RecordedSeries, ...]
    """`process_start_time_seconds`."""
    live: bool = False
    """Whether it ends in the present: a scrape whose `up` is not there yet may not be whole, and waits."""

    @property
    def interval(self) -> int | None:
        """Return the shortest usual time between two scrapes of a target, in ms; None without two."""
        samples = [one.samples for one in self.up if len(one.samples) > 1]
        return min(((s[-1][0] - s[0][0]) // (len(s) - 1) for s in samples), default=None)


@dataclass(frozen=True, slots=True)
class Reading:
    """One scrape, and whether it is the first of its target."""

    scrape: Scrape
    first: bool


@dataclass(slots=True)
class _Node:
    """How far the scrapes of one node have come."""

    target: Labels | None = None
    at: Timestamp = _UNKNOWN
    started_at: Timestamp = _UNKNOWN
    seen: dict[Labels, Timestamp] = field(default_factory=dict)
    shown: frozenset[Series] = frozenset()
    names: dict[str, frozenset[Series]] = field(default_factory=dict)
    """The series of each counter when it was last there."""


class Scrapes:
    """Makes scrapes of chunks, which are given oldest first; they may overlap, no scrape is made twice."""

    def __init__(
        self, node_label: str, known: Iterable[Series], counters: frozenset[str], kept: frozenset[str]
    ) -> None:
        """Begin without a scrape.

        `known` are the series that SLOs are about, in all chunks: a target without any is not a source.
        `counters` are the names of those that only grow, `kept` the labels that SLOs ask for.
        """
        self._node_label = node_label
        self._kept = kept
        self._counters = counters
        self._known: dict[Place, dict[frozenset[tuple[str, str]], None]] = defaultdict(dict)
        self.know(known)
        self._nodes: dict[str, _Node] = {}
        self._last: dict[Labels, Timestamp] = {}
        """The last scrape of each target."""
        self._doubts: dict[tuple[str, str | None, str | None], Doubt] = {}

    def know(self, known: Iterable[Series]) -> None:
        """Learn of series that SLOs are about."""
        for series in known:
            self._known[_place(series.labels)][frozenset(series.labels)] = None

    def resume(self, node: str, at: Timestamp, started_at: Timestamp) -> None:
        """Go on with a node that was read before, whoever spoke for it: its process is told by its start."""
        self._nodes[node] = _Node((), at, started_at)

    def knows(self, series: Iterable[Series]) -> bool:
        """Tell whether series that SLOs are about are known from each of their places."""
        return all(_place(one.labels) in self._known for one in series)

    def forget(self, before: Timestamp) -> None:
        """Forget which series SLOs are about, and targets without a scrape since a time."""
        self._known.clear()
        self._last = {target: at for target, at in self._last.items() if at >= before}

    def last(self, after: Timestamp) -> Timestamp | None:
        """Return the earliest of the last scrapes of all targets that were scraped after a time."""
        return min((at for at in self._last.values() if at > after), default=None)

    @property
    def newest(self) -> Timestamp:
        """Return the last scrape of all; of what was never scraped the beginning of time."""
        return max(self._last.values(), default=_UNKNOWN)

    def speaks(self, target: Labels, node: str) -> bool:
        """Tell whether the last scrape of a node was of this target."""
        return node in self._nodes and self._nodes[node].target == target

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Everything that was wrong so far, each once."""
        return tuple(self._doubts.values())

    def take_doubts(self) -> tuple[Doubt, ...]:
        """Return everything that was wrong since this was asked last."""
        found = self.doubts
        self._doubts.clear()
        return found

    def read(self, chunk: Chunk) -> Iterator[Reading]:
        """Yield the scrapes of a chunk in the order of time, those of all nodes together."""
        up = {one.series.labels: one for one in chunk.up if self._node_label in dict(one.series.labels)}
        places: dict[Place, list[Labels]] = defaultdict(list)
        for target in up:
            places[_place(target)].append(target)
        shown = self._shown(chunk.followed, places)
        for target, one in up.items():
            if target in shown or self._is_source(target):
                for at, value in self._ordered(one):
                    if value == 1:
                        shown[target].setdefault(at, {})
        starts = {self._target(one.series, places): dict(self._ordered(one)) for one in chunk.starts}
        turns = [
            (at, dict(target)[self._node_label], target)
            for target, scrapes in shown.items()
            for at in scrapes
            if self._is_new(target, at, up.get(target) if chunk.live else None)
        ]
        for at, node, target in sorted(turns):
            self._last[target] = at
            start = _start(starts.get(target, {}).get(at))
            yield self._reading(node, target, at, start, shown[target][at])

    def _shown(
        self, followed: Iterable[RecordedSeries], places: Mapping[Place, list[Labels]]
    ) -> dict[Labels, dict[Timestamp, dict[Series, Decimal]]]:
        """Return what every target showed at every time."""
        shown: dict[Labels, dict[Timestamp, dict[Series, Decimal]]] = defaultdict(dict)
        for one in followed:
            name = one.series.name
            if self._node_label not in dict(one.series.labels):
                self._doubt(NO_NODE_LABEL, f"{name} has no label {self._node_label!r}", name=name)
                continue
            target = self._target(one.series, places)
            scrapes, series = shown[target], self._own(one.series, target)
            for at, value in self._ordered(one, name):
                scrapes.setdefault(at, {})[series] = value
        return shown

    def _is_new(self, target: Labels, at: Timestamp, up: RecordedSeries | None) -> bool:
        whole = up is None or (bool(up.samples) and at <= up.samples[-1][0])
        return whole and at > self._last.get(target, -1)

    def _is_source(self, target: Labels) -> bool:
        pairs = frozenset(target)
        return any(pairs <= labels for labels in self._known.get(_place(target), {}))

    def _target(self, series: Series, places: Mapping[Place, list[Labels]]) -> Labels:
        """Return the labels of the target that a series is of."""
        pairs = frozenset(series.labels)
        fitting = [target for target in places.get(_place(series.labels), ()) if pairs.issuperset(target)]
        if fitting:
            return max(fitting, key=len)
        wanted = (JOB, INSTANCE, self._node_label)
        return tuple(pair for pair in series.labels if pair[0] in wanted)

    def _own(self, series: Series, target: Labels) -> Series:
        """Return a series as its target shows it."""
        own = tuple(pair for pair in series.labels if pair not in target or pair[0] in self._kept)
        return Series(series.name, own)

    def _ordered(self, one: RecordedSeries, name: str | None = None) -> Iterator[tuple[Timestamp, Decimal]]:
        """Yield samples whose times rise; others put what is said of this name in doubt, or everything."""
        last: tuple[Timestamp, Decimal] | None = None
        for at, value in one.samples:
            if last is not None and at <= last[0]:
                if at < last[0] or not _same(value, last[1]):
                    about = f"{one.series.name} has contradictory samples at {clock.rfc3339(at)}"
                    self._doubt(CONTRADICTORY_SAMPLES, about, name=name)
                continue
            last = (at, value)
            yield at, value

    def _reading(
        self, node: str, target: Labels, at: Timestamp, start: Timestamp | None, values: dict[Series, Decimal]
    ) -> Reading:
        state = self._nodes.setdefault(node, _Node())
        self._turn(state, node, target, at)
        first = _begins(state, target, start)
        restarted = start is not None and start - state.started_at > JITTER
        if first and start is None:
            state.started_at = _UNKNOWN
        elif start is not None:
            state.started_at = start
        first |= self._relabelled(state, frozenset(values), restarted=first or restarted)
        state.target, state.at = target, at
        return Reading(Scrape(at, node, state.started_at, values), first)

    def _turn(self, state: _Node, node: str, target: Labels, at: Timestamp) -> None:
        """Note who speaks for a node now, and doubt those who take turns."""
        before = state.seen.get(target)
        if target != state.target and before is not None and at - before <= _TURNS_WITHIN:
            about = f"{self._node_label}={node!r} names several targets: {_text(target)}"
            self._doubt(AMBIGUOUS_TARGET, f"{about} and {_text(state.target or ())}", node=node)
        state.seen[target] = at

    def _relabelled(self, state: _Node, shown: frozenset[Series], *, restarted: bool) -> bool:
        """Note the series of a scrape; return whether a counter has none left of those that it had."""
        if shown == state.shown and not restarted:
            return False
        state.shown = shown
        names: dict[str, set[Series]] = defaultdict(set)
        for series in shown:
            if series.name in self._counters:
                names[series.name].add(series)
        before = {} if restarted else state.names
        found = any(name in before and before[name].isdisjoint(now) for name, now in names.items())
        state.names = {**before, **{name: frozenset(now) for name, now in names.items()}}
        return found

    def _doubt(self, reason: str, about: str, name: str | None = None, node: str | None = None) -> None:
        self._doubts.setdefault((reason, name, node), Doubt(reason, about, name, node))


def _begins(state: _Node, target: Labels, start: Timestamp | None) -> bool:
    """Return whether nothing that was counted before has to do with what is shown now."""
    if state.target is None:
        return True
    if start is None:
        return target != state.target
    known = state.started_at != _UNKNOWN
    if target == state.target and known:
        return False
    same = known and abs(start - state.started_at) <= JITTER
    return not (same or start > state.at)


def _place(labels: Labels) -> Place:
    pairs = dict(labels)
    return pairs.get(JOB, ""), pairs.get(INSTANCE, "")


def _start(value: Decimal | None) -> Timestamp | None:
    """Return a usable start of a process; one that is no time is none."""
    if value is None or not value.is_finite() or not 0 < value < clock.END // clock.SECOND:
        return None
    return Timestamp(int(value * clock.SECOND))


def _same(left: Decimal, right: Decimal) -> bool:
    return left == right or (left.is_nan() and right.is_nan())


def _text(target: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in target) + "}"
