"""What the UDP probe costs: each of its programs by what happens, and what everybody pays who sends anything.

Programs are measured beside an empty one on the same tracepoint (`bench.tracepoint_cost`); for hooks of the
cgroup that is on the tracepoint of a send. A send over TCP is also timed from outside, with the probe and
without it in turn, so that the machine's noise is in both.
"""

import contextlib
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bench.tracepoint_cost import ProgramCost, cost
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.datapath.probes import UDP

_ROUNDS: Final = 200
_SENDS: Final = 1_000
_EXCHANGES: Final = 5_000
_BATCH: Final = 100
"""Datagrams that are in a socket's buffer at once."""


@dataclass(frozen=True, slots=True)
class SendCost:
    """Of one byte over TCP on loopback; of the quietest tenth of many rounds."""

    send_ns: float
    """Without the probe."""
    added_ns: float


def measure() -> tuple[list[ProgramCost], SendCost]:
    """Return the cost of each program, by kind of event, and that of a send that is none of its business."""
    statistics_fd = syscalls.enable_run_time_statistics()
    costs = [cost(UDP, program, what, work) for program, what, work in _cases()]
    os.close(statistics_fd)
    return costs, _send_cost()


def _cases() -> list[tuple[str, str, Callable[[], None]]]:
    return [
        ("netsre_udp_sent", "a send over TCP", _stream),
        ("netsre_udp_got", "a receive over TCP", _stream),
        ("netsre_udp_sent", "a socket's first datagram, connected", _first),
        ("netsre_sendmsg4", "a socket's first datagram, to an address", _first_addressed),
        ("netsre_udp_got", "a first answer", _first),
        ("netsre_udp_end", "the end of a socket that asked", _first),
        ("netsre_udp_sent", "a further datagram, connected", _further),
        ("netsre_udp_got", "a further answer", _further),
        ("netsre_udp_got", "a datagram that a server reads", _served),
    ]


@contextlib.contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a TCP connection over loopback."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        server.accept()[0] as peer,
    ):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield client, peer


def _stream() -> None:
    with _pair() as (client, peer):
        for _ in range(_EXCHANGES):
            client.send(b"x")
            peer.recv(1)


def _server() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    return server


def _first() -> None:
    _ask(socket.socket.connect, lambda client, _: client.send(b"x"))


def _first_addressed() -> None:
    _ask(lambda _client, _where: None, lambda client, where: client.sendto(b"x", where))


def _ask(
    begin: Callable[[socket.socket, tuple[str, int]], object],
    send: Callable[[socket.socket, tuple[str, int]], object],
) -> None:
    """Have each of many sockets ask a server once, and read its answer."""
    with _server() as server:
        where = server.getsockname()
        for _ in range(_EXCHANGES):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                begin(client, where)
                send(client, where)
                server.sendto(b"x", server.recvfrom(1)[1])
                client.recv(1)


def _further() -> None:
    with _server() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(server.getsockname())
        server.settimeout(10)
        client.send(b"x")
        server.connect(server.recvfrom(1)[1])
        for _ in range(_EXCHANGES // _BATCH):
            for _ in range(_BATCH):
                client.send(b"x")
            for _ in range(_BATCH):
                server.recv(1)
                server.send(b"x")
            for _ in range(_BATCH):
                client.recv(1)


def _served() -> None:
    with _server() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        where = server.getsockname()
        for _ in range(_EXCHANGES // _BATCH):
            for _ in range(_BATCH):
                client.sendto(b"x", where)
            for _ in range(_BATCH):
                server.recv(1)


def _send_cost() -> SendCost:
    session = open_session(directory("bpf"), probe=UDP)
    session.detach()
    calm, paying = [], []
    with _pair() as (client, peer):
        for _ in range(_ROUNDS):
            calm.append(_send_ns(client, peer))
            session.attach()
            paying.append(_send_ns(client, peer))
            session.detach()
    session.close()
    quiet, *_ = statistics.quantiles(calm, n=10)
    loud, *_ = statistics.quantiles(paying, n=10)
    return SendCost(quiet, loud - quiet)


def _send_ns(client: socket.socket, peer: socket.socket) -> float:
    began = time.perf_counter_ns()
    for _ in range(_SENDS):
        client.send(b"x")
    spent = time.perf_counter_ns() - began
    left = _SENDS
    while left:
        left -= len(peer.recv(left))
    return spent / _SENDS
