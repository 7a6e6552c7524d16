"""How fast a table grows, at exact numbers and virtual times."""

import itertools
import math
import random
from collections.abc import Callable

import pytest

from netsre.datapath.growth import Growth

LIMIT = 262_144
STEP = 5.0


def follow(entries: Callable[[float], float], until: float, step: float = STEP) -> tuple[Growth, int]:
    """Read a table as a sensor does; return what is known then, and the last reading."""
    growth, last = Growth(), 0
    for turn in itertools.count():
        now = turn * step
        if now > until:
            return growth, last
        last = min(max(int(entries(now)), 0), LIMIT)
        growth.add(now, last)
    raise AssertionError("unreachable")


def forecast(entries: Callable[[float], float], until: float, step: float = STEP) -> float | None:
    """Return when it says that the table is full."""
    growth, last = follow(entries, until, step)
    return growth.full_seconds(last, LIMIT)


def ever(entries: Callable[[float], float], minutes: int) -> list[float]:
    """Return every forecast of a long time, read as often as a sensor reads."""
    growth, found = Growth(), []
    for turn in range(int(minutes * 60 / STEP)):
        now = turn * STEP
        last = min(max(int(entries(now)), 0), LIMIT)
        growth.add(now, last)
        seconds = growth.full_seconds(last, LIMIT)
        if seconds is not None:
            found.append(seconds)
    return found


def test_a_steady_growth_is_told_exactly() -> None:
    """Twenty entries a second, read every five seconds: twenty, and the time that is then left."""
    growth, last = follow(lambda at: 1000 + 20 * at, 420)

    assert growth.per_second == 20
    assert last == 9400
    assert growth.full_seconds(last, LIMIT) == (LIMIT - 9400) / 20


@pytest.mark.parametrize("step", [0.5, 5.0, 15.0, 40.0, 60.0])
def test_growth_does_not_depend_on_how_often_one_looks(step: float) -> None:
    """Ten entries a second are ten, from twice a second to once a minute."""
    growth, last = follow(lambda at: 10 * at, 600, step)

    assert growth.per_second == pytest.approx(10)
    assert growth.full_seconds(last, LIMIT) == pytest.approx((LIMIT - last) / 10)


def test_before_there_are_two_minutes_nothing_is_told() -> None:
    """One minute says nothing of what comes; five are needed to say when it is full."""
    assert Growth().per_second is None
    assert follow(lambda at: 20 * at, 119)[0].per_second is None
    assert follow(lambda at: 20 * at, 120)[0].per_second == 20
    assert forecast(lambda at: 20 * at, 295) is None
    assert forecast(lambda at: 20 * at, 360) is not None


def churn(period: float, height: int) -> Callable[[float], float]:
    """Return a table with a spike of a quarter of each period on a level of a thousand."""
    return lambda at: 1000 + (height if at % period < period / 4 else 0)


STEADY = {
    "level": lambda _: 5000.0,
    "shrinks": lambda at: 100_000 - 50 * at,
    "spikes each 20 s": churn(20, 200_000),
    "spikes each minute": churn(60, 100_000),
    "spikes each three minutes": churn(180, 100_000),
    "one spike of half a minute": lambda at: 200_000.0 if 600 <= at < 630 else 1000.0,
    "load steps up, entries live for two minutes": lambda at: 1000 + 1000 * min(max(at - 600, 0), 120),
    "load steps up, entries live for three minutes": lambda at: 1000 + 1000 * min(max(at - 600, 0), 180),
    "load steps up, entries live for two minutes on average": lambda at: (
        1000 + 50_000 * (1 - math.exp(-max(at - 600, 0) / 60))
    ),
    "no more than it breathes": lambda at: 50_000 + 20_000 * math.sin(at / 40),
}  # fmt: skip


@pytest.mark.parametrize("what", STEADY)
def test_a_table_that_does_not_fill_is_never_said_to(what: str) -> None:
    """Churn, spikes, and steps of the load that are over: no forecast at any time, not zero, not infinity."""
    said = ever(STEADY[what], minutes=40)

    assert all(seconds > 3600 for seconds in said) if "average" in what else said == []


def test_noise_is_no_growth() -> None:
    """A table that wanders by a hundred around its level for a day never has an hour left."""
    chance = random.Random(5)  # noqa: S311  no secret
    said = ever(lambda _: 100_000 + chance.gauss(0, 100), minutes=24 * 60)

    assert all(seconds > 3600 for seconds in said)


def test_a_slow_leak_is_found_under_spikes() -> None:
    """Thirty entries a second stay for good under a churn of 50,000: the forecast is right to a fifth."""
    growth, _ = follow(lambda at: 20_000 + 30 * at + (50_000 if at % 40 < 15 else 0), 900)

    assert growth.per_second == pytest.approx(30, rel=0.1)
    assert growth.full_seconds(47_000, LIMIT) == pytest.approx((LIMIT - 47_000) / 30, rel=0.2)


def test_a_forecast_goes_away_when_the_growth_ends() -> None:
    """It stays over one minute without growth, and is gone within three of them."""
    said = ever(lambda at: 20 * min(at, 600), minutes=20)
    growth, last = follow(lambda at: 20 * min(at, 600), 700)

    assert growth.full_seconds(last, LIMIT) is not None
    assert forecast(lambda at: 20 * min(at, 600), 785) is None
    assert len(said) * STEP <= 600 - 300 + 180
    assert follow(lambda at: 20 * min(at, 600), 1200)[0].per_second == 0


def test_one_lower_minute_does_not_hide_a_growth_that_was_seen() -> None:
    """Hysteresis: five rises begin a forecast, one fall among rises does not end it."""
    assert forecast(lambda at: 20 * at - (1300 if 480 <= at < 540 else 0), 600) is not None


def test_without_a_limit_nothing_is_ever_full() -> None:
    """The kernel says 0 for no limit."""
    growth, last = follow(lambda at: 20 * at, 600)

    assert growth.full_seconds(last, 0) is None


def test_beyond_a_day_nobody_knows() -> None:
    """One entry a second is a growth, and no forecast."""
    growth, last = follow(lambda at: at, 600)

    assert growth.per_second == 1
    assert growth.full_seconds(last, LIMIT) is None
    assert growth.full_seconds(last, last + 86_400) == 86_400


def test_a_table_that_has_just_become_full_is_full_now() -> None:
    """Its time is over while the minutes before still rise; more than full is no negative time."""
    growth, last = follow(lambda at: 700 * at, 375)

    assert last == LIMIT
    assert growth.full_seconds(last, LIMIT) == 0
    assert growth.full_seconds(last + 1, LIMIT) == 0


def test_a_gap_makes_the_past_worth_nothing() -> None:
    """Nobody looked for half an hour: what was before is no growth to anything after."""
    growth = Growth()
    for now in range(0, 600, 5):
        growth.add(float(now), 20 * now)
    for now in range(2400, 2465, 5):
        growth.add(float(now), 200_000 + now)

    assert growth.full_seconds(200_000, LIMIT) is None
    assert growth.per_second is None
