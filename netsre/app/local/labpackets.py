"""The packets of a noisy client, and the sink that takes its connections.

Each kind of flood first fills the connection table of the server's namespace as fast as it can, and then
sends only as much as keeps it full.
"""

import contextlib
import errno
import itertools
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SINK_PORTS: Final = 64
"""With the ports that a client has by itself, room for 1.8 million different connections."""
TCP_WORKERS: Final = 2

_LIMIT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_MOST_ENTRIES: Final = 1_500_000
"""A table that may hold more than these, or any number, is not filled: a lab must not eat a host's memory."""
_BATCH: Final = 64
_BACKLOG: Final = 4_096
_LONGEST_DEBT: Final = 0.1
"""Seconds behind its pace after which a flood lets go of what it has missed."""

# An unanswered UDP entry ends after 30 s: every pair of ports comes again sooner. A quarter more pairs than
# there is room for make up for those that find no place at first.
_UDP_ROUND_SECONDS: Final = 20
_UDP_MOST_RATE: Final = 60_000
_UDP_PORTS: Final = range(10_000, 60_000)
# A closed connection stays for 120 s, and above 95 % the kernel makes room by itself. Four times what ends by
# age on average keeps the table full, also when most of those of the first seconds end together.
_TCP_ROUND_SECONDS: Final = 32
_TCP_MOST_RATE: Final = 10_000
_MOST_IN_FLIGHT: Final = 32
_PATIENCE: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.05

Note = Callable[[int, int], None]
"""Takes what was sent, and what could not be, until now."""


def room() -> int:
    """Return how many entries a flood has to make: as many as the host lets each table hold."""
    limit = int(_LIMIT.read_text(encoding="ascii"))
    return min(limit or _MOST_ENTRIES, _MOST_ENTRIES)


class Pace:
    """So many at once, and from then on so many a second."""

    def __init__(self, at_once: int, rate: float) -> None:
        """Begin now."""
        self._left = at_once
        self._rate = rate
        self._due = 0.0

    def take(self, count: int) -> None:
        """Wait until so many more are due."""
        self._left -= count
        if self._left >= 0:
            return
        now = time.monotonic()
        self._due = max(self._due, now - _LONGEST_DEBT) + count / self._rate
        time.sleep(max(0.0, self._due - now))


def udp(target: str, entries: int, note: Note) -> None:
    """Send empty datagrams to ports where nobody listens, from as many ports as it takes, for ever."""
    tuples = entries + entries // 4
    count = -(-tuples // len(_UDP_PORTS))
    sockets = [socket.socket(_family(target), socket.SOCK_DGRAM) for _ in range(count)]
    pace = Pace(tuples, min(_UDP_MOST_RATE, tuples / _UDP_ROUND_SECONDS))
    ports = _UDP_PORTS[: -(-tuples // count)]
    sent = failed = 0
    for start in itertools.cycle(range(0, len(ports), _BATCH)):
        batch = ports[start : start + _BATCH]
        pace.take(len(batch) * count)
        for port in batch:
            for each in sockets:
                try:
                    each.sendto(b"", (target, port))
                except OSError:
                    failed += 1
                else:
                    sent += 1
        note(sent, failed)


def tcp(target: str, ports: Sequence[int], entries: int, note: Note) -> None:
    """Open connections and close them in the orderly way, for ever."""
    churn = Churn(target, note)
    pace = Pace(entries, min(_TCP_MOST_RATE / TCP_WORKERS, entries / _TCP_ROUND_SECONDS))
    for start in itertools.cycle(range(0, len(ports), _BATCH)):
        batch = ports[start : start + _BATCH]
        pace.take(len(batch))
        for port in batch:
            churn.open(port)
        churn.settle()


@dataclass(slots=True)
class Churn:
    """Connections that are closed as soon as they stand.

    On a link of the same machine nearly every one stands when the call returns. Those that do not are looked
    at again until their second is over, a bounded number at once; each that is given up halves that number,
    so that a client whose packets are dropped soon tries once a second only.
    """

    target: str
    note: Note
    _made: int = 0
    _failed: int = 0
    _allowed: int = _MOST_IN_FLIGHT
    _pending: deque[tuple[float, socket.socket, int]] = field(default_factory=deque)

    def open(self, port: int) -> None:
        """Open one, once there is a place for it."""
        while len(self._pending) >= self._allowed:
            time.sleep(_LOOK_AGAIN_SECONDS)
            self.settle()
        connection = socket.socket(_family(self.target), socket.SOCK_STREAM)
        connection.setblocking(False)
        self._look(time.monotonic() + _PATIENCE, connection, port)

    def settle(self) -> None:
        """Look at those that were still opening, and tell how many were made and given up until now."""
        for _ in range(len(self._pending)):
            self._look(*self._pending.popleft())
        self.note(self._made, self._failed)

    def _look(self, until: float, connection: socket.socket, port: int) -> None:
        code = connection.connect_ex((self.target, port))
        if code == errno.EINPROGRESS:
            # What the other side answered within that call is seen by the next.
            code = connection.connect_ex((self.target, port))
        if code == errno.EALREADY and time.monotonic() < until:
            self._pending.append((until, connection, port))
            return
        connection.close()
        if code in {0, errno.EISCONN}:
            self._made += 1
            self._allowed = _MOST_IN_FLIGHT
        else:
            self._failed += 1
            self._allowed = max(1, self._allowed // 2)


def sink(addresses: Sequence[str], port: int) -> None:
    """Accept connections on a number of ports from `port` on and close them, until this process ends."""
    selector = selectors.DefaultSelector()
    for address, offset in itertools.product(addresses, range(SINK_PORTS)):
        listener = socket.create_server((address, port + offset), family=_family(address), backlog=_BACKLOG)
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ, listener)
    while True:
        for key, _ in selector.select():
            # Nothing more to accept there, or its opener is gone already.
            with contextlib.suppress(OSError):
                for _ in range(_BATCH):
                    key.data.accept()[0].close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
