"""Reads what a Prometheus recorded, chunk by chunk: the series asked for, and the targets they are of."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from netsre import conventions
from netsre.adapters.prometheus.answers import PARTIAL, Shortfall
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.errors import SourceUnreachable
from netsre.model.levels import Matcher, Selector
from netsre.model.samples import RecordedSeries, Series
from netsre.slo import questions, targets
from netsre.slo.questions import Span
from netsre.slo.targets import Chunk, Doubt

_UP: Final = "up"
_LONGEST_MATCHER: Final = 2_000
"""Characters; what is longer could make an address that a proxy refuses."""
_MOST_SAID: Final = 200
"""Characters of a server's words that are told."""


def not_whole(about: str) -> SourceUnreachable:
    """Return the error that an answer is not all there is, as the server says."""
    return SourceUnreachable(f"Prometheus says that its answer is not whole: {about[:_MOST_SAID]}")


class ChunkReader:
    """Asks for chunks, and keeps what was said about answers that are not whole."""

    def __init__(
        self,
        client: PrometheusClient,
        selectors: tuple[Selector, ...],
        node_label: str,
        others: tuple[Selector, ...] = (),
    ) -> None:
        """Ask through a client; `node_label` is the label that names the node of a series.

        `others` are series that nobody reads here, and whose targets are sources all the same.
        """
        self._others = others
        self._client = client
        self._selectors = selectors
        self._node_label = node_label
        self._known: dict[Series, None] = {}
        self._sizes: Counter[str] = Counter()
        """How many series are known, by name."""
        self._where: tuple[Matcher, ...] = ()
        self._doubts: dict[tuple[str, str | None], Doubt] = {}

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Everything that was said since the last `reset`, each once."""
        return tuple(self._doubts.values())

    @property
    def partial(self) -> Doubt | None:
        """What says that an answer was not whole; None when all were."""
        return next((doubt for doubt in self._doubts.values() if doubt.reason == PARTIAL), None)

    @property
    def known(self) -> tuple[Series, ...]:
        """Every series that was found."""
        return tuple(self._known)

    @property
    def most_series(self) -> int:
        """How many series there are of the name that has most."""
        return max(self._sizes.values(), default=0)

    def reset(self) -> None:
        """Forget what was said about answers."""
        self._doubts.clear()

    def forget(self) -> None:
        """Forget which series there are."""
        self._known.clear()
        self._sizes.clear()

    def discover(self, span: Span) -> None:
        """Find out which series there are in a span."""
        found = self._client.known((*self._selectors, *self._others), *span)
        self._note(found.shortfalls, None)
        self.know(found.series)

    def know(self, series: Iterable[Series]) -> None:
        """Learn of series by other means."""
        before = len(self._known)
        self._known |= dict.fromkeys(series)
        if len(self._known) > before:
            self._where = _where([dict(one.labels) for one in self._known], self._node_label)
            self._sizes = Counter(one.name for one in self._known)

    def read(self, span: Span) -> Chunk:
        """Return what was recorded in a span of the series that are known."""
        return self._read(span, [selector for selector in self._selectors if selector.metric in self._sizes])

    def read_live(self, span: Span) -> Chunk:
        """Return what was recorded in a span that ends in the present, of whatever there is by now."""
        return replace(self._read(span, self._selectors), live=True)

    def _read(self, span: Span, asked: Sequence[Selector]) -> Chunk:
        # What was recorded with an `up` that is asked for first is there when it is asked for later.
        up: tuple[RecordedSeries, ...] = ()
        starts: tuple[RecordedSeries, ...] = ()
        if self._known:
            up = self._samples(Selector(_UP, self._where), None, span)
            starts = self._samples(Selector(conventions.PROCESS_START_TIME, self._where), None, span)
        followed = [one for selector in asked for one in self._samples(selector, selector.metric, span)]
        return Chunk(tuple(followed), up, starts)

    def _samples(self, selector: Selector, name: str | None, span: Span) -> tuple[RecordedSeries, ...]:
        answer = self._client.samples(selector, *span)
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
