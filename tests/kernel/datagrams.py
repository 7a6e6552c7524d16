"""Scripted exchanges over UDP in a namespace of the test, and an independent count of their packets."""

import contextlib
import ctypes
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

from netsre.adapters import namespaces
from netsre.adapters.bpf.udp import UdpProbe
from tests.kernel import firewall
from tests.kernel.attempts import LOOPBACK, Place
from tests.kernel.limits import Limit

ECHO_PORT: Final = 9101
CLOSED_PORT: Final = 9100
SILENT_PORT: Final = 9102
FORBIDDEN_PORT: Final = 9103
UNSENDABLE_PORT: Final = 9104

DELIVERED: Final = ("delivered", "none")
REFUSED: Final = ("failed", "refused")
UNANSWERED: Final = ("failed", "unanswered")
ABANDONED: Final = ("failed", "abandoned")
Address = tuple[str, int]

_RULES: Final = f"""
  counter asked {{ }}
  counter answered {{ }}
  counter unreachable {{ }}
  chain witness {{
    type filter hook input priority -10;
    udp dport {{ {CLOSED_PORT}-{UNSENDABLE_PORT} }} counter name asked
    udp sport {{ {CLOSED_PORT}-{UNSENDABLE_PORT} }} counter name answered
    icmp type destination-unreachable counter name unreachable
    icmpv6 type destination-unreachable counter name unreachable
    udp dport {SILENT_PORT} drop
    udp dport {FORBIDDEN_PORT} reject with icmpx type admin-prohibited
  }}
  chain out {{ type filter hook output priority 0; udp dport {UNSENDABLE_PORT} drop; }}
"""


def witnessed(place: Place) -> None:
    """Have the packets of this module counted, by rules of the test."""
    firewall.load(place.name, _RULES)


def packets(place: Place) -> tuple[int, int, int]:
    """Return how many datagrams were sent to a server, how many came from it, and how many errors."""
    found = firewall.packets(place.name)
    return found["asked"], found["answered"], found["unreachable"]


def scan_when_due(probe: UdpProbe, limit: Limit, begun_ns: int) -> None:
    """Let those that had begun by then become as old as the limit, and look."""
    limit.pass_by(begun_ns)
    probe.scan(limit.now_ns())


def open_socket(place: Place, family: socket.AddressFamily) -> socket.socket:
    """Return a socket of the namespace that does not wait for ever."""
    made = namespaces.inside(place.name, lambda: socket.socket(family, socket.SOCK_DGRAM))
    made.settimeout(10)
    return made


def target(family: socket.AddressFamily, port: int) -> Address:
    """Return an address of the loopback interface."""
    return LOOPBACK[family], port


def connected(place: Place, family: socket.AddressFamily, port: int) -> socket.socket:
    """Return a socket that is connected to a port."""
    made = open_socket(place, family)
    made.connect(target(family, port))
    return made


@contextlib.contextmanager
def serving(
    place: Place,
    family: socket.AddressFamily,
    port: int = ECHO_PORT,
    answer: Callable[[socket.socket, bytes, Address], object] = lambda server, data, peer: server.sendto(
        data, peer
    ),
) -> Iterator[None]:
    """Answer what comes to a port of the namespace, from another thread."""
    server = open_socket(place, family)
    server.settimeout(0.02)
    server.bind(target(family, port))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                data, peer = server.recvfrom(2048)
                answer(server, data, peer[:2])

    thread = threading.Thread(target=serve, name="datagrams")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.close()


def send_many(client: socket.socket, count: int) -> int:
    """Send so many datagrams by one sendmmsg(2) on a connected socket; return how many it says it sent."""
    payload = ctypes.create_string_buffer(b"x")
    vector = struct.pack("PN", ctypes.addressof(payload), 1)
    vectors = ctypes.create_string_buffer(vector, len(vector))
    message = struct.pack("PI4xPNPNi4xI4x", 0, 0, ctypes.addressof(vectors), 1, 0, 0, 0, 0)
    messages = ctypes.create_string_buffer(message * count, len(message) * count)
    return int(ctypes.CDLL(None).sendmmsg(client.fileno(), messages, count, 0))


def told(client: socket.socket) -> int:
    """Read once, and return the errno; 0 for an answer."""
    try:
        client.recv(2048)
    except OSError as error:
        return error.errno or -1
    return 0
