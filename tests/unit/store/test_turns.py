"""Writers of one process take turns: none waits longer than those before it take."""

import pathlib
import threading

import pytest

from netsre.errors import StoreUnusable
from netsre.store import database
from netsre.store.database import Turns
from tests.unit import burning


def test_whoever_came_first_is_next() -> None:
    """Ten wait for one, and go in the order in which they came."""
    turns, order = Turns(), list[int]()
    assert turns.wait(1)

    def work(number: int) -> None:
        if turns.wait(8):
            order.append(number)
            turns.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(turns._line) < number + 2:
            pass
    turns.end()
    for thread in threads:
        thread.join()

    assert order == list(range(10))


def test_a_turn_that_does_not_come_is_given_up_and_holds_nobody_up() -> None:
    """The next in line goes on after it."""
    turns = Turns()
    assert turns.wait(1)
    assert not turns.wait(0.01)
    turns.end()
    assert turns.wait(0.01)


def test_a_write_that_never_ends_is_one_line(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others say so instead of waiting for ever, and read meanwhile."""
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 10)
    store = burning.store(tmp_path)
    with store.write():
        with pytest.raises(StoreUnusable, match="another write takes longer than 10 ms"), store.write():
            pass
        with store.read() as transaction:
            assert transaction.outbox.pending() == {}
    store.close()
