"""A revision, looked up by the bytes of its maps, decides what the reference decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import budget, encode, ends, layouts, reference, resolve, sync
from netsre.datapath.policy.budget import BudgetExceeded
from netsre.datapath.policy.encode import Encoded
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbering, Numbers
from netsre.model.policies import files
from netsre.model.policies.values import Endpoint, Kind, Policy
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, kubernetes, read
from tests.unit.policy.maps import Decider, Maps, said

SEEDS = 60
QUESTIONS = 400


def encoded(
    policies: tuple[Policy, ...],
    previous: Numbers = Numbers(),  # noqa: B008 - it never changes
    endpoints: tuple[Endpoint, ...] = ENDPOINTS,
) -> Encoded:
    """Return the revision of some policies in the cluster of the tables."""
    resolved = resolve.resolve(policies, endpoints, previous.identities)
    return encode.encode(resolved, policies, endpoints, previous)


def asked(
    decider: Decider, policies: tuple[Policy, ...], rules: Numbering, question: tuple[str, str, str]
) -> None:
    """Ask both about one connection."""
    one, other = ends.between(*question[:2], ENDPOINTS)
    service = ends.service(question[2])
    expected = reference.verdict(policies, one, other, service)
    if one.is_same(other) and one.kind is not Kind.ENDPOINT:
        return  # a node to itself passes no program
    assert one.address is not None
    assert other.address is not None
    found = decider.answers(one.address, other.address, service)
    assert found == said(expected, dict(rules.known)), question


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_bytes_agree_with_the_reference(seed: int) -> None:
    """On decision, reason and rule at both ends of 24,000 connections, in both families."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 12))})
    revision = encoded(policies)
    maps = Maps()
    maps.apply(sync.plan(sync.Held(), revision).operations)
    decider = maps.decider()

    for question in generated.questions(chance, QUESTIONS):
        asked(decider, policies, revision.numbers.rules, question)


@given(seed=st.integers(min_value=SEEDS, max_value=2**32))
def test_they_agree_whatever_came_before(seed: int) -> None:
    """The same with numbers that earlier policies gave, beside what these left in the maps."""
    chance = generated.chance_of(seed)
    maps, numbers = Maps(), Numbers()
    for _ in range(3):
        policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 6))})
        revision = encoded(policies, numbers)
        maps.apply(sync.plan(maps.held(), revision).operations)
        numbers = revision.numbers

        decider = maps.decider()
        for question in generated.questions(chance, 20):
            asked(decider, policies, numbers.rules, question)


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_number_stays_what_it_was(seed: int) -> None:
    """Of rules and endpoints by name, of tables and sets by content; 0 is nobody's."""
    chance = generated.chance_of(seed)
    first, second = (
        files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 6))}) for _ in range(2)
    )
    before = encoded(first)
    after = encoded(second, before.numbers)
    again = encoded(tuple(reversed(second)), before.numbers, ENDPOINTS[::-1])
    back = encoded(first, after.numbers)

    kinds = ("rules", "endpoints", "tables", "address_sets", "endpoint_sets", "zone_sets")
    for kind in kinds:
        old, new = (getattr(one.numbers, kind) for one in (before, after))
        assert new.known.items() >= old.known.items()
        assert len({*new.known.values()}) == len(new.known)
        assert 0 not in new.known.values()
    assert after == again
    assert [*after.parts[Map.ENTRIES].items()] == [*again.parts[Map.ENTRIES].items()]
    assert back.parts == before.parts


def test_a_number_that_is_free_is_given_again_last() -> None:
    """Up to the last one there is, and then from the first one that nobody has."""
    first = Numbering().including(["b", "a"])
    later = first.within({2}).including(["c"])
    last = Numbering({"a": 1, "z": 2**32 - 2}, 2**32 - 2).including(["b", "c", "d"])

    assert first.known == {"a": 1, "b": 2}
    assert later.known == {"b": 2, "c": 3}
    assert last.known == {"a": 1, "z": 2**32 - 2, "b": 2**32 - 1, "c": 2, "d": 3}
    assert last.last == 3


def test_every_table_says_something_about_whoever_it_is() -> None:
    """A program finds an answer in two looks, whatever it asks."""
    revision = encoded(read(kubernetes("podSelector: {}"), kubernetes("podSelector: {}", "q", "y")))

    for number, entries in revision.parts[Map.ENTRIES].items():
        assert layouts.ENTRY_KEY.pack(64, number, 0, 0, b"\0\0", 0) in entries


def test_endpoints_that_no_policy_selects_are_there_without_tables() -> None:
    """So that a mode of their own can be set, and their packets are counted; nodes are no endpoints."""
    revision = encoded(read(kubernetes("podSelector: {matchLabels: {pod: a}}")))
    values = [*revision.parts[Map.ENDPOINTS][1].values()]
    tables = [layouts.ENDPOINT.unpack(value)[1:3] for value in values]

    assert len(values) == 18
    assert sorted(tables) == [(0, 0)] * 16 + [(1, 0)] * 2


def test_endpoints_under_the_same_policies_share_a_table() -> None:
    """And so do a way in and a way out that say the same."""
    revision = encoded(read(kubernetes("podSelector: {}\npolicyTypes: [Ingress]")))

    assert len(revision.parts[Map.ENTRIES]) == 1


def test_a_line_more_in_a_file_changes_nothing() -> None:
    """Rules are known by their names, not by where they stand."""
    text = kubernetes("podSelector: {}\ningress: [{ports: [{port: 80}]}]")
    before = encoded(files.parse({"p.yaml": text}))
    after = encoded(files.parse({"p.yaml": f"# teams\n{text}"}), before.numbers)

    assert after == before


@pytest.mark.parametrize(
    ("where", "most", "words"),
    [
        (
            Map.ENTRIES,
            3,
            "policy entries are needed and 3 are there; x/wide alone takes 3: let it name fewer",
        ),
        (Map.ZONES, 1, "tell 2 networks apart and 1 can be; x/wide alone names 2 networks: let it name"),
        (Map.ADDRESSES, 3, "need an identity and 3 can have one; x/wide alone names 2 networks: let it name"),
        (Map.ENDPOINTS, 3, "have 18 addresses and 3 can be policed; leave out those of other nodes"),
    ],
)
def test_what_is_too_much_names_who_has_the_most(where: Map, most: int, words: str) -> None:
    """In one line, with the next step; and says nothing of the others."""
    policies = read(
        kubernetes("podSelector: {matchLabels: {pod: b}}\ningress: [{ports: [{port: 80}]}]", "narrow"),
        kubernetes(
            "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{ipBlock: {cidr: 192.0.2.0/24, "
            "except: [192.0.2.64/26]}}], ports: [{port: 1, endPort: 2}, {port: 80}]}]",
            "wide",
        ),
    )
    resolved = resolve.resolve(policies, ENDPOINTS, {})

    with pytest.raises(BudgetExceeded) as caught:
        encode.encode(resolved, policies, ENDPOINTS, Numbers(), {**budget.BUDGET, where: most})
    assert words in str(caught.value)
