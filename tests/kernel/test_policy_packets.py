"""Packets of every shape: in pieces, in tags, behind extension headers, about other packets, and cut."""

import struct
import time
from collections.abc import Iterator
from typing import Final

import pytest

from bench.policy_frames import (
    ACK,
    AUTHENTICATION,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    MORE,
    NO_NEXT,
    OPTIONS,
    ROUTING,
    SYN,
    TCP,
    UDP,
    ethernet,
    frame,
    icmp,
    ip,
    ipv4,
    ipv6,
    piece_of,
    tcp,
    udp,
)
from bench.policy_rig import MONITOR, OFF, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.conntrack import Event
from tests.kernel.test_policy_conntrack import FREE, OWN, PEER, POLICIES, ROUTER
from tests.unit.policy.cluster import ENDPOINTS, address

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

TAGS: Final = (0x8100, 0x88A8)
A4, A6, B4, B6 = (address(name, version) for name in (OWN, PEER) for version in (4, 6))
ERRORS: Final = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_EMPTY: Final = bytes(7)
"""An extension header of eight bytes, without its first."""


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with the policies of the tables of connections in force."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


def pieces(version: int, body: bytes, identification: int, protocol: int = UDP) -> tuple[bytes, bytes]:
    """Return a packet from the peer to the isolated endpoint in two frames."""
    first, second = body[:16], body[16:]
    if version == 4:
        return (
            ethernet(ipv4(B4, A4, protocol, first, piece=MORE, identification=identification)),
            ethernet(ipv4(B4, A4, protocol, second, piece=2, identification=identification)),
        )
    return (
        ethernet(ipv6(B6, A6, protocol, first, [piece_of(0, identification, more=True)])),
        ethernet(ipv6(B6, A6, protocol, second, [piece_of(2, identification, more=False)])),
    )


@both_versions
@pytest.mark.parametrize(("port", "passes"), [(53, True), (54, False)])
def test_later_pieces_go_the_way_of_the_first(rig: Rig, version: int, port: int, *, passes: bool) -> None:
    """They have no ports of their own."""
    first, later = pieces(version, udp(1000, port, bytes(24)), 9)

    assert [rig.arrives(first), rig.arrives(later), rig.arrives(later)] == [passes] * 3


@both_versions
def test_a_piece_without_its_first_is_dropped_where_somebody_isolates(rig: Rig, version: int) -> None:
    """Before it, of another packet, of another protocol; elsewhere it passes, and both are counted."""
    first, later = pieces(version, udp(1000, 53, bytes(24)), 9)
    alone = rig.arrives(later)
    rig.arrives(first)
    _, other = pieces(version, udp(1000, 53, bytes(24)), 10)
    _, of_tcp = pieces(version, tcp(1000, 80, SYN, bytes(24)), 9, TCP)

    assert [alone, rig.arrives(other), rig.arrives(of_tcp), rig.leaves(later)] == [False, False, False, True]
    events = rig.events()
    assert (events[Event.FRAGMENT_KEPT_OUT], events[Event.FRAGMENT_PASSED]) == (3, 1)


def test_a_first_piece_is_remembered_for_half_a_minute(rig: Rig) -> None:
    """Numbers of packets come again, and then they are about others."""
    first, later = pieces(4, udp(1000, 53, bytes(24)), 9)
    rig.arrives(first)
    told = []
    for seconds in (29, 31):
        [(key, value)] = rig.map(programs.FRAGMENTS).entries()
        seen = struct.pack("<Q", time.monotonic_ns() - seconds * 10**9)
        rig.map(programs.FRAGMENTS).put(key, seen + value[8:])
        told.append(rig.arrives(later))

    assert told == [True, False]


def test_a_piece_that_is_alone_is_a_packet(rig: Rig) -> None:
    """IPv6 has fragment headers on whole packets."""
    whole = [piece_of(0, 9, more=False)]

    assert rig.arrives(ethernet(ipv6(B6, A6, UDP, udp(1000, 53), whole)))
    assert not rig.arrives(ethernet(ipv6(B6, A6, UDP, udp(1000, 54), whole)))


def test_pieces_may_have_headers_before_their_ports(rig: Rig) -> None:
    """The later piece says the number of a header, and not that of the protocol."""
    body = bytes([UDP]) + _EMPTY + udp(1000, 53, bytes(24))
    first = ethernet(ipv6(B6, A6, OPTIONS, body[:24], [piece_of(0, 9, more=True)]))
    later = ethernet(ipv6(B6, A6, OPTIONS, body[24:], [piece_of(3, 9, more=False)]))

    assert [rig.arrives(later), rig.arrives(first), rig.arrives(later)] == [False, True, True]


@both_versions
@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8,), (0x88A8, 0x8100), (0x8100, 0x8100)])
def test_tags_change_no_verdict(rig: Rig, version: int, tags: tuple[int, ...]) -> None:
    """A connection is the same with them and without."""
    own, peer = address(OWN, version), address(PEER, version)
    question = ip(peer, own, TCP, tcp(1000, 80))
    answer = ip(own, peer, TCP, tcp(80, 1000, SYN | ACK))

    assert not rig.leaves(ethernet(answer, tags))
    assert rig.arrives(ethernet(question, tags))
    assert rig.leaves(ethernet(answer, tags))
    assert rig.leaves(ethernet(answer))
    assert not rig.arrives(ethernet(ip(peer, own, TCP, tcp(1000, 81)), tags))


def test_options_of_ipv4_are_stepped_over(rig: Rig) -> None:
    """Of every length that there can be."""
    for words in range(11):
        for port, passes in ((80, True), (81, False)):
            packet = ipv4(B4, A4, TCP, tcp(1000 + words, port), options=b"\x01" * 4 * words)
            assert rig.arrives(ethernet(packet)) == passes


@pytest.mark.parametrize(
    "extensions",
    [
        [(HOP_BY_HOP, _EMPTY)],
        [(HOP_BY_HOP, b"\x01" + bytes(14)), (ROUTING, _EMPTY)],
        [(HOP_BY_HOP, _EMPTY), (OPTIONS, _EMPTY), (ROUTING, _EMPTY), (AUTHENTICATION, b"\x04" + bytes(22))],
        [(OPTIONS, b"\xff" + bytes(2046))],
        [(OPTIONS, _EMPTY)] * 8,
    ],
)
def test_extension_headers_are_stepped_over(rig: Rig, extensions: list[tuple[int, bytes]]) -> None:
    """To the ports behind them."""
    assert rig.arrives(ethernet(ipv6(B6, A6, TCP, tcp(1000, 80), extensions)))
    assert not rig.arrives(ethernet(ipv6(B6, A6, TCP, tcp(1000, 81), extensions)))


def test_what_hides_its_ports_is_dropped_where_somebody_isolates(rig: Rig) -> None:
    """Too many headers, headers that are cut, transport that is cut; elsewhere it passes, and both count."""
    dropped = 0
    for own in (OWN, FREE):
        a4, a6 = address(own), address(own, 6)
        ways = ((B4, a4), (B6, a6))
        for packet in (
            ipv6(B6, a6, TCP, tcp(1000, 80), [(OPTIONS, _EMPTY)] * 9),
            ipv6(B6, a6, OPTIONS, bytes([TCP])),
            ipv6(B6, a6, FRAGMENT, bytes(7)),
            *(
                ip(peer, at, TCP, tcp(1000, 80)[:size])
                for peer, at in ((B4, a4), (B6, a6))
                for size in (0, 3, 19)
            ),
            *(ip(*way, UDP, udp(1000, 53)[:7]) for way in ways),
            ip(B4, a4, ICMP, icmp(8)[:7]),
            ip(B6, a6, ICMPV6, icmp(128)[:7]),
            ip(B4, a4, 132, bytes(11)),
        ):
            assert rig.arrives(ethernet(packet)) == (own == FREE), packet.hex()
            dropped += own == OWN

    events = rig.events()
    assert events[Event.CUT_KEPT_OUT] == events[Event.CUT_PASSED] == dropped
    assert not rig.counts()


@both_versions
def test_what_hides_its_ports_is_counted_by_the_way_that_it_went(rig: Rig, version: int) -> None:
    """On its way to an endpoint, and from there: a whole one that is cut, and a later piece."""
    own, peer = address(OWN, version), address(PEER, version)
    cut = udp(1000, 53)[:7]
    _, coming = pieces(version, udp(1000, 53, bytes(24)), 9)
    assert not any(rig.arrives(one) for one in (ethernet(ip(peer, own, UDP, cut)), coming, coming))
    came = rig.events()
    assert not rig.leaves(ethernet(ip(own, peer, UDP, cut)))
    went = rig.events()

    assert (came[Event.CUT_KEPT_OUT], came[Event.FRAGMENT_KEPT_OUT], came[Event.CUT_DROPPED]) == (1, 2, 0)
    assert (went[Event.CUT_KEPT_OUT], went[Event.FRAGMENT_KEPT_OUT], went[Event.CUT_DROPPED]) == (1, 2, 1)


@pytest.mark.parametrize("mode", [MONITOR, OFF])
def test_nothing_that_hides_its_ports_is_dropped_without_enforcement(rig: Rig, mode: int) -> None:
    """Neither cut nor in pieces."""
    rig.mode(mode)
    _, later = pieces(4, udp(1000, 53, bytes(24)), 9)

    assert [rig.arrives(frame(B4, A4, TCP, bytes(5))), rig.arrives(later)] == [True, True]


@both_versions
@pytest.mark.parametrize("protocol", [47, 50, NO_NEXT, 89, 253])
def test_a_protocol_without_ports_needs_a_rule_for_every_port(rig: Rig, version: int, protocol: int) -> None:
    """It is a protocol of its own to policies, and a rule about ports does not mean it."""
    own, peer, free = (address(name, version) for name in (OWN, PEER, FREE))

    assert not rig.arrives(frame(peer, own, protocol, bytes(40)))
    assert rig.arrives(frame(peer, free, protocol, bytes(40)))


@both_versions
def test_errors_about_a_connection_pass_with_it(rig: Rig, version: int) -> None:
    """From whatever router, of every kind; those about anything else need a rule, and refresh nothing."""
    own, peer, number = address(OWN, version), address(PEER, version), {4: ICMP, 6: ICMPV6}[version]
    about = ip(own, peer, TCP, tcp(2000, 443))
    elsewhere = ip(own, peer, TCP, tcp(2001, 443))
    of_others = ip(address(FREE, version), peer, TCP, tcp(2000, 443))
    assert rig.leaves(ethernet(about))
    assert rig.leaves(ethernet(of_others))
    before = rig.connections()

    def arrives(kind: int, packet: bytes) -> bool:
        return rig.arrives(frame(ROUTER[version], own, number, icmp(kind, 0, packet)))

    size = len(about) - 20 + 8
    for kind in ERRORS[version]:
        assert arrives(kind, about), kind
        assert arrives(kind, about[:size]), kind
        assert not arrives(kind, about[: size - 1]), kind
        assert not arrives(kind, elsewhere), kind
        assert not arrives(kind, of_others), kind
    assert rig.connections() == before
    assert not rig.leaves(frame(own, ROUTER[version], number, icmp(ERRORS[version][0], 0, about)))


@both_versions
def test_an_endpoint_may_say_what_is_wrong_with_a_packet_it_got(rig: Rig, version: int) -> None:
    """A port unreachable is about a datagram that was let in."""
    own, peer, number = address(OWN, version), address(PEER, version), {4: ICMP, 6: ICMPV6}[version]
    unreachable = {4: 3, 6: 1}[version]
    rig.arrives(frame(peer, own, UDP, udp(1000, 53)))

    def leaves(port: int) -> bool:
        about = ip(peer, own, UDP, udp(1000, port))
        return rig.leaves(frame(own, peer, number, icmp(unreachable, 0, about)))

    assert [leaves(53), leaves(54)] == [True, False]


def test_errors_find_what_they_are_about_behind_its_options(rig: Rig) -> None:
    """And behind its extension headers, but not in its later pieces."""
    rig.leaves(ethernet(ipv4(A4, B4, TCP, tcp(2000, 443))))
    rig.leaves(ethernet(ipv6(A6, B6, TCP, tcp(2000, 443))))
    long = ipv4(A4, B4, TCP, tcp(2000, 443), options=b"\x01" * 40)
    extended = ipv6(A6, B6, TCP, tcp(2000, 443), [(HOP_BY_HOP, _EMPTY), (OPTIONS, _EMPTY)])
    piece = ipv4(A4, B4, TCP, tcp(2000, 443), piece=2)

    assert rig.arrives(frame(ROUTER[4], A4, ICMP, icmp(3, 0, long)))
    assert rig.arrives(frame(ROUTER[6], A6, ICMPV6, icmp(2, 0, extended)))
    assert not rig.arrives(frame(ROUTER[4], A4, ICMP, icmp(3, 0, piece)))


@both_versions
def test_errors_about_an_echo_pass(rig: Rig, version: int) -> None:
    """An echo is a connection as well."""
    own, peer, number = address(OWN, version), address(PEER, version), {4: ICMP, 6: ICMPV6}[version]
    echo, answer = {4: (8, 0), 6: (128, 129)}[version]
    rig.arrives(frame(peer, own, number, icmp(echo, 7)))
    about = ip(own, peer, number, icmp(answer, 7))

    assert rig.arrives(frame(ROUTER[version], own, number, icmp(ERRORS[version][0], 0, about)))


def test_what_a_network_cannot_do_without_passes_and_is_counted(rig: Rig) -> None:
    """ARP and neighbour discovery, and whatever is not IP, from and to an isolated endpoint."""
    arp = ethernet(bytes(28), protocol=0x0806)
    others = [ethernet(bytes(60), protocol=number) for number in (0x88CC, 0x0000, 0x8847, 0x86DC)]
    deep = ethernet(ipv4(B4, A4, TCP, tcp(1, 81)), (0x8100, 0x8100, 0x8100))
    neighbours = [frame(B6, A6, ICMPV6, icmp(kind, 0, bytes(20))) for kind in range(133, 138)]
    for packet in (arp, *others, deep, *neighbours):
        assert rig.leaves(packet)
        assert rig.arrives(packet)

    counted = {event: count for event, count in rig.events().items() if count}
    assert counted == {Event.ARP: 2, Event.NEIGHBOUR: 10, Event.NOT_IP: 10}


def test_the_numbers_of_neighbour_discovery_mean_nothing_in_ipv4(rig: Rig) -> None:
    """There they are a type like any other."""
    assert not rig.arrives(frame(B4, A4, ICMP, icmp(135)))


def test_what_has_no_addresses_passes_and_is_counted(rig: Rig) -> None:
    """Another version than its frame says, a header that is too short, tags with nothing behind."""
    packets = [
        ethernet(b"\x65" + ipv4(B4, A4, TCP, tcp(1, 81))[1:], protocol=0x0800),
        ethernet(b"\x44" + ipv4(B4, A4, TCP, tcp(1, 81))[1:]),
        ethernet(b"\x45" + ipv6(B6, A6, TCP, tcp(1, 81))[1:], protocol=0x86DD),
        bytes(12) + struct.pack(">HHH", 0x8100, 7, 0x8100),
        ethernet(ipv4(B4, A4, TCP, b"")[:19], (0x8100,)),
    ]

    assert [rig.arrives(each) for each in packets] == [True] * len(packets)
    assert rig.events()[Event.UNREADABLE] == len(packets)


def test_whoever_is_no_endpoint_is_asked_nothing(rig: Rig) -> None:
    """Neither the world nor a node, whatever they send to whom."""
    for packet in (
        frame(ROUTER[4], A4, TCP, tcp(1, 81)),
        frame("192.168.0.1", A4, TCP, tcp(1, 81)),
        frame(ROUTER[6], A6, UDP, bytes(3)),
    ):
        assert rig.leaves(packet)

    assert rig.events()[Event.NO_ENDPOINT] == 3
    assert not rig.connections()


def test_without_a_revision_everything_passes(policy_template: Template) -> None:
    """A slot of zeros decides nothing."""
    with loaded(policy_template) as rig:
        assert rig.arrives(frame(B4, A4, TCP, tcp(1, 81)))
        assert rig.leaves(frame(A6, B6, TCP, bytes(3)))
        assert rig.events()[Event.NO_ENDPOINT] == 2


def test_a_table_without_its_last_entry_lets_pass_and_says_so(rig: Rig) -> None:
    """It is no table that the compiler writes: an error of ours stops nobody's traffic."""
    rig.forget("policy_entries")

    assert rig.arrives(frame(B4, A4, TCP, tcp(1, 81)))
    assert rig.events()[Event.INTERNAL] == 1
