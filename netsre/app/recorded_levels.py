"""Where SLOs stand by what a Prometheus holds: raw samples, counted as those of a live agent are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from netsre import conventions
from netsre.adapters.prometheus.answers import Shortfall
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app.control import wire
from netsre.clock import Timestamp
from netsre.model.levels import SLO, Evaluation, Matcher, Selector
from netsre.model.samples import Labels, RecordedSeries, Series
from netsre.slo import evaluate, indicators, questions, targets
from netsre.slo.engine import Engine
from netsre.slo.questions import Span
from netsre.slo.targets import Chunk, Doubt, Scrapes

_UP: Final = "up"
_NO_SERIES: Final = "no_series"
_LONGEST_MATCHER: Final = 2_000
"""Characters; what is longer could make an address that a proxy refuses."""

Progress = Callable[[int, int], None]
"""Told how many chunks were read, and of how many."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where every SLO stood at one moment."""

    levels: wire.Slos
    queries: int
    """Requests that it took, each attempt counted."""
    notes: Mapping[str, int]
    """How often something was noticed about the scrapes: `counter_reset`, `not_a_number`, …"""
    doubts: tuple[Doubt, ...]


def read(
    client: PrometheusClient, slos: tuple[SLO, ...], at: Timestamp, node_label: str, progress: Progress
) -> Standing:
    """Return where SLOs stood at a moment; raises `SourceUnreachable` when that cannot be read."""
    reader, span = _Reader(client, questions.selectors(slos, node_label)), questions.span(slos, at)
    known = reader.discover(span)
    scrapes = Scrapes(node_label, known, indicators.counters(slos), questions.labels(slos))
    engine = Engine(slos)
    notes: Counter[str] = Counter()
    for chunk in reader.chunks(known, node_label, span, progress):
        for reading in scrapes.read(chunk):
            observation = engine.observe(reading.scrape, first=reading.first)
            notes.update(note.reason for note in observation.notes)
    doubts = (*reader.doubts, *scrapes.doubts)
    found = wire.Slos(slos=list(_views(engine, at, doubts, {series.name for series in known})))
    return Standing(found, client.queries, dict(sorted(notes.items())), doubts)


@dataclass(slots=True)
class _Reader:
    """Asks for chunks, and keeps what was said about answers that are not whole."""

    client: PrometheusClient
    selectors: tuple[Selector, ...]
    _doubts: dict[tuple[str, str | None], Doubt] = field(default_factory=dict)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        return tuple(self._doubts.values())

    def discover(self, span: Span) -> tuple[Series, ...]:
        found = self.client.known(self.selectors, *span)
        self._note(found.shortfalls, None)
        return found.series

    def chunks(
        self, known: Iterable[Series], node_label: str, span: Span, progress: Progress
    ) -> Iterator[Chunk]:
        """Yield every chunk of a span, oldest first; none where there is nothing to ask about."""
        names = Counter(series.name for series in known)
        if not names:
            return
        asked = [selector for selector in self.selectors if selector.metric in names]
        where = _where([dict(series.labels) for series in known], node_label)
        spans = questions.chunks(span, max(names.values()))
        for done, (since, until) in enumerate(spans):
            progress(done, len(spans))
            followed = [
                one for selector in asked for one in self._read(selector, selector.metric, since, until)
            ]
            up = self._read(Selector(_UP, where), None, since, until)
            start = Selector(conventions.PROCESS_START_TIME, where)
            yield Chunk(tuple(followed), up, self._read(start, None, since, until))
        progress(len(spans), len(spans))

    def _read(
        self, selector: Selector, name: str | None, since: Timestamp, until: Timestamp
    ) -> tuple[RecordedSeries, ...]:
        answer = self.client.samples(selector, since, until)
        self._note(answer.shortfalls, name)
        return answer.recorded

    def _note(self, shortfalls: Iterable[Shortfall], name: str | None) -> None:
        for one in shortfalls:
            self._doubts.setdefault((one.reason, name), Doubt(one.reason, one.about, name))


def _where(series: list[dict[str, str]], node_label: str) -> tuple[Matcher, ...]:
    """Return matchers for the targets of some series: their jobs, and their nodes where these are few."""
    matchers = []
    for label in dict.fromkeys((targets.JOB, node_label)):
        matcher = questions.any_of(label, (labels.get(label, "") for labels in series))
        if len(matcher.value) <= _LONGEST_MATCHER:
            matchers.append(matcher)
    return tuple(matchers)


def _views(engine: Engine, at: Timestamp, doubts: Iterable[Doubt], known: set[str]) -> Iterator[wire.SloView]:
    """Yield every SLO by name and group; where anything is in doubt there is no number, but the reason."""
    standing: dict[str, list[Evaluation]] = defaultdict(list)
    for evaluation in engine.evaluate(at):
        standing[evaluation.slo.name].append(evaluation)
    for slo in engine.slos:
        mine = standing[slo.name]
        for evaluation in mine:
            reason = _reason(slo, evaluation.group, doubts)
            yield wire.unknown(slo, evaluation.group, reason) if reason else wire.level(evaluation, {})
        if not mine:
            missing = _NO_SERIES if known.isdisjoint(questions.names(slo)) else evaluate.NO_HISTORY
            yield wire.unknown(slo, (), _reason(slo, (), doubts) or missing)


def _reason(slo: SLO, group: Labels, doubts: Iterable[Doubt]) -> str | None:
    """Return why no number about a group can be trusted; None when they all can."""
    names, node = questions.names(slo), dict(group).get(conventions.NODE)
    for doubt in doubts:
        if (doubt.name is None or doubt.name in names) and (None in (doubt.node, node) or doubt.node == node):
            return doubt.reason
    return None
