"""Connections as tables of packets: what passes is what belongs to something that was allowed."""

import struct
import time
from collections.abc import Iterator
from typing import Final

import pytest

from bench import policy_frames as packets
from bench.policy_frames import ACK, FIN, ICMP, ICMPV6, RST, SCTP, SYN, TCP, UDP
from bench.policy_rig import ALLOWED, CAPACITIES, DENIED, MONITOR, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.conntrack import Event, State
from netsre.model.policies.values import Direction
from tests.unit.policy.cluster import ENDPOINTS, address, cilium, kubernetes, read

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

OWN, PEER, FREE = "x/a", "x/b", "x/c"
"""Who is isolated, whom it knows, and who is isolated by nobody."""
ROUTER: Final = {4: "192.0.2.1", 6: "2001:db8::1"}
POLICIES: Final = read(
    kubernetes(
        "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress, Egress]\n"
        "ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}],"
        " ports: [{port: 80}, {protocol: UDP, port: 53}, {protocol: SCTP, port: 9}]}]\n"
        "egress: [{to: [{podSelector: {matchLabels: {pod: b}}}],"
        " ports: [{port: 443}, {protocol: UDP, port: 123}]}]",
        "ports",
    ),
    cilium(
        "endpointSelector: {matchLabels: {pod: a}}\n"
        "ingress: [{icmps: [{fields: [{type: 8}, {type: 128, family: IPv6}]}]}]",
        "echo",
    ),
)
HTTPS: Final = "\negress: [{ports: [{port: 443}]}]"
ON_80: Final = "\ningress: [{ports: [{port: 80}]}]"
FLAGS: Final = {"S": SYN, "A": ACK, "F": FIN, "R": RST}

TABLES: Final = {
    "a whole life: handshake, data, both closes": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        in  tcp 1000>80 A  pass
        out tcp 80>1000 A  pass
        out tcp 80>1000 FA pass
        in  tcp 1000>80 A  pass
        in  tcp 1000>80 FA pass
        out tcp 80>1000 A  pass
    """,
    "the other way round": """
        out tcp 1000>443 S  pass
        in  tcp 443>1000 SA pass
        out tcp 1000>443 A  pass
        in  tcp 443>1000 A  pass
    """,
    "what nobody allows has no answer either": """
        in  tcp 1000>81 S  drop
        out tcp 81>1000 SA drop
        out tcp 81>1000 RA drop
    """,
    "an answer without a question": """
        out tcp 80>1000 SA drop
        out tcp 80>1000 A  drop
        in  tcp 443>1000 A drop
    """,
    "other ports of the same two": """
        in  tcp 1000>80 S  pass
        out tcp 80>1001 SA drop
        out tcp 81>1000 SA drop
        out udp 80>1000    drop
    """,
    "an unanswered SYN is remembered for a minute": """
        in  tcp 1000>80 S  pass
        wait 59
        out tcp 80>1000 SA pass
    """,
    "and then forgotten": """
        in  tcp 1000>80 S  pass
        wait 61
        out tcp 80>1000 SA drop
    """,
    "a silent connection lives longer than keepalive": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        wait 7900
        out tcp 80>1000 A  pass
        wait 8001
        out tcp 80>1000 A  drop
    """,
    "half closed: two minutes": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        in  tcp 1000>80 FA pass
        wait 119
        out tcp 80>1000 A  pass
        wait 121
        out tcp 80>1000 A  drop
    """,
    "closed by both: ten seconds": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        in  tcp 1000>80 FA pass
        out tcp 80>1000 FA pass
        wait 9
        out tcp 80>1000 FA pass
        wait 11
        out tcp 80>1000 FA drop
    """,
    "broken off: ten seconds": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 RA pass
        wait 9
        out tcp 80>1000 RA pass
        wait 11
        out tcp 80>1000 RA drop
    """,
    "the ports of a closed connection are used again": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        in  tcp 1000>80 R  pass
        in  tcp 1000>80 S  pass
        out tcp 80>1000 SA pass
        wait 7900
        out tcp 80>1000 A  pass
    """,
    "not the other way round": """
        in  tcp 1000>80 S  pass
        out tcp 80>1000 RA pass
        out tcp 80>1000 S  drop
    """,
    "a connection that is older than the datapath": """
        in  tcp 1000>80 A  pass
        out tcp 80>1000 A  pass
        wait 7900
        out tcp 80>1000 A  pass
    """,
    "a reset opens nothing": """
        in  tcp 1000>80 R  pass
        out tcp 80>1000 A  drop
    """,
    "UDP, asked": """
        in  udp 1000>53    pass
        wait 29
        out udp 53>1000    pass
        wait 119
        out udp 53>1000    pass
        wait 121
        out udp 53>1000    drop
    """,
    "UDP, never answered": """
        in  udp 1000>53    pass
        wait 31
        out udp 53>1000    drop
    """,
    "UDP that is not allowed": """
        in  udp 1000>54    drop
        out udp 1000>53    drop
        out udp 123>123    pass
        in  udp 123>123    pass
    """,
    "SCTP": """
        in  sctp 1000>9    pass
        out sctp 9>1000    pass
        out sctp 9>1001    drop
    """,
    "an echo and its answer": """
        in  echo 7         pass
        out reply 7        pass
        out reply 8        drop
        wait 31
        out reply 7        drop
    """,
    "who was asked may not ask": """
        in  echo 7         pass
        out echo 7         drop
    """,
    "an answer to no echo": """
        out reply 7        drop
        in  reply 7        drop
    """,
}


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with the policies of the tables in force."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


def packet(way: Direction, words: list[str], version: int, peer: str = PEER) -> bytes:
    """Return the packet that a line of a table means, between the isolated endpoint and its peer."""
    ends = [address(peer, version), address(OWN, version)]
    source, destination = ends if way is Direction.INGRESS else reversed(ends)
    protocol, *rest = words
    echo = {4: (ICMP, 8, 0), 6: (ICMPV6, 128, 129)}[version]
    match protocol:
        case "echo" | "reply":
            body = packets.icmp(echo[1 if protocol == "echo" else 2], int(rest[0]))
            return packets.frame(source, destination, echo[0], body)
        case "tcp":
            flags = sum(FLAGS[letter] for letter in rest[1])
            return packets.frame(source, destination, TCP, packets.tcp(*_ports(rest[0]), flags))
        case "udp":
            return packets.frame(source, destination, UDP, packets.udp(*_ports(rest[0])))
        case _:
            return packets.frame(source, destination, SCTP, packets.sctp(*_ports(rest[0])))


def _ports(text: str) -> tuple[int, int]:
    source, destination = map(int, text.split(">"))
    return source, destination


@both_versions
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_packet_passes_if_its_connection_may(rig: Rig, table: str, version: int) -> None:
    """Line by line; who waits is older by so many seconds afterwards."""
    told = []
    for line in table.strip().splitlines():
        word, *words = line.split()
        if word == "wait":
            rig.age(float(words[0]))
            told.append(line.split())
            continue
        way = Direction.INGRESS if word == "in" else Direction.EGRESS
        passes = rig.passes(way, packet(way, words[:-1], version))
        told.append([word, *words[:-1], "pass" if passes else "drop"])

    assert told == [line.split() for line in table.strip().splitlines()]


@both_versions
def test_packets_of_both_ways_are_counted_on_their_connection(rig: Rig, version: int) -> None:
    """By who began it; a connection is counted once, a denied one with every try."""
    opening = packet(Direction.INGRESS, ["tcp", "1000>80", "S"], version)
    answer = packet(Direction.EGRESS, ["tcp", "80>1000", "SA"], version)
    for _ in range(3):
        rig.arrives(opening)
        rig.leaves(answer)
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>81", "S"], version))
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>81", "S"], version))
    found = {(key.verdict, key.direction): count for key, count in rig.counts().items()}

    assert found == {
        (ALLOWED, 0): (6, 3 * (len(opening) + len(answer)), 1),
        (DENIED, 0): (2, 2 * len(opening), 2),
    }


@both_versions
def test_a_connection_between_the_ports_of_one_that_is_over_is_another_one(rig: Rig, version: int) -> None:
    """It is counted as that, and nothing that was said in the one before is said in it."""
    opening = packet(Direction.INGRESS, ["tcp", "1000>80", "S"], version)
    rig.arrives(opening)
    rig.leaves(packet(Direction.EGRESS, ["tcp", "80>1000", "SA"], version))
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>80", "R"], version))
    question = packet(Direction.INGRESS, ["udp", "1000>53"], version)
    rig.arrives(question)
    rig.leaves(packet(Direction.EGRESS, ["udp", "53>1000"], version))
    rig.age(121)
    again = [rig.arrives(opening), rig.arrives(question)]

    assert again == [True, True]
    assert {(known.said_forward, known.said_back) for known in rig.connections().values()} == {
        (SYN, 0),
        (ACK, 0),
    }
    assert [count.connections for count in rig.counts().values()] == [4]


@both_versions
def test_a_connection_between_the_ports_of_one_that_is_over_is_asked_about(rig: Rig, version: int) -> None:
    """Of the revision in force by then, and in the mode of then; the other side is nobody who began it."""
    opening = packet(Direction.INGRESS, ["tcp", "1000>80", "S"], version)
    other_way = packet(Direction.EGRESS, ["tcp", "80>1000", "S"], version)
    write_slots(rig, "Ingress, Egress", ON_80, ON_80, "")

    def over(slot: int) -> bool:
        rig.switch(slot)
        rig.age(8001)
        return rig.arrives(opening)

    allowed = [over(1), over(1), over(2)]
    [kept] = rig.connections().values()
    rig.age(8001)
    from_elsewhere = rig.leaves(other_way)
    denied = [over(3)]
    rig.mode(MONITOR)
    denied.append(not over(3))
    rig.mode(0)
    denied.append(over(3))

    assert (allowed, kept.revision) == ([True] * 3, 3)
    assert (from_elsewhere, denied) == (False, [False] * 3)


def test_a_timeout_that_is_written_holds_for_connections_that_are_there(rig: Rig) -> None:
    """At once, in both directions."""
    answer = packet(Direction.EGRESS, ["udp", "53>1000"], 4)
    rig.arrives(packet(Direction.INGRESS, ["udp", "1000>53"], 4))
    rig.age(10)
    rig.timeout(State.UDP_ASKED, 5 * 10**9)
    short = rig.leaves(answer)
    rig.timeout(State.UDP_ASKED, 30 * 10**9)

    assert (short, rig.leaves(answer)) == (False, True)


@both_versions
def test_another_revision_asks_who_began_it_again(rig: Rig, version: int) -> None:
    """What it allows goes on, what it denies is cut; answers follow until then, and not afterwards."""
    question = packet(Direction.INGRESS, ["tcp", "1000>80", "A"], version)
    answer = packet(Direction.EGRESS, ["tcp", "80>1000", "A"], version)
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>80", "S"], version))
    rig.leaves(answer)
    rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 2, slot=1)
    rig.switch(1)
    same = (rig.leaves(answer), rig.arrives(question), rig.leaves(answer))
    [kept] = rig.connections().values()
    denying = read(kubernetes("podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress, Egress]"))
    rig.write(resolve.resolve(denying, ENDPOINTS, {}), ENDPOINTS, 3, slot=2)
    rig.switch(2)

    assert same == (True, True, True)
    assert kept.revision == 2
    assert (rig.leaves(answer), rig.arrives(question), rig.leaves(answer)) == (True, False, False)
    [cut] = rig.connections().values()
    assert cut.verdict == DENIED


def write_slots(rig: Rig, types: str, *rules: str) -> None:
    """Write a revision for each of these rules of the endpoint, from slot 1 on."""
    for slot, each in enumerate(rules, 1):
        text = f"podSelector: {{matchLabels: {{pod: a}}}}\npolicyTypes: [{types}]{each}"
        resolved = resolve.resolve(read(kubernetes(text)), ENDPOINTS, {})
        rig.write(resolved, ENDPOINTS, slot + 1, slot=slot)


@both_versions
def test_what_was_cut_is_not_begun_again_by_the_other_side(rig: Rig, version: int) -> None:
    """Who may send to the endpoint goes on sending; that is no connection in which it may answer."""
    question = packet(Direction.EGRESS, ["tcp", "1000>443", "A"], version)
    answer = packet(Direction.INGRESS, ["tcp", "443>1000", "A"], version)
    write_slots(rig, "Egress", HTTPS, "", HTTPS)
    rig.switch(1)
    begun = [rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "S"], version)), rig.arrives(answer)]
    rig.switch(2)
    cut = [rig.leaves(question), rig.arrives(answer), rig.leaves(question), rig.arrives(answer)]
    rig.mode(MONITOR)
    watched = [rig.arrives(answer), rig.leaves(question)]
    rig.mode(0)
    again = [rig.leaves(question), rig.arrives(answer)]
    rig.switch(3)
    allowed = [rig.leaves(question), rig.arrives(answer), rig.leaves(question)]

    assert begun == [True, True]
    assert cut == [False] * 4
    assert watched == [True, True]
    assert allowed == [True] * 3
    assert again == [False, False]


@both_versions
def test_what_was_cut_goes_on_after_the_way_back_whoever_speaks_next(rig: Rig, version: int) -> None:
    """Who waits for an answer says nothing himself; the revision of now is asked, for who began it."""
    question = packet(Direction.EGRESS, ["tcp", "1000>443", "A"], version)
    answer = packet(Direction.INGRESS, ["tcp", "443>1000", "A"], version)
    write_slots(rig, "Egress, Ingress", HTTPS, "", "")
    rig.switch(1)
    assert rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "S"], version))
    rig.switch(2)
    cut = rig.leaves(question), rig.arrives(answer)
    rig.switch(3)
    still = rig.arrives(answer)
    rig.switch(1)

    assert (cut, still) == ((False, False), False)
    assert [rig.arrives(answer), rig.leaves(question), rig.arrives(answer)] == [True] * 3


@both_versions
def test_an_order_that_ends_gives_back_nothing_that_was_cut(rig: Rig, version: int) -> None:
    """What policies have cut before stays cut when they decide again."""
    question = packet(Direction.EGRESS, ["tcp", "1000>443", "A"], version)
    answer = packet(Direction.INGRESS, ["tcp", "443>1000", "A"], version)
    write_slots(rig, "Egress", HTTPS, "")
    rig.switch(1)
    assert rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "S"], version))
    rig.switch(2)
    cut = rig.leaves(question)
    rig.deny(f"{address(PEER, version)}/{32 if version == 4 else 128}")
    denied = rig.arrives(answer), rig.leaves(question)
    rig.deny(f"{address(PEER, version)}/{32 if version == 4 else 128}", until_ns=1)

    assert (cut, denied) == (False, (False, False))
    assert [rig.arrives(answer), rig.leaves(question), rig.arrives(answer)] == [False] * 3


@both_versions
def test_the_ports_of_what_was_cut_serve_a_connection_of_the_other_side(rig: Rig, version: int) -> None:
    """It begins with a SYN of its own, and is asked about like any other."""
    write_slots(rig, "Egress", HTTPS, "")
    rig.switch(1)
    assert rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "S"], version))
    rig.switch(2)
    assert not rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "A"], version))

    assert rig.arrives(packet(Direction.INGRESS, ["tcp", "443>1000", "S"], version))
    assert rig.leaves(packet(Direction.EGRESS, ["tcp", "1000>443", "SA"], version))


def test_another_revision_forgets_nothing_that_was_said(rig: Rig) -> None:
    """A connection that is half closed stays so."""
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>80", "S"], 4))
    rig.leaves(packet(Direction.EGRESS, ["tcp", "80>1000", "SA"], 4))
    rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>80", "FA"], 4))
    rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 2, slot=1)
    rig.switch(1)
    assert rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>80", "A"], 4))
    rig.age(121)

    assert not rig.leaves(packet(Direction.EGRESS, ["tcp", "80>1000", "A"], 4))


@both_versions
def test_a_full_table_stops_nothing_that_is_allowed(policy_template: Template, version: int) -> None:
    """Neither a connection that begins nor its answers, and all that is counted; what is denied stays so."""
    with loaded(policy_template, {**CAPACITIES, programs.CONNECTIONS: 4}) as rig:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        passed = []
        for port in range(1000, 1100):
            passed += [
                rig.arrives(packet(Direction.INGRESS, ["tcp", f"{port}>80", "S"], version)),
                rig.leaves(packet(Direction.EGRESS, ["tcp", f"80>{port}", "SA"], version)),
                rig.arrives(packet(Direction.INGRESS, ["echo", str(port)], version)),
                rig.leaves(packet(Direction.EGRESS, ["reply", str(port)], version)),
                rig.leaves(packet(Direction.EGRESS, ["udp", f"{port}>123"], version)),
                rig.arrives(packet(Direction.INGRESS, ["udp", f"123>{port}"], version)),
            ]
        kept, events = len(rig.connections()), rig.events()
        counted = rig.counts()
        denied = [
            rig.arrives(packet(Direction.INGRESS, ["tcp", "1000>81", "S"], version)),
            rig.leaves(packet(Direction.EGRESS, ["tcp", "81>1000", "SA"], version)),
            rig.leaves(packet(Direction.EGRESS, ["tcp", "80>999", "S"], version)),
            rig.leaves(packet(Direction.EGRESS, ["echo", "999"], version)),
            rig.leaves(packet(Direction.EGRESS, ["udp", "54>999"], version)),
        ]

    assert passed == [True] * 600
    assert 4 <= kept < 100
    assert events[Event.CONNECTIONS_FULL] == 2 * (300 - kept)
    assert {key.verdict for key in counted} == {ALLOWED}
    assert sum(count.packets for count in counted.values()) == 600
    assert denied == [False] * 5


def test_answers_need_a_connection_again_a_minute_after_the_table_was_full(policy_template: Template) -> None:
    """A filter without memory is for an emergency."""
    with loaded(policy_template, {**CAPACITIES, programs.CONNECTIONS: 4}) as rig:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        answer = packet(Direction.EGRESS, ["tcp", "80>999", "SA"], 4)
        before = rig.leaves(answer)
        for port in range(1000, 1100):
            rig.arrives(packet(Direction.INGRESS, ["tcp", f"{port}>80", "S"], 4))
        meanwhile = rig.leaves(answer)
        rig.map(programs.FULL).put(bytes(4), struct.pack("<Q", time.monotonic_ns() - 61 * 10**9))

        assert (before, meanwhile, rig.leaves(answer)) == (False, True, False)


def test_full_counters_change_no_verdict(policy_template: Template) -> None:
    """What is not counted by rule is counted as that."""
    with loaded(policy_template, {**CAPACITIES, programs.ROWS: 1}) as rig:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        passed = [
            rig.arrives(packet(Direction.INGRESS, ["tcp", f"1000>{port}", "S"], 4, peer))
            for port in (80, 81)
            for peer in (PEER, FREE, OWN, "y/a", "y/b", "y/c", "z/a", "z/b", "z/c")
        ]
        counted = sum(count.packets for count in rig.counts().values())

        assert passed.count(True) == 3
        assert rig.events()[Event.COUNTS_FULL] == len(passed) - counted > 0


@both_versions
def test_an_endpoint_reaches_itself(rig: Rig, version: int) -> None:
    """At every port, whatever isolates it, and its answer comes back."""
    own = address(OWN, version)
    question = packets.frame(own, own, TCP, packets.tcp(1000, 81))
    answer = packets.frame(own, own, TCP, packets.tcp(81, 1000, SYN | ACK))

    assert [rig.leaves(question), rig.arrives(question), rig.leaves(answer), rig.arrives(answer)] == [
        True
    ] * 4


@both_versions
def test_two_endpoints_of_one_node_each_have_their_own_entry(rig: Rig, version: int) -> None:
    """A packet between them is asked about twice, and its answer follows both."""
    answer = packet(Direction.EGRESS, ["tcp", "80>1000", "SA"], version)
    question = packet(Direction.INGRESS, ["tcp", "1000>80", "S"], version)
    only_out = rig.leaves(question), rig.leaves(answer)
    passed = [rig.arrives(question), rig.leaves(answer), rig.arrives(answer)]

    assert only_out == (True, False)
    assert passed == [True, True, True]
    assert sorted(known.direction for known in rig.connections().values()) == [0, 1]


@both_versions
def test_what_passes_for_want_of_enforcement_ends_with_it(rig: Rig, version: int) -> None:
    """A connection that was begun while it was only watched is cut when the mode is enforce again."""
    question = packet(Direction.INGRESS, ["tcp", "1000>81", "A"], version)
    answer = packet(Direction.EGRESS, ["tcp", "81>1000", "A"], version)
    rig.mode(MONITOR)
    watched = [rig.arrives(question), rig.leaves(answer), rig.arrives(question)]
    rig.mode(0)

    assert watched == [True] * 3
    assert [rig.arrives(question), rig.leaves(answer)] == [False, False]
