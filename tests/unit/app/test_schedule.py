"""Time tables: what comes when, also where clocks change, and each moment is told once."""

import threading
from collections.abc import Sequence

import pytest

from netsre import clock
from netsre.adapters.schedule import Scheduler, TimeTable, problem
from netsre.clock import SystemClock, Timestamp
from netsre.model.gamedays import Schedule
from tests.machine import wait_until
from tests.unit import burning
from tests.unit.app.fakes import SetClock


def times(cron: str, timezone: str, after: str, count: int) -> list[str]:
    """Return the next moments of a schedule, to the minute."""
    table, at = TimeTable(Schedule(cron, timezone)), clock.parse_rfc3339(after)
    found = []
    for _ in range(count):
        following = table.after(at)
        assert following is not None
        found.append(clock.rfc3339(following)[:16])
        at = following
    return found


@pytest.mark.parametrize(
    ("cron", "timezone", "after", "expected"),
    [
        # The night that has no 02:30: it comes when it would have been.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-29T01:30", "2026-03-30T00:30"]),
        # The night that has two: it comes the first time only.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("0 * * * *", "Europe/Berlin", "2026-10-24T23:30:00Z", ["2026-10-25T00:00", "2026-10-25T02:00"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", ["2026-11-01T05:30", "2026-11-02T06:30"]),
        ("30 2 * * *", "UTC", "2026-10-24T12:00:00Z", ["2026-10-25T02:30", "2026-10-26T02:30"]),
        # 2026-10-26 is a Monday.
        ("0 3 * * 1", "UTC", "2026-10-24T12:00:00Z", ["2026-10-26T03:00", "2026-11-02T03:00"]),
        ("0 3 * * sun", "UTC", "2026-10-24T12:00:00Z", ["2026-10-25T03:00", "2026-11-01T03:00"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", ["2028-02-29T00:00"]),
    ],
)
def test_moments_come_as_the_wall_clock_shows_them(
    cron: str, timezone: str, after: str, expected: Sequence[str]
) -> None:
    """In the zone of the schedule, over both changes of the clock."""
    assert times(cron, timezone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "timezone", "said"),
    [
        ("0 0 31 2 *", "UTC", "never comes"),
        ("0 0 * * *", "Mars/Olympus", "is no time zone"),
        ("0 0 * * *", "../../etc/passwd", "is no time zone"),
        ("0 0 * *", "UTC", "4 fields"),
    ],
)
def test_what_cannot_be_is_said(cron: str, timezone: str, said: str) -> None:
    """Before anybody waits for it."""
    assert said in str(problem(Schedule(cron, timezone)))
    assert problem(Schedule("0 0 * * *", "Europe/Berlin")) is None


class Told:
    """Remembers what it is called with."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.calls: list[tuple[str, Timestamp]] = []

    def __call__(self, name: str, at: Timestamp) -> None:
        """Remember."""
        self.calls.append((name, at))


def hourly(the_clock: SetClock, told: Told) -> Scheduler:
    """Return a scheduler of one game day that comes every hour."""
    scheduler = Scheduler({"flood": Schedule("0 * * * *", "UTC")}, told, the_clock)
    scheduler._due["flood"] = scheduler._tables["flood"].after(the_clock.now())
    return scheduler


def test_a_moment_is_told_once_and_not_before_its_time() -> None:
    """However often the tick comes."""
    the_clock, told = SetClock(), Told()
    scheduler = hourly(the_clock, told)
    for minutes in (0, 59, 60, 60, 61):
        the_clock.at = Timestamp(burning.T0 + minutes * clock.MINUTE)
        scheduler._tick("flood")

    assert told.calls == [("flood", burning.T0 + clock.HOUR)]


def test_what_was_missed_is_one_call_with_the_last_of_it() -> None:
    """A machine that slept for five hours does not catch up: it tells of the last, which is late."""
    the_clock, told = SetClock(), Told()
    scheduler = hourly(the_clock, told)
    the_clock.at = Timestamp(burning.T0 + 5 * clock.HOUR + 40 * clock.MINUTE)
    for _ in range(2):
        scheduler._tick("flood")

    assert told.calls == [("flood", burning.T0 + 5 * clock.HOUR)]
    assert scheduler.next_times() == {"flood": burning.T0 + 6 * clock.HOUR}


def test_the_machines_own_scheduler_calls_by_itself() -> None:
    """In a thread of its own, at the real minute or right after it; and nobody is called after the end."""
    called = threading.Event()

    class Soon(SystemClock):
        """A clock by which the next minute is there at once."""

        ahead = 0

        def now(self) -> Timestamp:
            """Return the time."""
            return Timestamp(super().now() + self.ahead)

    the_clock = Soon()
    scheduler = Scheduler({"flood": Schedule("* * * * *", "UTC")}, lambda *_: called.set(), the_clock)
    scheduler.start()
    try:
        the_clock.ahead = clock.MINUTE
        (job,) = scheduler._scheduler.get_jobs()
        job.modify(next_run_time=job.next_run_time.fromtimestamp(0, tz=job.next_run_time.tzinfo))
        assert wait_until(called.is_set)
    finally:
        scheduler.stop()
    assert not scheduler._scheduler.running
