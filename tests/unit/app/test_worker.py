"""The thread that acts: no duty stops another one, what fails is told once, and a wake is never lost."""

import logging
import threading
from collections.abc import Callable

import pytest

from netsre.app.control.snapshot import Board
from netsre.app.control.worker import Duty, Worker
from netsre.errors import StoreUnusable
from tests.unit import burning


class Chore:
    """A duty that fails as long as it is told to, and counts how often it was done."""

    def __init__(self, error: Exception | None = None) -> None:
        """Fail with this, or work."""
        self.error = error
        self.done = 0

    def __call__(self) -> None:
        """Do it."""
        self.done += 1
        if self.error is not None:
            raise self.error


def worker(**chores: Callable[[], object]) -> tuple[Worker, Board]:
    """Return a worker that was not started, and its board."""
    board = Board(burning.T0)
    return Worker([Duty(name, do) for name, do in chores.items()], board), board


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreUnusable("database x is full"), "database x is full"),
        (ZeroDivisionError("oops"), "internal error: ZeroDivisionError: oops; please report it"),
    ],
)
def test_a_duty_that_fails_stops_no_other_and_is_told_once(
    caplog: pytest.LogCaptureFixture, error: Exception, line: str
) -> None:
    """Three rounds: one line, a problem on the board, and everything else was done three times."""
    failing, working = Chore(error), Chore()
    made, board = worker(runs=failing, drills=working)

    for _ in range(3):
        made.round()

    assert (failing.done, working.done) == (3, 3)
    assert dict(board.problems) == {"runs": line}
    assert [record.levelname for record in caplog.records if "automation failed" in record.message] == [
        "ERROR"
    ]


def test_a_duty_that_works_again_is_no_problem_any_more(caplog: pytest.LogCaptureFixture) -> None:
    """And its next failure is told anew."""
    failing = Chore(StoreUnusable("database x is full"))
    made, board = worker(runs=failing)
    with caplog.at_level(logging.INFO):
        made.round()
        failing.error = None
        made.round()
        well = dict(board.problems)
        failing.error = StoreUnusable("database x is full")
        made.round()

    assert well == {}
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR"]


def test_a_wake_during_a_round_leads_to_another_round() -> None:
    """What was told while a round went on is not left for a second."""
    rounds: list[int] = []
    twice = threading.Event()

    def do() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            made.wake()
        else:
            twice.set()

    made, _ = worker(runs=do)
    # Without the wake it would wait for longer than this test may take.
    made._pause = 60.0
    made.start()

    assert twice.wait(5)
    made.stop(5)


def test_more_to_do_is_done_at_once() -> None:
    """A duty that says True has its next turn right after the others."""
    left = [3]
    empty = threading.Event()

    def do() -> bool:
        left[0] -= 1
        if not left[0]:
            empty.set()
        return left[0] > 0

    made, _ = worker(delivery=do)
    made._pause = 60.0
    made.start()

    assert empty.wait(5)
    made.stop(5)


def test_it_stops_between_two_duties() -> None:
    """A duty that goes on is ended, and none is begun after that."""
    going_on, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        going_on.set()
        assert may_end.wait(5)

    after = Chore()
    made, _ = worker(runs=wait, drills=after)
    made.start()
    assert going_on.wait(5)
    made.stop(0)
    may_end.set()
    made.stop(5)

    assert not made._thread.is_alive()
    assert after.done == 0
