"""Zones: which rules mean an address by their networks, whatever other policies mention."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import ends, layouts, lookup, reference, resolve, sync
from netsre.datapath.policy.compiler import Compiler
from netsre.datapath.policy.identities import Networks, Whose
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.reference import Decision
from netsre.datapath.policy.tables import Table
from netsre.datapath.policy.zones import (
    NOWHERE,
    Drawn,
    Residents,
    Zone,
    ZonesExhausted,
    drawn,
    network,
    place,
)
from netsre.model.policies.values import Address, Direction, NetworkPeer, Policy, within
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, cilium, clusterwide, kubernetes, read
from tests.unit.policy.test_compiler import new_compiler, renewed

ENDPOINTS_AT = [ip for one in ENDPOINTS for ip in one.ips]
SEEDS = st.integers(min_value=0, max_value=2**32)
ANYWHERE = "{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}"
INTERNET = "{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}"
WORLD = "endpointSelector: {}\ningress: [{fromEntities: [world]}]"


def peer(chance: random.Random) -> NetworkPeer:
    """Return a network with some exceptions."""
    network, *others = map(ip_network, chance.sample(generated.NETWORKS, len(generated.NETWORKS)))
    inside = [one for one in others if within(one, network)]
    return NetworkPeer(network, tuple(inside[: chance.randint(0, 3)]), anybody=chance.random() < 0.5)


def meant(rules: list[list[NetworkPeer]], address: Address, *, outside: bool) -> set[int]:
    """Return the rules that mean somebody at an address, found by asking all of them."""
    return {
        number
        for number, peers in enumerate(rules)
        for one in peers
        if address in one.network
        and not any(address in excepted for excepted in one.excepted)
        and (outside or one.anybody)
    }


def zone_of(found: Drawn, address: Address) -> Zone:
    """Return the zone of an address, as the kernel finds it: of IPv4 within the networks of IPv6."""
    mapped = address if address.version == 6 else IPv6Address(f"::ffff:{address}")
    zones = {network(one): zone for one, zone in found.zones}
    around = Networks(zones).around(address) or Networks(zones).around(mapped)
    return zones[around] if around is not None else Zone(NOWHERE, NOWHERE)


@given(seed=SEEDS)
def test_a_zone_is_the_rules_that_mean_an_address(seed: int) -> None:
    """For the world, and for those whom not every network means."""
    chance = generated.chance_of(seed)
    rules = [[peer(chance) for _ in range(chance.randint(0, 3))] for _ in range(chance.randint(0, 5))]
    found = drawn(rules)
    addresses = [
        *map(ip_address, generated.ADDRESSES[:-6]),
        *(IPv4Address(chance.getrandbits(32)) for _ in range(9)),
        *(one.network_address for one in map(ip_network, generated.NETWORKS)),
    ]

    for address in addresses:
        for number, outside in zip(zone_of(found, address), (True, False), strict=True):
            about = {rule for rule, zones in enumerate(found.of_rules) if number in zones}
            assert about == meant(rules, address, outside=outside), address


@given(seed=SEEDS)
def test_no_zone_is_drawn_that_makes_no_difference(seed: int) -> None:
    """Nor a network; and whatever the order of peers, the numbers are the same."""
    chance = generated.chance_of(seed)
    rules = [[peer(chance) for _ in range(3)] for _ in range(3)]
    found = drawn(rules)
    numbers = {number for _, zone in found.zones for number in zone} - {NOWHERE}

    rules_of = {number: [number in zones for zones in found.of_rules] for number in numbers}
    assert numbers == {*range(1, len(numbers) + 1)}
    assert len({*map(tuple, rules_of.values())}) == len(numbers)
    assert found == drawn([chance.sample(peers, len(peers)) for peers in rules])


def test_more_zones_than_numbers_are_refused() -> None:
    """By name, with the next step."""
    rules = [[NetworkPeer(ip_network(f"10.0.0.{number}/32"))] for number in range(3)]

    assert len(drawn(rules, 3).zones) == 3
    with pytest.raises(
        ZonesExhausted, match="make 3 zones and 2 can be told apart; mention fewer networks in its policies"
    ):
        drawn(rules, 2)


def of_x_a(*policies: Policy) -> Table:
    """Return the table of what x/a lets in."""
    return resolve.resolve(policies, ENDPOINTS, {}).tables["x/a"][Direction.INGRESS]


def test_a_rule_about_the_world_is_as_large_as_what_it_says() -> None:
    """One entry for each family, whatever networks others mention; and so with exceptions."""
    others = kubernetes(
        "podSelector: {matchLabels: {pod: b}}\negress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}, "
        "{ipBlock: {cidr: 10.0.0.0/16}}, {ipBlock: {cidr: '2001:db8::/32'}}]}]",
        "other",
    )
    for document, entries, networks in (
        (clusterwide(WORLD), 3, 0),  # two classes of the world, and the node
        (kubernetes(f"podSelector: {{}}\ningress: [{ANYWHERE}]"), 2, 1),
        (kubernetes(f"podSelector: {{}}\ningress: [{INTERNET}]"), 2, 2),
    ):
        alone, among = of_x_a(*read(document)), of_x_a(*read(document, others))
        assert among == alone
        assert (sum(map(len, among.entries.values())), len(among.zones)) == (entries, networks)


def test_networks_of_one_rule_share_their_entries() -> None:
    """A list of a hundred networks is a hundred networks and one zone."""
    blocks = ", ".join(f"{{ipBlock: {{cidr: 198.51.100.{number}/32}}}}" for number in range(0, 200, 2))
    table = of_x_a(
        *read(kubernetes(f"podSelector: {{}}\ningress: [{{from: [{blocks}], ports: [{{port: 80}}]}}]"))
    )

    assert len(table.zones) == 100
    assert sum(map(len, table.entries.values())) == 2


@pytest.mark.parametrize(
    "mentioned",
    ["198.51.100.0/24", "10.0.0.0/30", "10.9.0.0/16", "0.0.0.0/0", "2001:db8::/32", "127.0.1.0/24"],
)
def test_a_new_network_touches_the_tables_that_mention_it(mentioned: str) -> None:
    """Also where it lies in a network that others mention, or except, and where endpoints are in it."""
    listed = {
        n: f"- {{name: {n}, namespace: x, labels: {{pod: {n}}}, ips: [10.0.0.{ord(n) % 8}, 'fd00::{n}']}}\n"
        for n in ("a", "b", "c")
    }
    select = "podSelector: {matchLabels: {pod: %s}}\ningress: [%s, {from: [{podSelector: {}}]}]"
    policies = {
        "a": kubernetes(select % ("a", INTERNET), "a"),
        "b": kubernetes(select % ("b", ANYWHERE), "b"),
        "c": kubernetes(select % ("c", "{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}"), "c"),
        "w": cilium(WORLD, "w"),
    }
    compiler: Compiler = new_compiler()
    before = compiler.compile(policies, listed, Numbers())
    policies["c"] = policies["c"].replace("203.0.113.0/24", f"'{mentioned}'")
    after = compiler.compile(policies, listed, before.encoded.numbers)

    assert renewed(before, after) == {("x/c", "ingress"), ("x/c", "egress")}
    held = sync.plan(sync.Held(), before.encoded).after
    puts = [one for one in sync.plan(held, after.encoded).operations if isinstance(one, sync.Put)]
    for where in (Map.ENTRIES, Map.ZONES):
        written = {
            layouts.number_of(where, key) for one in puts if one.where is where for key, _ in one.entries
        }
        assert len(written) <= 1
        assert not written & before.encoded.parts[where].keys()


@given(seed=SEEDS)
def test_whoever_moves_is_followed(seed: int) -> None:
    """From zone to zone: the same is known as by who looks anew, and who is in other zones than before."""
    chance = generated.chance_of(seed)
    found = [drawn([[peer(chance)] for _ in range(chance.randint(1, 4))]).zones for _ in range(3)]
    spots = [
        place(ip_network(one))
        for one in (*generated.NETWORKS, *map(str, ENDPOINTS_AT), *generated.ADDRESSES[:-6])
    ]
    spots = [one for one in spots if one[2] in {32, 128}]
    known = {one: whose(chance) for one in chance.sample(spots, chance.randint(0, len(spots)))}
    before = Residents(known)
    pairs = [{*before.of(zones)} for zones in found]
    later = {one: who for one, who in known.items() if chance.random() < 0.8}
    later |= {one: whose(chance) for one in chance.sample(spots, chance.randint(0, 9))}
    after, changed = before.moved(later, found)

    assert changed is not None
    for zones, was in zip(found, pairs, strict=True):
        assert after.of(zones) == Residents(later).of(zones)
        assert changed.get(zones, frozenset()) == {who for who, _ in was ^ after.of(zones)}


def whose(chance: random.Random) -> Whose:
    """Return one of a few ends."""
    number = chance.randint(300, 304)
    return Whose(number, number, outside=number == 300)


def test_a_port_by_its_name_is_that_of_who_is_there_now() -> None:
    """A rule about a network names ports of servers, which come and go."""
    serving = "- {{name: b, namespace: x, labels: {{pod: b}}, ips: [{}], namedPorts: {{http: 8080}}}}\n"
    listed = {
        "a": "- {name: a, namespace: x, labels: {pod: a}, ips: [10.0.0.1]}\n",
        "b": serving.format("10.9.0.1"),
    }
    rule = "{to: [{ipBlock: {cidr: 10.0.1.0/24}}], ports: [{port: http}]}"
    spec = f"podSelector: {{matchLabels: {{pod: a}}}}\negress: [{rule}]"
    policies = {"p": kubernetes(spec)}
    compiler: Compiler = new_compiler()
    before = compiler.compile(policies, listed, Numbers())
    listed["b"] = serving.format("10.0.1.9")
    after = compiler.compile(policies, listed, before.encoded.numbers)

    tables = [one.resolved.tables["x/a"][Direction.EGRESS] for one in (before, after)]
    assert [len(one.entries) for one in tables] == [1, 2]  # the node may always be reached


@pytest.mark.parametrize("asked", ["127.0.1.1", "127.0.0.1"])
@pytest.mark.parametrize("port", ["80/TCP", "81/TCP"])
def test_the_node_at_home_is_the_node_in_every_zone(asked: str, port: str) -> None:
    """Also under those of its addresses that a rule is about."""
    rule = "ingress: [{from: [{ipBlock: {cidr: 127.0.1.0/24}}], ports: [{port: 80}]}]"
    policies = read(kubernetes(f"podSelector: {{}}\n{rule}"))
    source, destination = ends.between(asked, "x/a", ENDPOINTS)
    service = ends.service(port)

    found = lookup.Lookup(resolve.resolve(policies, ENDPOINTS, {})).verdict(source, destination, service)
    assert found == reference.verdict(policies, source, destination, service)
    assert found.decision is Decision.ALLOW


def test_what_was_found_out_for_zones_of_before_is_forgotten() -> None:
    """Policies change for as long as a compiler lives; what it keeps is of the last ones."""
    old, new = (drawn([[NetworkPeer(ip_network(one), anybody=True)]]).zones for one in ("10.0.0.0/8", "::/0"))
    home = {place(ip_network("10.0.0.1/32")): Whose(300, 300, outside=False)}
    known = Residents(home)
    pairs = {zones: {*known.of(zones)} for zones in (old, new)}
    known.keep({new})

    after, changed = known.moved({}, [old, new])
    assert changed == {new: frozenset()}
    assert pairs[old] - after.of(old) == {(300, 1)}
    assert pairs[new] == after.of(new)
