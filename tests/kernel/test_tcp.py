"""The TCP probe on this kernel: as many as /proc, the kernel's own tracing and a firewall count beside it."""

import contextlib
import functools
import math
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from netsre.adapters import namespaces
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import MapFull
from netsre.adapters.bpf.tcp import TcpProbe
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.datapath.probes import TCP, Probe
from netsre.datapath.tcp import TCP_KEY
from tests.kernel import attempts, firewall, netstat, tracefs
from tests.kernel.attempts import COUNT, LOOPBACK, Place, families
from tests.kernel.delayed_link import SERVER, delayed_link
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_BROKEN = struct.pack("ii", 1, 0)
"""What SO_LINGER wants for an end by a reset."""
_UNACKED_OFFSET, _RTT_OFFSET = 24, 68
"""Where `struct tcp_info` has segments under way, and the smoothed round-trip time in microseconds."""


@pytest.fixture
def attached() -> Probe:
    """Name the probe that each test gets."""
    return TCP


@pytest.fixture
def probe(session: Session) -> TcpProbe:
    """Return the reader of the probe."""
    return TcpProbe(session)


def port_of(place: Place) -> int:
    """Return a port that nothing else on this machine has to do with, now: tracing knows no namespaces."""
    return 10_000 + place.inode % 20_000


def counted(probe: TcpProbe, place: Place, event: str) -> dict[tuple[str, str], int]:
    """Return counts by (detail, direction) of one kind of event in one namespace."""
    found: Counter[tuple[str, str]] = Counter()
    for count in probe.counts():
        if count.client.netns == place.inode and count.kind.event == event:
            assert count.kind.destination == "loopback"
            found[(count.kind.detail, count.kind.direction)] += count.count
    return dict(found)


@contextlib.contextmanager
def connected(
    place: Place, family: socket.AddressFamily, count: int = 1, backlog: int = COUNT
) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Yield connections over loopback, each as client and server; what is open at the end is closed."""

    def listen() -> socket.socket:
        return socket.create_server((LOOPBACK[family], port_of(place)), family=family, backlog=backlog)

    pairs: list[tuple[socket.socket, socket.socket]] = []
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(namespaces.inside(place.name, listen))
        for _ in range(count):
            client = sockets.enter_context(namespaces.inside(place.name, lambda: socket.socket(family)))
            client.connect(server.getsockname())
            pairs.append((client, sockets.enter_context(server.accept()[0])))
        yield pairs


def lossy(place: Place, rules: str) -> None:
    """Drop packets where they come in."""
    drop = "packets counter name lost drop"
    chain = f"chain loss {{ type filter hook input priority -10; {rules.replace('DROP', drop)}; }}"
    firewall.load(place.name, f"counter lost {{ }}\n{chain}")


def gained(place: Place, work: Callable[[], object]) -> Counter[str]:
    """Return by how much the kernel's own counters of a namespace grew meanwhile."""
    before = netstat.counters(place.name)
    work()
    return netstat.counters(place.name) - before


@families
def test_data_that_is_lost_and_sent_again_is_counted_for_the_end_that_sends(
    probe: TcpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Client and server both repeat what the firewall drops: as RetransSegs and the tracepoint say."""
    port = port_of(place)
    limit = "meta length > 500 limit rate 1/hour burst"
    lossy(place, f"tcp dport {port} {limit} 3 DROP; tcp sport {port} {limit} 2 DROP")
    with tracefs.watching("tcp/tcp_retransmit_skb") as events, connected(place, family) as [(client, server)]:
        events.start(f"sport == {port} || dport == {port}")

        def exchange() -> None:
            client.sendall(b"x" * 1000)
            server.sendall(b"y" * 1000)
            assert len(server.recv(1000, socket.MSG_WAITALL)) == 1000
            assert len(client.recv(1000, socket.MSG_WAITALL)) == 1000
            assert wait_until(lambda: _acknowledged(client) and _acknowledged(server))

        grown = gained(place, exchange)
        lines = events.stop()

    found = counted(probe, place, "retransmit")
    to_server = [line for line in lines if f"dport={port} " in line]
    to_client = [line for line in lines if line not in to_server]
    assert found.keys() == {("data", "egress"), ("data", "ingress")}
    assert tracefs.seen(found["data", "egress"], to_server)
    assert tracefs.seen(found["data", "ingress"], to_client)
    assert len(to_server) >= 3
    assert len(to_client) >= 2
    assert len(lines) == grown["Tcp.RetransSegs"]
    assert firewall.packets(place.name) == {"lost": 5}


def test_a_buffer_of_many_segments_counts_as_many(probe: TcpProbe, place: Place) -> None:
    """Sent again at once as one buffer: fewer events than segments, and the segments are what is counted."""
    namespaces.run(place.name, ["ip", "link", "set", "lo", "mtu", "1500"]).check_returncode()
    with tracefs.watching("tcp/tcp_retransmit_skb") as events:
        with connected(place, socket.AF_INET) as [(client, server)]:
            server.settimeout(30)
            # A window that has grown: the losses that follow are seen by the acknowledgements of the rest.
            for _ in range(64):
                client.sendall(bytes(16_384))
                server.recv(16_384, socket.MSG_WAITALL)
            lossy(place, f"tcp dport {port_of(place)} meta length > 1400 limit rate 1/hour burst 2 DROP")
            events.start(f"dport == {port_of(place)}")

            def exchange() -> None:
                client.sendall(bytes(300_000))
                assert len(server.recv(300_000, socket.MSG_WAITALL)) == 300_000
                # Until then, some may be sent again that have arrived.
                assert wait_until(lambda: _acknowledged(client))

            grown = gained(place, exchange)
        lines = events.stop()

    found = counted(probe, place, "retransmit")
    assert found.keys() == {("data", "egress")}
    unseen = grown["Tcp.RetransSegs"] - found["data", "egress"]
    assert unseen == 0 or (unseen > 0 and tracefs.of_others(lines))
    assert 0 < len(lines) < grown["Tcp.RetransSegs"]


@families
def test_unanswered_syns_are_counted_as_the_client_repeats_them(
    probe: TcpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The first repetition is after a second; who looks late finds some of the second ones, too."""
    before = netstat.counters(place.name)["TcpExt.TCPSynRetrans"]

    def repeated() -> bool:
        return netstat.counters(place.name)["TcpExt.TCPSynRetrans"] - before >= COUNT

    def wait() -> None:
        with attempts.waiting(place, family):
            assert wait_until(repeated)

    with tracefs.watching("tcp/tcp_retransmit_skb") as events:
        events.start(f"dport == {attempts.DROPPED_PORT}")
        grown = gained(place, wait)
        lines = events.stop()

    found = counted(probe, place, "retransmit")
    assert found.keys() == {("syn", "egress")}
    assert grown["Tcp.RetransSegs"] == grown["TcpExt.TCPSynRetrans"] >= COUNT
    # Tracing sees those of other tests at this port as well.
    assert 0 <= grown["Tcp.RetransSegs"] - found["syn", "egress"] <= tracefs.of_others(lines)


@families
def test_syn_acks_are_counted_by_the_server_that_repeats_them(
    probe: TcpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """The listening socket has no peer: the address is that of the request."""
    lossy(
        place, f"tcp sport {port_of(place)} tcp flags & (syn|ack) == syn|ack limit rate 1/hour burst 3 DROP"
    )
    port = port_of(place)
    with (
        tracefs.watching("tcp/tcp_retransmit_synack") as answered,
        tracefs.watching("tcp/tcp_retransmit_skb") as asked,
    ):
        answered.start(f"sport == {port}")
        asked.start(f"dport == {port}")

        def connect() -> None:
            with connected(place, family):
                pass

        grown = gained(place, connect)
        answers, questions = answered.stop(), asked.stop()

    found = counted(probe, place, "retransmit")
    assert found.keys() == {("syn", "egress"), ("syn_ack", "ingress")}
    assert len(answers) >= 3
    assert tracefs.seen(found["syn_ack", "ingress"], answers)
    assert tracefs.seen(found["syn", "egress"], questions)
    assert len(answers) + len(questions) == grown["Tcp.RetransSegs"] == grown["TcpExt.TCPSynRetrans"]


def _watch_resets(place: Place) -> None:
    chain = "chain out { type filter hook output priority 0; tcp flags & rst == rst counter name resets; }"
    firewall.load(place.name, f"counter resets {{ }}\n{chain}")


def _reasons(lines: list[str], port: int) -> dict[str, int]:
    """Return why resets were sent from or to a port, as the kernel prints it."""
    ours = [line for line in lines if re.search(rf":{port}\b", line)]
    return dict(Counter(line.rpartition("reason=")[2].strip().lower() for line in ours))


@families
def test_a_refused_attempt_is_a_reset_sent_and_one_received(
    probe: TcpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """There is no socket that sends it: what the packet says tells who wanted the connection."""
    _watch_resets(place)
    port = port_of(place)
    with (
        tracefs.watching("tcp/tcp_send_reset") as sent,
        tracefs.watching("tcp/tcp_receive_reset") as received,
    ):
        sent.start()
        received.start(f"dport == {port}")
        grown = gained(place, lambda: place.run(lambda: attempts.failing(family, port)))
        reasons, traced = _reasons(sent.stop(), port), len(received.stop())

    assert counted(probe, place, "reset_sent") == {("no_socket", "ingress"): COUNT}
    assert counted(probe, place, "reset_received") == {("refused", "egress"): COUNT}
    assert (grown["Tcp.OutRsts"], grown["Tcp.AttemptFails"]) == (COUNT, COUNT)
    assert firewall.packets(place.name) == {"resets": COUNT}
    assert (reasons, traced) == ({"no_socket": COUNT}, COUNT)


def _abort(first: socket.socket, _: socket.socket) -> None:
    """End a connection without the long goodbye."""
    first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BROKEN)
    first.close()


def _leave_unread(first: socket.socket, second: socket.socket) -> None:
    """Close a connection with something unread in it."""
    second.sendall(b"x")
    assert first.recv(1, socket.MSG_PEEK)
    first.close()


@families
@pytest.mark.parametrize("end", [_abort, _leave_unread], ids=["abort", "unread"])
@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_connection_that_is_broken_has_a_reset_at_both_ends(
    probe: TcpProbe,
    place: Place,
    family: socket.AddressFamily,
    end: Callable[[socket.socket, socket.socket], None],
    direction: str,
) -> None:
    """One end opened the connection and the other accepted it, whichever of them breaks it."""
    _watch_resets(place)
    with tracefs.watching("tcp/tcp_send_reset") as sent, connected(place, family, COUNT) as pairs:
        sent.start()

        def break_all() -> None:
            for client, server in pairs:
                end(*((client, server) if direction == "egress" else (server, client)))

        grown = gained(place, break_all)
        reasons = _reasons(sent.stop(), port_of(place))

    other = "ingress" if direction == "egress" else "egress"
    assert counted(probe, place, "reset_sent") == {(reason, direction): n for reason, n in reasons.items()}
    assert list(reasons.values()) == [COUNT]
    assert counted(probe, place, "reset_received") == {("broken", other): COUNT}
    assert grown["Tcp.OutRsts"] == COUNT
    assert firewall.packets(place.name) == {"resets": COUNT}


def _timed(probe: TcpProbe, place: Place) -> dict[str, tuple[dict[int, int], int]]:
    """Return by direction: counts by bucket, and the sum in microseconds."""
    found: dict[str, tuple[Counter[int], int]] = {}
    for count in probe.counts():
        if count.client.netns == place.inode and count.kind.event == "rtt":
            buckets, total = found.get(count.kind.direction, (Counter(), 0))
            buckets[count.kind.bucket] += count.count
            found[count.kind.direction] = (buckets, total + count.sum_ns // 1000)
    return {direction: (dict(buckets), total) for direction, (buckets, total) in found.items()}


def _round_trip(connection: socket.socket) -> int:
    """Return what the kernel tells the owner of a connection: microseconds."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (microseconds,) = struct.unpack_from("<I", info, _RTT_OFFSET)
    return int(microseconds)


def _acknowledged(connection: socket.socket) -> bool:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return struct.unpack_from("<I", info, _UNACKED_OFFSET) == (0,)


def _bucket(microseconds: int) -> int:
    return sum(microseconds > bound * 10**6 for bound in CONNECT_BOUNDS)


@families
def test_each_connection_is_timed_once_at_each_end(
    probe: TcpProbe, place: Place, family: socket.AddressFamily
) -> None:
    """To the microsecond what TCP_INFO told each end before it closed, however it closes."""
    told: dict[str, list[int]] = {"egress": [], "ingress": []}
    with connected(place, family, COUNT) as pairs:
        for number, (client, server) in enumerate(pairs):
            for _ in range(number % 4):
                client.sendall(b"x")
                server.recv(1)
                server.sendall(b"y")
                client.recv(1)
            # An acknowledgement that waits for company is a sample as well.
            assert wait_until(lambda: _acknowledged(client) and _acknowledged(server))  # noqa: B023
            told["egress"].append(_round_trip(client))
            told["ingress"].append(_round_trip(server))
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BROKEN)
            client.close()
            server.close()

    expected = {end: (dict(Counter(map(_bucket, each))), sum(each)) for end, each in told.items()}
    assert _timed(probe, place) == expected


def _quantile_bucket(buckets: dict[int, int], quantile: float) -> int:
    """Return the bucket that the nearest rank falls into."""
    rank = math.ceil(quantile * sum(buckets.values()))
    return next(
        bucket for bucket in sorted(buckets) if sum(n for b, n in buckets.items() if b <= bucket) >= rank
    )


def test_the_median_and_the_99th_of_a_slow_link_are_in_their_buckets(probe: TcpProbe) -> None:
    """This test holds packets: 97 connections for 6 ms, 3 for 30 ms; TCP_INFO says how long it was."""
    told: list[int] = []
    with delayed_link(0.003) as link:

        def listen() -> socket.socket:
            return socket.create_server((SERVER, attempts.REFUSED_PORT))

        def connect() -> None:
            with socket.create_connection((SERVER, attempts.REFUSED_PORT)) as client:
                client.sendall(b"x")
                client.recv(1)
                told.append(_round_trip(client))

        with namespaces.inside(link.server, listen) as server:
            threading.Thread(target=_echo, args=(server, 100)).start()
            for number in range(100):
                link.seconds = 0.015 if number >= 97 else 0.003
                namespaces.inside(link.client, connect)
        identity = namespaces.identity(link.client)
        assert identity is not None
        buckets, _ = _timed(probe, Place(link.client, identity[1]))["egress"]

    exact = dict(Counter(map(_bucket, told)))
    assert sum(buckets.values()) == 100
    assert min(told) >= 6_000
    assert sorted(told)[97] >= 30_000
    for quantile in (0.5, 0.99):
        assert _quantile_bucket(buckets, quantile) == _quantile_bucket(exact, quantile)


def _echo(server: socket.socket, count: int) -> None:
    for _ in range(count):
        connection = server.accept()[0]
        connection.sendall(connection.recv(1))
        connection.close()


def test_a_server_with_no_backlog_at_all_is_taken_for_a_client(probe: TcpProbe, place: Place) -> None:
    """The one thing that this probe gets wrong: `listen(0)` leaves no trace in what it accepts."""
    with connected(place, socket.AF_INET, backlog=0):
        pass

    assert {count for count, _ in _timed(probe, place)["egress"][0].items()}
    assert "ingress" not in _timed(probe, place)


def test_what_finds_the_table_full_is_counted_without_detail(
    session: Session, probe: TcpProbe, place: Place
) -> None:
    """Nothing is lost but whose it was; the overflow says how much that is."""
    table = session.maps["tcp_counts"]
    with contextlib.suppress(MapFull):
        for number in range(table.capacity + 1):
            table.insert(TCP_KEY.pack(0, number, 3, 0, 0, 255), bytes(table.stride))
    place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))

    assert counted(probe, place, "reset_sent") == {}
    nobodys = {
        (count.kind.event, count.kind.detail): count.count
        for count in probe.counts()
        if count.client.netns == 0
    }
    # Others on this machine find it full as well.
    assert nobodys[("reset_sent", "no_socket")] >= COUNT
    assert nobodys[("reset_received", "refused")] >= COUNT
    [usage] = probe.usage()
    assert usage.entries == usage.capacity
    assert usage.overflows >= 2 * COUNT


def test_retired_namespaces_are_forgotten(probe: TcpProbe, place: Place) -> None:
    """Counters of a namespace that is gone leave the table; others stay."""
    refuse = functools.partial(attempts.failing, socket.AF_INET, attempts.REFUSED_PORT)
    place.run(refuse)
    with attempts.place() as other:
        other.run(refuse)
        probe.retire({one.client for one in probe.counts() if one.client.netns == place.inode})

        assert counted(probe, place, "reset_sent") == {}
        assert counted(probe, other, "reset_sent") == {("no_socket", "ingress"): COUNT}
