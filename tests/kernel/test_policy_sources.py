"""Sources that are another's: what an interface of endpoints may not send, and what all there have to."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

import pytest

from bench.policy_frames import ICMP, ICMPV6, MORE, SYN, TCP, UDP, ethernet, frame, icmp, ipv4, tcp, udp
from bench.policy_rig import ENFORCE, MONITOR, OFF, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import resolve
from netsre.datapath.policy.conntrack import Event
from netsre.model.policies.values import Endpoint
from tests.kernel.test_policy_conntrack import FREE, OWN, PEER, POLICIES, ROUTER
from tests.unit.policy.cluster import ENDPOINTS, address

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_AT: Final = {OWN: "own", PEER: "shared", FREE: "shared"}
"""Who is isolated has an interface of its own; all others of the cluster have none here."""
_MOVED: Final = {OWN: "shared", PEER: "own"}
PLACED: Final[tuple[Endpoint, ...]] = tuple(
    replace(one, interface=_AT.get(one.full_name)) for one in ENDPOINTS
)
ELSEWHERE: Final = "y/a"
"""An endpoint without an interface."""
LINK: Final = "fe80::7"
NODE: Final = {4: "192.168.0.1", 6: "::1"}
ROUTERS, NODES, REPORTS = "ff02::2", "ff02::1", "ff02::16"
_ASKS: Final = 133


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs; what test runs send comes from the interface of the isolated endpoint."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, PLACED, {}), PLACED, 1)
        made.comes_from("own")
        yield made


def forged(rig: Rig) -> tuple[int, int]:
    """Return how many were dropped, and how many passed."""
    events = rig.events()
    return events[Event.FORGED_SOURCE_DROPPED], events[Event.FORGED_SOURCE_PASSED]


def sent(source: str, target: str, port: int = 443) -> bytes:
    """Return the first packet of a connection."""
    return frame(source, target, TCP, tcp(1000, port, SYN))


@both_versions
def test_only_the_addresses_of_an_interface_are_believed_there(rig: Rig, version: int) -> None:
    """Not those of other interfaces, of endpoints elsewhere, of the node, or of nobody at all."""
    peer = address(PEER, version)
    others = [*(address(name, version) for name in (PEER, FREE, ELSEWHERE)), ROUTER[version], NODE[version]]

    assert rig.leaves(sent(address(OWN, version), peer))
    assert not any(rig.leaves(sent(other, address("z/c", version))) for other in others)
    assert forged(rig) == (len(others), 0)
    assert len(rig.connections()) == 1


@both_versions
def test_who_shares_an_interface_shares_what_is_believed(rig: Rig, version: int) -> None:
    """Either may send; the third may not."""
    rig.comes_from("shared")
    target = address(ELSEWHERE, version)

    passed = [rig.leaves(sent(address(name, version), target)) for name in (PEER, FREE, OWN)]
    assert passed == [True, True, False]


@both_versions
def test_an_interface_that_no_endpoint_is_at_is_believed(rig: Rig, version: int) -> None:
    """By the revision in force, whatever the kernel's number says; policies are asked as ever."""
    rig.comes_from("of nobody")
    own, peer = address(OWN, version), address(PEER, version)

    assert [rig.leaves(sent(own, peer, port)) for port in (443, 444)] == [True, False]
    assert forged(rig) == (0, 0)


@both_versions
def test_a_connection_that_is_known_makes_no_source_believed(rig: Rig, version: int) -> None:
    """Each packet is looked at: the owner's pass, the same ones from another interface do not."""
    own, peer = address(OWN, version), address(PEER, version)
    assert rig.leaves(sent(own, peer))
    rig.comes_from("shared")
    other = rig.leaves(sent(own, peer)), rig.leaves(frame(own, peer, TCP, tcp(1000, 443)))
    rig.comes_from("own")

    assert other == (False, False)
    assert rig.leaves(sent(own, peer))
    assert len(rig.connections()) == 1


@both_versions
@pytest.mark.parametrize("mode", [MONITOR, OFF])
def test_without_enforcement_it_passes_and_is_counted_and_nothing_is_remembered(
    rig: Rig, version: int, mode: int
) -> None:
    """No connection that is the owner's, no verdict of its policies."""
    rig.mode(mode)

    assert rig.leaves(sent(address(FREE, version), address(PEER, version)))
    assert forged(rig) == (0, 1)
    assert not rig.connections()
    assert not rig.counts()


@both_versions
@pytest.mark.parametrize("mode", [MONITOR, OFF])
def test_an_order_holds_for_a_source_that_is_forged_where_nobody_enforces(
    rig: Rig, version: int, mode: int
) -> None:
    """Who takes another address does not get past it; what no order is about passes as before."""
    peer = address(PEER, version)
    rig.mode(mode)
    rig.deny(f"{peer}/{32 if version == 4 else 128}")

    sources = (ROUTER[version], address(FREE, version))
    assert [rig.leaves(sent(source, peer)) for source in sources] == [False, False]
    assert rig.leaves(sent(ROUTER[version], address("z/c", version)))
    assert forged(rig) == (0, 1)
    assert not rig.connections()


def test_the_mode_is_that_of_who_is_there_alone(rig: Rig) -> None:
    """Not of the one whose address it is; where several share an interface, that for all counts."""
    places = {one.full_name: place for place, one in enumerate(PLACED, 1)}
    rig.mode(MONITOR, endpoint=places[OWN])
    rig.mode(OFF, endpoint=places[ELSEWHERE])
    alone = rig.leaves(sent(address(ELSEWHERE), address(FREE)))
    rig.comes_from("shared")
    rig.mode(OFF, endpoint=places[PEER])
    shared = rig.leaves(sent(address(ELSEWHERE), address(FREE)))
    rig.mode(MONITOR)
    monitored = rig.leaves(sent(address(ELSEWHERE), address(FREE)))
    rig.mode(ENFORCE)

    assert (alone, shared, monitored) == (True, False, True)
    assert forged(rig) == (1, 2)


def test_who_has_no_address_yet_may_ask_for_one(rig: Rig) -> None:
    """DHCP and IGMP in IPv4; in IPv6 the groups that it wants to hear of. To one alone nobody sends so."""
    passing = [
        frame("0.0.0.0", "255.255.255.255", UDP, udp(68, 67)),
        frame("0.0.0.0", "224.0.0.22", 2, bytes(8)),
        frame("::", REPORTS, ICMPV6, icmp(143)),
    ]

    assert all(map(rig.leaves, passing))
    assert not rig.leaves(frame("0.0.0.0", address(PEER), UDP, udp(68, 67)))
    assert not rig.leaves(frame("::", address(PEER, 6), UDP, udp(1, 2)))
    assert rig.events()[Event.NO_ENDPOINT] == len(passing)
    assert forged(rig) == (2, 0)


def test_an_address_of_the_link_passes_on_the_link(rig: Rig) -> None:
    """To groups (MLD, DHCPv6, mDNS) and to others like it, and not to where it has no meaning."""
    passing = [
        frame(LINK, REPORTS, ICMPV6, icmp(143)),
        frame(LINK, NODES, ICMPV6, icmp(130)),
        frame(LINK, "ff02::1:2", UDP, udp(546, 547)),
        frame(LINK, "ff02::fb", UDP, udp(5353, 5353)),
        frame(LINK, "fe80::1", ICMPV6, icmp(128)),
        frame("febf:ffff::1", "fe80::1", UDP, udp(546, 547)),
    ]
    forging = [frame(LINK, address(PEER, 6), TCP, tcp(1, 443)), sent("fec0::1", "fe80::1")]

    assert all(map(rig.leaves, passing))
    assert not any(map(rig.leaves, forging))
    assert rig.events()[Event.NO_ENDPOINT] == len(passing)
    assert forged(rig) == (2, 0)


def test_an_address_of_the_link_in_ipv4_is_believed_only_where_it_is_listed(rig: Rig) -> None:
    """Routers do send it on, to where instances are told their secrets."""
    assert not rig.leaves(sent("169.254.7.7", "169.254.169.254", 80))
    assert not rig.leaves(frame("169.254.7.7", "224.0.0.251", UDP, udp(5353, 5353)))


def test_an_address_of_the_link_that_is_another_endpoints_is_forged(policy_template: Template) -> None:
    """It has a policy that would be got around."""
    listed = tuple(
        replace(one, ips=(*one.ips, ip_address(LINK))) if one.full_name == PEER else one for one in PLACED
    )
    with loaded(policy_template) as rig:
        rig.write(resolve.resolve(POLICIES, listed, {}), listed, 1)
        rig.comes_from("own")
        assert not rig.leaves(frame(LINK, "fe80::1", ICMPV6, icmp(128)))
        rig.comes_from("shared")
        assert rig.leaves(frame(LINK, "fe80::1", ICMPV6, icmp(128)))


def test_neighbours_may_ask_whatever_address_they_have(rig: Rig) -> None:
    """ARP, and neighbour discovery: before there is an address, and to see that nobody else has it."""
    asking = [
        ethernet(bytes(28), protocol=0x0806),
        *(frame(source, ROUTERS, ICMPV6, icmp(_ASKS, 0, bytes(20))) for source in ("::", LINK)),
    ]

    assert all(map(rig.leaves, asking))
    assert forged(rig) == (0, 0)


@both_versions
def test_what_is_sent_to_an_endpoint_has_whatever_source(rig: Rig, version: int) -> None:
    """Its interface says nothing about others; policies do."""
    own, peer = address(OWN, version), address(PEER, version)

    assert rig.arrives(sent(peer, own, 80))
    assert forged(rig) == (0, 0)


def test_pieces_and_errors_are_forged_like_anything_else(rig: Rig) -> None:
    """A piece leaves no ports behind for those of the owner, a cut packet is no question of its table."""
    own, peer = address(OWN), address(PEER)
    rig.comes_from("shared")
    first = ethernet(ipv4(own, peer, UDP, udp(1000, 123, bytes(16)), piece=MORE, identification=9))
    later = ethernet(ipv4(own, peer, UDP, bytes(16), piece=3, identification=9))
    about = ipv4(peer, own, TCP, tcp(1000, 80))

    assert not rig.leaves(first)
    assert not rig.leaves(frame(own, peer, ICMP, icmp(3, 0, about)))
    assert not rig.leaves(frame(own, peer, UDP, bytes(3)))
    rig.comes_from("own")
    assert not rig.leaves(later)
    assert forged(rig) == (3, 0)
    assert rig.events()[Event.FRAGMENT_DROPPED] == 1


@both_versions
def test_what_a_revision_believed_the_next_one_is_asked_about(rig: Rig, version: int) -> None:
    """An address that has moved to another interface is believed there, and no longer here."""
    moved = tuple(replace(one, interface=_MOVED.get(one.full_name)) for one in ENDPOINTS)
    rig.write(resolve.resolve(POLICIES, moved, {}), moved, 2, 1)
    own, peer = address(OWN, version), address(PEER, version)
    outcomes = []
    for slot in (0, 1, 0):
        rig.switch(slot)
        for interface in ("own", "shared", "own"):
            rig.comes_from(interface)
            outcomes.append(rig.leaves(sent(own, peer)))

    assert outcomes == [True, False, True, False, True, False, True, False, True]
