"""Policies with a confidence: a few failures are enough where so many are no chance."""

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsre import clock
from netsre.app import resources, service_levels
from netsre.clock import Timestamp
from netsre.model.levels import SLO, BurnPolicy, BurnRule, Evaluation, Measured
from netsre.model.samples import Scrape
from netsre.slo import parsing, tiers
from netsre.slo.engine import Engine
from netsre.slo.evaluate import Span, Window, evaluate
from netsre.slo.history import History
from netsre.slo.indicators import Measure
from tests.unit.slo import reference
from tests.unit.slo.given import NODE, after, scrape, slo
from tests.unit.slo.test_tables import HOUR, counters, pages

FILE = resources.directory("slos") / "policies" / "low-traffic.yaml"
(SPEC,) = parsing.parse({FILE.name: FILE.read_text()}, service_levels.BOUNDS).policies
LOW_TRAFFIC = SPEC.resolved(30 * clock.DAY)
PAGE = LOW_TRAFFIC.rules[0]


def stands(level: SLO, bad: Decimal | int, good: Decimal | int) -> Evaluation:
    """Return where a service level stands when all its events happened in this minute."""
    history, now = History(), after(30)
    row = history.row(level.name, "what", NODE)
    history.count([row], [Measure(Decimal(bad), Decimal(bad) + Decimal(good))], None, now)

    def window(length: Span) -> Window:
        assert isinstance(length, int)
        return Window(history.sums(row, length, now), tiers.minutes_covered(history.tiers, length, now))

    return evaluate(level, NODE, window, now)


def test_the_shipped_policy_has_the_windows_of_the_workbook() -> None:
    """And two bad events and 99 % instead of five events."""
    assert LOW_TRAFFIC.rules == slo().policy.rules  # type: ignore[union-attr]  # the workbook's
    assert (LOW_TRAFFIC.minimum_bad_events, LOW_TRAFFIC.confidence) == (2, Fraction(99, 100))


# 99.9 %, the rule of one hour: it fires above burn 14.4, which is 1.44 % of all events. How many failures of
# so many requests it takes, and the chance of one failure less and of so many, were errors at exactly 1.44 %;
# for two of three 3 * 0.0144^2 * 0.9856 + 0.0144^3.
#
# | requests | by the burn alone | workbook | low-traffic | one less  | so many  |
# |----------|-------------------|----------|-------------|-----------|----------|
# | 1        | 1                 | -        | -           |           |          |
# | 2        | 1                 | -        | 2           | 2.8593 %  | 0.0207 % |
# | 3        | 1                 | -        | 2           | 4.2581 %  | 0.0616 % |
# | 5        | 1                 | 5        | 2           | 6.9956 %  | 0.2015 % |
# | 10       | 1                 | 5        | 2           | 13.5018 % | 0.8641 % |
# | 11       | 1                 | 5        | 3           | 1.0461 %  | 0.0452 % |
# | 30       | 1                 | 5        | 3           | 6.9163 %  | 0.9068 % |
# | 60       | 1                 | 5        | 5           | 1.1059 %  | 0.1752 % |
# | 600      | 9                 | 9        | 17          | 1.5152 %  | 0.7260 % |
# | 3600     | 52                | 52       | 70          | 1.2436 %  | 0.8881 % |
# | 36000    | 519               | 519      | 573         |           |          |
FAILURES = [
    (1, 1, None, None, None, None),
    (2, 1, None, 2, "2.8593", "0.0207"),
    (3, 1, None, 2, "4.2581", "0.0616"),
    (5, 1, 5, 2, "6.9956", "0.2015"),
    (10, 1, 5, 2, "13.5018", "0.8641"),
    (11, 1, 5, 3, "1.0461", "0.0452"),
    (30, 1, 5, 3, "6.9163", "0.9068"),
    (60, 1, 5, 5, "1.1059", "0.1752"),
    (600, 9, 9, 17, "1.5152", "0.7260"),
    (3_600, 52, 52, 70, "1.2436", "0.8881"),
    (36_000, 519, 519, 573, None, None),
]
FACTOR_RATIO = Fraction(144, 10_000)


@pytest.mark.parametrize(("requests", "alone", "workbook", "low", "less", "chance"), FAILURES)
def test_so_many_failures_page(
    requests: int, alone: int, workbook: int | None, low: int | None, less: str | None, chance: str | None
) -> None:
    """By the whole engine, from one failure on; what is left of the table is the reference's."""
    policies = (
        BurnPolicy("alone", (PAGE,), 1),
        BurnPolicy("workbook", (PAGE,), 5),
        replace(LOW_TRAFFIC, rules=(PAGE,)),
    )

    found = [least(slo(policy=policy), requests) for policy in policies]

    assert found == [alone, workbook, low]
    if low is not None and chance is not None:
        assert [less, chance] == [percent(bad, requests) for bad in (low - 1, low)]


def least(level: SLO, requests: int) -> int | None:
    """Return how many of these requests have to fail at least until the service level fires."""
    tried = range(1, min(requests, 600) + 1)
    return next((bad for bad in tried if stands(level, bad, requests - bad).firing), None)


def percent(bad: int, requests: int) -> str:
    """Return the chance of so many failures or more as the table writes it."""
    above, below = reference.ways(bad, requests - bad, FACTOR_RATIO)
    return f"{Decimal(above * 10**8 // below) / 10**6:.4f}"


# 99.9 %, three requests an hour, on the hour and 20 and 40 min after it, for 6 h; a scrape every minute.
#
# | what fails       | rule, when   | failed of its window | burn  | factor | fires                     |
# |------------------|--------------|----------------------|-------|--------|---------------------------|
# | that of 6:20     | 5m/1h, 6:20  | 1 of 3               | 333.3 | 14.4   | neither: it takes two     |
# | all from then on | 5m/1h, 6:40  | 2 of 3               | 666.7 | 14.4   | low-traffic, see above    |
# |                  | 30m/6h, 7:40 | 5 of 18              | 277.8 | 6      | workbook, with five       |
def seldom(fails: range) -> list[Scrape]:
    """Return scrapes of nine hours; of the requests, numbered from 0, those in `fails` fail."""
    found = []
    for at in range(0, 9 * HOUR + 1, 60):
        done = at // 1200
        failed = sum(1 for number in range(1, done + 1) if number in fails)
        found.append(scrape(at, counters(failed, done - failed)))
    return found


FIRST = 19
"""The request of 6:20."""


def test_of_three_requests_an_hour_one_failure_pages_nobody() -> None:
    """Nor is it a ticket, now or in three days."""
    for policy in (LOW_TRAFFIC, slo().policy):
        assert pages(seldom(range(FIRST, FIRST + 1)), slo(policy=policy)) == []


def test_of_three_requests_an_hour_the_second_failure_pages() -> None:
    """The workbook's minimum of five takes an hour longer."""
    scrapes = seldom(range(FIRST, 100))

    def first_page(policy: BurnPolicy | None) -> int:
        return next(at for at, severity in pages(scrapes, slo(policy=policy)) if severity == "page")

    assert first_page(LOW_TRAFFIC) == 6 * HOUR + 40 * 60
    assert first_page(slo().policy) == 7 * HOUR + 40 * 60


def test_what_fires_says_how_few_events_it_rests_on() -> None:
    """The sums of the long window."""
    (burning,) = stands(slo(policy=replace(LOW_TRAFFIC, rules=(PAGE,))), 2, 1).firing

    assert [int(burning.bad), int(burning.total)] == [2, 3]


def test_the_long_window_decides() -> None:
    """Two of two in five minutes are two of a hundred in the hour: burn 20, and a chance of 42 %."""
    engine = Engine([slo(policy=replace(LOW_TRAFFIC, rules=(PAGE,)))])
    for at in range(0, 3001, 60):
        engine.observe(scrape(at, counters(2 if at == 3000 else 0, 98 if at else 0)))

    (found,) = engine.evaluate(after(3000))

    assert (found.burn["5m"], found.burn["1h"]) == (Measured(Fraction(1000)), Measured(Fraction(20)))
    assert found.firing == ()


@settings(deadline=None)
@given(
    bad=st.decimals("0", "12", places=1),
    good=st.decimals("0", "30", places=1),
    objective=st.sampled_from(["50", "80", "90", "99", "33.3"]),
    share=st.fractions(Fraction(1, 24), Fraction(1, 8), max_denominator=500),
    minimum=st.integers(2, 6),
    confidence=st.fractions(Fraction(501, 1000), Fraction(999, 1000), max_denominator=1000),
)
def test_it_fires_as_the_reference_says(
    bad: Decimal, good: Decimal, objective: str, share: Fraction, minimum: int, confidence: Fraction
) -> None:
    """Beside burn and minimum, and also of events that are not whole."""
    rule = BurnRule("page", 5 * clock.MINUTE, clock.HOUR, share)
    level = slo(objective=objective, window=clock.DAY, policy=BurnPolicy("p", (rule,), minimum, confidence))
    budget = 1 - level.objective
    ratio = rule.factor(level.window) * budget

    found = stands(level, bad, good)

    burns = bad + good > 0 and Fraction(bad) / Fraction(bad + good) > ratio
    no_chance = burns and reference.is_unlikely(math.floor(bad), math.ceil(good), ratio, confidence)
    assert bool(found.firing) is (burns and bad >= minimum and no_chance)


@given(
    bad=st.decimals("2", "30", places=1),
    good=st.decimals("0", "300", places=1),
    more=st.decimals("0", "3", places=1),
)
def test_a_bad_event_more_never_ends_what_fires(bad: Decimal, good: Decimal, more: Decimal) -> None:
    """Neither a whole one nor a part of one."""
    level = slo(policy=LOW_TRAFFIC)
    firing = {one.rule for one in stands(level, bad, good).firing}

    assert firing <= {one.rule for one in stands(level, bad + more, good).firing}


def test_a_sweep_finds_what_a_confidence_makes_fire() -> None:
    """The whole engine, as in the controller: two of two."""
    engine = Engine([slo(policy=LOW_TRAFFIC)])
    engine.observe(scrape(0, counters(0, 0)))
    engine.observe(scrape(60, counters(2, 0)))

    assert {
        one.rule for found in engine.evaluate(Timestamp(after(60))).firing for one in found.firing
    } == set(LOW_TRAFFIC.rules)
