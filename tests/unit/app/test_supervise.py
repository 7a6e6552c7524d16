"""When a child that ended is started again."""

import pytest

from netsre.app.local.supervise import FORGIVEN_AFTER, LONGEST_PAUSE, MOST_FAILURES, pause_before

NOW = 1_000_000.0


def failures(*seconds_ago: float) -> list[float]:
    """Return moments before now."""
    return [NOW - seconds for seconds in seconds_ago]


@pytest.mark.parametrize(
    ("seconds_ago", "pause"),
    [((0,), 1), ((9, 0), 2), ((20, 9, 0), 4), ((40, 20, 9, 0), 8), ((80, 40, 20, 9, 0), 30)],
)
def test_pauses_double_and_are_the_longest_from_the_fifth_on(
    seconds_ago: tuple[int, ...], pause: int
) -> None:
    """Each failure doubles the wait; whatever fails five times in five minutes is in no hurry."""
    assert pause_before(failures(*seconds_ago), NOW) == pause


def test_an_old_failure_is_forgiven() -> None:
    """A child that fails once an hour is started again at once, for ever."""
    hourly = failures(*(3600 * n for n in range(MOST_FAILURES * 2)))
    assert pause_before(hourly, NOW) == 1


def test_failures_are_forgiven_exactly_after_the_window() -> None:
    """At the end of the window a failure no longer counts, just before it still does."""
    assert pause_before(failures(FORGIVEN_AFTER, 0), NOW) == 1
    assert pause_before(failures(FORGIVEN_AFTER - 0.001, 0), NOW) == 2


def test_no_pause_is_longer_than_the_longest() -> None:
    """However many failures, a wait is bounded."""
    assert max(pause_before(failures(*range(count)), NOW) for count in range(100)) == LONGEST_PAUSE
