"""A lease is one controller's at a time, and no two terms have the same epoch."""

import pytest

from netsre.clock import HOUR, SECOND, Timestamp
from netsre.model import leases
from netsre.model.leases import LASTS, Lease

NOW = Timestamp(1_800_000_000_000)
EPOCH = NOW // SECOND


def held(left: int, epoch: int = EPOCH - 100) -> Lease:
    """Return a lease of `a` that ends after so many milliseconds."""
    return Lease("node", "a", epoch, Timestamp(NOW + left))


@pytest.mark.parametrize("left", [1, LASTS // 2, LASTS])
def test_nobody_else_gets_a_lease_that_is_not_over(left: int) -> None:
    """To the last millisecond."""
    assert leases.claimed(held(left), "node", "b", NOW) is None


@pytest.mark.parametrize("left", [0, -1, -HOUR, LASTS + 1, HOUR])
def test_another_one_gets_a_lease_that_is_over(left: int) -> None:
    """Also one whose end was written before the clock was set back: it may never come."""
    assert leases.claimed(held(left), "node", "b", NOW) == Lease("node", "b", EPOCH, Timestamp(NOW + LASTS))


def test_who_had_it_begins_a_new_term_at_once() -> None:
    """Of one name there is one process: the one that had it is gone."""
    assert leases.claimed(held(LASTS), "node", "a", NOW) == Lease("node", "a", EPOCH, Timestamp(NOW + LASTS))


def test_controllers_of_another_node_never_get_it() -> None:
    """Not even the same one: what was begun is about the other node."""
    assert leases.claimed(held(0), "other", "b", NOW) is None
    assert leases.claimed(held(0), "other", "a", NOW) is None


def test_the_first_lease_is_anybodys() -> None:
    """There is none before."""
    assert leases.claimed(None, "node", "b", NOW) == Lease("node", "b", EPOCH, Timestamp(NOW + LASTS))


def test_an_epoch_grows_also_when_the_clock_does_not() -> None:
    """Whatever the clock was before."""
    found = leases.claimed(held(0, epoch=EPOCH + 500), "node", "b", NOW)
    assert found is not None
    assert found.epoch == EPOCH + 501


@pytest.mark.parametrize("left", [LASTS, 0, -HOUR])
def test_a_term_goes_on_until_another_one_begins(left: int) -> None:
    """A renewal that comes late is one, if nobody was faster."""
    found = held(left)
    assert leases.renewed(found, found.epoch, NOW) == held(LASTS)
    assert leases.renewed(found, found.epoch - 1, NOW) is None
    assert leases.renewed(None, found.epoch, NOW) is None


def test_a_lease_that_is_given_back_is_free() -> None:
    """Only that of the term that ends."""
    found = held(LASTS)
    left = leases.released(found, found.epoch)
    assert left is not None
    assert leases.claimed(left, "node", "b", NOW) is not None
    assert leases.released(found, found.epoch - 1) is None
