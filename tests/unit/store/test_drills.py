"""Drills on disk: one at a time, each scheduled time once, and a journal that only grows."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre import clock
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.model.gamedays import Drill, DrillKind, DrillState
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")

DRILL = Drill(
    "d1", "flood", "udp", "ann", None, DrillState.REQUESTED, "accepted", burning.T0, None, {"seconds": {}}
)


def ended(drill: Drill, after: int = clock.MINUTE, state: DrillState = DrillState.PASSED) -> Drill:
    """Return a drill as it is after its end."""
    return dataclasses.replace(
        drill, state=state, reason="verified", ended_at=Timestamp(drill.requested_at + after)
    )


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def test_a_drill_comes_back_as_it_was(store: Store) -> None:
    """While it goes on, and after its end."""
    with store.write() as transaction:
        transaction.drills.add(DRILL)
        assert transaction.drills.active() == transaction.drills.find("d1") == DRILL
        transaction.drills.change(ended(DRILL))

    with store.read() as transaction:
        assert transaction.drills.find("d1") == ended(DRILL)
        assert transaction.drills.active() is None
        assert transaction.drills.find("d2") is None


def test_there_is_one_at_a_time(store: Store) -> None:
    """The database itself refuses what no code should do; refused ones stand beside it."""
    other = dataclasses.replace(DRILL, id="d2")
    with store.write() as transaction:
        transaction.drills.add(DRILL)
        transaction.drills.add(ended(dataclasses.replace(other, id="d3"), 0, DrillState.REFUSED))

    with pytest.raises(StoreUnusable), store.write() as transaction:
        transaction.drills.add(other)


def test_a_scheduled_time_is_taken_once(store: Store) -> None:
    """Also by one that was refused; those by hand have none, and are many."""
    planned = ended(dataclasses.replace(DRILL, scheduled_at=burning.T0))
    with store.write() as transaction:
        transaction.drills.add(planned)
        for name in ("m1", "m2"):
            transaction.drills.add(ended(dataclasses.replace(DRILL, id=name)))
        assert transaction.drills.scheduled("flood", burning.T0) == planned
        assert transaction.drills.scheduled("flood", Timestamp(0)) is None

    with pytest.raises(StoreUnusable), store.write() as transaction:
        transaction.drills.add(dataclasses.replace(planned, id="d2"))


def test_every_end_is_counted_once(store: Store) -> None:
    """By game day, state and reason."""
    with store.write() as transaction:
        transaction.drills.add(DRILL)
        transaction.drills.change(dataclasses.replace(DRILL, state=DrillState.WATCHING))
        transaction.drills.change(ended(DRILL))

    with store.read() as transaction:
        assert transaction.drills.counts() == {("flood", "passed", "verified"): 1}


def test_those_of_a_time_are_found(store: Store) -> None:
    """Whatever went on at some moment of it, oldest first; and the newest first of all."""
    times = [Timestamp(burning.T0 + minute * clock.MINUTE) for minute in (0, 2, 4)]
    drills = [ended(dataclasses.replace(DRILL, id=f"d{at}", requested_at=at)) for at in times]
    going_on = dataclasses.replace(DRILL, id="now", requested_at=Timestamp(burning.T0 + 10 * clock.MINUTE))
    with store.write() as transaction:
        for drill in (*drills, going_on):
            transaction.drills.add(drill)

    with store.read() as transaction:
        found = transaction.drills.between(
            Timestamp(burning.T0 + 3 * clock.MINUTE), Timestamp(burning.T0 + 4 * clock.MINUTE)
        )
        assert found == drills[1:]
        assert transaction.drills.between(
            Timestamp(burning.T0 + clock.HOUR), Timestamp(burning.T0 + clock.DAY)
        ) == [going_on]
        assert transaction.drills.newest(2) == [going_on, drills[2]]


def test_a_journal_is_in_order_and_a_broken_line_hides_no_other(store: Store) -> None:
    """Each drill has its own."""
    with store.write() as transaction:
        for drill, key in (("d1", "inject"), ("d2", "other"), ("d1", "stop")):
            transaction.drills.write(drill, burning.T0, DrillKind.INTENT, {"key": key})
        transaction.drills._connection.exec_driver_sql(
            "INSERT INTO drill_journal VALUES ('d1', 3, 0, 'intent', '{broken')"
        )
        transaction.drills._connection.exec_driver_sql(
            "INSERT INTO drill_journal VALUES ('d1', 4, 0, 'tomorrow', '{}')"
        )

    with store.read() as transaction:
        journal = transaction.drills.journal("d1")
    assert [(line.seq, line.kind, line.data) for line in journal] == [
        (1, DrillKind.INTENT, {"key": "inject"}),
        (2, DrillKind.INTENT, {"key": "stop"}),
    ]
