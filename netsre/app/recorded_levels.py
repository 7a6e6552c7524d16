"""Where SLOs stand by what a Prometheus holds: raw samples, counted as those of a live agent are."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from netsre import conventions
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app.control import expressions, wire
from netsre.app.prometheus_chunks import ChunkReader
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.levels import SLO, Evaluation
from netsre.model.samples import Labels
from netsre.slo import evaluate, indicators, promql, questions
from netsre.slo.engine import Engine
from netsre.slo.targets import Doubt, Scrapes

_NO_SERIES: Final = "no_series"

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
    reader = ChunkReader(client, questions.selectors(slos, node_label), node_label)
    span = questions.span(slos, at)
    reader.discover(span)
    known = reader.known
    scrapes = Scrapes(node_label, known, indicators.counters(slos), questions.labels(slos))
    engine = Engine(slos, prometheus=True)
    engine.history.keeps = False
    notes: Counter[str] = Counter()
    spans = questions.chunks(span, reader.most_series) if known else ()
    for done, one in enumerate(spans):
        progress(done, len(spans))
        for reading in scrapes.read(reader.read(one)):
            observation = engine.observe(reading.scrape, first=reading.first)
            notes.update(note.reason for note in observation.notes)
    if spans:
        progress(len(spans), len(spans))
    doubts = (*reader.doubts, *scrapes.doubts, *_ask(client, engine, at, notes))
    found = wire.Slos(slos=list(_views(engine, at, doubts, {series.name for series in known})))
    return Standing(found, client.queries, dict(sorted(notes.items())), doubts)


def _ask(client: PrometheusClient, engine: Engine, at: Timestamp, notes: Counter[str]) -> Iterator[Doubt]:
    """Count what is answered about expressions; yield which could not be."""
    for index, slo in enumerate(engine.slos):
        of = promql.indicator(slo)
        if of is None:
            continue
        ends = promql.due(slo, of, None, at, expressions.SETTLE)
        try:
            pieces = expressions.ask(client, index, slo, ends)
        except SourceUnreachable as error:
            yield Doubt(expressions.UNANSWERED, f"{slo.name}: {error}", slo.name)
            continue
        engine.count(pieces, at, {slo.name: Timestamp(ends[-1])} if ends else {})
        notes.update(note.reason for note in engine.notes(pieces))


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
    names, node = questions.names(slo) or {slo.name}, dict(group).get(conventions.NODE)
    for doubt in doubts:
        if (doubt.name is None or doubt.name in names) and (None in (doubt.node, node) or doubt.node == node):
            return doubt.reason
    return None
