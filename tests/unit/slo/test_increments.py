"""Claims about counting: every event once, whatever happens to its source."""

from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.model.samples import Scrape, Series
from netsre.slo import increments
from netsre.slo.increments import Cursor, Increments, Reason, advance
from tests.unit.slo.given import DELIVERED, FAILED, after, scrape, series

FLOWS = frozenset({"flows"})


def counted(*scrapes: Scrape) -> tuple[Increments, Cursor]:
    """Return what the last of these scrapes adds."""
    last: tuple[Increments, Cursor] | None = None
    for one in scrapes:
        last = advance(last[1] if last else None, one, FLOWS)
    assert last is not None
    return last


def test_the_first_scrape_counts_nothing() -> None:
    """When its 500 events happened, nobody can say."""
    found, cursor = counted(scrape(0, {FAILED: 500}))

    assert (found.reason, found.since, found.values) == (Reason.BASELINE, None, {})
    assert cursor.values == {FAILED: 500}


def test_a_series_adds_its_difference() -> None:
    """507 after 500 are 7 events, since the scrape before; 0 is an increase too."""
    found, _ = counted(scrape(0, {FAILED: 500, DELIVERED: 3}), scrape(5, {FAILED: 507, DELIVERED: 3}))

    assert (found.reason, found.since, found.until) == (Reason.COUNTED, after(0), after(5))
    assert found.values == {FAILED: 7, DELIVERED: 0}


def test_a_series_born_since_counts_fully() -> None:
    """A counter born at 500 between two scrapes is 500 events, not none."""
    found, _ = counted(scrape(0, {DELIVERED: 1}), scrape(5, {DELIVERED: 1, FAILED: 500}))

    assert found.values == {DELIVERED: 0, FAILED: 500}


def test_a_fall_in_the_same_life_is_a_reset_and_counts_fully() -> None:
    """The source forgot, and counted 4 since."""
    found, _ = counted(scrape(0, {FAILED: 500}), scrape(5, {FAILED: 4}))

    assert found.values == {FAILED: 4}
    assert found.resets == (FAILED,)


def test_after_a_restart_everything_counts_from_zero() -> None:
    """Also a value above the old one, which would hide the restart; events are younger than the new life."""
    found, cursor = counted(scrape(0, {FAILED: 5}), scrape(20, {FAILED: 9, DELIVERED: 2}, started=12))

    assert found.values == {FAILED: 9, DELIVERED: 2}
    assert (found.since, found.resets, cursor.started_at) == (after(12), (), after(12))


def test_a_start_in_the_future_is_still_no_later_than_the_scrape() -> None:
    """The source's clock may run ahead of ours."""
    found, _ = counted(scrape(0, {FAILED: 5}), scrape(20, {FAILED: 9}, started=60))

    assert found.since == found.until == after(20)


def test_an_earlier_start_is_a_clock_that_was_set() -> None:
    """Coming back to the later start must not count everything again."""
    scrapes = [scrape(at, {FAILED: 5 + at}, started=start) for at, start in ((0, -50), (5, -99), (10, -50))]

    found, _ = counted(*scrapes)

    assert found.values == {FAILED: 5}


@pytest.mark.parametrize("jitter", [-0.4, -0.001, 0.001, 0.4])
def test_a_start_that_jitters_is_no_restart(jitter: float) -> None:
    """A source that reckons its start anew each time is not counted anew each time."""
    scrapes = (
        scrape(0, {FAILED: 500}),
        scrape(5, {FAILED: 501}, started=-100 + jitter),
        scrape(10, {FAILED: 503}),
    )

    assert counted(*scrapes[:2])[0].values == {FAILED: 1}
    assert counted(*scrapes)[0].values == {FAILED: 2}


def test_a_start_that_drifts_slowly_is_no_restart() -> None:
    """Two clocks that part by 100 ms per scrape are seconds apart after a minute, and still one life."""
    scrapes = [scrape(5 * at, {FAILED: 500 + at}, started=-100 + at / 10) for at in range(60)]

    found, cursor = counted(*scrapes)

    assert found.values == {FAILED: 1}
    assert cursor.started_at == after(-94.1)


@pytest.mark.parametrize("values", [{FAILED: 4, DELIVERED: 900}, {DELIVERED: 900}])
def test_a_restart_under_a_clock_that_was_set_back_counts_from_zero(values: dict[Series, int]) -> None:
    """Its start is earlier, and a counter that fell or is gone says that its life is another one."""
    found, cursor = counted(scrape(0, {FAILED: 500, DELIVERED: 800}), scrape(-3000, values, started=-3010))

    assert found.values == values
    assert (found.reason, found.resets) == (Reason.CLOCK_SET_BACK, ())
    assert (found.until, cursor.started_at) == (after(-3000), after(-3010))


def test_a_scrape_of_the_same_time_changes_nothing() -> None:
    """It was read already; the cursor stays where it was."""
    before = counted(scrape(0, {FAILED: 1}), scrape(5, {FAILED: 2}))[1]

    found, cursor = advance(before, scrape(5, {FAILED: 100}, started=-1), FLOWS)

    assert (found.reason, found.values) == (Reason.DUPLICATE, {})
    assert cursor is before


@pytest.mark.parametrize("back", [1, 3600, 2 * 86_400])
def test_a_clock_that_was_set_back_loses_no_event(back: int) -> None:
    """The counters say how far the source has come; when it happened is as good as unknown, so: now."""
    scrapes = (scrape(0, {FAILED: 1}), scrape(-back, {FAILED: 3}), scrape(5 - back, {FAILED: 10}))

    found, _ = counted(*scrapes[:2])
    later, _ = counted(*scrapes)

    assert (found.reason, found.since, found.until) == (Reason.CLOCK_SET_BACK, None, after(-back))
    assert found.values == {FAILED: 2}
    assert later.values == {FAILED: 7}
    assert (later.reason, later.since) == (Reason.COUNTED, after(-back))


@pytest.mark.parametrize("value", ["NaN", "-1", "Infinity", "1e999999", "1e-999999"])
def test_what_is_no_count_is_not_counted(value: str) -> None:
    """The series stays where it was, so that its events are counted when it speaks sense again."""
    scrapes = (scrape(0, {FAILED: 5}), scrape(5, {FAILED: value}), scrape(10, {FAILED: 8}))

    assert counted(*scrapes[:2])[0].unusable == (FAILED,)
    assert counted(*scrapes[:2])[0].values == {}
    assert counted(*scrapes)[0].values == {FAILED: 3}


def test_a_series_that_vanished_and_returns_is_not_counted_twice() -> None:
    """An incomplete scrape costs nothing and invents nothing."""
    found, _ = counted(scrape(0, {FAILED: 500}), scrape(5, {}), scrape(10, {FAILED: 502}))

    assert found.values == {FAILED: 2}


def test_a_restart_forgets_what_vanished() -> None:
    """Nothing of the old life can return."""
    _, cursor = counted(scrape(0, {FAILED: 500}), scrape(5, {}), scrape(10, {DELIVERED: 1}, started=7))

    assert cursor.values == {DELIVERED: 1}


def test_vanished_series_are_bounded_and_the_longest_absent_go_first() -> None:
    """A source whose names change all the time cannot fill the memory."""
    crowd = {series("flows", outcome=str(number)): 1 for number in range(increments.MOST_VANISHED)}

    _, full = counted(scrape(0, {FAILED: 1}), scrape(5, crowd))
    _, cursor = advance(full, scrape(10, {DELIVERED: 1}), FLOWS)

    assert FAILED in full.values
    assert cursor.values.keys() == {*crowd, DELIVERED}


def test_a_series_followed_only_now_has_no_past() -> None:
    """An SLO added to a running node does not inherit all that ever happened there."""
    _, cursor = advance(None, scrape(0, {FAILED: 1}), frozenset())

    found, _ = advance(cursor, scrape(5, {FAILED: 900}), FLOWS)

    assert found.values == {}


def test_series_that_no_slo_needs_are_left_out() -> None:
    """A cursor holds what is followed and no more; a bucket is followed by its bound."""
    values = {
        series("seconds_bucket", le=bound): 1 for bound in ("0.1", "0.250", "2.5e-1", "+Inf", "nonsense")
    }
    key = increments.bucket_key("seconds", Decimal("0.25"))

    _, cursor = advance(None, scrape(0, {**values, FAILED: 1}), frozenset({key}))

    assert [dict(kept.labels)["le"] for kept in cursor.values] == ["0.250", "2.5e-1"]


@pytest.mark.parametrize("bound", ["1e9999999", "1e999999", "-1e-9999999", "9" * 400])
def test_a_bound_that_no_histogram_has_costs_nothing(bound: str) -> None:
    """Whatever a source writes there, the scrape is counted, and its key is no longer than what it wrote."""
    odd = series("seconds_bucket", le=bound)

    found, _ = counted(scrape(0, {FAILED: 1, odd: 1}), scrape(5, {FAILED: 3, odd: 2}))

    assert found.values == {FAILED: 2}
    assert len(increments.key_of(odd)) <= len("seconds_bucket{le=}") + len(bound)


def test_bounds_that_differ_in_their_thirtieth_digit_are_two() -> None:
    """One that is rounded to the other would be counted in its place."""
    near = series("seconds_bucket", le="0.25" + "0" * 30 + "1")

    assert increments.key_of(near) != increments.bucket_key("seconds", "0.25")


def test_the_cursor_of_another_node_is_refused() -> None:
    """Mixing two nodes up would count garbage."""
    _, cursor = counted(scrape(0, {}))

    with pytest.raises(ValueError, match="cursor of 'n1' cannot follow a scrape of 'n2'"):
        advance(cursor, scrape(5, {}, node="n2"), FLOWS)


@dataclass
class Source:
    """An agent as it really is: counts events, restarts, hides a series for one scrape."""

    started: int = -100
    truth: dict[Series, int] = field(default_factory=dict)
    happened: int = 0
    """Events that a perfect reader counts after its baseline."""


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["count", "restart", "hide", "repeat", "set back"]),
        st.dictionaries(st.sampled_from("abcde"), st.integers(0, 10**18), max_size=4),
    ),
    max_size=25,
)


@given(steps=STEPS)
def test_the_sum_of_increments_is_what_happened(steps: list[tuple[str, dict[str, int]]]) -> None:
    """Through births, restarts, incomplete scrapes and repetitions, nothing is lost or counted twice."""
    source, total, cursor = Source(), Decimal(0), None
    for at, (what, events) in enumerate([("count", {"a": 3}), *steps, ("count", {})]):
        if what == "restart":
            source.started, source.truth = at, {}
        for name, number in events.items():
            key = series("flows", outcome=name)
            source.truth[key] = source.truth.get(key, 0) + number
            source.happened += number if cursor else 0
        # A source that restarts shows everything: what it hid before the restart would be lost with it.
        shown = dict(source.truth)
        last_is_next = at + 1 < len(steps) + 1 and steps[at][0] == "restart"
        if what == "hide" and shown and not last_is_next:
            shown.pop(next(iter(shown)))
        one = scrape(at, shown, started=source.started)
        found, cursor = advance(cursor, one, FLOWS)
        total += sum(found.values.values())
        if what == "repeat":
            repeated, cursor = advance(cursor, one, FLOWS)
            assert repeated.values == {}
        if what == "set back":
            again, cursor = advance(cursor, scrape(at - 0.5, shown, started=source.started), FLOWS)
            assert not any(again.values.values())

    assert total == source.happened
