"""The lease in both databases: one term after the other, and what one of them writes ends with it."""

import pathlib
import time

import pytest

from netsre.clock import SECOND, Timestamp
from netsre.errors import Fenced, StoreUnusable
from netsre.model.leases import Lease
from netsre.store.database import Store
from tests import databases
from tests.databases import New
from tests.postgresql import Server
from tests.unit import burning

LEASE = Lease("node", "host:/var/lib/netsre", 2**33, Timestamp(1_800_000_000_123))


def keep(store: Store, lease: Lease) -> None:
    """Begin a term."""
    with store.write() as transaction:
        transaction.leases.keep(lease)


def write(store: Store, word: str) -> None:
    """Write a word."""
    with store.write() as transaction:
        transaction.meta.put("word", word)


def word(store: Store) -> str | None:
    """Return the word."""
    with store.read() as transaction:
        return transaction.meta.get("word")


@pytest.mark.usefixtures("each_database")
def test_a_lease_is_kept_whole_and_there_is_one(tmp_path: pathlib.Path) -> None:
    """The next one takes its place."""
    store = burning.store(tmp_path)
    with store.read() as transaction:
        assert transaction.leases.find() is None
    for lease in (LEASE, Lease("node", "b", 2**33 + 1, Timestamp(0))):
        keep(store, lease)
        with store.read() as transaction:
            assert transaction.leases.find() == lease
    store.close()


@pytest.mark.usefixtures("each_database")
def test_the_time_is_that_of_the_databases_clock(tmp_path: pathlib.Path) -> None:
    """On this machine it is that of everybody else; in one transaction it goes on."""
    store = burning.store(tmp_path)
    with store.write() as transaction:
        before, now = time.time_ns() // 10**6, transaction.leases.now()
        assert before - SECOND <= now <= time.time_ns() // 10**6 + SECOND
        while transaction.leases.now() == now:
            pass
    store.close()


@pytest.mark.usefixtures("each_database")
def test_what_a_term_writes_after_its_end_is_refused_whole(tmp_path: pathlib.Path) -> None:
    """One line that names who leads; it may read on, and whoever is of no term may write."""
    store = burning.store(tmp_path)
    keep(store, LEASE)
    mine = store.of_term(LEASE.epoch)
    write(mine, "mine")

    keep(store, Lease("node", "b", LEASE.epoch + 1, Timestamp(0)))
    with pytest.raises(Fenced, match=rf"epoch {LEASE.epoch} is over, b \(epoch {LEASE.epoch + 1}\) leads"):
        write(mine, "late")

    assert word(mine) == "mine"
    write(store.of_term(LEASE.epoch + 1), "theirs")
    write(store, "nobody's")
    assert word(store) == "nobody's"
    store.close()


@pytest.mark.usefixtures("each_database")
def test_a_term_of_a_database_that_was_emptied_is_over(tmp_path: pathlib.Path) -> None:
    """Nobody knows of it."""
    store = burning.store(tmp_path)
    with pytest.raises(Fenced, match="nobody leads"):
        write(store.of_term(1), "mine")
    store.close()


@pytest.mark.requires("postgresql")
def test_a_writer_that_is_frozen_holds_nobody_up_and_writes_nothing(server: Server) -> None:
    """Its transaction is ended by the server, so that another term can begin."""
    bound = "idle_in_transaction_session_timeout"
    place = pathlib.Path("a")
    with databases.on(New(server)):
        one, other = burning.store(place), burning.store(place)
        keep(one, LEASE)
        mine = one.of_term(LEASE.epoch)
        with pytest.raises(StoreUnusable, match="it is tried again"), mine.write() as transaction:  # noqa: PT012
            transaction.meta.put("word", "frozen")
            connection = transaction.meta._connection
            assert connection.exec_driver_sql(f"SHOW {bound}").scalar_one() == "5s"
            connection.exec_driver_sql(f"SET LOCAL {bound} = 50")
            keep(other, Lease("node", "b", LEASE.epoch + 1, Timestamp(0)))
            transaction.meta.put("word", "thawed")
        assert word(other) is None
        with pytest.raises(Fenced):
            write(mine, "late")
        one.close()
        other.close()
