"""What is particular about a server: writers of several processes, and that it comes and goes."""

import contextlib
import pathlib
import threading
from collections.abc import Iterator

import pytest

from netsre.errors import BadInput, StoreUnusable
from netsre.store import database
from netsre.store.database import Store
from tests import databases, postgresql
from tests.databases import New
from tests.postgresql import Server
from tests.unit import burning

pytestmark = pytest.mark.requires("postgresql")
PLACE = pathlib.Path("a")


@pytest.fixture
def stores(server: Server) -> Iterator[tuple[Store, Store]]:
    """Return two stores on one database: those of two processes, as far as the server can tell."""
    with databases.on(New(server)):
        two = burning.store(PLACE), burning.store(PLACE)
        yield two
        for one in two:
            one.close()


def test_writers_of_two_processes_go_one_after_the_other(stores: tuple[Store, Store]) -> None:
    """Each reads a number and writes the next one: none is lost, and none is refused."""

    def count(store: Store) -> None:
        for _ in range(50):
            with store.write() as transaction:
                transaction.meta.put("count", str(int(transaction.meta.get("count") or 0) + 1))

    threads = [threading.Thread(target=count, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with stores[0].read() as transaction:
        assert transaction.meta.get("count") == "100"


def test_a_reader_sees_one_moment_and_waits_for_nobody(stores: tuple[Store, Store]) -> None:
    """What is committed meanwhile is for the next reader."""
    one, other = stores
    with one.read() as reader:
        assert reader.meta.get("word") is None
        with other.write() as transaction:
            transaction.meta.put("word", "new")
        assert reader.meta.get("word") is None
    with one.read() as reader:
        assert reader.meta.get("word") == "new"


def test_a_reader_cannot_write(stores: tuple[Store, Store]) -> None:
    """The server itself refuses it."""
    with pytest.raises(StoreUnusable, match="read-only transaction"), stores[0].read() as transaction:
        transaction.meta.put("word", "new")


def test_a_writer_that_never_ends_is_one_line(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the lock for longer than we wait; readers go on."""
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 50)
    with databases.on(New(server)):
        one, other = burning.store(PLACE), burning.store(PLACE)
        with one.write():
            with pytest.raises(StoreUnusable, match="lock timeout; another writer is slow"), other.write():
                pass
            with other.read() as transaction:
                assert transaction.outbox.pending() == {}
        with other.write() as transaction:
            transaction.meta.put("word", "new")
        one.close()
        other.close()


def test_two_processes_that_upgrade_at_once_upgrade_once(server: Server) -> None:
    """The second waits, and finds nothing to do."""
    with databases.on(New(server)):
        several = [databases.opened(PLACE, burning.MIGRATIONS) for _ in range(3)]
        done: list[bool] = []
        threads = [threading.Thread(target=lambda one=one: done.append(one.upgrade())) for one in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in several:
            one.close()
    assert sorted(done) == [False, False, True]


def test_a_server_that_goes_is_one_line_and_what_was_committed_is_there_when_it_is_back() -> None:
    """Connections of before are noticed to be dead, and made anew."""
    with postgresql.running() as mine, databases.on(New(mine)):
        store = burning.store(PLACE)
        with store.write() as transaction:
            transaction.meta.put("word", "kept")
        with mine.away():
            for opened in (store.write, store.read):
                with pytest.raises(StoreUnusable, match="is the server there"), opened():
                    pass
        with store.read() as transaction:
            assert transaction.meta.get("word") == "kept"
        store.close()


def test_a_connection_that_is_cut_in_a_transaction_leaves_nothing_of_it(
    server: Server, stores: tuple[Store, Store]
) -> None:
    """As if the process had been killed; the lock is free at once."""
    one, other = stores
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"

    def write() -> None:
        with one.write() as transaction:
            transaction.meta.put("word", "half")
            server.run(cut)
            transaction.meta.put("word", "whole")

    with pytest.raises(StoreUnusable, match="it is tried again"):
        write()
    # Who waits for a lock too long is refused.
    with other.write() as transaction:
        assert transaction.meta.get("word") is None


def test_a_nul_in_what_somebody_sends_is_refused_and_harms_nobody(stores: tuple[Store, Store]) -> None:
    """PostgreSQL knows no such character in a text."""
    store = stores[0]
    with pytest.raises(StoreUnusable), store.write() as transaction:
        transaction.meta.put("word", "a\0b")
    with store.write() as transaction:
        transaction.meta.put("word", "ab")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "is no address; write one such as postgresql://"),
        ("mysql://a/b", "is for PostgreSQL, not mysql"),
        ("sqlite:///x", "is for PostgreSQL, not sqlite"),
        ("postgresql://a:secret@b/c", "has a password in it, which every log would repeat"),
        ("postgresql://a@b/c?password=secret", "has a password in it, which every log would repeat"),
        ("postgresql://a@b/c?sslkey=k&sslpassword=secret", "has a password in it, which every log"),
        ("postgresql://a@b:secret/c", "is no address; write one such as postgresql://"),
    ],
)
def test_what_is_no_address_is_one_line_without_a_secret(address: str, said: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(BadInput) as refused:
        Store.served(address, burning.MIGRATIONS)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_one_line(server: Server) -> None:
    """With what to do."""
    store = Store.served(server.address("absent"), burning.MIGRATIONS)
    with contextlib.closing(store), pytest.raises(StoreUnusable, match="with this database and this user"):
        store.upgrade()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_have_every_text_is_one_line(server: Server, encoding: str) -> None:
    """It would refuse what somebody sends, each time that it comes again."""
    name = f"in_{encoding.lower()}"
    server.run(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C'"
    )
    store = Store.served(server.address(name), burning.MIGRATIONS)
    with contextlib.closing(store), pytest.raises(StoreUnusable, match=f"{encoding}.*ENCODING 'UTF8'"):
        store.upgrade()
