"""Scripted connection attempts in a network namespace of the test, one function for each way they can end."""

import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf.flow_counts import FlowCounts

COUNT: Final = 23
"""A prime number of attempts each: whatever counts in pairs or batches cannot arrive at it by chance."""
REFUSED_PORT: Final = 9001
DROPPED_PORT: Final = 9002
UNREACHABLE_PORT: Final = 9003
RESET_PORT: Final = 9004
families: Final = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["ipv4", "ipv6"])
LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

_RULES: Final = f"""
table inet netsre-test {{
  chain input {{
    type filter hook input priority 0;
    ct state established counter
    tcp dport {DROPPED_PORT} drop
    tcp dport {UNREACHABLE_PORT} reject with icmpx type host-unreachable
    tcp dport {RESET_PORT} reject with tcp reset
  }}
}}
"""
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace with loopback and nothing else."""

    name: str
    inode: int

    def run(self, work: Callable[[], object]) -> None:
        """Do something inside."""
        namespaces.inside(self.name, work)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """Make a namespace whose rules drop and reject on known ports, and remove it again."""
    name = processes.this_process().name("test", f"attempts-{next(_numbers)}")
    namespaces.create(name)
    try:
        namespaces.run(name, ["ip", "link", "set", "lo", "up"]).check_returncode()
        namespaces.run(name, ["nft", "-f", "-"], _RULES).check_returncode()
        identity = namespaces.identity(name)
        assert identity is not None
        yield Place(name, identity[1])
    finally:
        namespaces.remove(name)


def accepted(family: socket.AddressFamily, count: int = COUNT, *, address: str = "") -> None:
    """Connect to a listener, one after the other, and close."""
    here = (address or LOOPBACK[family], 0)
    with socket.create_server(here, family=family, backlog=count) as server:
        for _ in range(count):
            with socket.create_connection(server.getsockname()[:2]):
                server.accept()[0].close()


def failing(
    family: socket.AddressFamily, port: int, count: int = COUNT, milliseconds: int = 0, *, address: str = ""
) -> list[int]:
    """Connect to a port that says no or nothing, all at once; return the errno of each attempt.

    The calls block: one that polls learns of an unreachable host before the kernel has ended the attempt,
    closes it, and the kernel then knows only that it was closed. `milliseconds` is a limit that the kernel
    keeps itself (TCP_USER_TIMEOUT).
    """
    results: list[int] = []

    def attempt() -> None:
        with socket.socket(family) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            results.append(client.connect_ex((address or LOOPBACK[family], port)))

    threads = [threading.Thread(target=attempt, name=f"attempt-{index}") for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@contextlib.contextmanager
def waiting(where: Place, family: socket.AddressFamily, count: int = COUNT) -> Iterator[None]:
    """Keep attempts to a silent port open for as long as the block runs, then close them unanswered."""
    attempts = [namespaces.inside(where.name, lambda: socket.socket(family)) for _ in range(count)]
    try:
        for attempt in attempts:
            attempt.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                attempt.connect((LOOPBACK[family], DROPPED_PORT))
        yield
    finally:
        for attempt in attempts:
            attempt.close()


def outcomes(probe: FlowCounts, place: Place) -> dict[tuple[str, str], int]:
    """Return counts by (outcome, reason) of the attempts made in one namespace."""
    found: Counter[tuple[str, str]] = Counter()
    for count in probe.counts():
        if count.netns == place.inode:
            found[(count.outcome, count.reason)] += count.count
    return dict(found)
