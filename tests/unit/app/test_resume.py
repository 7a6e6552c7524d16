"""A controller goes on from the history of what its SLOs measure now, and from no other."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre.app.control.resume import resumed
from netsre.clock import Timestamp
from netsre.model.levels import SLO, RatioIndicator, Selector
from netsre.slo.engine import Engine
from netsre.store.database import Store
from tests.unit import burning
from tests.unit.app.fakes import SLOS, SetClock, Source

(FLOWS,) = SLOS
ALL_BAD = dataclasses.replace(
    FLOWS, indicator=RatioIndicator(Selector("netsre_flows_total"), Selector("netsre_flows_total"))
)
BY_NOTHING = dataclasses.replace(FLOWS, group_by=())


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


class Node:
    """One source over several lives of the controller."""

    def __init__(self, store: Store) -> None:
        """Begin at zero."""
        self.store, self.clock = store, SetClock()
        self.source = Source(self.clock)

    def life(self, slo: SLO, scrapes: int = 2) -> Engine:
        """Start, count 100 attempts for each scrape, keep them, and be killed."""
        with resumed(self.store, (slo,), "a", 0, self.clock.at) as kept:
            engine = Engine((slo,), kept.buckets, kept.cursors)
        for _ in range(scrapes):
            self.clock.at = Timestamp(self.clock.at + 15_000)
            self.source.delivered += 100
            seen = engine.observe(self.source.scrape())
            with self.store.write() as transaction:
                transaction.history.save(seen.buckets, [seen.cursor])
        return engine

    def told(self) -> list[str]:
        """Return which SLOs the audit calls redefined."""
        with self.store.read() as transaction:
            return [row.subject for row in transaction.audit.rows() if row.verb == "slo.redefined"]


def sums(engine: Engine, at: Timestamp) -> list[tuple[int, int]]:
    """Return bad and all events of every group."""
    return [(int(found.bad), int(found.total)) for found in engine.evaluate(at)]


@pytest.mark.parametrize(("other", "expected"), [(ALL_BAD, (200, 200)), (BY_NOTHING, (0, 200))])
def test_a_new_definition_begins_anew_and_the_old_one_returns_whole(
    store: Store, other: SLO, expected: tuple[int, int]
) -> None:
    """Nothing of one is in the other, within one minute and over any number of changes; each is told once."""
    node = Node(store)
    first = node.life(FLOWS, 3)
    assert sums(first, node.clock.at) == [(0, 200)]

    second = node.life(other)
    assert sums(second, node.clock.at) == [expected]

    third = node.life(FLOWS)
    assert sums(third, node.clock.at) == [(0, 400)]
    assert node.told() == [FLOWS.name]


def test_another_objective_keeps_the_history(store: Store) -> None:
    """A promise may change over the same measurements."""
    node = Node(store)
    node.life(FLOWS)

    engine = node.life(dataclasses.replace(FLOWS, objective=burning.slo().objective / 2))

    assert sums(engine, node.clock.at) == [(0, 300)]
    assert node.told() == []
