"""Claims about the binomial test: exact where it is summed, and safe where it is not."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netsre.slo.binomial import MOST_SUMMED, is_unlikely
from tests.unit.slo import reference

RATIOS = st.one_of(
    st.fractions(Fraction(1, 10_000), Fraction(9_999, 10_000), max_denominator=10_000),
    st.sampled_from([Fraction(144, 10_000), Fraction(1, 2), Fraction(1, 10), Fraction(1, 3)]),
)
SURE = Fraction(99, 100)
LEAST = Fraction(1, 10**32)
"""The smallest share that a file can leave to chance."""
HAIR = Fraction(1, 10**200)


def unlikely(bad: int, good: int, ratio: Fraction, confidence: Fraction = SURE) -> bool:
    """Ask about whole events."""
    return is_unlikely(Decimal(bad), Decimal(good), ratio, confidence)


# Errors at 1 in 10. The chance of so many or more bad events, by hand:
#
# | events | bad | chance                                    |        | at 99 % | at 95 % |
# |--------|-----|-------------------------------------------|--------|---------|---------|
# | 1      | 1   | 1/10                                      | 0.1    | no      | no      |
# | 2      | 2   | 1/10 * 1/10                               | 0.01   | yes, the limit itself | yes |
# | 3      | 2   | 3 * 1/100 * 9/10 + 1/1000                 | 0.028  | no      | yes     |
# | 3      | 3   | 1/1000                                    | 0.001  | yes     | yes     |
# | 4      | 2   | 6 * 81/10000 + 4 * 9/10000 + 1/10000      | 0.0523 | no      | no      |
# | 4      | 3   | 4 * 9/10000 + 1/10000                     | 0.0037 | yes     | yes     |
# | 20     | 2   | as many as are expected                   | 0.6083 | no      | no      |
TENTH = Fraction(1, 10)
BY_HAND = [
    (1, 1, "0.1", False, False),
    (2, 2, "0.01", True, True),
    (3, 2, "0.028", False, True),
    (3, 3, "0.001", True, True),
    (4, 2, "0.0523", False, False),
    (4, 3, "0.0037", True, True),
    (20, 2, "0.6083", False, False),
]


@pytest.mark.parametrize(("events", "bad", "chance", "at_99", "at_95"), BY_HAND)
def test_the_chance_is_that_of_the_table(
    events: int, bad: int, chance: str, *, at_99: bool, at_95: bool
) -> None:
    """The reference says the same to the digits that are written."""
    assert round(reference.chance(bad, events - bad, TENTH), 4) == Fraction(chance)
    assert unlikely(bad, events - bad, TENTH, SURE) is at_99
    assert unlikely(bad, events - bad, TENTH, Fraction(95, 100)) is at_95


@settings(deadline=None)
@given(bad=st.integers(0, 120), good=st.integers(0, 300), ratio=RATIOS)
def test_the_limit_is_met_to_the_last_digit(bad: int, good: int, ratio: Fraction) -> None:
    """At a limit of exactly its chance a number is unlikely, at one that is lower by a hair it is not."""
    chance = reference.chance(bad, good, ratio)
    assume(LEAST < chance < Fraction(1, 2))

    assert unlikely(bad, good, ratio, 1 - chance)
    assert not unlikely(bad, good, ratio, 1 - chance + HAIR)


@settings(deadline=None)
@given(
    bad=st.integers(0, 120),
    good=st.integers(0, 300),
    ratio=RATIOS,
    percent=st.decimals("50.0000001", "99.9999999", places=7),
)
def test_it_agrees_with_the_sum_of_all_chances(
    bad: int, good: int, ratio: Fraction, percent: Decimal
) -> None:
    """Wherever the limit is, also by the bounds that take no sum."""
    confidence = Fraction(percent) / 100

    assert unlikely(bad, good, ratio, confidence) is (reference.chance(bad, good, ratio) <= 1 - confidence)


def first(likely: int, ratio: Fraction, confidence: Fraction) -> tuple[int, int]:
    """Return the first number of bad events to be unlikely, and how many good ones are beside them."""
    good = int(likely * (1 - ratio) / ratio)
    return next(bad for bad in range(likely, 2 * likely) if unlikely(bad, good, ratio, confidence)), good


@pytest.mark.parametrize("confidence", [Fraction(6, 10), SURE, Fraction(999_999, 1_000_000)])
@pytest.mark.parametrize("ratio", [Fraction(144, 1000), Fraction(1, 4), Fraction(1, 2)])
@pytest.mark.parametrize("likely", [200, 600])
def test_hundreds_of_bad_events_are_judged_by_the_chance_itself(
    likely: int, ratio: Fraction, confidence: Fraction
) -> None:
    """The first number that is unlikely is that of the reference."""
    bad, good = first(likely, ratio, confidence)

    assert bad <= MOST_SUMMED
    assert reference.is_unlikely(bad, good, ratio, confidence)
    assert not reference.is_unlikely(bad - 1, good, ratio, confidence)


@pytest.mark.parametrize("confidence", [Fraction(6, 10), SURE, Fraction(999_999, 1_000_000)])
@pytest.mark.parametrize(("likely", "ratio"), [(1_100, Fraction(144, 1000)), (2_000, Fraction(9, 10))])
def test_of_more_than_a_thousand_bad_events_one_is_given(
    likely: int, ratio: Fraction, confidence: Fraction
) -> None:
    """What is not summed is as the reference has it, or would with one event that is bad instead of good."""
    bad, good = first(likely, ratio, confidence)

    assert bad > MOST_SUMMED
    assert reference.is_unlikely(bad + 1, good - 1, ratio, confidence)
    assert not reference.is_unlikely(bad - 1, good, ratio, confidence)


# 2,000,000,000 events of which 1 in 1,000,000,000 is bad: 2 are expected, and how many there are follows the
# law of Poisson to less than 1e-9 (Barbour and Hall, 1984).
#
# | bad     | chance of so many or more                                   |          |
# |---------|-------------------------------------------------------------|----------|
# | 6       | 1 - (1 + 2 + 2 + 4/3 + 2/3 + 4/15) / e^2                    | 0.016564 |
# | 7       | that less (4/45) / e^2                                      | 0.004534 |
@pytest.mark.parametrize(("bad", "answer"), [(6, False), (7, True)])
def test_few_bad_events_of_billions_are_judged_as_well(bad: int, *, answer: bool) -> None:
    """By a sum of as many terms as there are bad events."""
    assert unlikely(bad, 2 * 10**9 - bad, Fraction(1, 10**9)) is answer
    assert unlikely(bad, 2 * 10**9 - bad, Fraction(1, 10**9), Fraction(98, 100))


# The binary Golay code is perfect: 1 + 23 + 253 + 1771 = 2^11, and of 90: 1 + 90 + 4005 = 2^12.
@pytest.mark.parametrize(("events", "good", "power"), [(23, 3, 12), (90, 2, 78)])
def test_a_chance_that_is_a_round_number_is_no_more_than_itself(events: int, good: int, power: int) -> None:
    """The second one has more digits than the decimals that are tried first."""
    limit = Fraction(1, 2**power)

    assert unlikely(events - good, good, Fraction(1, 2), 1 - limit)
    assert not unlikely(events - good, good, Fraction(1, 2), 1 - limit + HAIR)


def test_nothing_is_unlikely_where_everything_may_be_bad() -> None:
    """A rule that no outage can exceed is refused in a file; here it does not hold."""
    for ratio in (Fraction(1), Fraction(72, 5)):
        assert not unlikely(10_000, 0, ratio)


# Errors at 1 in 10, at 99 %: two of two are unlikely, two of three and one of one are not.
@pytest.mark.parametrize(
    ("bad", "good", "answer"),
    [
        ("2", "0", True),
        ("2.99", "0", True),
        ("1.99", "0", False),
        ("2", "0.01", False),
        ("2", "-1", True),
    ],
)
def test_two_events_that_are_not_whole(bad: str, good: str, *, answer: bool) -> None:
    """A part of a bad one is none, a part of a good one is one, and fewer than none are none."""
    assert is_unlikely(Decimal(bad), Decimal(good), TENTH, SURE) is answer


AMOUNTS = st.one_of(st.integers(0, 3).map(Decimal), st.decimals("0", "3", places=2))


@given(bad=st.integers(0, 40), good=st.integers(0, 100), more=AMOUNTS, less=AMOUNTS, ratio=RATIOS)
def test_parts_of_events_count_in_favour_of_chance(
    bad: int, good: int, more: Decimal, less: Decimal, ratio: Fraction
) -> None:
    """Bad ones are rounded down, good ones up; more bad than all is the fault of a source, and all bad."""
    parts = Decimal(bad) + more, Decimal(good) - less
    whole = math.floor(parts[0]), max(0, math.ceil(parts[1]))

    assert is_unlikely(*parts, ratio, SURE) is unlikely(*whole, ratio)


@settings(deadline=None)
@given(
    likely=st.one_of(st.integers(1, 1_200), st.integers(900, 1_000), st.integers(10**6, 10**12)),
    deviations=st.floats(1.5, 3.5),
    ratio=RATIOS,
    more=AMOUNTS,
    part=st.sampled_from([Decimal(0), Decimal("0.5"), Decimal("0.99")]),
)
def test_a_bad_event_more_never_makes_likely_what_was_unlikely(
    likely: int, deviations: float, ratio: Fraction, more: Decimal, part: Decimal
) -> None:
    """Nor does a good one less; wherever sums give way to bounds."""
    good = int(likely * (1 - ratio) / ratio)
    bad = int(likely + deviations * math.sqrt(likely)) + part

    if is_unlikely(bad, Decimal(good), ratio, SURE):
        assert is_unlikely(bad + more, Decimal(good), ratio, SURE)
        assert is_unlikely(bad, good - more, ratio, SURE)
