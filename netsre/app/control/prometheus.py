"""A Prometheus as the source of the controller: every scrape that it recorded, once, in order, as it was.

Each look asks for what came since the last one: one query for each sample name, however many SLOs there are.
Of an answer that is not whole nothing is counted: the next look asks for the same time again. After a restart
or a time in which nobody could ask, what was recorded meanwhile is read, and nothing is lost; until that is
done, what alerts about conditions look at is asked for apart.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.adapters.prometheus.native import Remark
from netsre.adapters.prometheus.transport import Bounds
from netsre.app.control.sources import PROMETHEUS, Look
from netsre.app.logs import pairs
from netsre.app.prometheus_chunks import ChunkReader, not_whole
from netsre.clock import Clock, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import SLO, Selector
from netsre.model.samples import Scrape
from netsre.slo import indicators, questions
from netsre.slo.increments import Cursor
from netsre.slo.targets import Chunk, Doubt, Reading, Scrapes

BOUNDS: Final = Bounds(connect_seconds=2.0, total_seconds=15.0, attempts=2)
"""Of one query: an evaluation waits for the first that fails, and is late by no more than that."""
LATE: Final = 2 * clock.MINUTE
"""By how much a scrape may be recorded later than that of another target, and is still read."""
PRESENT: Final = 5 * clock.MINUTE
"""For how long the last scrape of a target stands for the present; Prometheus itself takes as much."""

_OVERLAP: Final = 15 * clock.SECOND
_LEAD: Final = 10 * clock.MINUTE
"""How much before the last scrape that was counted is read, to know the targets again."""
_DISCOVER_EVERY: Final = 1 * clock.HOUR
_HELD: Final = 2 * clock.HOUR
"""For how long a store that gets nothing new may be behind, or our clock ahead, and nothing is missed."""
_MOST_CHUNKS: Final = 4
"""Chunks that one look catches up with, so that a turn does not wait for hours of the past."""
_DOUBTED_FOR: Final = 5 * clock.MINUTE

_log: Final = logging.getLogger("netsre.controller")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a Prometheus is asked about."""

    slos: Sequence[SLO]
    rules: Sequence[AlertRule]
    node_label: str
    others: Sequence[SLO] = ()
    """SLOs that are not counted here; what they are about is a source all the same."""
    watched: Sequence[str] = ()
    """Names of samples that are read beside."""


class PrometheusSource:
    """What a Prometheus records from now on, or since the last scrapes that were counted."""

    name: str = PROMETHEUS

    def __init__(
        self,
        client: PrometheusClient,
        asked: Asked,
        cursors: Collection[Cursor],
        the_clock: Clock,
        since: Timestamp | None = None,
    ) -> None:
        """Begin at a time, or go on from the cursors; nothing is asked yet."""
        slos, rules, label = asked.slos, asked.rules, asked.node_label
        self._client = client
        self._remarked: set[Remark] = set()
        wanted = questions.selectors(slos, label, rules)
        beside = set(asked.watched) - {selector.metric for selector in wanted}
        self._reader = ChunkReader(
            client,
            (*wanted, *map(Selector, sorted(beside))),
            label,
            questions.selectors(asked.others, label),
        )
        self._present_reader = ChunkReader(client, questions.selectors((), label, rules), label)
        self._rules = rules
        self._kept = questions.labels(slos, rules)
        self._scrapes = Scrapes(label, (), indicators.counters(slos), self._kept)
        for cursor in cursors:
            self._scrapes.resume(cursor.node, cursor.at, cursor.started_at)
        self._label = label
        self._clock = the_clock
        self._reach = max((slo.reach for slo in slos), default=clock.DAY)
        self._counted = {cursor.node: cursor.at for cursor in cursors}
        self._since = since
        self._discover_at = Timestamp(0)
        self._interval = questions.USUAL_INTERVAL
        self._latest: dict[str, Scrape] = {}
        self._doubted: dict[Doubt, Timestamp] = {}
        self._left_out: set[str] = set()
        """Nodes of which a scrape was not taken: the next one cannot be compared with the last that was."""

    @property
    def read_until(self) -> Timestamp | None:
        """Return how far looks have come; None before the first."""
        return self._since

    def look(self) -> Look:
        """Return every scrape that was recorded since the last look."""
        now = self._clock.now()
        readings: list[Reading] = []
        for number, span in enumerate(self._spans(now)):
            try:
                chunk = self._chunk(span, now)
            except SourceUnreachable:
                if number:  # what was read is counted; the rest comes with the next look
                    break
                raise
            readings += self._taken(chunk, span[1])
            self._since = span[1]
            self._interval = chunk.interval or self._interval
        caught_up = self._since == now
        if caught_up:
            self._since = self._next(now)
        self._remark()
        self._latest = {node: scrape for node, scrape in self._latest.items() if scrape.at > now - PRESENT}
        latest = dict(self._latest) if caught_up else self._present(now)
        return Look(tuple(readings), latest, tuple(self._doubted), caught_up)

    def _present(self, now: Timestamp) -> dict[str, Scrape]:
        """Return what the rules are about, as it is now: they do not wait until looks came to the present."""
        if not self._rules:
            return {}
        reader = self._present_reader
        reader.know(self._reader.known)
        reader.reset()
        try:
            chunk = reader.read_live((Timestamp(now - PRESENT), now))
        except SourceUnreachable:
            return {}  # what was read of the past is counted nevertheless
        if reader.partial is not None:
            return {}
        scrapes = Scrapes(self._label, self._reader.known, frozenset(), self._kept)
        latest = {reading.scrape.node: reading.scrape for reading in scrapes.read(chunk)}
        for doubt in scrapes.doubts:
            latest.pop(doubt.node or "", None)
        _let_go(latest, chunk, scrapes, self._label)
        return latest

    def _next(self, now: Timestamp) -> Timestamp:
        """Return from where the next look reads: what is late is asked for again."""
        present = min(now, max(self._scrapes.newest, now - _HELD))
        last = self._scrapes.last(Timestamp(present - LATE))
        return Timestamp(min(now - _OVERLAP, present if last is None else last))

    def _remark(self) -> None:
        """Say once what numbers rest on that stand nevertheless."""
        for remark in self._client.remarks:
            if remark not in self._remarked:
                self._remarked.add(remark)
                _log.info("source %s", pairs(source=self.name, note=remark.reason, about=remark.about))

    def _spans(self, now: Timestamp) -> Sequence[questions.Span]:
        """Return what to read now, oldest first; only as much as one look takes."""
        since = self._begin(now) if self._since is None else self._since
        if since >= now:  # the clock was set back
            since = Timestamp(now - LATE)
        if not self._discover_at - _DISCOVER_EVERY <= now < self._discover_at:
            self._discover(since, now)
        return questions.chunks((since, now), self._reader.most_series, self._interval)[:_MOST_CHUNKS]

    def _begin(self, now: Timestamp) -> Timestamp:
        counted = max((at for at in self._counted.values() if at <= now), default=None)
        if counted is None:
            return Timestamp(now - LATE)
        return Timestamp(max(counted - _LEAD, now - self._reach))

    def _discover(self, since: Timestamp, now: Timestamp) -> None:
        """Learn which series there are by now; those of which nothing came for a day are forgotten."""
        begin = Timestamp(min(since, now - clock.DAY))
        self._reader.forget()
        self._reader.discover((begin, now))
        self._refuse_partial()
        self._scrapes.forget(begin)
        self._scrapes.know(self._reader.known)
        self._discover_at = Timestamp(now + _DISCOVER_EVERY)

    def _chunk(self, span: questions.Span, now: Timestamp) -> Chunk:
        chunk = self._read(span, now)
        found = [one.series for one in chunk.followed]
        if not self._scrapes.knows(found):
            # The target of a new series was not asked for yet.
            self._reader.know(found)
            chunk = self._read(span, now)
        self._scrapes.know(found)
        return chunk

    def _read(self, span: questions.Span, now: Timestamp) -> Chunk:
        chunk = self._reader.read_live(span) if span[1] == now else self._reader.read(span)
        self._refuse_partial()
        return chunk

    def _refuse_partial(self) -> None:
        partial = self._reader.partial
        if partial is not None:
            self._reader.reset()
            raise not_whole(partial.about)

    def _taken(self, chunk: Chunk, until: Timestamp) -> Iterator[Reading]:
        """Yield the readings of a chunk, which ends at a time, that are new and can be trusted."""
        readings = list(self._scrapes.read(chunk))
        self._doubted = {doubt: at for doubt, at in self._doubted.items() if until - at < _DOUBTED_FOR}
        self._doubted |= dict.fromkeys((*self._scrapes.take_doubts(), *self._reader.doubts), until)
        self._reader.reset()
        for reading in readings:
            scrape = reading.scrape
            if scrape.at <= self._counted.get(scrape.node, -1):
                continue
            if self._doubts(scrape.node):
                self._left_out.add(scrape.node)
                continue
            self._latest[scrape.node] = scrape
            first = reading.first or scrape.node in self._left_out
            self._left_out.discard(scrape.node)
            yield Reading(scrape, first)
        _let_go(self._latest, chunk, self._scrapes, self._label)

    def _doubts(self, node: str) -> bool:
        return any(doubt.node == node for doubt in self._doubted)


def _let_go(latest: dict[str, Scrape], chunk: Chunk, scrapes: Scrapes, node_label: str) -> None:
    """Forget the last scrape of targets that could not be scraped since."""
    for one in chunk.up:
        node = dict(one.series.labels).get(node_label, "")
        at, value = one.samples[-1]
        # Other targets of the same job may be on the same node, and nothing here is about them.
        down = value != 1 and scrapes.speaks(one.series.labels, node)
        if down and node in latest and latest[node].at < at:
            del latest[node]
