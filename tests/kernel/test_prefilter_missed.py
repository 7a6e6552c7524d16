"""What the prefilter drops while a socket of the node waits for it: by rule, and of nobody else's packets."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Final

import pytest

from bench.packet_cost import run
from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf.prefilter import Prefilter, Size
from netsre.datapath.prefilter import Action, Rule
from tests.kernel import backlog
from tests.kernel.block_link import INTERFACE, OTHER_SOURCE, SOURCE, TARGET
from tests.kernel.filtered_node import Node, filtered_node
from tests.kernel.test_prefilter_packets import network
from tests.kernel.test_prefilter_sensor import AROUND, agent_on, value
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_PORT: Final = 4433
_FLOOD: Final = 1_000_000


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose receiver is the node, with its prefilter on it."""
    with filtered_node() as made:
        made.run("attach", INTERFACE)
        yield made


def bound(namespace: str, version: int, address: str = "", port: int = 0) -> socket.socket:
    """Return a TCP socket of a namespace."""
    made = namespaces.inside(namespace, lambda: socket.socket(_FAMILY[version], socket.SOCK_STREAM))
    made.settimeout(PATIENCE)
    made.bind((address, port))
    return made


@contextlib.contextmanager
def connected(node: Node, version: int) -> Iterator[socket.socket]:
    """Have the source connect to the node; yield its end."""
    with (
        bound(node.link.receiver, version, TARGET[version], _PORT) as server,
        bound(node.link.sender, version, SOURCE[version]) as client,
    ):
        server.listen()
        client.connect((TARGET[version], _PORT))
        accepted, _ = server.accept()
        with accepted:
            yield client


@contextlib.contextmanager
def asking(node: Node, version: int) -> Iterator[None]:
    """Have the node ask the source for a connection, whose answer, each one, is sent for nothing."""
    with (
        bound(node.link.sender, version, SOURCE[version], _PORT) as server,
        bound(node.link.receiver, version) as client,
    ):
        server.listen()
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((SOURCE[version], _PORT))
        yield


def counted(node: Node, network: str) -> tuple[int, int]:
    """Return what a rule has dropped, and what of it somebody waited for."""
    backlog.drain()
    rule = node.rules()[network]
    return rule["dropped"]["packets"], rule["missed"]["packets"]


@both_versions
def test_segments_of_a_connection_that_the_node_has_are_missed(node: Node, version: int) -> None:
    """Each one: what is dropped of the source is all of that connection."""
    with connected(node, version) as client:
        node.run("add", AROUND[version], "--drop")
        client.send(b"x")
        assert wait_until(lambda: counted(node, AROUND[version])[1] >= 2)
        dropped, missed = counted(node, AROUND[version])

    # A segment that is sent again between the two is in the first alone, or in both.
    assert 2 <= missed <= dropped <= missed + 1


@both_versions
def test_the_answer_to_what_the_node_asks_for_is_missed(node: Node, version: int) -> None:
    """A rule against somebody whom the node itself calls."""
    node.run("add", AROUND[version], "--drop")
    with asking(node, version):
        assert wait_until(lambda: counted(node, AROUND[version])[1] >= 1)


@both_versions
def test_what_nobody_waits_for_is_dropped_and_missed_by_nobody(node: Node, version: int) -> None:
    """Datagrams, and attempts at a port where somebody listens, beside a connection of another address."""
    with (
        connected(node, version),
        bound(node.link.sender, version, OTHER_SOURCE[version]) as stranger,
    ):
        node.run("add", OTHER_SOURCE[version], "--drop")
        node.link.send(OTHER_SOURCE[version], TARGET[version], 9)
        stranger.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            stranger.connect((TARGET[version], _PORT))
        name = f"{OTHER_SOURCE[version]}/{32 if version == 4 else 128}"
        assert wait_until(lambda: counted(node, name)[0] >= 10)

        assert counted(node, name)[1] == 0


def test_the_agent_tells_it_by_rule(node: Node) -> None:
    """From 0 on, with no privilege but its three."""
    node.run("add", AROUND[4], "--drop")
    node.run("mode", "monitor")
    with agent_on(node) as agent, connected(node, 4) as client:
        assert value(agent, c.PREFILTER_MISSED, rule=AROUND[4]) == 0
        node.run("mode", "enforce")
        client.send(b"x")
        assert wait_until(lambda: (value(agent, c.PREFILTER_MISSED, rule=AROUND[4]) or 0) >= 2)


def test_a_flood_of_segments_that_are_missed_is_not_asked_about_one_by_one(
    node: Node, prefilter_instructions: bytes
) -> None:
    """A few in each tick of the kernel are; all of them are dropped."""
    made = Prefilter.load(prefilter_instructions, Size(12, 64))
    try:
        made.put(Rule(network("10.9.0.0/24"), Action.DROP))
        with connected(node, 4) as client:
            packet = segment(SOURCE[4], client.getsockname()[1], TARGET[4], _PORT)
            namespaces.inside(node.link.receiver, lambda: run(made.program.fd, packet, _FLOOD))
        [counts] = made.rules().values()
    finally:
        made.close()

    assert counts.dropped.packets == _FLOOD
    assert 0 < counts.missed.packets < _FLOOD // 4


def segment(source: str, source_port: int, target: str, port: int) -> bytes:
    """Return an Ethernet frame with the beginning of a TCP segment in IPv4."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack(">BBHIBBH", 0x45, 0, 60, 0, 64, socket.IPPROTO_TCP, 0) + ends
    return bytes(12) + b"\x08\x00" + header + struct.pack(">HH", source_port, port) + bytes(36)
