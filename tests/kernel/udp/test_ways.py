"""Less usual ways to ask over UDP, and to answer: each question is one flow with one outcome all the same."""

import contextlib
import select
import socket
import struct
import threading
import time

import pytest

from netsre.adapters.bpf.udp import UdpProbe
from netsre.datapath import udp
from tests.kernel.attempts import COUNT, Place, families, outcomes
from tests.kernel.datagrams import (
    ABANDONED,
    CLOSED_PORT,
    DELIVERED,
    ECHO_PORT,
    REFUSED,
    SILENT_PORT,
    UNANSWERED,
    Address,
    connected,
    open_socket,
    packets,
    scan_when_due,
    serving,
    target,
    told,
)
from tests.kernel.limits import Limit

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

ERRORS_TO_QUEUE = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),  # IP_RECVERR
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),  # IPV6_RECVERR
}


@pytest.mark.parametrize("way", ["connected", "recvfrom", "sendto"])
def test_a_socket_of_ipv6_that_speaks_ipv4_has_the_address_of_ipv4(
    probe: UdpProbe, place: Place, way: str
) -> None:
    """The answer is known as the one to the question, by whichever of both forms the kernel tells it."""
    where = ("::ffff:127.0.0.1", ECHO_PORT)
    with serving(place, socket.AF_INET):
        for _ in range(COUNT):
            with open_socket(place, socket.AF_INET6) as client:
                if way == "sendto":
                    client.sendto(b"x", where)
                else:
                    client.connect(where)
                    client.send(b"x")
                if way == "connected":
                    client.recv(10)
                else:
                    client.recvfrom(10)

    assert outcomes(probe, place) == {DELIVERED: COUNT}
    assert {count.destination for count in probe.counts() if count.netns == place.inode} == {"loopback"}


@families
def test_to_no_address_is_to_this_host(probe: UdpProbe, place: Place, family: socket.AddressFamily) -> None:
    """The answer comes from the loopback address; a second peer makes sure that it must be known as such."""
    nowhere = "0.0.0.0" if family == socket.AF_INET else "::"
    with serving(place, family), open_socket(place, family) as client:
        client.sendto(b"x", target(family, CLOSED_PORT))
        client.sendto(b"x", (nowhere, ECHO_PORT))
        client.recvfrom(10)

    assert outcomes(probe, place)[DELIVERED] == 1


@families
def test_a_look_at_an_answer_is_the_answer(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Read once more without leaving it there, it is the same."""
    with serving(place, family):
        for _ in range(COUNT):
            with open_socket(place, family) as client:
                client.sendto(b"x", target(family, ECHO_PORT))
                client.recvfrom(10, socket.MSG_PEEK)
                client.recvfrom(10)

    assert outcomes(probe, place) == {DELIVERED: COUNT}


@families
def test_a_socket_that_keeps_errors_in_a_queue_is_told_of_each_once(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Not connected, it is told all the same; what it reads from its queue is no answer."""
    for _ in range(COUNT):
        with open_socket(place, family) as client:
            client.setsockopt(*ERRORS_TO_QUEUE[family], 1)
            client.sendto(b"x", target(family, CLOSED_PORT))
            data, ancillary, flags, _ = client.recvmsg(10, 512, socket.MSG_ERRQUEUE)
            assert (data, len(ancillary), flags & socket.MSG_ERRQUEUE) == (b"x", 1, socket.MSG_ERRQUEUE)

    assert packets(place) == (COUNT, 0, COUNT)
    assert outcomes(probe, place) == {REFUSED: COUNT}


@families
def test_after_half_a_minute_without_an_answer_a_datagram_is_a_new_attempt(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """By the time of the last answer, which this test sets back in the table of the kernel."""
    table = probe.session.maps["udp_sockets"]
    with serving(place, family), connected(place, family, ECHO_PORT) as client:
        for back_ns in (0, udp.CONVERSATION_NS - 10**10, udp.CONVERSATION_NS):
            for key, raw in table.entries():
                if udp.decode(key, raw).netns == place.inode:
                    answered_ns = time.monotonic_ns() - back_ns
                    table.put(key, raw[:8] + struct.pack("<Q", answered_ns) + raw[16:])
            client.send(b"x")
            client.recv(10)

    assert packets(place)[:2] == (3, 3)
    assert outcomes(probe, place) == {DELIVERED: 2}


@families
def test_threads_that_share_a_socket_ask_each_of_their_peers_once(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """All at the same time, the first of them too, and one thread reads all answers."""
    each, threads = 25, 4
    servers = [open_socket(place, family) for _ in range(each * threads)]
    for number, server in enumerate(servers):
        server.bind(target(family, 9200 + number))
    for _ in range(5):
        with open_socket(place, family) as client:
            begin = threading.Barrier(threads)

            def ask(first: int, client: socket.socket = client, begin: threading.Barrier = begin) -> None:
                begin.wait()
                for number in range(first, first + each):
                    client.sendto(b"x", target(family, 9200 + number))

            asking = [threading.Thread(target=ask, args=(first,)) for first in range(0, each * threads, each)]
            for thread in asking:
                thread.start()
            for thread in asking:
                thread.join()
            for server in servers:
                server.sendto(b"x", server.recvfrom(10)[1])
            for _ in servers:
                client.recvfrom(10)
    for server in servers:
        server.close()

    assert outcomes(probe, place) == {DELIVERED: 5 * each * threads}


@families
def test_one_that_never_waits_is_told_of_a_refusal_once(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """By poll, and by the option that takes the error without reading."""
    for _ in range(COUNT):
        with connected(place, family, CLOSED_PORT) as client:
            client.setblocking(False)
            client.send(b"x")
            waiting = select.poll()
            waiting.register(client, select.POLLIN)
            assert waiting.poll(1_000)[0][1] & select.POLLERR
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 111
            client.send(b"x")
            assert told(client) == 111

    assert outcomes(probe, place) == {REFUSED: 2 * COUNT}


@families
def test_one_socket_with_many_peers_has_a_conversation_with_each(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Some answer and others do not; reading without an address counts for the one written to last."""
    with serving(place, family), serving(place, family, ECHO_PORT + 10), open_socket(place, family) as client:
        for port in (ECHO_PORT, SILENT_PORT, ECHO_PORT + 10, SILENT_PORT):
            client.sendto(b"x", target(family, port))
        for _ in range(2):
            client.recvfrom(10)
        client.sendto(b"x", target(family, ECHO_PORT + 20))
        scan_when_due(probe, limit, time.monotonic_ns())

    assert outcomes(probe, place) == {DELIVERED: 2, UNANSWERED: 2}


@families
def test_a_server_makes_no_attempts(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """It was spoken to first: what it sends to those who asked, and to those who are gone, is an answer."""
    with open_socket(place, family) as server:
        server.bind(target(family, ECHO_PORT))
        for _ in range(COUNT):
            with open_socket(place, family) as client:
                client.sendto(b"x", target(family, ECHO_PORT))
                _, peer = server.recvfrom(10)
            server.sendto(b"x", peer)
            server.sendto(b"x", target(family, SILENT_PORT))
        scan_when_due(probe, limit, time.monotonic_ns())

    assert outcomes(probe, place) == {ABANDONED: COUNT}


@families
def test_a_server_that_is_met_in_the_middle_is_found_out_by_strangers(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Its first act after the probe is to answer: the second stranger makes it a server, with one outcome."""
    with open_socket(place, family) as server:
        server.bind(target(family, ECHO_PORT))
        clients = [open_socket(place, family) for _ in range(4)]
        for client in clients:
            client.bind(target(family, 0))
        server.sendto(b"x", clients[0].getsockname()[:2])
        for client in clients[1:]:
            client.sendto(b"x", target(family, ECHO_PORT))
            server.sendto(b"x", server.recvfrom(10)[1])
            client.recv(10)
        for client in clients:
            client.close()
        scan_when_due(probe, limit, time.monotonic_ns())

    assert outcomes(probe, place) == {DELIVERED: 1 + 3}


@families
def test_an_answer_from_another_port_is_an_answer(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """As a TFTP server gives it."""

    def elsewhere(server: socket.socket, data: bytes, peer: Address) -> None:
        del server
        with open_socket(place, family) as other:
            other.sendto(data, peer)
            held.append(other.fileno())

    held: list[int] = []
    with serving(place, family, answer=elsewhere), open_socket(place, family) as client:
        client.sendto(b"x", target(family, ECHO_PORT))
        client.recvfrom(10)

    found = outcomes(probe, place)
    assert found.pop(ABANDONED) == 1  # the server's other socket, as far as anybody can see
    assert found == {DELIVERED: 1}


@families
def test_groups_are_nobodys_attempt(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Nobody in a group has to answer."""
    with open_socket(place, family) as client:
        if family == socket.AF_INET:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        groups = ("224.0.0.251", "255.255.255.255") if family == socket.AF_INET else ("ff02::fb", "ff0e::1")
        for group in groups:
            with contextlib.suppress(OSError):
                client.sendto(b"x", (group, 5353))
        scan_when_due(probe, limit, time.monotonic_ns())

    assert outcomes(probe, place) == {}


def test_a_receive_that_is_shut_down_is_no_answer(probe: UdpProbe, place: Place) -> None:
    """It returns nothing, as for an empty datagram, which is one."""
    with connected(place, socket.AF_INET, SILENT_PORT) as client:
        client.send(b"x")
        client.shutdown(socket.SHUT_RD)
        client.settimeout(None)
        assert client.recv(10) == b""
        early = outcomes(probe, place)
    with serving(place, socket.AF_INET), connected(place, socket.AF_INET, ECHO_PORT) as client:
        client.send(b"")
        assert client.recv(10) == b""

    assert early == {}
    assert outcomes(probe, place) == {ABANDONED: 1, DELIVERED: 1}
