"""The past of SLOs that have none yet, out of a Prometheus, read beside the turns of the controller.

The turns measure such an SLO from the first look on, and keep nothing of it on disk. Meanwhile everything
that was recorded before, and since, is counted by an engine of its own, and kept; when that has come as far
as the turns have, its history takes the place of theirs in one turn, and what is left is kept in one
transaction. Until then the SLO is on record as unfinished: a start that finds it there drops what was kept of
it and reads it anew, so that nothing is lost or doubled.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app.control.prometheus import LATE, Asked, PrometheusSource
from netsre.clock import END, Timestamp
from netsre.model.documents import canonical
from netsre.model.levels import SLO
from netsre.slo import definition, indicators, questions
from netsre.slo.buckets import Bucket, Slot, by_slot
from netsre.slo.engine import Engine
from netsre.slo.history import History
from netsre.slo.slices import events_of
from netsre.slo.targets import Reading
from netsre.store.database import Store, Transaction

_KEY: Final = "slo.backfill"
_BATCH: Final = 10_000
"""Buckets of one transaction: a turn waits for no more than that."""
_NEAR: Final = 5 * clock.MINUTE
"""How far behind the turns the rest may be that is read in one of them."""


def begin(transaction: Transaction, slos: Sequence[SLO]) -> tuple[SLO, ...]:
    """Return the SLOs whose past is to be read, and put them on record; drop what is unfinished."""
    text = transaction.meta.get(_KEY)
    transaction.history.drop((name, what) for name, what in (json.loads(text) if text else ()))
    # Not for an agent's sake: it takes as long as there is history.
    known = transaction.history.definitions() if slos else frozenset()
    # Without series of its own an SLO has no past here.
    found = tuple(slo for slo in slos if _kept(slo)[0] not in known and any(indicators.parts(slo)))
    transaction.meta.put(_KEY, canonical([list(pair) for slo in found for pair in _kept(slo)]))
    return found


def end(transaction: Transaction) -> None:
    """Take them off the record: their past is whole."""
    transaction.meta.put(_KEY, canonical([]))


def _kept(slo: SLO) -> tuple[tuple[str, str], ...]:
    """Return names and definitions under which buckets of an SLO are kept."""
    own = (slo.name, definition.of(slo))
    return (own,) if slo.slices is None else (own, (events_of(slo.name), definition.of_events(slo)))


@dataclass(slots=True)
class _Until:
    """A clock that stands: how far is read."""

    at: Timestamp

    def now(self) -> Timestamp:
        return self.at


class Backfill:
    """Reads the past of some SLOs: `advance` in a thread of its own, `hand_over` in that of the turns."""

    def __init__(self, client: PrometheusClient, asked: Asked, store: Store, now: Timestamp) -> None:
        """Prepare to read what was recorded until now, and then until the turns are reached."""
        self._until = _Until(now)
        self.names = frozenset(name for slo in asked.slos for name, _ in _kept(slo))
        """Under which their buckets are kept."""
        self._begin = questions.span(asked.slos, now)[0]
        self._source = PrometheusSource(client, asked, (), self._until, self._begin)
        self._engine = Engine(asked.slos)
        self._engine.history.keeps = False
        self._store = store
        self._caught_up = False
        self._kept_until = Timestamp(0)
        self._keeping: Iterator[Bucket] = iter(())
        self._batch: Sequence[Bucket] = ()
        """What is to be kept next; it waits for a database that cannot be written."""
        self._changed: dict[Slot, Bucket] = {}
        """What became different since it was kept: events of a gap are spread over it."""
        self._ahead: list[Reading] = []
        self.turned_at: Timestamp | None = None
        """The last look of the turns that came to the present."""
        self.ready = False
        """Whether `hand_over` may be asked."""

    @property
    def slos(self) -> tuple[SLO, ...]:
        """Return the SLOs whose past this is."""
        return self._engine.slos

    @property
    def progress(self) -> float:
        """Return how much of it was read, between 0 and 1; what comes meanwhile is more to read."""
        read, whole = (self._source.read_until or self._begin) - self._begin, self._until.at - self._begin
        return min(max(read / max(whole, 1), 0.0), 1.0)

    def advance(self) -> bool:
        """Read, or keep, a little more; returns whether there is more to do before it can be handed over."""
        if self.ready:
            return False
        if not self._caught_up:
            self._count(self._look())
            return True
        if self._kept_until < self._until.at:
            self._keeping = chain(list(self._changed.values()), self._over(self._until.at))
            self._changed, self._kept_until = {}, self._until.at
            # From here on it matters what becomes different.
            self._engine.history.keeps = True
        if self._keep():
            return True
        if self.turned_at is None:
            return False
        if self.turned_at - self._until.at <= _NEAR:
            self.ready = True
            return False
        # What may yet come late was not counted by the turns either.
        self._until.at = Timestamp(self.turned_at - LATE)
        self._caught_up = False
        return True

    def hand_over(self, now: Timestamp, read: Mapping[str, Timestamp]) -> History | None:
        """Return the past when it has come as far as the turns; None when it needs another turn for that.

        To be asked after a look of the turns that came to the present; `read` is the last scrape of each node
        that they have counted. Raises `SourceUnreachable`.
        """

        def counted(one: Reading) -> bool:
            return one.scrape.at <= read.get(one.scrape.node, -1)

        self._until.at = now
        readings = [*self._ahead, *self._look()]
        # What the turns did not see yet they will count.
        self._ahead = [one for one in readings if not counted(one)]
        self._count(filter(counted, readings))
        return self._engine.history if self._caught_up else None

    def recent(self) -> Iterator[Bucket]:
        """Yield everything that is not kept yet; of what comes twice the later one is right."""
        yield from self._changed.values()
        yield from self._over(Timestamp(END))

    def _over(self, until: Timestamp) -> Iterator[Bucket]:
        """Yield what ended since it was kept last."""
        return self._engine.history.held(self._kept_until, until)

    def _keep(self) -> bool:
        """Bring a part of what was read to disk; returns whether there was any."""
        self._batch = self._batch or list(islice(self._keeping, _BATCH))
        kept = bool(self._batch)
        if kept:
            with self._store.write() as transaction:
                transaction.history.save(self._batch, ())
        self._batch = ()
        return kept

    def _look(self) -> Sequence[Reading]:
        look = self._source.look()
        self._caught_up = look.caught_up
        return look.readings

    def _count(self, readings: Iterable[Reading]) -> None:
        last = None
        for reading in readings:
            observation = self._engine.observe(reading.scrape, first=reading.first)
            self._changed |= by_slot(observation.buckets)
            last = reading.scrape.at
        if last is not None:
            self._engine.prune(last)
