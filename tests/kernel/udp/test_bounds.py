"""The UDP probe under load: nothing counted twice, nothing left behind, and tables that are full."""

import contextlib
import os
import select
import socket
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from netsre.adapters import namespaces
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.session import open_templates
from netsre.adapters.bpf.udp import UdpProbe
from netsre.app.resources import directory
from netsre.datapath import udp
from netsre.datapath.block import source_key
from netsre.datapath.flow_log import FlowEvent, Switch
from netsre.datapath.flows import STALL_NS, UDP_CLIENT
from tests.kernel import beyond, delayed_link, netstat
from tests.kernel.attempts import COUNT, LOOPBACK, Place, families, outcomes
from tests.kernel.datagrams import (
    CLOSED_PORT,
    DELIVERED,
    ECHO_PORT,
    REFUSED,
    SILENT_PORT,
    UNANSWERED,
    connected,
    open_socket,
    packets,
    serving,
    target,
    told,
)
from tests.kernel.limits import SHIPPED, Limit
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


def held(probe: UdpProbe, place: Place) -> int:
    """Return how many sockets and conversations of one namespace are in the tables."""
    maps = probe.session.maps
    entries = [*maps["udp_sockets"].entries(), *maps["udp_peers"].entries()]
    return sum(udp.decode(*entry).netns == place.inode for entry in entries)


def events(probe: UdpProbe, place: Place) -> list[FlowEvent]:
    """Take out what there is, and return what is of one namespace."""
    assert probe.log is not None
    return [event for event in probe.log.drain() if event.netns == place.inode]


def test_ten_thousand_sockets_that_ask_once_are_as_many_flows_and_leave_nothing(
    probe: UdpProbe, place: Place, limit: Limit
) -> None:
    """As a resolver does it, by two processes at once, while the tables are looked through."""
    made = 5_000

    def ask() -> None:
        for _ in range(made):
            with connected(place, socket.AF_INET, ECHO_PORT) as client:
                client.send(b"x")
                client.recv(10)

    with serving(place, socket.AF_INET):
        told_, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told_)
            with contextlib.suppress(Exception):
                ask()
                os.write(tell, b"x")
            os._exit(0)
        os.close(tell)
        ask()
        while not select.select([told_], [], [], 0)[0]:
            probe.scan(limit.now_ns())
        assert os.read(told_, 1) == b"x"
        os.close(told_)
        os.waitpid(pid, 0)

    assert packets(place)[:2] == (2 * made, 2 * made)
    assert outcomes(probe, place) == {DELIVERED: 2 * made}
    assert held(probe, place) == 0


@families
def test_an_answer_that_races_the_limit_is_one_outcome(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Answers come in the very moments in which attempts become too old, while the reader looks for those."""
    made, spread = 1_000, 0.05
    server = open_socket(place, family)
    server.bind(target(family, ECHO_PORT))
    clients = [connected(place, family, ECHO_PORT) for _ in range(made)]
    peers = []
    for client in clients:
        client.send(b"x")
        peers.append(server.recvfrom(10)[1])
        time.sleep(spread / made)
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            probe.scan(limit.now_ns())

    reader = threading.Thread(target=look)
    first_ns = min(each.start_ns for each in waiting(probe, place))
    reader.start()
    limit.pass_by(first_ns)
    for peer, client in zip(peers, clients, strict=True):
        server.sendto(b"x", peer)
        client.recv(10)
    over.set()
    reader.join()
    probe.scan(limit.now_ns())
    for client in (*clients, server):
        client.close()
    probe.scan(limit.now_ns())

    found = outcomes(probe, place)
    assert set(found) <= {DELIVERED, UNANSWERED}
    assert sum(found.values()) == made


def waiting(probe: UdpProbe, place: Place) -> list[udp.Conversation]:
    """Return the attempts of one namespace that are open, first conversations alone."""
    entries = probe.session.maps["udp_sockets"].entries()
    found = [udp.decode(*entry) for entry in entries if udp.is_open(entry[1])]
    return [talk for talk in found if talk.netns == place.inode]


def test_errors_that_come_later_are_of_the_attempt_that_they_are_about(probe: UdpProbe) -> None:
    """Between namespaces the error is under way: one that sends three at once has one attempt, not three."""
    seen = []
    with delayed_link.delayed_link(0.005) as link:
        # The kernel sends no more than one error a second to one address, unless it is told to.
        namespaces.inside(link.server, lambda: Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0"))
        for turn in range(5):
            client = namespaces.inside(link.client, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            with client:
                client.settimeout(10)
                client.connect((delayed_link.SERVER, CLOSED_PORT))
                for _ in range(3):
                    client.send(b"x")
                # Of three errors the socket keeps one; what comes later would be another's.
                assert wait_until(partial(told_of, link.client, 4 * turn + 3))
                seen.append(told(client))
                client.send(b"x")
                seen.append(told(client))
        identity = namespaces.identity(link.client)
        assert identity is not None
        found = outcomes(probe, Place(link.client, identity[1]))
        no_ports = netstat.counters(link.server)["Udp.NoPorts"]

    assert Counter(seen) == {111: 10}
    assert no_ports == 5 * 4
    assert found == {REFUSED: 10}


def told_of(namespace: str, errors: int) -> bool:
    """Say whether so many errors have come to a namespace."""
    return netstat.counters(namespace)["Icmp.InDestUnreachs"] >= errors


@families
def test_attempts_of_a_blocked_source_are_denied_and_no_answer_is_missed_elsewhere(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """A connected socket knows its address: our program drops it, the reader and its end find it."""
    until = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * 10**9
    blocks = Blocks(open_templates(directory("bpf")), beyond.inventory().named, probe.denials)
    try:
        blocks.block(place.name, "lo", LOOPBACK[family], until)
        clients = [connected(place, family, SILENT_PORT) for _ in range(2 * COUNT)]
        for client in clients:
            client.send(b"x")
        for client in clients[:COUNT]:
            client.close()
        early = outcomes(probe, place)
        limit.pass_by(time.monotonic_ns())
        probe.scan(limit.now_ns())
        for client in clients[COUNT:]:
            client.close()
    finally:
        blocks.close()
    probe.scan(limit.now_ns())

    assert early == {("denied", "blocked"): COUNT}
    assert outcomes(probe, place) == {("denied", "blocked"): 2 * COUNT}


@families
@pytest.mark.parametrize("limit", [SHIPPED], ids=["shipped"])
def test_every_failure_is_one_event_with_both_ends(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Emitted by the kernel where it counts, and by the reader where that does; delivered ones as wanted."""
    assert probe.log is not None
    probe.log.switch(Switch(on=True, one_in=0))
    clients = [connected(place, family, SILENT_PORT) for _ in range(COUNT)]
    ports = {client.getsockname()[1] for client in clients}
    for client in clients:
        client.send(b"x")
    with connected(place, family, CLOSED_PORT) as client:
        ports.add(client.getsockname()[1])
        client.send(b"x")
    limit.pass_by(time.monotonic_ns())
    probe.scan(limit.now_ns())
    for client in clients:
        client.close()
    failed = events(probe, place)
    with serving(place, family):
        for one_in in (0, 1):
            probe.log.switch(Switch(on=True, one_in=one_in))
            with connected(place, family, ECHO_PORT) as client:
                client.send(b"x")
                client.recv(10)
    delivered = events(probe, place)

    reasons = Counter((event.outcome, event.reason) for event in failed)
    assert reasons == {UNANSWERED: COUNT, REFUSED: 1}
    assert {event.local_port for event in failed} == ports
    assert {event.remote_port for event in failed} == {SILENT_PORT, CLOSED_PORT}
    assert {event.local for event in failed} == {source_key(LOOPBACK[family])}
    assert {event.remote for event in failed} == {source_key(LOOPBACK[family])}
    assert {event.role for event in (*failed, *delivered)} == {UDP_CLIENT}
    waited = [event.end_ns - event.start_ns for event in failed if event.reason == "unanswered"]
    assert min(waited) >= STALL_NS
    assert [(event.outcome, event.one_in) for event in delivered] == [("delivered", 1)]
    assert not any(probe.log.lost().values())


def test_a_full_table_of_sockets_says_so_and_idle_ones_make_room(
    probe: UdpProbe, place: Place, limit: Limit
) -> None:
    """What finds no room is counted as such. A look removes what was not used for half a minute."""
    table = probe.session.maps["udp_sockets"]
    idle = udp.SOCKET.pack(bytes(udp.CONVERSATION.size), bytes(udp.PEER.size), 1, 0, 0, 0, 1, 0)
    for number in range(table.capacity):
        with contextlib.suppress(OSError):
            table.insert((1 << 63 | number).to_bytes(8, "little"), idle)
    with serving(place, socket.AF_INET):
        for full in (True, False):
            with connected(place, socket.AF_INET, ECHO_PORT) as client:
                client.send(b"x")
                client.recv(10)
            if full:
                probe.scan(limit.now_ns())
    overflows = {usage.name: usage.overflows for usage in probe.usage()}

    assert overflows["udp_sockets"] >= 2  # what was sent and what was read, at least
    assert outcomes(probe, place) == {DELIVERED: 1}


def test_retired_namespaces_are_forgotten(probe: UdpProbe, place: Place, limit: Limit) -> None:
    """Counters of a namespace that is gone leave the table, those that the reader made too."""
    for port in (CLOSED_PORT, SILENT_PORT):
        with connected(place, socket.AF_INET, port) as client:
            client.send(b"x")
            if port == SILENT_PORT:
                limit.pass_by(time.monotonic_ns())
                probe.scan(limit.now_ns())
    before = outcomes(probe, place)
    probe.retire(count.client for count in probe.counts() if count.netns == place.inode)

    assert before == {REFUSED: 1, UNANSWERED: 1}
    assert outcomes(probe, place) == {}


def test_what_was_open_when_the_probe_was_given_up_is_no_outcome(
    probe: UdpProbe, place: Place, limit: Limit
) -> None:
    """Detached for a while, nobody saw the answers: neither those sockets nor their attempts are known."""
    probe.scan(limit.now_ns())
    client = connected(place, socket.AF_INET, SILENT_PORT)
    client.send(b"x")
    probe.scan(limit.now_ns())
    probe.session.detach()
    client.close()
    probe.session.attach()
    probe.scan(limit.now_ns() + 600 * 10**9)

    assert outcomes(probe, place) == {}
    assert held(probe, place) == 0
