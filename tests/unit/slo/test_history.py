"""Claims about the past: sums are exact in every tier, gaps are spread, and a restart changes nothing."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.slo.buckets import Bucket
from netsre.slo.history import History
from netsre.slo.indicators import Measure
from netsre.slo.track import NOTHING, Sums
from tests.unit.slo.given import NODE, START, after

HALF_HOUR = 30 * clock.MINUTE
DAY = clock.DAY
MONTH = 30 * DAY
LENGTHS = (5 * clock.MINUTE, HALF_HOUR, 6 * clock.HOUR, DAY, 3 * DAY, 14 * DAY, MONTH)


class Past:
    """The history of one SLO and group, and everything that it handed out to be kept."""

    def __init__(self, kept: Iterable[Bucket] = ()) -> None:
        """Go on from what was kept."""
        self.kept = {(bucket.step, bucket.begin): bucket for bucket in kept}
        self.history = History(self.kept.values(), LENGTHS)
        self.row = self.history.row("flow", "what", NODE)

    def read(
        self, at: Timestamp, bad: Decimal | int, total: Decimal | int, since: Timestamp | None = None
    ) -> list[Bucket]:
        """Count one reading."""
        self.history.move_to(at)
        found = self.history.count([self.row], [Measure(Decimal(bad), Decimal(total))], since, at)
        found += self.history.close(at)
        self.kept.update({(bucket.step, bucket.begin): bucket for bucket in found})
        return found

    def sums(self, length: int, now: Timestamp) -> Sums:
        """Return what a window holds, by both ways in which it is summed."""
        self.history.move_to(now)
        summed = self.history.sums(self.row, length, now)
        if self.row not in self.history.wide:
            assert self.history.running(length).sums(self.row) == summed
        return summed

    def all_sums(self, now: Timestamp) -> list[Sums]:
        """Return what every window holds."""
        return [self.sums(length, now) for length in LENGTHS]


def test_readings_of_one_minute_add_up() -> None:
    """Each returns the whole minute, so that writing it again changes nothing."""
    past = Past()
    past.read(after(5), 1, 10, after(0))

    (bucket,) = past.read(after(10), 2, 20, after(5))

    assert bucket == Bucket("flow", NODE, START, Decimal(3), Decimal(30), 1, "what")


def test_a_reading_without_events_is_kept() -> None:
    """Idle is measured; it is not a hole."""
    past = Past()

    (bucket,) = past.read(after(5), 0, 0, after(0))

    assert (int(bucket.total), bucket.measured) == (0, 1)
    assert past.sums(5 * clock.MINUTE, after(5)) == Sums(Decimal(0), Decimal(0), 1)


def test_a_gap_of_two_minutes_counts_in_its_last_minute() -> None:
    """Scrapes may be slow without the history becoming blurred."""
    found = Past().read(after(120), 1, 2, after(0))

    assert [(bucket.begin, int(bucket.total)) for bucket in found] == [(after(120), 2)]


def test_a_longer_gap_is_spread_evenly_in_time() -> None:
    """From 0:30 to 5:30: half a minute, four whole ones, half a minute; only the last was read."""
    found = Past().read(after(330), 10, 100, after(30))

    assert [(b.begin, int(b.bad), int(b.total), b.measured) for b in found] == [
        (after(0), 1, 10, 0),
        (after(60), 2, 20, 0),
        (after(120), 2, 20, 0),
        (after(180), 2, 20, 0),
        (after(240), 2, 20, 0),
        (after(300), 1, 10, 1),
    ]


@given(bad=st.integers(0, 500), good=st.integers(0, 500), gap=st.integers(3 * 60, 3600))
def test_no_minute_of_a_gap_has_more_bad_events_than_events(bad: int, good: int, gap: int) -> None:
    """Good and bad events are spread apart."""
    found = [b for b in Past().read(after(17 + gap), bad, bad + good, after(17)) if b.step == clock.MINUTE]

    assert all(0 <= bucket.bad <= bucket.total for bucket in found)
    assert sum(bucket.bad for bucket in found) == bad


def test_coarser_slots_are_handed_out_when_they_are_over() -> None:
    """Once, with all they hold; until then they can be made of their minutes."""
    past = Past()
    by_step: dict[int, list[tuple[int, int, int]]] = {}
    for at in range(0, 3 * 3600, 60):
        for bucket in past.read(after(at), 1, 10, after(at - 60)):
            numbers = (bucket.begin - START, int(bucket.total), bucket.measured)
            by_step.setdefault(bucket.step, []).append(numbers)

    assert by_step[clock.HOUR] == [(0, 600, 60), (clock.HOUR, 600, 60)]
    assert by_step[5 * clock.MINUTE] == [(n * 5 * clock.MINUTE, 50, 5) for n in range(35)]


def test_what_happens_late_in_a_slot_that_is_over_hands_it_out_again() -> None:
    """A gap that reaches back over it, or a clock that was set back."""
    past = Past()
    past.read(after(0), 0, 10)
    past.read(after(7200), 0, 10)

    found = past.read(after(60), 0, 5)

    assert [(b.step, b.begin, int(b.total)) for b in found if b.step > clock.MINUTE] == [
        (5 * clock.MINUTE, after(0), 15),
        (clock.HOUR, after(0), 15),
    ]


STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 300), st.integers(3600, 5 * 86_400), st.integers(-7200, -1)),
        st.integers(0, 9),
        st.integers(0, 90),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


def expected(events: list[tuple[int, Decimal, Decimal]], length: int, now: int) -> Sums:
    """Add up what lies in a window, as its definition says it."""
    step = clock.MINUTE if length <= 6 * clock.HOUR else 5 * clock.MINUTE if length <= 3 * DAY else clock.HOUR
    end = now - now % step + step
    inside = [event for event in events if end - length <= event[0] < end]
    minutes = {at // clock.MINUTE for at, _, _ in inside}
    return Sums(
        sum((bad for _, bad, _ in inside), Decimal(0)),
        sum((total for _, _, total in inside), Decimal(0)),
        len(minutes),
    )


@given(steps=STEPS, fraction=st.sampled_from(["0", "0.25"]))
def test_every_window_is_the_sum_of_its_events_and_a_restart_anywhere_changes_nothing(
    steps: list[tuple[int, int, int, bool]], fraction: str
) -> None:
    """Whatever the clock does, whole events or not, from memory or from what was handed out."""
    past, events, at = Past(), list[tuple[int, Decimal, Decimal]](), START + 40 * DAY
    newest = at
    for seconds, bad, good, dies in steps:
        at += seconds * clock.SECOND
        newest = max(newest, at)
        if newest - at > clock.HOUR:
            at = newest
        amounts = Decimal(bad), Decimal(bad + good) + Decimal(fraction)
        past.read(Timestamp(at), *amounts)
        events.append((at, *amounts))
        if dies:
            past = Past(past.kept.values())

        found = past.all_sums(Timestamp(at))

        assert found == [expected(events, length, at) for length in LENGTHS]
    assert fraction != "0" or not past.history.wide


def test_a_minute_is_measured_once_whatever_was_stored() -> None:
    """Also when it is read again after a restart."""
    past = Past()
    past.read(after(0), 0, 1)
    past = Past(past.kept.values())
    past.read(after(30), 0, 1)

    assert past.sums(MONTH, after(30)).measured == 1


def test_old_minutes_without_coarser_slots_become_these() -> None:
    """The history of a version that had nothing but minutes is taken over, and kept as it is kept now."""
    minutes = [
        Bucket("flow", NODE, Timestamp(START + n * clock.HOUR), Decimal(1), Decimal(2), 1, "what")
        for n in range(24 * 30)
    ]
    now = Timestamp(minutes[-1].begin + 30_000)
    past = Past(minutes)

    assert past.sums(MONTH, now) == Sums(Decimal(720), Decimal(1440), 720)
    past.read(now, 0, 0)
    kept = [bucket for bucket in past.kept.values() if bucket.step == clock.HOUR]
    assert len(kept) == 719
    younger = [b for b in past.kept.values() if b.step > clock.MINUTE or b.begin > now - 12 * clock.HOUR]
    assert Past(younger).all_sums(now) == past.all_sums(now)


def test_pruning_changes_no_window_and_lets_a_group_go_with_its_last_event() -> None:
    """A namespace that is gone leaves when no window reaches it any more; its row is another's then."""
    past = Past()
    past.read(after(0), 1, 2)
    later = Timestamp(START + 29 * DAY)
    before = past.all_sums(later)

    past.history.prune(later)
    assert past.all_sums(later) == before
    assert past.history.groups("flow") == (NODE,)

    past.history.prune(Timestamp(START + 31 * DAY))
    assert past.history.groups("flow") == ()
    other = past.history.row("other", "what", NODE)
    assert past.history.sums(other, MONTH, Timestamp(START + 31 * DAY)) == NOTHING


def test_minutes_of_an_hour_that_is_not_over_stay_for_as_long_as_nobody_reads() -> None:
    """Its source is away for days, and the process ends meanwhile: of that hour there is nothing else."""
    past = Past()
    past.read(after(0), 1, 10)
    past.read(after(90 * 60), 2, 20)
    away = Timestamp(after(90 * 60) + 10 * DAY)
    past.history.move_to(away)
    before, sums = past.history.prune(away), past.all_sums(away)

    assert Past(b for b in past.kept.values() if b.begin >= before[b.step]).all_sums(away) == sums
    assert past.sums(MONTH, away) == Sums(Decimal(3), Decimal(30), 2)


def test_a_clock_that_was_far_ahead_for_a_while_loses_nothing() -> None:
    """Ten years ahead, a reading a minute, then right again."""
    past = Past()
    past.read(after(0), 1, 2)
    before = past.all_sums(after(0))
    for minute in range(100):
        past.read(Timestamp(START + 3650 * DAY + minute * clock.MINUTE), 1, 1)

    assert past.all_sums(after(0)) == before


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        (("1e30", "0.001"), "1" + "0" * 30 + ".001"),
        (("5", "0.5", "5"), "10.5"),
        (("8796093022208", "8796093022209"), "17592186044417"),
        (("2147483647", "2147483647"), "4294967294"),
    ],
)
def test_sums_are_exact_whatever_their_size(amounts: tuple[str, ...], total: str) -> None:
    """Beyond 32 bits, beyond 64, beyond any default precision; also where it begins with whole events."""
    past = Past()
    for amount in amounts:
        past.read(after(0), Decimal(0), Decimal(amount))

    assert str(past.sums(MONTH, after(0)).total) == total
    again: Any = Past(past.kept.values())
    assert str(again.sums(MONTH, after(0)).total) == total


def test_many_rows_do_not_mix() -> None:
    """More than there was room for at the beginning, each with its own events."""
    history = History((), LENGTHS)
    rows = [history.row(f"slo-{number}", "what", NODE) for number in range(200)]
    history.move_to(after(0))
    for batch in (rows[:50], rows):
        history.count(batch, [Measure(Decimal(0), Decimal(row)) for row in batch], None, after(0))

    found = [int(history.running(MONTH).sums(row).total) for row in rows]

    assert found == [2 * row if row < 50 else row for row in rows]
