"""When a child that ended is started again."""

import pytest

from netsre.app.supervise import FORGIVEN_AFTER, LONGEST_PAUSE, MOST_FAILURES, pause_before
from netsre.clock import SECOND, Timestamp

NOW = Timestamp(1_000_000_000)


def failures(*seconds_ago: int) -> list[Timestamp]:
    """Return moments before now."""
    return [Timestamp(NOW - seconds * SECOND) for seconds in seconds_ago]


@pytest.mark.parametrize(
    ("seconds_ago", "pause"),
    [((0,), 1), ((9, 0), 2), ((20, 9, 0), 4), ((40, 20, 9, 0), 8), ((80, 40, 20, 9, 0), None)],
)
def test_pauses_double_and_end_in_giving_up(seconds_ago: tuple[int, ...], pause: int | None) -> None:
    """Each failure doubles the wait; the fifth in five minutes is the last."""
    expected = None if pause is None else pause * SECOND
    assert pause_before(failures(*seconds_ago), NOW) == expected


def test_an_old_failure_is_forgiven() -> None:
    """A child that fails once an hour is started again at once, for ever."""
    hourly = failures(*(3600 * n for n in range(MOST_FAILURES * 2)))
    assert pause_before(hourly, NOW) == SECOND


def test_failures_are_forgiven_exactly_after_the_window() -> None:
    """At the end of the window a failure no longer counts, just before it still does."""
    window = FORGIVEN_AFTER // SECOND
    assert pause_before(failures(window, 0), NOW) == SECOND
    assert pause_before(failures(window - 1, 0), NOW) == 2 * SECOND


def test_no_pause_is_longer_than_the_longest() -> None:
    """However many failures, a wait is bounded."""
    for count in range(MOST_FAILURES):
        assert (pause_before(failures(*range(count)), NOW) or 0) <= LONGEST_PAUSE
