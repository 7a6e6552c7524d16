"""Packets that interrupt a state change on its own CPU: the kernel leaves out a program, we count on."""

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import open_session
from netsre.adapters.namespaces import Address, End
from netsre.app.resources import directory
from tests.kernel import tracefs

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]
needs_two_cpus = pytest.mark.skipif(os.cpu_count() == 1, reason="one CPU has nobody to steer packets to")

_SERVER, _CLIENT, _PORT = "198.18.77.1", "198.18.77.2", 7000
_CLIENTS, _BURST, _BURSTS = 3, 64, 250
_TRACED_KILOBYTES = 16_384
# Packets that arrive are handed to both CPUs in turn, by interrupting them. A mount of its own shows the
# queues of the namespace; it ends with the shell.
_STEER = (
    "mount -t sysfs steer /sys; for queue in /sys/class/net/*/queues/rx-0/rps_cpus; do echo 3 >$queue; done"
)


@contextlib.contextmanager
def _link() -> Iterator[tuple[str, str]]:
    """Make two namespaces and a link whose packets are steered to every CPU."""
    owner = processes.this_process()
    server, client = owner.name("test", "nested-srv"), owner.name("test", "nested-cli")
    try:
        for name in (server, client):
            namespaces.create(name)
        namespaces.connect(
            End(server, "eth0", (Address(_SERVER, 24),)), End(client, "eth0", (Address(_CLIENT, 24),))
        )
        for name in (server, client):
            namespaces.run(name, ["unshare", "-m", "sh", "-c", _STEER]).check_returncode()
        yield server, client
    finally:
        for name in (server, client):
            namespaces.remove(name)


def _abrupt(connection: socket.socket) -> None:
    """Close without the long goodbye, so that ports do not run out."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _serve(namespace: str) -> None:
    namespaces.enter(namespace)
    with socket.create_server((_SERVER, _PORT), backlog=4096) as server:
        while True:
            _abrupt(server.accept()[0])


def _connect_in_bursts(namespace: str) -> None:
    """Open connections while the answers to earlier ones arrive."""
    namespaces.enter(namespace)
    for _ in range(_BURSTS):
        burst = [socket.socket() for _ in range(_BURST)]
        for client in burst:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((_SERVER, _PORT))
        for client in burst:
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            poll.poll(10_000)
            _abrupt(client)


def _fork(work: object, namespace: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(namespace)  # type: ignore[operator]
        finally:
            os._exit(0)
    return pid


def _storm(server: str, client: str) -> None:
    """Connect from several processes at once until all bursts are done; the server ends in any case."""
    serving = _fork(_serve, server)
    try:
        time.sleep(0.3)
        for pid in [_fork(_connect_in_bursts, client) for _ in range(_CLIENTS)]:
            os.waitpid(pid, 0)
    finally:
        os.kill(serving, 9)
        os.waitpid(serving, 0)


@contextlib.contextmanager
def _ends() -> Iterator[tracefs.Events]:
    """Have the kernel's own tracing see the end of every attempt of the storm."""
    with tracefs.watching("sock/inet_sock_set_state", _TRACED_KILOBYTES) as events:
        events.start(f"oldstate == 2 && dport == {_PORT}")
        yield events


@needs_two_cpus
def test_an_end_that_interrupts_another_state_change_is_counted() -> None:
    """What the first program had to leave out, the second makes good; the rest reached no program at all."""
    with _link() as (server, client), _ends() as events:
        session = open_session(directory("bpf"))
        probe = FlowProbe(session)
        session.reinforce()
        _storm(server, client)
        lines = events.stop()
        identity = namespaces.identity(client)
        counted = sum(count.count for count in probe.counts() if identity and count.netns == identity[1])
        session.close()

    made = _CLIENTS * _BURST * _BURSTS
    assert len(lines) == made
    assert 0 <= made - counted <= tracefs.of_others(lines)


@needs_two_cpus
def test_no_connection_of_the_node_is_counted_at_both_ends_where_packets_interrupt() -> None:
    """A server's end counts only what its client's end did not: together never more than were made."""
    with _link() as (server, client), _ends() as events:
        session = open_session(directory("bpf"))
        probe = FlowProbe(session)
        session.reinforce()
        _storm(server, client)
        lines = events.stop()
        ends = {identity[1] for name in (server, client) if (identity := namespaces.identity(name))}
        counts = [count for count in probe.counts() if count.netns in ends and count.outcome == "delivered"]
        session.close()

    made = _CLIENTS * _BURST * _BURSTS
    assert sum(count.count for count in counts) <= made
    # These are clients whose end reached no program.
    at_servers = sum(count.count for count in counts if count.role.direction == "ingress")
    assert at_servers <= tracefs.of_others(lines)


@needs_two_cpus
def test_the_second_program_is_attached_when_the_first_misses_a_run() -> None:
    """Nobody pays for it before; from the first scan after a miss on it makes good what follows."""
    with _link() as (server, client):
        session = open_session(directory("bpf"))
        probe = FlowProbe(session)
        before = session.missed_runs()
        probe.scan(time.monotonic_ns())
        # Others on this machine may make it miss one at any moment.
        assert bool(before) <= session.reinforced <= bool(session.missed_runs())
        _storm(server, client)
        probe.scan(time.monotonic_ns())
        missed, reinforced = session.missed_runs(), session.reinforced
        session.close()

    assert missed
    assert reinforced
