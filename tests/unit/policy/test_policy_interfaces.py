"""Interfaces in a revision, and at the places where a packet finds them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import encode, interfaces, layouts, reconcile, remembered, resolve, sync
from netsre.datapath.policy.encode import Encoded
from netsre.datapath.policy.interfaces import AT_ONE, PLACE, PLACES
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.model.policies.values import Endpoint
from tests.unit.policy.cluster import ENDPOINTS

EMPTY = [bytes(PLACE.size)] * PLACES
_FEW = st.dictionaries(
    st.builds(lambda row, at: row * PLACES + at, st.integers(1, AT_ONE), st.integers(0, 3)), st.integers(1, 9)
)
"""At most as many at one place as there is room for."""


def written(before: list[bytes], numbers: dict[int, int]) -> list[bytes]:
    """Return the places after a change."""
    changed = interfaces.places(before, numbers)
    return [changed.get(at, place) for at, place in enumerate(before)]


@given(steps=st.lists(_FEW, max_size=6))
def test_every_interface_is_found_and_what_stays_is_not_moved(steps: list[dict[int, int]]) -> None:
    """Whatever was there before; a place that needs no change is not written."""
    there = EMPTY
    for numbers in steps:
        after = written(there, numbers)
        assert interfaces.known(after) == numbers
        assert interfaces.places(after, numbers) == {}
        for before, now in zip(there, after, strict=True):
            words = zip(*[iter(zip(PLACE.unpack(before), PLACE.unpack(now), strict=True))] * 2, strict=True)
            for (ifindex, ifindex_now), (number, number_now) in words:
                stays = ifindex and numbers.get(ifindex) == number
                assert not stays or (ifindex_now, number_now) == (ifindex, number)
        there = after


def test_an_interface_is_at_the_place_of_its_last_bits() -> None:
    """There a program looks for it."""
    [(at, place)] = interfaces.places(EMPTY, {3 * PLACES + 5: 7}).items()

    assert (at, PLACE.unpack(place)) == (5, (3 * PLACES + 5, 7, 0, 0, 0, 0, 0, 0))


def test_more_at_one_place_than_there_is_room_for_are_left_out() -> None:
    """The smallest numbers stay; others elsewhere have their room."""
    alike = {row * PLACES + 5: row for row in range(AT_ONE + 2)}
    other = {6: 9}

    assert (
        interfaces.fitting(alike | other)
        == {5: 0, PLACES + 5: 1, 2 * PLACES + 5: 2, 3 * PLACES + 5: 3} | other
    )


def placed(at: dict[str, str], previous: Numbers = Numbers()) -> Encoded:  # noqa: B008 - it never changes
    """Return the revision of the cluster with some of its endpoints at interfaces."""
    listed = tuple(replace(one, interface=at.get(one.full_name)) for one in ENDPOINTS)
    return encode.encode(resolve.resolve((), listed, previous.identities), (), listed, previous)


def places_of(revision: Encoded, endpoint: str) -> tuple[set[int], list[tuple[int, ...]]]:
    """Return the interfaces that the addresses of an endpoint are at, and what is said of these."""
    [entries] = revision.parts[Map.ENDPOINTS].values()
    [number] = revision.parts[Map.ENDPOINTS]
    values = [layouts.ENDPOINT.unpack(value) for value in entries.values()]
    mine = {at for who, *_, at in values if who == revision.numbers.endpoints.known[endpoint]}
    said = [entries[key] for at in mine if (key := layouts.interface_key(number, at)) in entries]
    return mine, [layouts.ENDPOINT.unpack(one) for one in said]


def test_an_endpoint_is_where_its_interface_is_and_one_without_nowhere() -> None:
    """An interface says who is there alone, and nobody where several are."""
    revision = placed({"x/a": "one", "x/b": "two", "x/c": "two"})
    numbers, known = revision.numbers.endpoints.known, revision.numbers.interfaces.known

    assert places_of(revision, "x/a") == ({known["one"]}, [(numbers["x/a"], *[0] * 6, known["one"])])
    for name in ("x/b", "x/c"):
        assert places_of(revision, name) == ({known["two"]}, [(*[0] * 7, known["two"])])
    assert places_of(revision, "y/a") == ({0}, [])


def test_names_of_one_interface_are_one_number() -> None:
    """As it is known by, whatever the file calls it."""
    listed: tuple[Endpoint, ...] = tuple(
        replace(one, interface={"x/a": "one", "x/b": "other"}.get(one.full_name)) for one in ENDPOINTS
    )
    resolved = resolve.resolve((), listed, {})
    revision = encode.Encoder().encode(resolved, (), listed, Numbers(), called=lambda _: "one")

    assert revision.numbers.interfaces.known == {"one": 1}


def test_an_interface_keeps_its_number_and_a_document_of_before_has_none() -> None:
    """Through a restart as through changes, for as long as a revision that is kept has it."""
    first = placed({"x/a": "one", "x/b": "two"})
    held = sync.plan(sync.Held(), first).after
    kept = remembered.numbers(remembered.document(reconcile.reconciled(first.numbers, held)))
    second = placed({"x/a": "zero", "x/b": "two"}, kept)
    old = {key: one for key, one in remembered.document(Numbers()).items() if key != "interfaces"}

    assert kept.interfaces == first.numbers.interfaces
    assert second.numbers.interfaces.known == {"one": 1, "two": 2, "zero": 3}
    assert remembered.numbers(old) == Numbers()
