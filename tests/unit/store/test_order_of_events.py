"""What a postmortem asks the database: events, audit and buckets of a time, in order, from both."""

import pathlib
from collections.abc import Iterator
from decimal import Decimal

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.model.events import Event
from netsre.slo.buckets import Bucket
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def at(minutes: int) -> Timestamp:
    """Return a time."""
    return Timestamp(burning.T0 + minutes * clock.MINUTE)


def test_an_event_is_kept_once(store: Store) -> None:
    """The first one of an id stays; those of another node are not asked for."""
    first = Event("a", "deploy", "", "one", at(1), at(2), "ann")
    with store.write() as transaction:
        assert transaction.events.add(first)
        assert not transaction.events.add(Event("a", "deploy", "", "two", at(1), at(3), "bob"))
        assert transaction.events.add(Event("b", "deploy", "n1", "three", at(0), at(3), "bob"))
        assert transaction.events.add(Event("c", "deploy", "n2", "four", at(1), at(3), "bob"))

    with store.read() as transaction:
        assert transaction.events.find("a") == first
        assert transaction.events.find("z") is None
        assert [one.id for one in transaction.events.between(at(0), at(1), "n1", 9)] == ["b", "a"]
        assert [one.id for one in transaction.events.between(at(1), at(1), "n1", 9)] == ["a"]
        assert [one.id for one in transaction.events.newest(2)] == ["a", "c"]


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_the_rows_of_a_time_are_found_by_halving(store: Store, rows: int) -> None:
    """Every begin, every end, and a bound; the same as by looking at each."""
    with store.write() as transaction:
        for number in range(rows):
            transaction.audit.append(at(number // 2), "ann", "did", str(number), {})

    with store.read() as transaction:
        everything = list(transaction.audit.rows())
        for begin in range(-1, 5):
            for end in range(begin, 5):
                found = list(transaction.audit.between(at(begin), at(end), 99))
                assert found == [row for row in everything if at(begin) <= row.at <= at(end)]
        assert list(transaction.audit.between(at(0), at(9), 3)) == everything[:3]


def test_buckets_of_one_group_are_found_as_they_were_saved(store: Store) -> None:
    """Of one definition and length, from a begin on and before an end; exact."""
    whole = Bucket("s", burning.NODE, at(1), Decimal("0.1"), Decimal(3), 1, "d")
    others = [
        whole._replace(begin=at(0)),
        whole._replace(begin=at(2)),
        whole._replace(definition="e"),
        whole._replace(group=(("node", "b"),)),
        whole._replace(slo="t"),
        whole._replace(step=clock.HOUR),
    ]
    with store.write() as transaction:
        transaction.history.save([whole, *others], [])

    with store.read() as transaction:
        found = transaction.history.between(("s", "d", burning.NODE), clock.MINUTE, at(1), at(2))

    assert found == [whole]
