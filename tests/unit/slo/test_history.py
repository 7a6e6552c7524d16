"""Claims about minutes: sums are exact, gaps are spread, and nothing depends on order."""

import itertools
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.clock import Timestamp
from netsre.slo.history import NOTHING, Bucket, History, Sums, apportion, minute_of
from netsre.slo.indicators import Measure
from tests.unit.slo.given import NODE, START, after

AMOUNTS = st.decimals(0, 10**12, places=3, allow_nan=False, allow_infinity=False)


def events(bad: int, total: int) -> Measure:
    """Return a measure."""
    return Measure(Decimal(bad), Decimal(total))


def test_readings_of_one_minute_add_up() -> None:
    """Each returns the whole minute, so that writing it again changes nothing."""
    history = History()
    history.add("flow", "what", NODE, after(0), after(5), events(1, 10))

    (bucket,) = history.add("flow", "what", NODE, after(5), after(10), events(2, 20))

    assert bucket == Bucket("flow", NODE, START, Decimal(3), Decimal(30), 2, "what")


def test_a_reading_without_events_is_kept() -> None:
    """Idle is measured; it is not a hole."""
    history = History()

    (bucket,) = history.add("flow", "what", NODE, after(0), after(5), events(0, 0))

    assert (int(bucket.total), bucket.readings) == (0, 1)
    assert history.sums("flow", NODE, START, after(60)) == Sums(Decimal(0), Decimal(0), 1)


def test_a_gap_of_two_minutes_counts_in_its_last_minute() -> None:
    """Scrapes may be slow without the history becoming blurred."""
    found = History().add("flow", "what", NODE, after(0), after(120), events(1, 2))

    assert [(bucket.minute, int(bucket.total)) for bucket in found] == [(after(120), 2)]


def test_a_longer_gap_is_spread_evenly_in_time() -> None:
    """From 0:30 to 5:30: half a minute, four whole ones, half a minute; only the last was read."""
    found = History().add("flow", "what", NODE, after(30), after(330), events(10, 100))

    assert [(b.minute, int(b.bad), int(b.total), b.readings) for b in found] == [
        (after(0), 1, 10, 0),
        (after(60), 2, 20, 0),
        (after(120), 2, 20, 0),
        (after(180), 2, 20, 0),
        (after(240), 2, 20, 0),
        (after(300), 1, 10, 1),
    ]


def test_a_gap_longer_than_the_history_keeps_only_what_is_remembered() -> None:
    """Ten minutes away with five minutes of memory: the older half is left out, not squeezed in."""
    found = History(keep=5 * clock.MINUTE).add("flow", "what", NODE, after(0), after(600), events(0, 1000))

    assert sum(bucket.total for bucket in found) == 500
    assert found[0].minute == after(300)


@given(amount=AMOUNTS, start=st.integers(0, 10**7), gap=st.integers(0, 10**7))
def test_shares_of_a_gap_sum_to_the_whole_and_lie_in_it(amount: Decimal, start: int, gap: int) -> None:
    """No event is lost, invented or moved out of its gap; all but the last are whole events."""
    since, until = Timestamp(START + start), Timestamp(START + start + gap)

    shares = apportion(amount, since, until)

    assert sum(share for _, share in shares) == amount
    assert all(minute_of(since) <= minute <= until for minute, _ in shares)
    assert all(share > 0 for _, share in shares)


@given(bad=st.integers(0, 500), good=st.integers(0, 500), gap=st.integers(3 * 60, 3600))
def test_no_minute_of_a_gap_has_more_bad_events_than_events(bad: int, good: int, gap: int) -> None:
    """Good and bad events are spread apart."""
    found = History().add("flow", "what", NODE, after(17), after(17 + gap), events(bad, bad + good))

    assert all(0 <= bucket.bad <= bucket.total for bucket in found)
    assert sum(bucket.bad for bucket in found) == bad


ADDS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=40
)


@given(adds=ADDS, cuts=st.lists(st.integers(-1, 62), min_size=2, max_size=6))
def test_sums_agree_with_adding_up_and_any_partition_sums_to_the_whole(
    adds: list[tuple[int, int, int, bool]], cuts: list[int]
) -> None:
    """In whatever order minutes arrive; a span is the sum of its parts."""
    history, reference = History(), dict[int, list[int]]()
    for minute, bad, good, measured in adds:
        at = after(60 * minute)
        if measured:
            history.add("flow", "what", NODE, at, at, events(bad, bad + good))
        else:
            history.load([Bucket("flow", NODE, at, Decimal(bad), Decimal(bad + good), 0, "what")])
        sums = reference.setdefault(minute, [0, 0, 0])
        sums[0], sums[1], sums[2] = sums[0] + bad, sums[1] + bad + good, max(sums[2], measured)

    def expected(low: int, high: int) -> tuple[int, ...]:
        inside = [sums for minute, sums in reference.items() if low <= minute < high]
        return tuple(sum(column) for column in zip(*inside, strict=True)) or (0, 0, 0)

    def found(low: int, high: int) -> tuple[int, ...]:
        sums = history.sums("flow", NODE, after(60 * low), after(60 * high))
        return int(sums.bad), int(sums.total), sums.measured

    edges = sorted(cuts)
    parts = [found(low, high) for low, high in itertools.pairwise(edges)]
    assert parts == [expected(low, high) for low, high in itertools.pairwise(edges)]
    assert tuple(sum(column) for column in zip(*parts, strict=True)) == found(edges[0], edges[-1])


@given(adds=ADDS, before=st.integers(0, 61))
def test_pruning_changes_no_sum_that_begins_later(
    adds: list[tuple[int, int, int, bool]], before: int
) -> None:
    """And what was loaded back after a restart sums as it did."""
    history, buckets = History(), dict[int, Bucket]()
    for minute, bad, good, _ in adds:
        for bucket in history.add("flow", "what", NODE, None, after(60 * minute), events(bad, bad + good)):
            buckets[bucket.minute] = bucket
    later = (after(60 * before), after(60 * 61))
    expected = history.sums("flow", NODE, *later)

    history.prune(after(60 * before))

    assert history.sums("flow", NODE, *later) == expected
    assert history.sums("flow", NODE, after(-1), after(60 * before)) == NOTHING
    assert History(buckets.values()).sums("flow", NODE, *later) == expected


def test_a_group_is_known_while_it_has_minutes() -> None:
    """A namespace that is gone leaves with its last minute."""
    history = History()
    history.add("flow", "what", NODE, None, after(0), events(0, 1))

    assert history.groups("flow") == (NODE,)
    history.prune(after(60))
    assert history.groups("flow") == ()


def test_sums_are_exact_beyond_any_default_precision() -> None:
    """10^30 and 0.001 add up to both."""
    history = History()
    for amount in ("1e30", "0.001"):
        history.add("flow", "what", NODE, None, after(0), Measure(Decimal(0), Decimal(amount)))

    assert str(history.sums("flow", NODE, START, after(60)).total) == "1" + "0" * 30 + ".001"
