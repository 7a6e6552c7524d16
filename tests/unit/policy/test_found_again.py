"""Names that were lost, found again by what the kernel has under their numbers."""

from dataclasses import replace

from netsre.datapath.policy import encode, found_again, reconcile, resolve, sync
from netsre.datapath.policy.numbers import Numbering, Numbers
from netsre.datapath.policy.sync import Held
from netsre.model.policies.values import Endpoint
from tests.unit.policy.cluster import ENDPOINTS

LISTED: tuple[Endpoint, ...] = tuple(
    replace(one, interface={"x/a": "one", "x/b": "two", "x/c": "two"}.get(one.full_name)) for one in ENDPOINTS
)


def in_force() -> tuple[Numbers, Held]:
    """Return the numbers of a revision, and what the kernel holds of it."""
    encoded = encode.encode(resolve.resolve((), LISTED, {}), (), LISTED, Numbers())
    return encoded.numbers, sync.plan(Held(), encoded).after


def test_names_come_back_with_the_numbers_that_the_kernel_has() -> None:
    """Of endpoints and of interfaces; where nothing is listed, nothing is found."""
    known, held = in_force()
    lost = reconcile.reconciled(Numbers(), held)
    found = found_again.with_names(lost, held, {1: LISTED})

    assert found.endpoints == known.endpoints
    assert found.interfaces == known.interfaces
    assert not found_again.nameless(found, held)
    assert found_again.nameless(lost, held) == {*known.endpoints.known.values()}
    assert found_again.with_names(lost, held, {}) == lost


def test_what_is_known_goes_before_what_is_found() -> None:
    """No name gets a second number, and no number a second name."""
    _, held = in_force()
    lost = reconcile.reconciled(Numbers(), held)
    mine = replace(lost, endpoints=Numbering({"x/a": 900, "mine": 2}, 900))
    found = found_again.with_names(mine, held, {1: LISTED}).endpoints

    assert (found.known["x/a"], found.known["mine"]) == (900, 2)
    assert len({*found.known.values()}) == len(found.known)
    assert found.last == 900
