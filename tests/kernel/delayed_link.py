"""A link between two namespaces that hands each packet over after a while, without help from the kernel."""

import contextlib
import fcntl
import heapq
import itertools
import os
import select
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from netsre.adapters import namespaces, processes

SERVER: Final = "198.18.93.1"
CLIENT: Final = "198.18.93.2"
_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_numbers = itertools.count()


@dataclass(slots=True)
class Link:
    """Two namespaces, and how long a packet is under way between them."""

    server: str
    client: str
    seconds: float
    """One way, for packets that set out from now on."""


def _tunnel(namespace: str, ours: str, theirs: str) -> int:
    """Make an interface whose packets are read and written by us."""

    def make() -> int:
        tunnel = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tunnel, _TUNSETIFF, struct.pack("16sH22x", b"slow0", _IFF_TUN_NO_PI))
        return tunnel

    tunnel = namespaces.inside(namespace, make)
    for command in (("addr", "add", ours, "peer", theirs, "dev", "slow0"), ("link", "set", "slow0", "up")):
        namespaces.run(namespace, ["ip", *command]).check_returncode()
    return tunnel


def _carry(link: Link, tunnels: tuple[int, int], stop: int) -> None:
    under_way: list[tuple[float, int, int, bytes]] = []
    other = dict(zip(tunnels, reversed(tunnels), strict=True))
    for number in itertools.count():
        patience = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([*tunnels, stop], [], [], patience)
        if stop in readable:
            return
        for tunnel in readable:
            due = time.monotonic() + link.seconds
            heapq.heappush(under_way, (due, number, other[tunnel], os.read(tunnel, 65_536)))
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, tunnel, packet = heapq.heappop(under_way)
            os.write(tunnel, packet)


@contextlib.contextmanager
def delayed_link(seconds: float) -> Iterator[Link]:
    """Make two namespaces and the link between them, and take all of it away again."""
    owner, number = processes.this_process(), next(_numbers)
    names = [owner.name("test", f"slow-{end}-{number}") for end in ("srv", "cli")]
    stop, tell = os.pipe()
    with contextlib.ExitStack() as made:
        made.callback(os.close, stop)
        for name in names:
            namespaces.create(name)
            made.callback(namespaces.remove, name)
        tunnels = _tunnel(names[0], SERVER, CLIENT), _tunnel(names[1], CLIENT, SERVER)
        for tunnel in tunnels:
            made.callback(os.close, tunnel)
        link = Link(names[0], names[1], seconds)
        carrier = threading.Thread(target=_carry, args=(link, tunnels, stop), name="delayed-link")
        carrier.start()
        made.callback(carrier.join)
        made.callback(os.close, tell)
        yield link
