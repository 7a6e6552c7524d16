"""Whatever is done to a row of the audit log, the check names the first row that does not hold."""

import pathlib
from collections.abc import Iterator

import pytest

from netsre.model.audit import Broken
from netsre.store.database import Store
from tests.unit import burning

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Return a store with five audit rows."""
    made = burning.store(tmp_path)
    with made.write() as transaction:
        for number in range(5):
            transaction.audit.append(burning.T0, "test", "did", f"thing {number}", {"n": number})
    yield made
    made.close()


def check(store: Store, *tampering: str) -> Broken | None:
    """Run statements as somebody with a database client would, and check."""
    with store._engine.begin() as connection:
        for statement in tampering:
            connection.exec_driver_sql(statement)
    with store.read() as transaction:
        return transaction.audit.first_broken()


def test_an_untouched_chain_is_whole(store: Store) -> None:
    """Also over transactions."""
    with store.write() as transaction:
        transaction.audit.append(burning.T0, "test", "did", "more", {})

    assert check(store) is None


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        (
            "UPDATE audit SET details = '{\"n\":9}' WHERE seq = 3",
            Broken(3, "content does not match its hash"),
        ),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", Broken(1, "content does not match its hash")),
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 5", Broken(5, "content does not match its hash")),
        ("DELETE FROM audit WHERE seq = 2", Broken(2, "row is missing")),
        ("DELETE FROM audit WHERE seq = 5", Broken(5, "rows are missing at the end")),
        ("DELETE FROM audit", Broken(1, "rows are missing at the end")),
        ("UPDATE audit SET prev_hash = hash WHERE seq = 4", Broken(4, "does not follow the row before it")),
    ],
)
def test_tampering_is_found_at_its_first_row(store: Store, tampering: str, broken: Broken) -> None:
    """Change, removal, and cutting off the end."""
    assert check(store, tampering) == broken


def test_two_rows_that_swapped_places_are_found(store: Store) -> None:
    """The order is part of the record."""
    swap = ("UPDATE audit SET seq = 9 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 3")

    assert check(store, *swap, "UPDATE audit SET seq = 3 WHERE seq = 9") == Broken(
        2, "does not follow the row before it"
    )
