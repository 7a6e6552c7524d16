"""SLOs that a Prometheus answers: asked piece by piece of time, oldest first, whatever is due.

What is due of one SLO is counted batch by batch (`promql.batches`): a new SLO has a month to be asked about,
a day at a time. A look takes a while at most and goes round, so that every SLO has its turn. An SLO that
cannot be answered keeps no other waiting, unless nothing answers at all.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app.prometheus_chunks import not_whole
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.levels import SLO
from netsre.slo import promql
from netsre.slo.promql import Piece
from netsre.slo.targets import Doubt

SETTLE: Final = 15 * clock.SECOND
"""For how long a piece must be over before it is asked about: until then samples of it may still come."""
UNANSWERED: Final = "unanswered"

_LONGEST_LOOK: Final = 5.0
"""Seconds; what is still due then is asked about in the next look."""
_MOST_FAILURES: Final = 3
"""In a row, after which a look gives up: each may have waited for all its time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What was answered of one SLO, to be counted and kept together."""

    pieces: tuple[Piece, ...]
    slo: str
    until: Timestamp
    """Up to when it was asked."""


class Expressions:
    """Asks a Prometheus for the SLOs that are made of PromQL."""

    def __init__(self, client: PrometheusClient, slos: Sequence[SLO]) -> None:
        """Ask for these, in the order in which an engine has them; nothing is asked yet."""
        self._client = client
        found = ((index, slo, promql.indicator(slo)) for index, slo in enumerate(slos))
        self._turns = deque((index, slo, of) for index, slo, of in found if of is not None)
        self.doubts: tuple[Doubt, ...] = ()
        """What could not be answered in the last look."""

    def look(self, now: Timestamp, counted: Callable[[SLO], Timestamp | None]) -> Iterator[Batch]:
        """Yield what is due; each batch must be counted (`Engine.count`) before the next is asked for."""
        until, failures, idle = time.monotonic() + _LONGEST_LOOK, 0, 0
        failed: dict[str, Doubt] = {}
        while idle < len(self._turns) and failures < _MOST_FAILURES and time.monotonic() < until:
            index, slo, of = self._turns[0]
            self._turns.rotate(-1)
            ends = next(promql.batches(promql.due(slo, of, counted(slo), now, SETTLE)), None)
            if ends is None or slo.name in failed:
                idle += 1
                continue
            try:
                yield Batch(ask(self._client, index, slo, ends), slo.name, Timestamp(ends[-1]))
                failures = idle = 0
            except SourceUnreachable as error:
                failed[slo.name] = Doubt(UNANSWERED, f"{slo.name}: {error}", slo.name)
                failures += 1
        self.doubts = tuple(failed.values())


def ask(client: PrometheusClient, index: int, slo: SLO, ends: range) -> tuple[Piece, ...]:
    """Return what is known of some pieces of one SLO, in its place among those of an engine.

    Raises `SourceUnreachable`, also where an answer is not whole.
    """
    of = promql.indicator(slo)
    if of is None or not ends:
        return ()
    first, last = Timestamp(ends[0]), Timestamp(ends[-1])
    bad, total = (client.over(text, first, last, ends.step) for text in promql.asked(of))
    missing = (*bad.shortfalls, *total.shortfalls)
    if missing:
        raise not_whole(missing[0].about)
    return promql.join(index, slo, bad.points, total.points)
