"""Orders to deny an address: they go before policies and modes, in both directions, and end by themselves."""

import time
from collections.abc import Iterator
from ipaddress import ip_interface
from typing import Final

import pytest

from bench.policy_frames import ACK, ICMP, SYN, TCP, UDP, ethernet, frame, icmp, ip, ipv4, tcp, udp
from bench.policy_rig import DENIED, MONITOR, OFF, Rig, loaded, now_ns
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import resolve
from netsre.datapath.policy.orders import FIRST_RULE, NESTED
from tests.kernel.test_policy_conntrack import FREE, OWN, PEER, POLICIES, ROUTER
from tests.unit.policy.cluster import ENDPOINTS, address

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

NUMBERS: Final = {one.full_name: number for number, one in enumerate(ENDPOINTS, 1)}
WHOLE: Final = {4: "0.0.0.0/0", 6: "::/0"}


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with the policies of the tables of connections in force."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


def asks(version: int = 4, port: int = 1000, own: str = OWN) -> bytes:
    """Return the first packet of a connection that the endpoint's policy allows."""
    return frame(address(own, version), address(PEER, version), TCP, tcp(port, 443))


def speaks(version: int = 4, port: int = 1000) -> bytes:
    """Return a later packet of it."""
    return frame(address(OWN, version), address(PEER, version), TCP, tcp(port, 443, ACK))


def network_of(address: str, bits: int) -> str:
    """Return the network of so many bits around an address."""
    return str(ip_interface(f"{address}/{bits}").network)


def answers(version: int = 4, port: int = 1000) -> bytes:
    """Return what comes back."""
    return frame(address(PEER, version), address(OWN, version), TCP, tcp(443, port, SYN | ACK))


@both_versions
def test_an_order_goes_before_a_policy_that_allows_and_is_counted_by_its_name(rig: Rig, version: int) -> None:
    """One address of the family; each packet under the number of the order, as a rule that says so."""
    peer = address(PEER, version)
    before = rig.leaves(asks(version))
    rig.deny(f"{peer}/{128 if version == 6 else 32}", rule=FIRST_RULE + 7)
    told = [rig.leaves(asks(version, 2000)) for _ in range(3)]

    [counted] = [(key, count) for key, count in rig.counts().items() if key.verdict == DENIED]
    assert (before, told) == (True, [False] * 3)
    assert (counted[0].rule, counted[0].reason, counted[1].packets) == (FIRST_RULE + 7, 0, 3)
    assert counted[0].source
    assert counted[0].destination


@both_versions
@pytest.mark.parametrize("first", ["asks", "answers"])
def test_a_connection_is_cut_whoever_speaks_next_and_others_go_on(rig: Rig, version: int, first: str) -> None:
    """With its next packet, either way; another endpoint's to the same address does not notice."""
    other = frame(address(FREE, version), address(PEER, version), TCP, tcp(1000, 443, ACK))
    assert all(map(rig.leaves, (asks(version), other)))
    assert rig.arrives(answers(version))
    rig.deny(f"{address(PEER, version)}/{128 if version == 6 else 32}", endpoint=NUMBERS[OWN])
    cut = rig.leaves(speaks(version)) if first == "asks" else rig.arrives(answers(version))
    both = rig.leaves(speaks(version)), rig.arrives(answers(version))

    assert (cut, both) == (False, (False, False))
    assert rig.leaves(other)
    assert len(rig.connections()) == 1


def test_what_is_denied_does_not_come_back_as_a_connection_of_the_other_side(rig: Rig) -> None:
    """Where nobody isolates, late packets of a cut connection would begin one that the answers belong to."""
    free, peer = address(FREE), address(PEER)
    assert rig.leaves(frame(free, peer, TCP, tcp(1000, 443)))
    rig.deny(f"{peer}/32")

    assert not rig.arrives(frame(peer, free, TCP, tcp(443, 1000, ACK)))
    assert not rig.arrives(frame(peer, free, UDP, udp(443, 1000)))
    assert not rig.leaves(frame(free, peer, TCP, tcp(1000, 443, ACK)))
    assert not rig.connections()


@pytest.mark.parametrize("mode", [MONITOR, OFF])
def test_an_order_holds_whatever_the_mode(rig: Rig, mode: int) -> None:
    """It is somebody's word about this address; a mode is about what policies say."""
    rig.mode(mode)
    rig.mode(mode, endpoint=NUMBERS[OWN])
    rig.deny(f"{address(PEER)}/32")

    assert not rig.leaves(asks())


@both_versions
def test_an_order_is_about_its_endpoint_alone(rig: Rig, version: int) -> None:
    """One for all is about each, also where no policy isolates."""
    rig.deny(WHOLE[version], endpoint=NUMBERS[OWN])
    mine, others = rig.leaves(asks(version)), rig.leaves(asks(version, own=FREE))
    rig.deny(WHOLE[version])

    assert (mine, others, rig.leaves(asks(version, own=FREE))) == (False, True, False)


@both_versions
def test_an_order_for_all_is_about_addresses_of_nobody_too(rig: Rig, version: int) -> None:
    """Who takes another source address would get past it; one of an endpoint is about its addresses."""
    stranger = frame(ROUTER[version], address(PEER, version), UDP, udp(1000, 443))
    rig.deny(WHOLE[version], endpoint=NUMBERS[OWN])
    before = rig.leaves(stranger)
    rig.deny(WHOLE[version])

    assert (before, rig.leaves(stranger)) == (True, False)


def test_all_of_ipv6_is_not_ipv4(rig: Rig) -> None:
    """Though an IPv4 address is written as one of IPv6, and the other way round."""
    rig.deny("::/0")
    first = rig.leaves(asks(4)), rig.leaves(asks(6))
    rig.allow("::/0")
    rig.deny("0.0.0.0/0")

    assert (first, rig.leaves(asks(4)), rig.leaves(asks(6))) == ((True, False), False, True)


def test_an_order_ends_by_itself(rig: Rig) -> None:
    """At its time, and nobody has to do anything."""
    rig.deny(f"{address(PEER)}/32", until_ns=now_ns() + 10**12)
    before = rig.leaves(asks())
    until = now_ns() + 50_000_000
    rig.deny(f"{address(PEER)}/32", until_ns=until)
    while now_ns() < until:
        time.sleep(0.01)

    assert (before, rig.leaves(asks())) == (False, True)


@both_versions
def test_orders_that_have_ended_open_no_hole_in_those_around_them(rig: Rig, version: int) -> None:
    """As many as may lie within each other, for the endpoint and for all."""
    peer, bits = address(PEER, version), 128 if version == 6 else 32
    past = now_ns()
    for endpoint in (0, NUMBERS[OWN]):
        for less in range(NESTED - (endpoint == 0)):
            network = network_of(peer, bits - less)
            rig.deny(network, endpoint=endpoint, until_ns=past)
    all_ended = rig.leaves(asks(version))
    rig.deny(network_of(peer, bits - NESTED + 1), rule=FIRST_RULE + 3)

    assert all_ended
    assert not rig.leaves(asks(version, 2000))
    assert [key.rule for key in rig.counts() if key.verdict == DENIED] == [FIRST_RULE + 3]


def test_what_has_no_ports_is_denied_as_well(rig: Rig) -> None:
    """Later pieces, what is cut, and errors about something else, where nothing isolates."""
    free, peer = address(FREE), address(PEER)
    about = ip(ROUTER[4], free, TCP, tcp(443, 2000))
    frames = (
        frame(free, peer, TCP, bytes(3)),
        ethernet(ipv4(free, peer, UDP, bytes(24), piece=3, identification=4)),
        frame(free, peer, ICMP, icmp(3, 0, about)),
        frame(free, peer, 47, bytes(24)),
    )
    assert rig.arrives(ethernet(about))
    assert all(map(rig.leaves, frames))
    rig.deny(f"{peer}/32")

    assert not any(map(rig.leaves, frames))


def test_an_order_survives_another_revision_and_the_way_back(rig: Rig) -> None:
    """It is beside them, and so is what it has cut."""
    rig.leaves(asks())
    rig.deny(f"{address(PEER)}/32")
    rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 2, 1)
    told = []
    for slot in (1, 0):
        rig.switch(slot)
        told += [rig.leaves(speaks()), rig.leaves(asks(port=3000 + slot))]
    rig.allow(f"{address(PEER)}/32")

    assert told == [False] * 4
    assert rig.leaves(asks())
