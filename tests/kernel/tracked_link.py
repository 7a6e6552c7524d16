"""A link between two namespaces of a test: a client with several addresses, a server that tracks."""

import contextlib
import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from netsre.adapters import conntrack, namespaces, processes
from netsre.adapters.conntrack import Count
from netsre.adapters.namespaces import Address, End

IPV4 = "198.18.91.1"
IPV6 = "fd4e:7372:655b::1"
CLIENTS = ("198.18.91.2", "198.18.91.3", "198.18.91.4", "fd4e:7372:655b::2", "fd4e:7372:655b::3")
PORT = 7000
TRACK = """
table inet netsre {
  chain raw { type filter hook prerouting priority -300; udp dport 5 ct zone set 7; }
  chain watch { type filter hook prerouting priority 0; ct state new counter; }
}
"""


REMEMBER = 'for each in /proc/sys/net/netfilter/nf_conntrack_*timeout*; do echo 600 >"$each"; done'
"""None ends by itself while a test looks at it, however slow the machine is."""


@dataclass(frozen=True, slots=True)
class Link:
    """A server's namespace, which tracks, and a client's with several addresses."""

    server: str
    client: str

    def datagrams(self, source: str, ports: range, sockets: int = 1) -> None:
        """Open one entry for each port and socket."""

        def work() -> None:
            for _ in range(sockets):
                with socket.socket(_family(source), socket.SOCK_DGRAM) as sender:
                    sender.bind((source, 0))
                    for port in ports:
                        sender.sendto(b"", (_server(source), port))

        namespaces.inside(self.client, work)

    def connections(self, source: str, count: int) -> None:
        """Open and close connections."""

        def listen() -> socket.socket:
            return socket.create_server((_server(source), PORT), family=_family(source), backlog=count)

        def work() -> None:
            for _ in range(count):
                socket.create_connection((_server(source), PORT), source_address=(source, 0)).close()

        with namespaces.inside(self.server, listen):
            namespaces.inside(self.client, work)

    def sources(self, most: int = 10) -> tuple[int, dict[str, int]]:
        """Ask netlink."""
        found = self.count(most)
        return found.entries, {each.source: each.entries for each in found.sources}

    def count(self, most: int = 10, most_entries: int | None = None) -> Count:
        """Ask netlink for everything that it tells."""
        return namespaces.inside(self.server, lambda: conntrack.count(most, most_entries))

    def listed(self) -> Counter[str]:
        """Count what the kernel lists as text, by the source of the original direction."""
        text = namespaces.run(self.server, ["cat", "/proc/net/nf_conntrack"]).stdout
        found = re.findall(r"^.*?src=(\S+)", text, re.MULTILINE)
        return Counter(str(ipaddress.ip_address(source)) for source in found)

    def flush(self, source: str) -> int:
        """Delete."""
        return namespaces.inside(self.server, lambda: conntrack.flush(source))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _server(client: str) -> str:
    return IPV6 if ":" in client else IPV4


@contextlib.contextmanager
def link(name: str) -> Iterator[Link]:
    """Make two namespaces with a link, and remove them."""
    owner = processes.this_process()
    server, client = owner.name("test", f"{name}-srv"), owner.name("test", f"{name}-cli")
    here = (Address(IPV4, 24), Address(IPV6, 64))
    there = tuple(Address(text, 64 if ":" in text else 24) for text in CLIENTS)
    try:
        for each in (server, client):
            namespaces.create(each)
        namespaces.connect(End(server, "eth0", here), End(client, "eth0", there))
        namespaces.run(server, ["nft", "-f", "-"], TRACK).check_returncode()
        namespaces.run(server, ["sh", "-c", REMEMBER]).check_returncode()
        yield Link(server, client)
    finally:
        for each in (server, client):
            namespaces.remove(each)
