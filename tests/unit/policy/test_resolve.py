"""Entries that a kernel map can hold decide what the reference decides."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import ends, lookup, prefixes, reference, resolve
from netsre.datapath.policy.ends import Service
from netsre.datapath.policy.identities import (
    FIRST,
    IdentitiesExhausted,
    Mentions,
    Networks,
    allocate,
    relevance,
)
from netsre.model.policies import endpoints as endpoint_files
from netsre.model.policies import files
from netsre.model.policies.values import Direction, Protocol
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, kubernetes, read

SEEDS = 80
QUESTIONS = 400


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_entries_agree_with_the_reference(seed: int) -> None:
    """On decision, rule and direction of 32,000 connections under generated policies, in both families."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 12))})
    found = lookup.Lookup(resolve.resolve(policies, ENDPOINTS, {}))

    for source, destination, port in generated.questions(chance, QUESTIONS):
        one, other = ends.between(source, destination, ENDPOINTS)
        service = ends.service(port)
        expected = reference.verdict(policies, one, other, service)
        assert found.verdict(one, other, service) == expected, (seed, source, destination, port)


@given(seed=st.integers(min_value=SEEDS, max_value=2**32))
def test_they_agree_whatever_the_seed(seed: int) -> None:
    """The same with policies that no list of seeds has."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 6))})
    found = lookup.Lookup(resolve.resolve(policies, ENDPOINTS, {}))

    for source, destination, port in generated.questions(chance, 40):
        one, other = ends.between(source, destination, ENDPOINTS)
        service = ends.service(port)
        assert found.verdict(one, other, service) == reference.verdict(policies, one, other, service)


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_number_is_kept_whatever_becomes_of_the_others(seed: int) -> None:
    """Through any change of policies and endpoints: an identity of before has its number of before."""
    chance = generated.chance_of(seed)
    first, second = (
        files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 6))}) for _ in range(2)
    )
    some = [one for one in ENDPOINTS if chance.random() < 0.7]
    before = resolve.resolve(first, ENDPOINTS, {})
    after = resolve.resolve(second, some, before.numbers)
    again = resolve.resolve(second, list(reversed(some)), before.numbers)

    assert all(before.numbers.get(key, number) == number for key, number in after.numbers.items())
    assert len(set(after.numbers.values())) == len(after.numbers)
    assert after.numbers == again.numbers
    assert resolve.resolve(second, some, after.numbers).numbers == after.numbers


def test_a_number_that_is_free_is_not_given_to_the_next() -> None:
    """Packets of its last owner may still be on their way."""
    about = relevance(Mentions())
    a, b, c = (about.identity(ends.of_endpoint(one, one.ips[0])) for one in ENDPOINTS[:3])
    first = allocate([a, b], {})
    second = allocate([a, c], first)

    assert sorted(first.values()) == [FIRST, FIRST + 1]
    assert second[a.key] == first[a.key]
    assert second[c.key] == FIRST + 2
    assert allocate([a, b, c], {a.key: 2**16 - 1}) == {a.key: 2**16 - 1, b.key: FIRST, c.key: FIRST + 1}


def test_more_identities_than_numbers_are_refused() -> None:
    """By name, with the next step; nothing is numbered half."""
    about = relevance(Mentions())
    wanted = [about.identity(ends.of_endpoint(one, one.ips[0])) for one in ENDPOINTS[:9]]

    assert len(allocate(wanted, {}, bits=9)) == 9
    many = endpoint_files.parse(
        {
            "e": "".join(
                f"- {{name: n{n}, labels: {{n: '{n}'}}, ips: [10.1.{n // 250}.{n % 250}]}}\n"
                for n in range(257)
            )
        }
    )
    with pytest.raises(
        IdentitiesExhausted, match="257 identities need a number and 256 are there; mention fewer"
    ):
        resolve.resolve(read(kubernetes("podSelector: {}")), many, {}, bits=9)


def test_what_policies_cannot_tell_apart_is_one_identity() -> None:
    """Replicas share a number, whatever their rollout puts on them; a policy that asks tells them apart."""
    replicas = endpoint_files.parse(
        {
            "e": "- {name: a, namespace: x, labels: {pod: a, pod-template-hash: '1'}, ips: [10.0.0.1]}\n"
            "- {name: b, namespace: x, labels: {pod: a, pod-template-hash: '2'}, ips: [10.0.0.2]}\n"
        }
    )

    def numbers(*documents: str) -> set[int]:
        resolved = resolve.resolve(read(*documents), replicas, {})
        return {resolved.identities[name] for name in ("x/a", "x/b")}

    assert len(numbers()) == 1
    assert len(numbers(kubernetes("podSelector: {matchLabels: {pod-template-hash: '1'}}"))) == 2
    # Where they are is no part of who they are.
    block = "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.0.0.2/32}}]}]"
    assert len(numbers(kubernetes(block))) == 1


def test_reserved_ends_have_the_numbers_of_cilium() -> None:
    """The node, another one, the world in both families."""
    resolved = resolve.resolve(read(kubernetes("podSelector: {}")), ENDPOINTS, {})
    found = {str(network): whose.number for network, whose in resolved.addresses.items()}

    assert found["192.168.0.1/32"] == found["127.0.0.0/8"] == found["::1/128"] == 1
    assert (found["192.168.0.2/32"], found["192.168.0.3/32"]) == (6, 7)
    assert (found["0.0.0.0/0"], found["::/0"]) == (9, 10)


def test_entries_that_add_nothing_are_not_there() -> None:
    """A port inside of a range of the same rule, and a rule inside of another, cost no entry."""
    policies = read(
        kubernetes(
            "podSelector: {matchLabels: {pod: a}}\ningress: [{ports: [{port: 64, endPort: 127}, {port: 80}]}]"
        )
    )
    table = resolve.resolve(policies, ENDPOINTS, {}).tables["x/a"][Direction.INGRESS]

    entries = [(number, prefix.length) for number, known in table.entries.items() for prefix in known]
    assert sorted(entries) == [(0, 18), (1, 0), (1, 18)]


@given(
    first=st.integers(min_value=0, max_value=65_535),
    more=st.integers(min_value=0, max_value=65_535),
    asked=st.integers(min_value=0, max_value=65_535),
)
def test_the_prefixes_of_a_range_are_exactly_its_ports(first: int, more: int, asked: int) -> None:
    """Each port in one of them, and no other protocol in any."""
    last = min(65_535, first + more)
    found = list(prefixes.of_range(Protocol.TCP, first, last))
    hits = [one for one in found if one.covers(prefixes.of_service(Service(Protocol.TCP, asked)))]

    assert len(found) <= 30
    assert len(hits) == (first <= asked <= last)
    assert not [one for one in found if one.covers(prefixes.of_service(Service(Protocol.UDP, asked)))]


@given(
    networks=st.lists(st.sampled_from(generated.NETWORKS), max_size=8),
    address=st.one_of(
        st.ip_addresses(v=4, network="192.0.0.0/8"), st.ip_addresses(v=6, network="2001:db8::/32")
    ),
)
def test_the_smallest_network_around_an_address_is_found(
    networks: list[str], address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    """As one finds it by looking at all of them."""
    known = [ipaddress.ip_network(one) for one in networks]
    around = [one for one in known if address in one]

    assert Networks(known).around(address) == max(around, key=lambda one: one.prefixlen, default=None)
