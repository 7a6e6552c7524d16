"""Claims about budgets of slices: by hand, from OpenSLO's worked numbers, and over a restart anywhere."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre import clock
from netsre.model.levels import SLO, Evaluation, Measured, NoData, Slices
from netsre.slo import definition
from netsre.slo.buckets import Bucket
from netsre.slo.engine import Engine
from netsre.slo.increments import Cursor
from netsre.slo.slices import judge
from netsre.slo.track import Sums
from tests.unit.slo.given import DELIVERED, FAILED, after, scrape, slo

MINUTE = Slices(clock.MINUTE, Fraction(95, 100))
RATIO = dataclasses.replace(MINUTE, target=None)


def level(slices: Slices, objective: str = "90") -> SLO:
    """Return an SLO whose budget is one of slices."""
    return dataclasses.replace(slo(objective=objective, policy=None), slices=slices)


def traffic(of: SLO, minutes: list[tuple[int, int]], *, every: int = 15) -> Evaluation:
    """Return where an SLO stands after minutes of so many bad events of so many, scraped all along."""
    engine = Engine([of])
    bad = good = 0
    engine.observe(scrape(0, {FAILED: 0, DELIVERED: 0}))
    for number, (failed, total) in enumerate(minutes):
        for second in range(every, 60, every):
            if second == every:
                bad, good = bad + failed, good + total - failed
            engine.observe(scrape(number * 60 + second, {FAILED: bad, DELIVERED: good}))
    (found,) = engine.evaluate(after(60 * len(minutes)))
    engine.observe(scrape(60 * len(minutes), {FAILED: bad, DELIVERED: good}))
    (found,) = engine.evaluate(after(60 * len(minutes)))
    return found


def test_a_minute_of_many_failures_is_one_bad_slice() -> None:
    """Of five minutes one had half of its 40 events failed, the others 10 good ones each."""
    minutes = [(0, 10), (20, 40), (0, 10), (0, 10), (0, 10)]

    by_events = traffic(dataclasses.replace(level(MINUTE), slices=None), minutes)
    by_slices, by_ratio = traffic(level(MINUTE), minutes), traffic(level(RATIO), minutes)

    assert by_events.sli == Measured(Fraction(60, 80))
    assert by_slices.sli == Measured(Fraction(4, 5))
    assert by_ratio.sli == Measured(Fraction(9, 10))
    assert (int(by_slices.bad), int(by_slices.total)) == (1, 5)
    assert by_slices.budget_remaining == Measured(Fraction(-1))


@pytest.mark.parametrize(
    ("bad", "total", "slice_is_bad"), [(5, 100, 0), (6, 100, 1), (1, 20, 0), (2, 20, 1), (0, 1, 0), (1, 1, 1)]
)
def test_a_slice_that_meets_its_target_exactly_is_good(bad: int, total: int, slice_is_bad: int) -> None:
    """95 of 100 are 95 %; the comparison is of fractions."""
    found = judge(MINUTE, Sums(Decimal(bad), Decimal(total), 1))

    assert (int(found.bad), int(found.total)) == (slice_is_bad, 1)


def test_the_share_of_a_slice_is_kept_to_twelve_digits() -> None:
    """A third is no decimal."""
    assert judge(RATIO, Sums(Decimal(1), Decimal(3), 1)).bad == Decimal("0.333333333333")


def test_a_slice_without_events_has_no_opinion_and_is_measured() -> None:
    """Nor has an idle hour; coverage says that somebody looked."""
    found = traffic(level(MINUTE), [(0, 0), (0, 10), (0, 0)])

    assert (int(found.total), found.sli) == (1, Measured(Fraction(1)))
    assert found.coverage == Fraction(3, 719 * 60 + 4)
    assert traffic(level(MINUTE), [(0, 0)]).sli == NoData("no_traffic")


def test_the_present_slice_says_nothing_before_it_is_over() -> None:
    """Its first second would else be a bad minute."""
    engine = Engine([level(Slices(5 * clock.MINUTE, Fraction(1, 2)))])
    engine.observe(scrape(0, {FAILED: 0, DELIVERED: 0}))
    engine.observe(scrape(60, {FAILED: 9, DELIVERED: 0}))

    assert [one.sli for one in engine.evaluate(after(60))] == [NoData("no_history")]
    engine.observe(scrape(299, {FAILED: 9, DELIVERED: 0}))
    assert [one.sli for one in engine.evaluate(after(299))] == [NoData("no_history")]
    engine.observe(scrape(300, {FAILED: 9, DELIVERED: 0}))
    assert [one.sli for one in engine.evaluate(after(300))] == [Measured(Fraction(0))]


def test_slices_of_a_pause_are_made_of_what_is_known_of_it() -> None:
    """An hour away in which a tenth failed: its events are spread, and every minute is a slice."""
    engine = Engine([level(RATIO)])
    engine.observe(scrape(0, {FAILED: 0, DELIVERED: 0}))
    engine.observe(scrape(3600, {FAILED: 600, DELIVERED: 5400}))

    (found,) = engine.evaluate(after(3600))

    assert (int(found.bad), int(found.total)) == (6, 60)


def test_the_events_of_another_budget_are_the_same_and_its_slices_are_not() -> None:
    """Another target begins anew; the same question by events has another definition as well."""
    strict = level(dataclasses.replace(MINUTE, target=Fraction(99, 100)))

    assert definition.of_events(level(MINUTE)) == definition.of_events(strict)
    assert len({definition.of(one) for one in (level(MINUTE), strict, level(RATIO), slo(policy=None))}) == 4


STEPS = st.lists(
    st.tuples(st.integers(1, 200), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=40
)


@given(steps=STEPS, slices=st.sampled_from([MINUTE, RATIO, Slices(5 * clock.MINUTE, Fraction(1, 2))]))
def test_stopping_anywhere_makes_no_slice_twice_and_none_less(
    steps: list[tuple[int, int, int, bool]], slices: Slices
) -> None:
    """What was kept is enough to go on from."""
    of = level(slices)
    steady, mortal = Engine([of]), Engine([of])
    kept: dict[tuple[str, int, int], Bucket] = {}
    cursor: Cursor | None = None
    at = bad = good = 0
    for seconds, more_bad, more_good, dies in [(0, 0, 0, False), *steps]:
        at, bad, good = at + seconds, bad + more_bad, good + more_good
        one = scrape(at, {FAILED: bad, DELIVERED: good})
        if dies and cursor is not None:
            mortal = Engine([of], definition.current([of], kept.values()), [cursor])
        seen = mortal.observe(one)
        kept |= {(bucket.slo, bucket.step, bucket.begin): bucket for bucket in seen.buckets}
        cursor = seen.cursor
        steady.observe(one)

    assert tuple(mortal.evaluate(after(at))) == tuple(steady.evaluate(after(at)))
