"""The UDP probe on this kernel: as many outcomes as there were attempts, by outcome, in both families.

Beside the test's own count stand rules of its namespace that count packets, and the kernel's /proc/net/snmp.
"""

import errno
import socket
import threading
import time
from collections import Counter

import pytest

from netsre.adapters.bpf.udp import UdpProbe
from netsre.datapath import udp
from netsre.datapath.flows import STALL_NS, UDP_CLIENT, UNKNOWN_BUCKET
from tests.kernel import netstat
from tests.kernel.attempts import COUNT, Place, families, outcomes
from tests.kernel.datagrams import (
    ABANDONED,
    CLOSED_PORT,
    DELIVERED,
    ECHO_PORT,
    FORBIDDEN_PORT,
    REFUSED,
    SILENT_PORT,
    UNANSWERED,
    UNSENDABLE_PORT,
    Address,
    connected,
    open_socket,
    packets,
    scan_when_due,
    send_many,
    serving,
    target,
    told,
)
from tests.kernel.limits import SHIPPED, Limit

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]


def conversations(probe: UdpProbe, place: Place) -> list[udp.Conversation]:
    """Return what the probe's tables hold of one namespace."""
    maps = probe.session.maps
    entries = [*maps["udp_sockets"].entries(), *maps["udp_peers"].entries()]
    return [talk for talk in (udp.decode(*entry) for entry in entries) if talk.netns == place.inode]


def noports(place: Place, family: socket.AddressFamily) -> int:
    """Return how many datagrams found no socket, as the kernel counts."""
    return netstat.counters(place.name)["Udp.NoPorts" if family == socket.AF_INET else "Udp6NoPorts"]


@families
@pytest.mark.parametrize("way", ["connected", "recvfrom", "sendto", "sendto-recv"])
def test_an_answered_exchange_is_one_delivered_flow_with_a_latency(
    probe: UdpProbe, place: Place, family: socket.AddressFamily, way: str
) -> None:
    """By each way to send and to receive; the server's end of it is no flow of its own."""
    where = target(family, ECHO_PORT)
    with serving(place, family):
        for _ in range(COUNT):
            with open_socket(place, family) as client:
                if way in {"connected", "recvfrom"}:
                    client.connect(where)
                    client.send(b"x")
                else:
                    client.sendto(b"x", where)
                if way in {"connected", "sendto-recv"}:
                    client.recv(10)
                else:
                    client.recvfrom(10)

    assert outcomes(probe, place) == {DELIVERED: COUNT}
    assert packets(place)[:2] == (COUNT, COUNT)
    ours = [count for count in probe.counts() if count.netns == place.inode]
    assert UNKNOWN_BUCKET not in {count.bucket for count in ours}
    assert {(count.role, count.destination) for count in ours} == {(UDP_CLIENT, "loopback")}
    assert all(0 < count.sum_ns < count.count * 10**10 for count in ours)


@families
def test_a_conversation_is_one_attempt_as_long_as_it_is_answered(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Many exchanges with one peer, and what is sent last and not answered any more, are one flow."""
    with serving(
        place, family, answer=lambda server, data, peer: data != b"last" and server.sendto(data, peer)
    ):
        client = connected(place, family, ECHO_PORT)
        for _ in range(COUNT):
            client.send(b"x")
            client.recv(10)
        client.send(b"last")
        begun = time.monotonic_ns()
        scan_when_due(probe, limit, begun)
        client.close()

    assert outcomes(probe, place) == {DELIVERED: 1}
    assert packets(place)[:2] == (COUNT + 1, COUNT)


@families
def test_a_closed_port_is_a_refusal_of_each_try(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """On loopback the error comes before the call has ended that sent the datagram. Each is told once."""
    seen = []
    for _ in range(COUNT):
        with connected(place, family, CLOSED_PORT) as client:
            client.send(b"x")
            seen.append(told(client))
    with connected(place, family, CLOSED_PORT) as client:
        for _ in range(COUNT):
            client.send(b"x")
            seen.append(told(client))

    assert Counter(seen) == {errno.ECONNREFUSED: 2 * COUNT}
    assert outcomes(probe, place) == {REFUSED: 2 * COUNT}
    assert packets(place) == (2 * COUNT, 0, 2 * COUNT)
    assert noports(place, family) == 2 * COUNT


@families
def test_an_error_that_the_next_call_is_told_is_no_further_attempt(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Who never reads hears of the error when it sends again: every second call sends nothing."""
    seen: Counter[int] = Counter()
    with connected(place, family, CLOSED_PORT) as client:
        for _ in range(2 * COUNT):
            try:
                client.send(b"x")
                seen[0] += 1
            except OSError as error:
                seen[error.errno or -1] += 1

    assert seen == {0: COUNT, errno.ECONNREFUSED: COUNT}
    assert outcomes(probe, place) == {REFUSED: COUNT}
    assert packets(place) == (COUNT, 0, COUNT)


@families
def test_a_refusal_that_another_thread_is_told_counts_once(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The thread that waits to receive may take the error while the one that sends is still in its call."""
    made, seen = 300, []
    for _ in range(made):
        with connected(place, family, CLOSED_PORT) as client:
            reader = threading.Thread(target=lambda client=client: seen.append(told(client)))
            reader.start()
            client.send(b"x")
            reader.join()

    assert Counter(seen) == {errno.ECONNREFUSED: made}
    assert packets(place)[2] == made
    assert outcomes(probe, place) == {REFUSED: made}


@families
def test_an_answer_that_another_thread_reads_counts_once(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """It may be read before the call has ended that sent the question; the socket asks all the same."""
    made, seen = 300, []
    with serving(place, family):
        for _ in range(made):
            with connected(place, family, ECHO_PORT) as client:
                reader = threading.Thread(target=lambda client=client: seen.append(told(client)))
                reader.start()
                client.send(b"x")
                reader.join()

    assert Counter(seen) == {0: made}
    assert outcomes(probe, place) == {DELIVERED: made}


@families
@pytest.mark.parametrize("limit", [SHIPPED], ids=["shipped"])
@pytest.mark.parametrize("port", [SILENT_PORT, CLOSED_PORT], ids=["dropped", "not-told"])
def test_silence_is_unanswered_after_three_seconds_and_once(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily, port: int
) -> None:
    """Nothing before the limit, each once after it. A socket that is not connected is told of no error."""
    clients = [open_socket(place, family) for _ in range(COUNT)]
    before = time.monotonic_ns()
    for client in clients:
        client.sendto(b"x", target(family, port))
    after = time.monotonic_ns()
    probe.scan(before + STALL_NS - 1)
    early = outcomes(probe, place)
    scan_when_due(probe, limit, after)
    late = outcomes(probe, place)
    probe.scan(limit.now_ns())
    for client in clients:
        client.close()
    probe.scan(limit.now_ns())

    assert early == {}
    assert late == outcomes(probe, place) == {UNANSWERED: COUNT}
    assert packets(place)[:2] == (COUNT, 0)
    assert conversations(probe, place) == []


@families
def test_the_kernel_counts_what_the_reader_did_not_see_and_a_late_answer_changes_nothing(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """After the limit: closed, answered, sent again; before the reader looks, and after it has."""
    held: list[tuple[socket.socket, Address]] = []

    def hold(server: socket.socket, data: bytes, peer: Address) -> None:
        del data
        held.append((server, peer))

    with serving(place, family, answer=hold):
        clients = [connected(place, family, ECHO_PORT) for _ in range(4 * COUNT)]
        for client in clients:
            client.send(b"x")
        limit.pass_by(time.monotonic_ns())
        for client in clients[:COUNT]:
            client.close()
        answered = {client.getsockname()[1] for client in clients[COUNT : 2 * COUNT]}
        for server, peer in held:
            if peer[1] in answered:
                server.sendto(b"late", peer)
        for client in clients[COUNT : 2 * COUNT]:
            client.recv(10)
        by_the_kernel = outcomes(probe, place)
        probe.scan(limit.now_ns())
        counted = outcomes(probe, place)
        for server, peer in held:
            server.sendto(b"late", peer)
        for client in clients[2 * COUNT : 3 * COUNT]:
            client.recv(10)
        for client in clients[COUNT:]:
            client.close()
    probe.scan(limit.now_ns())

    assert by_the_kernel == {UNANSWERED: 2 * COUNT}
    assert counted == outcomes(probe, place) == {UNANSWERED: 4 * COUNT}


@families
def test_a_socket_that_is_closed_first_has_abandoned_its_attempt(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """Of one peer the program sees it, of further ones the reader: none of them is left."""
    for _ in range(COUNT):
        with open_socket(place, family) as client:
            for port in range(SILENT_PORT + 1000, SILENT_PORT + 1003):
                client.sendto(b"x", target(family, port))
    probe.scan(limit.now_ns())

    assert outcomes(probe, place) == {ABANDONED: 3 * COUNT}
    assert conversations(probe, place) == []


@families
@pytest.mark.parametrize("rejected", [True, False], ids=["by-a-firewall", "no-way-out"])
def test_no_way_to_the_peer_is_a_failure_of_its_own_kind(
    probe: UdpProbe, place: Place, family: socket.AddressFamily, *, rejected: bool
) -> None:
    """As the network says, with the errno that the caller sees; and where nothing may leave at all."""
    seen: Counter[int] = Counter()
    for _ in range(COUNT):
        with connected(place, family, FORBIDDEN_PORT if rejected else UNSENDABLE_PORT) as client:
            try:
                client.send(b"x")
            except OSError as error:
                seen[error.errno or -1] += 1
            else:
                seen[told(client)] += 1

    if not rejected:
        assert seen == {errno.EPERM: COUNT}
        assert outcomes(probe, place) == {("failed", "forbidden"): COUNT}
    elif family == socket.AF_INET:
        assert seen == {errno.EHOSTUNREACH: COUNT}
        assert outcomes(probe, place) == {("failed", "unreachable"): COUNT}
    else:
        assert seen == {errno.EACCES: COUNT}
        assert outcomes(probe, place) == {("failed", "forbidden"): COUNT}
    assert packets(place)[2] == (COUNT if rejected else 0)


@families
def test_a_send_without_a_route_is_unreachable_and_one_that_would_block_is_nothing(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """To an address that no route leads to; and with a datagram that is too long to be sent."""
    nowhere = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with open_socket(place, family) as client:
        for _ in range(COUNT):
            with pytest.raises(OSError, match="unreachable"):
                client.sendto(b"x", (nowhere, 53))
        with pytest.raises(OSError, match="too long"):
            client.sendto(bytes(70_000), target(family, SILENT_PORT))
    probe.scan(limit.now_ns())

    assert outcomes(probe, place) == {("failed", "unreachable"): COUNT}


@families
def test_a_server_that_dies_in_a_conversation_is_a_refusal(
    probe: UdpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """One outcome for what was answered before, one for each try that was refused after."""
    clients = [connected(place, family, ECHO_PORT) for _ in range(COUNT)]
    with serving(place, family):
        for client in clients:
            client.send(b"x")
            client.recv(10)
    seen = []
    for _ in range(2):
        for client in clients:
            client.send(b"x")
            seen.append(told(client))
    for client in clients:
        client.close()

    assert Counter(seen) == {errno.ECONNREFUSED: 2 * COUNT}
    assert outcomes(probe, place) == {DELIVERED: COUNT, REFUSED: 2 * COUNT}


@families
def test_datagrams_that_are_sent_at_once_are_one_attempt(
    probe: UdpProbe, place: Place, limit: Limit, family: socket.AddressFamily
) -> None:
    """By sendmmsg: to a server that answers each, and to nobody."""
    with serving(place, family):
        for _ in range(COUNT):
            with connected(place, family, ECHO_PORT) as client:
                assert send_many(client, 5) == 5
                for _ in range(5):
                    client.recv(10)
    with connected(place, family, SILENT_PORT) as client:
        assert send_many(client, 5) == 5
        scan_when_due(probe, limit, time.monotonic_ns())

    assert packets(place)[:2] == (5 * COUNT + 5, 5 * COUNT)
    assert outcomes(probe, place) == {DELIVERED: COUNT, UNANSWERED: 1}
