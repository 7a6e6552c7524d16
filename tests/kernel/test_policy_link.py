"""The policy programs on a real link: what a firewall counts behind them is what they count."""

import contextlib
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from bench.policy_rig import ALLOWED, DENIED, PROGRAMS, Rig, loaded
from netsre.adapters import namespaces
from netsre.adapters.bpf import programs
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import resolve
from netsre.datapath.policy.conntrack import Event
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Direction
from tests.kernel import backlog, netstat
from tests.kernel.block_link import INTERFACE, SOURCE, TARGET, Link, link
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

COUNT: Final = 23
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_ECHO: Final = {4: (socket.IPPROTO_ICMP, 8), 6: (socket.IPPROTO_ICMPV6, 128)}
_HOOKS: Final = {Direction.EGRESS: 46, Direction.INGRESS: 47}
"""What an endpoint sends comes in at the node's end of its link, and what it gets goes out there."""
ENDPOINTS: Final = endpoints.parse(
    {
        "endpoints.yaml": f"""
- {{name: own, namespace: x, labels: {{pod: a}}, ips: [{SOURCE[4]}, '{SOURCE[6]}']}}
- {{name: peer, namespace: x, labels: {{pod: b}}, ips: [{TARGET[4]}, '{TARGET[6]}']}}
"""
    }
)
POLICIES: Final = files.parse(
    {
        "policies.yaml": """
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: x}
spec:
  endpointSelector: {matchLabels: {pod: a}}
  ingress:
    - fromEndpoints: [{matchLabels: {pod: b}}]
      toPorts: [{ports: [{port: '80', protocol: TCP}]}]
    - icmps: [{fields: [{type: 8}, {type: 128, family: IPv6}]}]
  egress:
    - toEndpoints: [{matchLabels: {pod: b}}]
      toPorts: [{ports: [{port: '53', protocol: UDP}]}]
"""
    }
)


@pytest.fixture
def path(policy_template: Template) -> Iterator[tuple[Link, Rig]]:
    """Make a link whose sender is an endpoint, with the programs at the other end of it."""
    with link() as made, loaded(policy_template) as rig, contextlib.ExitStack() as attached:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        for namespace, interface in ((made.sender, "exit"), (made.receiver, INTERFACE)):
            made.run(namespace, "nft", "-f", "-", text=_counting(interface))
        for way, hook in _HOOKS.items():
            attached.callback(os.close, _attach(made, rig.datapath.programs[PROGRAMS[way]].fd, hook))
        yield made, rig


def _counting(interface: str) -> str:
    """Return rules that count whole frames between the two, behind every program."""
    addresses = ", ".join((SOURCE[4], TARGET[4])), ", ".join((SOURCE[6], TARGET[6]))
    return f"""
table netdev netsre-policy {{
  counter passed {{ }}
  chain frames {{
    type filter hook ingress device {interface} priority 0;
    icmpv6 type 133-137 accept
    ip saddr {{ {addresses[0]} }} counter name passed
    ip6 saddr {{ {addresses[1]} }} counter name passed
  }}
}}
"""


def _attach(made: Link, program: int, hook: int) -> int:
    def attach() -> int:
        return programs.attach_interface(program, socket.if_nametoindex(INTERFACE), hook, 0)

    return namespaces.inside(made.receiver, attach)


def passed(made: Link) -> int:
    """Return how many frames both ends have got."""
    total = 0
    for namespace in (made.sender, made.receiver):
        listed = made.run(namespace, "nft", "list", "counter", "netdev", "netsre-policy", "passed")
        total += int(listed.split("packets ")[1].split()[0])
    return total


def by_verdict(rig: Rig) -> Counter[int]:
    """Return how many packets were counted with each verdict."""
    found = Counter[int]()
    for key, count in rig.counts().items():
        found[key.verdict] += count.packets
    return found


def tcp_served(made: Link, version: int, port: int, seconds: float) -> list[bool]:
    """Have the peer connect to the endpoint twice, each time for so long; return what it was answered."""
    server = namespaces.inside(
        made.sender, lambda: socket.create_server((SOURCE[version], port), family=_FAMILY[version])
    )

    def ask() -> bool:
        with socket.socket(_FAMILY[version]) as client:
            client.settimeout(seconds)
            try:
                client.connect((SOURCE[version], port))
            except TimeoutError:
                return False
            with server.accept()[0] as answering:
                client.sendall(b"question")
                answering.sendall(answering.recv(100))
                return client.recv(100) == b"question"

    with server:
        server.settimeout(PATIENCE)
        return [namespaces.inside(made.receiver, ask) for _ in range(2)]


@contextlib.contextmanager
def receiving(made: Link, version: int, port: int) -> Iterator[socket.socket]:
    """Listen for datagrams at the peer."""

    def listen() -> socket.socket:
        made_socket = socket.socket(_FAMILY[version], socket.SOCK_DGRAM)
        made_socket.bind((TARGET[version], port))
        made_socket.setblocking(False)
        return made_socket

    with namespaces.inside(made.receiver, listen) as server:
        yield server


def sent(made: Link, version: int, port: int, size: int, count: int = COUNT) -> None:
    """Have the endpoint send datagrams to its peer."""

    def send() -> None:
        with socket.socket(_FAMILY[version], socket.SOCK_DGRAM) as client:
            client.bind((SOURCE[version], 0))
            for _ in range(count):
                client.sendto(bytes(size), (TARGET[version], port))
        backlog.drain()

    namespaces.inside(made.sender, send)


def got(server: socket.socket) -> int:
    """Return how many datagrams have arrived."""
    found = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            server.recv(65_535)
            found += 1
    return found


def pinged(version: int, namespace: str, source: str, target: str) -> bool:
    """Say whether an echo from a namespace is answered."""
    protocol, kind = _ECHO[version]
    answer = 129 if version == 6 else 0

    def ping() -> bool:
        message = bytearray(struct.pack(">BBHHH", kind, 0, 0, 4711, 1) + b"netsre")
        if version == 4:
            total = sum(struct.unpack(f">{len(message) // 2}H", message))
            total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into(">H", message, 2, ~total & 0xFFFF)
        with socket.socket(_FAMILY[version], socket.SOCK_RAW, protocol) as raw:
            raw.setblocking(False)
            raw.bind((source, 0))
            raw.sendto(message, (target, 0))
            backlog.drain()
            with contextlib.suppress(BlockingIOError):
                while True:
                    said = raw.recv(2000)[20 if version == 4 else 0 :]
                    if said[0] == answer and said.endswith(b"netsre"):
                        return True
        return False

    return namespaces.inside(namespace, ping)


def settled(made: Link, rig: Rig, denied: int) -> bool:
    """Say whether the programs come to count what the firewalls of both ends count, and so many drops."""
    return wait_until(lambda: by_verdict(rig) == Counter({ALLOWED: passed(made), DENIED: denied}))


@both_versions
def test_tcp_to_an_allowed_port_is_served_and_to_another_is_not(path: tuple[Link, Rig], version: int) -> None:
    """With handshake, data and end; of the denied attempts nothing but the SYN is ever sent."""
    made, rig = path

    assert tcp_served(made, version, 80, PATIENCE) == [True, True]
    before = netstat.counters(made.receiver)["TcpExt.TCPSynRetrans"]
    assert tcp_served(made, version, 81, 0.5) == [False, False]
    # A second after it the kernel sends a SYN again: who waits for half of one may be woken late.
    again = netstat.counters(made.receiver)["TcpExt.TCPSynRetrans"] - before
    assert settled(made, rig, 2 + again), (by_verdict(rig), passed(made))


@both_versions
@pytest.mark.parametrize("size", [32, 4000], ids=["whole", "in pieces"])
def test_datagrams_leave_to_an_allowed_port_alone(path: tuple[Link, Rig], version: int, size: int) -> None:
    """Each piece is a packet that passes, or is dropped, with the first of them."""
    made, rig = path
    with receiving(made, version, 53) as allowed, receiving(made, version, 54) as denied:
        sent(made, version, 53, size)
        sent(made, version, 54, size)

        assert (got(allowed), got(denied)) == (COUNT, 0)
    pieces = -(-size // 1400)
    assert settled(made, rig, COUNT * pieces), (by_verdict(rig), passed(made))


@both_versions
def test_who_sends_to_a_closed_port_is_told(path: tuple[Link, Rig], version: int) -> None:
    """The error is about a datagram that was allowed; no policy mentions it."""
    made, rig = path

    def send() -> None:
        with socket.socket(_FAMILY[version], socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.bind((SOURCE[version], 0))
            client.connect((TARGET[version], 53))
            client.send(b"x")
            client.recv(100)

    with pytest.raises(ConnectionRefusedError):
        namespaces.inside(made.sender, send)
    assert settled(made, rig, 0), (by_verdict(rig), passed(made))


@both_versions
def test_an_endpoint_answers_pings_and_may_not_ping(path: tuple[Link, Rig], version: int) -> None:
    """Though the numbers of both are the same."""
    made, rig = path

    assert pinged(version, made.receiver, TARGET[version], SOURCE[version])
    assert not pinged(version, made.sender, SOURCE[version], TARGET[version])
    assert pinged(version, made.receiver, TARGET[version], SOURCE[version])
    assert settled(made, rig, 1), (by_verdict(rig), passed(made))
    assert rig.events()[Event.INTERNAL] == 0
