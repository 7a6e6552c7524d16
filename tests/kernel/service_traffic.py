"""Connections to services and to others, in a namespace of the test, and a second witness who counts them.

Each kind of connection ends at a port of its own, where nftables counts a packet for each: a SYN, a datagram.
"""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from netsre.adapters import namespaces
from netsre.datapath.services import Service
from tests.kernel import attempts, firewall
from tests.kernel.attempts import Place

TCP, UDP = 6, 17
SERVICE_PORT: Final = 8053
BALANCED: Final = {4: ip_address("198.18.70.1"), 6: ip_address("2001:db8:70::1")}
"""What the test's own balancer turns to a backend."""
TRANSLATED: Final = {4: ip_address("198.18.70.2"), 6: ip_address("2001:db8:70::2")}
"""What nftables does."""
REFUSED: Final = {4: ip_address("198.18.70.3"), 6: ip_address("2001:db8:70::3")}
PLAIN: Final = {4: ip_address("198.18.70.4"), 6: ip_address("2001:db8:70::4")}
"""No service: itself the end."""
LOOPBACK: Final = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}
PORTS: Final = {"balanced": 9201, "translated": 9202, "plain": 9203}
"""Where each kind ends."""

_CLIENT: Final = """
import json, random, socket, sys
targets, count = json.loads(sys.argv[1]), int(sys.argv[2])
jobs = [target for target in targets for _ in range(count)]
random.Random(int(sys.argv[3])).shuffle(jobs)
for family, kind, address, port, fails in jobs:
    with socket.socket(family, kind) as client:
        client.settimeout(20)
        try:
            client.connect((address, port))
        except OSError as error:
            assert fails and isinstance(error, PermissionError), (address, port, error)
            continue
        assert not fails, (address, port)
        if kind == socket.SOCK_DGRAM:
            client.send(b"x")
        else:
            client.recv(1)
"""


class Target(NamedTuple):
    """Where a client connects to, as its script reads it."""

    family: int
    kind: int
    address: str
    port: int
    fails: bool = False


def target(address: IPv4Address | IPv6Address, port: int, protocol: int, *, fails: bool = False) -> Target:
    """Return how to connect there."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
    return Target(int(family), int(kind), str(address), port, fails)


def mapped(of: Target) -> Target:
    """Return the same through a socket of IPv6."""
    return of._replace(family=int(socket.AF_INET6), address=f"::ffff:{of.address}")


def everywhere(addresses: dict[int, IPv4Address | IPv6Address], port: int) -> list[Service]:
    """Return the services at this port of both addresses, of both protocols."""
    return [Service(address, port, protocol) for address in addresses.values() for protocol in (TCP, UDP)]


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with the addresses of the services, and a server for what becomes of them."""

    place: Place

    def connect(
        self, targets: list[Target], count: int, processes: int, cgroup: pathlib.Path | None = None
    ) -> None:
        """Connect so often to each of these from each of some processes, in an order of its own each."""
        command = [sys.executable, "-c", _CLIENT, json.dumps(targets), str(count)]
        enter = ["sh", "-c", f'echo $$ > "{cgroup}/cgroup.procs"; exec "$@"', "sh"] if cgroup else []
        done: list[subprocess.CompletedProcess[str]] = []

        def run(number: int) -> None:
            words = [*enter, *command, str(number)]
            self.place.run(
                lambda: done.append(subprocess.run(words, capture_output=True, text=True, check=False))
            )

        threads = [threading.Thread(target=run, args=(number,)) for number in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.stderr for one in done if one.returncode] == []
        assert len(done) == processes

    def seen(self) -> dict[str, int]:
        """Return what nftables has seen come to each end: kind, family and protocol, as in `tcp4_plain`."""
        return firewall.packets(self.place.name)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """Make it, and take it away again."""
    with attempts.place() as place, contextlib.ExitStack() as stack:
        for address in (*BALANCED.values(), *TRANSLATED.values(), *REFUSED.values(), *PLAIN.values()):
            add = ["ip", "address", "add", f"{address}/{address.max_prefixlen}", "dev", "lo"]
            namespaces.run(
                place.name, [*add, *(["nodad"] if address.version == 6 else [])]
            ).check_returncode()
        firewall.load(place.name, _rules())
        for port in PORTS.values():
            for family in (socket.AF_INET, socket.AF_INET6):
                stack.enter_context(_served(place, family, port))
        yield Site(place)


def _rules() -> str:
    counters, counting = [], []
    for kind, port in PORTS.items():
        for version in (4, 6):
            names, of = (
                [f"{protocol}{version}_{kind}" for protocol in ("tcp", "udp")],
                f"meta nfproto ipv{version}",
            )
            counters += [f"counter {name} {{}}" for name in names]
            counting += [
                f"{of} tcp dport {port} tcp flags & (syn|ack) == syn counter name {names[0]}",
                f"{of} udp dport {port} counter name {names[1]}",
            ]
    to = f"dport {SERVICE_PORT} dnat"
    translating = [
        f"{header} daddr {TRANSLATED[version]} {protocol} {to} {header} to {loopback}:{PORTS['translated']}"
        for version, header, loopback in ((4, "ip", "127.0.0.1"), (6, "ip6", "[::1]"))
        for protocol in ("tcp", "udp")
    ]
    return "\n".join(
        [
            *counters,
            "chain translate { type nat hook output priority -100;",
            *translating,
            "}",
            "chain count { type filter hook output priority 10;",
            *counting,
            "}",
        ]
    )


@contextlib.contextmanager
def _served(place: Place, family: socket.AddressFamily, port: int) -> Iterator[None]:
    """Answer at a port of every address: to a connection by its end, to a datagram not at all."""
    anywhere = "" if family == socket.AF_INET else "::"
    made: list[socket.socket] = []

    def listen() -> None:
        made.append(socket.create_server((anywhere, port), family=family, backlog=4096))
        made.append(socket.socket(family, socket.SOCK_DGRAM))
        if family == socket.AF_INET6:
            made[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made[1].bind((anywhere, port))

    place.run(listen)
    server, datagrams = made
    answering = threading.Thread(target=_answer, args=(server,), daemon=True)
    answering.start()
    try:
        yield
    finally:
        server.shutdown(socket.SHUT_RDWR)
        answering.join()
        server.close()
        datagrams.close()


def _answer(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
