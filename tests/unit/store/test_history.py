"""Minutes and cursors come back exactly as they went in, and writing them twice is writing them once."""

import dataclasses
import pathlib
from decimal import Decimal

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.samples import Series
from netsre.slo.buckets import Bucket
from netsre.slo.increments import Cursor
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")

LARGE = Decimal("123456789012345678901234567890.000000000000000000000000000001")
BUCKET = Bucket("flow-success", burning.NODE, burning.T0, Decimal("0.1"), LARGE, 3, "what")
OTHER = Bucket(
    "flow-success",
    (("node", 'ä"b'),),
    Timestamp(burning.T0 + clock.MINUTE),
    Decimal(0),
    Decimal(7),
    1,
    "what",
)
CURSOR = Cursor(
    "a",
    burning.T0,
    Timestamp(burning.T0 - 5),
    frozenset({"x_total", "y_bucket{0.25}"}),
    {Series("x_total", (("le", "+Inf"), ("z", "1"))): LARGE, Series("a_total", ()): Decimal(1)},
)


def test_decimals_and_labels_survive_exactly(tmp_path: pathlib.Path) -> None:
    """Neither a float nor a scale comes between, and labels may hold anything."""
    store = burning.store(tmp_path)
    with store.write() as transaction:
        transaction.history.save([BUCKET, OTHER], [CURSOR])

    with store.read() as transaction:
        assert list(transaction.history.buckets()) == [BUCKET, OTHER]
        assert transaction.history.cursors() == [CURSOR]
        assert list(transaction.history.cursors()[0].values) == list(CURSOR.values)
    store.close()


def test_writing_a_minute_again_replaces_it(tmp_path: pathlib.Path) -> None:
    """Buckets hold full values, so a retried turn counts nothing twice."""
    store = burning.store(tmp_path)
    later = Bucket("flow-success", burning.NODE, burning.T0, Decimal(2), Decimal(9), 4, "what")
    with store.write() as transaction:
        transaction.history.save([BUCKET], [CURSOR])
        transaction.history.save([later], [CURSOR])

    with store.read() as transaction:
        assert list(transaction.history.buckets()) == [later]
        assert len(transaction.history.cursors()) == 1
    store.close()


def test_a_history_of_many_fetches_comes_whole_and_in_order(tmp_path: pathlib.Path) -> None:
    """Shorter slots before longer ones, earlier before later, however they were written."""
    store = burning.store(tmp_path)
    written = [
        BUCKET._replace(slo=f"slo-{number}", step=step, begin=Timestamp(burning.T0 + at * step))
        for number in range(3)
        for step in (clock.HOUR, clock.MINUTE)
        for at in range(500)
    ]
    with store.write() as transaction:
        transaction.history.save(written, [])

    with store.read() as transaction:
        found = list(transaction.history.buckets())
    store.close()

    assert len(found) == len(written)
    assert set(found) == set(written)
    assert found == sorted(found, key=lambda one: (one.step, one.begin))


def test_pruning_drops_a_source_that_was_not_read_since(tmp_path: pathlib.Path) -> None:
    """Since before the oldest of the slots that stay."""
    store = burning.store(tmp_path)
    recent = dataclasses.replace(CURSOR, node="recent", at=Timestamp(CURSOR.at + 1))
    with store.write() as transaction:
        transaction.history.save([], [CURSOR, recent])
        transaction.history.prune({clock.MINUTE: Timestamp(recent.at + 1), clock.HOUR: recent.at})

    with store.read() as transaction:
        assert transaction.history.cursors() == [recent]
    store.close()


def test_pruning_drops_what_began_before_by_length(tmp_path: pathlib.Path) -> None:
    """The minute that is still needed stays, and so does the hour that holds what went."""
    store = burning.store(tmp_path)
    hour = BUCKET._replace(step=clock.HOUR, measured=60)
    with store.write() as transaction:
        transaction.history.save([BUCKET, OTHER, hour], [])
        assert transaction.history.prune({clock.MINUTE: OTHER.begin, clock.HOUR: BUCKET.begin}) == 1

    with store.read() as transaction:
        assert list(transaction.history.buckets()) == [OTHER, hour]
    store.close()
