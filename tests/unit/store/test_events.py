"""Events and facts: which deploy was the last one, and what goes when it is old."""

import pathlib
from collections.abc import Iterator

import pytest

from netsre.clock import Timestamp
from netsre.model.events import Event
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture(name="store")
def _store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return an empty store."""
    made = burning.store(tmp_path)
    yield made
    made.close()


def event(name: str, at: int, *, kind: str = "deploy", node: str = "", person: str = "ann") -> Event:
    """Return an event."""
    return Event(name, kind, node, name, Timestamp(at), Timestamp(100), person)


def test_the_latest_of_a_kind_is_that_of_the_node_or_of_all(store: Store) -> None:
    """Within a time, both ends with it."""
    with store.write() as transaction:
        for one in (
            event("a", 10),
            event("b", 20, node="x"),
            event("c", 30, node="y"),
            event("d", 40, kind="config"),
        ):
            transaction.events.add(one)
        found = [
            transaction.events.latest("deploy", Timestamp(begin), Timestamp(end), "x")
            for begin, end in ((0, 50), (0, 20), (0, 19), (11, 19), (21, 50))
        ]
    assert [one and one.id for one in found] == ["b", "b", "a", None, None]


def test_old_events_of_one_kind_and_person_go(store: Store) -> None:
    """And no other."""
    with store.write() as transaction:
        for one in (
            event("old", 10, kind="policy", person="controller"),
            event("new", 20, kind="policy", person="controller"),
            event("hand", 10, kind="policy"),
            event("deploy", 10, person="controller"),
        ):
            transaction.events.add(one)
        assert transaction.events.prune("policy", "controller", Timestamp(20)) == 1
        assert {one.id for one in transaction.events.newest(9)} == {"new", "hand", "deploy"}


def test_facts_are_dropped_by_name(store: Store) -> None:
    """The others stay."""
    with store.write() as transaction:
        for name in ("x:1", "x:2", "y"):
            transaction.meta.put(name, "v")
        transaction.meta.drop(["x:1", "absent"])
        assert list(transaction.meta.named("x:")) == ["x:2"]
        assert transaction.meta.find(["x:1", "x:2", "y"]) == {"x:2": "v", "y": "v"}
