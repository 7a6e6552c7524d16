"""A link between two namespaces of the test, and packets over it that are counted where they arrive."""

import contextlib
import itertools
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from netsre.adapters import namespaces, processes
from netsre.adapters.namespaces import Address, End
from tests.kernel import backlog

COUNT: Final = 97
"""A prime number of packets: whatever counts in pairs or batches cannot arrive at it by chance."""
SOURCE: Final = {4: "10.9.0.1", 6: "fd09::1"}
OTHER_SOURCE: Final = {4: "10.9.0.3", 6: "fd09::3"}
TARGET: Final = {4: "10.9.0.2", 6: "fd09::2"}
PORT: Final = 5353
INTERFACE: Final = "entry"
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_PREFIX: Final = {4: 24, 6: 64}
_MAC: Final = {"exit": "02:00:00:00:09:01", INTERFACE: "02:00:00:00:09:02"}
_RULES: Final = f"""
table inet netsre-test {{
  counter arrived {{ }}
  chain input {{
    type filter hook input priority 0;
    udp dport {PORT} counter name arrived
  }}
}}
table netdev netsre-test {{
  counter arrived {{ }}
  chain frames {{
    type filter hook ingress device {INTERFACE} priority 0;
    ether saddr 00:00:00:00:00:00 counter name arrived
  }}
}}
"""
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Link:
    """Packets leave the namespace `sender` and come into `receiver` through `INTERFACE`."""

    sender: str
    receiver: str

    def connect(self) -> None:
        """Make the link, which is not there; neighbours need no asking."""
        versions = (4, 6)
        out = [Address(each[v], _PREFIX[v]) for v in versions for each in (SOURCE, OTHER_SOURCE)]
        into = [Address(TARGET[v], _PREFIX[v]) for v in versions]
        ends = End(self.sender, "exit", tuple(out)), End(self.receiver, INTERFACE, tuple(into))
        namespaces.connect(*ends)
        _introduce(self, *ends)

    def run(self, namespace: str, *command: str, text: str = "") -> str:
        """Run a program inside and return what it printed."""
        done = namespaces.run(namespace, command, text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def arrived(self, table: str = "inet") -> int:
        """Return how many packets the receiver's firewall has counted; `netdev` counts whole frames."""
        listed = self.run(self.receiver, "nft", "list", "counter", table, "netsre-test", "arrived")
        return int(listed.split("packets ")[1].split()[0])

    def send(self, source: str, target: str, count: int = COUNT) -> int:
        """Send packets one after the other; return how many arrived."""
        before = self.arrived()
        version = 6 if ":" in source else 4

        def work() -> None:
            with socket.socket(_FAMILY[version], socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                for _ in range(count):
                    sender.sendto(b"x" * 32, (target, PORT))
            backlog.drain()

        namespaces.inside(self.sender, work)
        return self.arrived() - before

    def send_frames(self, frame: bytes, count: int = COUNT) -> int:
        """Send frames from the hardware address 0; return how many arrived behind every hook of ours."""
        before = self.arrived("netdev")

        def work() -> None:
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
                sender.bind(("exit", 0))
                for _ in range(count):
                    sender.send(frame)
            backlog.drain()

        namespaces.inside(self.sender, work)
        return self.arrived("netdev") - before

    def passes(self, version: int = 4) -> bool:
        """Say whether the source's packets arrive, all of them."""
        return self.send(SOURCE[version], TARGET[version], 5) == 5


@contextlib.contextmanager
def link() -> Iterator[Link]:
    """Make the two namespaces and the link, and remove them again."""
    owner, number = processes.this_process(), next(_numbers)
    made = Link(*(owner.name("test", f"{end}-{number}") for end in ("from", "to")))
    try:
        for namespace in (made.sender, made.receiver):
            namespaces.create(namespace)
        made.connect()
        made.run(made.receiver, "nft", "-f", "-", text=_RULES)
        yield made
    finally:
        for namespace in (made.sender, made.receiver):
            namespaces.remove(namespace)


def _introduce(made: Link, *ends: End) -> None:
    """Fix hardware addresses: a blocked source could not answer to IPv6's question for its own."""
    for end, other in (ends, ends[::-1]):
        made.run(end.namespace, "ip", "link", "set", end.link, "address", _MAC[end.link])
        for address in other.addresses:
            neighbour = (address.text, "lladdr", _MAC[other.link], "dev", end.link, "nud", "permanent")
            made.run(end.namespace, "ip", "neigh", "replace", *neighbour)


def soon(seconds: float) -> int:
    """Return a deadline so many seconds from now, as blocks take it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + int(seconds * 1e9)
