"""`netsre top`: two readings become what happened between them, and nothing else."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.app.top import values
from netsre.app.top.measuring import Meter, quantile
from netsre.app.top.values import Kind, Rate, Within
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.model.samples import Series
from tests.unit.app.top_readings import SECOND_NS, flow, scrape

FLOW = next(iter(scrape(flow("delivered", 1)).values))


def gained(meter: Meter, count: int, seconds: int, *, at: int | None = None, born: int = 0) -> Decimal | None:
    """Read a count, so many seconds after the first reading; return what it gained."""
    text = flow("delivered", count)
    found = meter.add(scrape(text, 10_000 + seconds * 1_000 if at is None else at, born), seconds * SECOND_NS)
    return None if found is None else found.gained[FLOW]


def test_the_first_reading_measures_nothing() -> None:
    """When its counts happened is unknown."""
    assert gained(Meter(), 7, 0) is None


def test_a_counter_gains_the_difference_over_the_time_that_really_passed() -> None:
    """Also where somebody sets the clock of the day meanwhile, in either direction."""
    for set_by in (0, 3_600_000, -3_600_000):
        meter = Meter()
        assert gained(meter, 7, 0, at=10_000_000) is None
        found = meter.add(scrape(flow("delivered", 30), 10_002_000 + set_by), 2 * SECOND_NS)

        assert found is not None
        assert found.gained[FLOW] == 23
        assert found.seconds == 2
        assert not found.restarted
        assert found.rate(found.gained[FLOW]).per_second == Fraction(23, 2)


def test_a_series_that_is_new_was_born_at_zero() -> None:
    """The agent makes a series with its first event."""
    meter = Meter()
    meter.add(scrape("up 1\n"), 0)

    assert gained(meter, 5, 2) == 5


def test_a_restarted_agent_is_no_negative_rate() -> None:
    """What it has counted since its start is all that happened, and it had only the time since then."""
    meter = Meter()
    gained(meter, 1_000, 0)
    found = meter.add(scrape(flow("delivered", 30), 20_000, born=17_500), 10 * SECOND_NS)

    assert found is not None
    assert found.gained[FLOW] == 30
    assert found.seconds == Fraction(5, 2)
    assert found.restarted
    assert gained(meter, 31, 12, at=22_000, born=17_500) == 1


def test_readings_that_failed_meanwhile_make_the_interval_longer() -> None:
    """An agent that did not answer for a minute went on counting."""
    meter = Meter()
    gained(meter, 0, 0)
    found = meter.add(scrape(flow("delivered", 62), 72_000), 62 * SECOND_NS)

    assert found is not None
    assert found.rate(found.gained[FLOW]).per_second == 1


def test_a_series_that_is_absent_has_no_rate() -> None:
    """No data is not nothing."""
    meter = Meter()
    gained(meter, 5, 0)
    found = meter.add(scrape("up 1\n", 12_000), 2 * SECOND_NS)

    assert found is not None
    assert found.gain(FLOW.name, FLOW.labels) is None
    assert found.gauge("up", ()) == 1
    assert found.gauge("down", ()) is None


def buckets(seconds: list[Decimal]) -> dict[Decimal, Decimal]:
    """Count values as the agent does."""
    bounds = (*CONNECT_BOUNDS, Decimal("Infinity"))
    return {bound: Decimal(sum(value <= bound for value in seconds)) for bound in bounds}


@given(
    st.lists(st.decimals("0.000001", "5", places=6), min_size=1, max_size=300),
    st.sampled_from([Fraction(1, 2), Fraction(99, 100)]),
)
def test_a_quantile_is_right_to_one_bucket(seconds: list[Decimal], share: Fraction) -> None:
    """The value itself lies in the bucket that is named."""
    found = quantile(buckets(seconds), share)
    itself = sorted(seconds)[math.ceil(share * len(seconds)) - 1]

    assert found is not None
    if found.beyond:
        assert itself > found.seconds == CONNECT_BOUNDS[-1]
    else:
        lower = max((bound for bound in CONNECT_BOUNDS if bound < found.seconds), default=Decimal(0))
        assert lower < itself <= found.seconds


def test_a_quantile_of_nothing_is_nothing() -> None:
    """No connection had no latency."""
    assert quantile({}, Fraction(1, 2)) is None
    assert quantile(buckets([]), Fraction(1, 2)) is None


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.WITHIN, Within(Decimal("0.00025")), "≤ 250 µs"),
        (Kind.WITHIN, Within(Decimal("0.0025")), "≤ 2.5 ms"),
        (Kind.WITHIN, Within(Decimal("2.5"), beyond=True), "> 2.5 s"),
        (Kind.WITHIN, None, "-"),
        (Kind.RATE, None, "-"),
        (Kind.SPEED, Fraction(0), "0"),
        (Kind.SPEED, Fraction(1, 1000), "<0.01"),
        (Kind.SPEED, Fraction(-1, 3), "-0.33"),
        (Kind.SPEED, Fraction(999, 1000), "1.0"),
        (Kind.SPEED, Fraction(12), "12"),
        (Kind.SPEED, Fraction(12_345), "12.3k"),
        (Kind.SPEED, Fraction(999_950), "1.0M"),
        (Kind.SHARE, Fraction(0), "0 %"),
        (Kind.SHARE, Fraction(1, 100_000), "<0.1 %"),
        (Kind.SHARE, Fraction(99_999, 100_000), "99.9 %"),
        (Kind.SHARE, Fraction(1), "100 %"),
        (Kind.COUNT, Fraction(262_144), "262,144"),
        (Kind.BYTES, Fraction(1_536), "1.5 KiB"),
        (Kind.BYTES, Fraction(40 << 20), "40 MiB"),
        (Kind.DURATION, Fraction(119), "119 s"),
        (Kind.DURATION, Fraction(3_600), "60 min"),
        (Kind.DURATION, Fraction(86_400 * 3), "3 d"),
        (Kind.TEXT, "a\x1b[31m\n\u202eb", "a\\x1b[31m\\n\\u202eb"),
        (Kind.TEXT, "", "-"),
    ],
)
def test_numbers_are_short_and_say_what_they_are(kind: Kind, value: values.Value, text: str) -> None:
    """What is not nothing never reads as nothing, what is not all never as all."""
    assert values.shown(kind, value) == text


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(list(Kind)))
def test_no_number_is_too_large_for_a_cell(value: float, kind: Kind) -> None:
    """Whatever an agent says fits, and nothing fails: also what a float cannot hold once it is divided."""
    if kind in (Kind.NAME, Kind.TEXT, Kind.WITHIN):
        return
    amount = abs(value) if kind in (Kind.RATE, Kind.BYTES, Kind.DURATION) else value
    held = Rate(Decimal(amount), Fraction(1, 10)) if kind is Kind.RATE else Fraction(amount)

    assert 1 <= len(values.shown(kind, held)) <= 16


def test_a_series_is_found_by_its_labels() -> None:
    """Labels are in one order only."""
    assert Series("up", ()) in scrape("up 1\n").values
