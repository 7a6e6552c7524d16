"""Counting between scrapes rests when it takes long, so that a full table does not take the processor."""

import itertools
import time

from netsre.app.sensors.counting import Pace


def test_what_takes_no_time_is_done_at_every_turn() -> None:
    """Twice a second, as it is asked for."""
    pace, done = Pace(), list[float]()
    for turn in range(10):
        at = turn / 2
        pace.turn(at, lambda at=at: done.append(at))  # type: ignore[misc]

    assert len(done) == 10


def test_what_takes_long_rests_fifty_times_as_long() -> None:
    """A fiftieth of all time at most, whatever it takes."""
    pace, done = Pace(), list[float]()

    def work(at: float) -> None:
        time.sleep(0.05)
        done.append(at)

    for turn in range(10):
        at = turn / 2
        pace.turn(at, lambda at=at: work(at))  # type: ignore[misc]

    assert done[0] == 0
    assert all(later - earlier >= 2.5 for earlier, later in itertools.pairwise(done))
