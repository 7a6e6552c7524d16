"""What may be done how often, in virtual time."""

import pytest

from netsre.metrics.allowance import BUSY, CALM, Allowance


@pytest.mark.parametrize("share", [BUSY, CALM])
@pytest.mark.parametrize("cost", [0.0001, 0.15, 2.0])
def test_over_a_day_no_more_than_the_share_is_used(share: float, cost: float) -> None:
    """Asked twice a second, it allows as much as the share, and nearly all of it."""
    allowance, used, now = Allowance(), 0.0, 0.0
    while now < 86_400:
        if allowance.allows(now, share):
            allowance.spend(now, cost)
            used += cost
        now += 0.5
    assert used <= 86_400 * share + cost
    assert used >= min(86_400 * share * 0.99, 2 * 86_400 * cost * 0.99)


def test_the_first_time_is_at_once_and_a_pressing_one_comes_sooner() -> None:
    """A tenth of a second: twenty seconds later for who presses, forty for who does not."""
    allowance = Allowance()
    assert allowance.allows(100, CALM)
    allowance.spend(100, 0.1)
    assert [allowance.allows(now, BUSY) for now in (119.9, 120)] == [False, True]
    assert [allowance.allows(now, CALM) for now in (139.9, 140)] == [False, True]
