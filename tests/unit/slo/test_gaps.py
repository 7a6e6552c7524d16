"""Claims about gaps: their events are shared out in time, and none is lost, invented or moved out."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from netsre.clock import Timestamp
from netsre.slo.gaps import apportion, minute_of, spread
from netsre.slo.indicators import Measure
from tests.unit.slo.given import START, after

AMOUNTS = st.decimals(0, 10**12, places=3, allow_nan=False, allow_infinity=False)


@given(amount=AMOUNTS, start=st.integers(0, 10**7), gap=st.integers(0, 10**7))
def test_shares_of_a_gap_sum_to_the_whole_and_lie_in_it(amount: Decimal, start: int, gap: int) -> None:
    """No event is lost, invented or moved out of its gap; all but the last are whole events."""
    since, until = Timestamp(START + start), Timestamp(START + start + gap)

    shares = apportion(amount, since, until)

    assert sum(share for _, share in shares) == amount
    assert all(minute_of(since) <= minute <= until for minute, _ in shares)
    assert all(share > 0 for _, share in shares)


def test_what_is_older_than_is_remembered_is_left_out_and_not_squeezed_in() -> None:
    """Ten minutes away with five minutes of memory: half of the events."""
    shares = apportion(Decimal(1000), after(0), after(600), after(300))

    assert sum(share for _, share in shares) == 500
    assert shares[0][0] == after(300)


@given(
    amounts=st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=5),
    start=st.integers(0, 10**7),
    gap=st.integers(0, 10**7),
)
def test_levels_share_a_gap_as_if_each_were_alone(
    amounts: list[tuple[Decimal, Decimal]], start: int, gap: int
) -> None:
    """Each keeps its own sums, and no minute gets more bad events than events."""
    since, until = Timestamp(START + start), Timestamp(START + start + gap)
    measures = [(row, Measure(bad, bad + good)) for row, (bad, good) in enumerate(amounts)]

    minutes = spread(measures, since, until, since)

    for row, (bad, good) in enumerate(amounts):
        held = [rows[row] for rows in minutes.values() if row in rows]
        assert (sum(sums.bad for sums in held), sum(sums.total for sums in held)) == (bad, bad + good)
        assert all(0 <= sums.bad <= sums.total for sums in held)
        assert bool(held) == bool(bad or good)
    assert all(minute_of(since) <= minute <= until for minute in minutes)
