"""The drops probe on this kernel: as many as a firewall, /proc and the kernel's own tracing count."""

import contextlib
import functools
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf.drops import DropsProbe
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import MapFull
from netsre.adapters.namespaces import Address, End
from netsre.datapath.attribution import Client
from netsre.datapath.drops import BENIGN, DROP_KEY, REASON_ENUM, TCP_END, reason_words
from netsre.datapath.probes import DROPS, Probe
from tests.kernel import attempts, firewall, netstat, tracefs
from tests.kernel.attempts import COUNT, LOOPBACK, Place, families
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_PORT = 45_321
_SENT = 100


@pytest.fixture
def attached() -> Probe:
    """Name the probe that each test gets."""
    return DROPS


@pytest.fixture
def probe(session: Session) -> DropsProbe:
    """Return the reader of the probe."""
    return DropsProbe(session)


def dropped(probe: DropsProbe, inode: int) -> dict[str, int]:
    """Return what was dropped in one namespace by reason, without what nobody misses."""
    found: Counter[str] = Counter()
    for count in probe.counts():
        if count.client.netns == inode and not count.kind.benign:
            found[count.kind.reason] += count.count
    return dict(found)


def everywhere(probe: DropsProbe, reason: str) -> int:
    """Return what was dropped for one reason on this machine, by whomever."""
    return sum(count.count for count in probe.counts() if count.kind.reason == reason)


@contextlib.contextmanager
def traced(probe: DropsProbe, reason: str) -> Iterator[None]:
    """Hold the probe between two bounds: tracing sees one of the reason wherever it does, in the same time.

    The tracepoint does not say whose a packet is. Where nobody else has the reason, all three are equal.
    """
    with tracefs.watching("skb/kfree_skb") as events:
        [number] = [n for n, name in events.symbols("reason").items() if name.lower() == reason]
        outer = everywhere(probe, reason)
        events.start(f"reason == {number}")
        inner = everywhere(probe, reason)
        yield
        inner = everywhere(probe, reason) - inner
        lines = events.stop()
        outer = everywhere(probe, reason) - outer
    assert inner <= len(lines) <= outer + tracefs.of_others(lines)
    assert inner > 0


def gained(place: Place, work: Callable[[], object]) -> Counter[str]:
    """Return by how much the kernel's own counters of a namespace grew meanwhile."""
    before = netstat.counters(place.name)
    work()
    return netstat.counters(place.name) - before


def send(family: socket.AddressFamily, port: int, count: int = COUNT, address: str = "") -> None:
    """Send datagrams; what the network says of them is not asked for."""
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            with contextlib.suppress(PermissionError):
                sender.sendto(b"x", (address or LOOPBACK[family], port))


def test_the_reasons_are_those_that_this_kernel_prints(session: Session) -> None:
    """The table of types and the format of the tracepoint are two places that name them."""
    with tracefs.watching("skb/kfree_skb") as events:
        printed = {number: name.lower() for number, name in events.symbols("reason").items()}
    printed = {number: name for number, name in printed.items() if name != "max"}

    assert reason_words(session.enums[REASON_ENUM], {}) == printed | {TCP_END: "tcp_end"}
    assert len(printed) > 50


@families
@pytest.mark.parametrize("hook", ["input", "output", "prerouting"])
def test_what_a_firewall_drops_is_counted_where_it_does(
    probe: DropsProbe, place: Place, family: socket.AddressFamily, hook: str
) -> None:
    """Of packets with a socket (going out) and without (coming in), exactly as the rule's own counter."""
    chain = f"type filter hook {hook} priority -10; udp dport {_PORT} counter name lost drop;"
    firewall.load(place.name, f"counter lost {{ }}\nchain loss {{ {chain} }}")
    with traced(probe, "netfilter_drop"):
        place.run(lambda: send(family, _PORT))

    assert dropped(probe, place.inode) == {"netfilter_drop": COUNT}
    assert firewall.packets(place.name) == {"lost": COUNT}


@pytest.mark.parametrize("receiver", ["198.18.94.1", "fd4e:7372:655d::1"], ids=["ipv4", "ipv6"])
def test_packets_of_another_namespace_are_dropped_in_the_one_where_they_arrive(
    probe: DropsProbe, receiver: str
) -> None:
    """A packet that crossed a link belongs to the interface that it came in by."""
    owner = processes.this_process()
    names = [owner.name("test", f"drops-{end}") for end in ("srv", "cli")]
    ends = (
        (Address("198.18.94.1", 24), Address("fd4e:7372:655d::1", 64)),
        (Address("198.18.94.2", 24), Address("fd4e:7372:655d::2", 64)),
    )
    family = socket.AF_INET6 if ":" in receiver else socket.AF_INET
    try:
        for name in names:
            namespaces.create(name)
        namespaces.connect(*(End(name, "eth0", each) for name, each in zip(names, ends, strict=True)))
        inodes = [identity[1] for name in names if (identity := namespaces.identity(name)) is not None]
        chain = f"type filter hook input priority 0; udp dport {_PORT} counter name lost drop;"
        firewall.load(names[0], f"counter lost {{ }}\nchain loss {{ {chain} }}")
        namespaces.inside(names[1], lambda: send(family, _PORT, address=receiver))
        assert wait_until(lambda: firewall.packets(names[0]) == {"lost": COUNT})
        server, client = (dropped(probe, inode) for inode in inodes)
    finally:
        for name in names:
            namespaces.remove(name)

    assert server.get("netfilter_drop") == COUNT
    assert "netfilter_drop" not in client


@families
def test_datagrams_to_a_closed_port_have_no_socket(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """As NoPorts counts them."""
    grown = gained(place, lambda: place.run(lambda: send(family, _PORT)))

    assert dropped(probe, place.inode) == {"no_socket": COUNT}
    assert grown["Udp.NoPorts" if family == socket.AF_INET else "Udp6NoPorts"] == COUNT


@families
def test_attempts_to_a_closed_port_have_no_socket(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """One for each SYN; the answers, which are resets, are obeyed and no loss."""
    grown = gained(place, lambda: place.run(lambda: attempts.failing(family, attempts.REFUSED_PORT)))

    assert dropped(probe, place.inode) == {"no_socket": COUNT}
    assert grown["Tcp.OutRsts"] == COUNT


@families
def test_datagrams_that_find_a_full_socket_are_counted_for_its_namespace(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """As RcvbufErrors counts them: here the kernel keeps something else where a packet has its interface."""
    receiver = namespaces.inside(place.name, lambda: socket.socket(family, socket.SOCK_DGRAM))
    with receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        receiver.bind((LOOPBACK[family], _PORT))
        with traced(probe, "socket_rcvbuff"):
            grown = gained(place, lambda: place.run(lambda: send(family, _PORT, _SENT)))

    errors = grown["Udp.RcvbufErrors" if family == socket.AF_INET else "Udp6RcvbufErrors"]
    assert dropped(probe, place.inode) == {"socket_rcvbuff": errors}
    assert 0 < errors < _SENT


@families
def test_connections_that_a_full_queue_does_not_take_are_told_from_a_closed_port(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Nine wait to be accepted, nine are half open, there is room for eleven: as ListenOverflows counts."""
    hold = f"tcp dport {_PORT} tcp flags & (syn|ack) == ack meta length < 100"

    def listen() -> socket.socket:
        return socket.create_server((LOOPBACK[family], _PORT), family=family, backlog=10)

    with contextlib.ExitStack() as sockets:

        def connect() -> list[socket.socket]:
            clients = [sockets.enter_context(socket.socket(family)) for _ in range(9)]
            for client in clients:
                client.connect((LOOPBACK[family], _PORT))
            return clients

        sockets.enter_context(namespaces.inside(place.name, listen))
        namespaces.inside(place.name, connect)
        # The last word of these is held up until they have something to say.
        firewall.load(place.name, f"chain hold {{ type filter hook input priority -10; {hold} drop; }}")
        waiting = namespaces.inside(place.name, connect)

        with traced(probe, "tcp_listen_overflow"):
            before = netstat.counters(place.name)
            for client in waiting:
                client.sendall(b"x" * 200)
            assert wait_until(lambda: dropped(probe, place.inode).get("tcp_listen_overflow", 0) >= 7)
            namespaces.run(place.name, ["ip", "link", "set", "lo", "down"]).check_returncode()
            grown = netstat.counters(place.name) - before

        assert dropped(probe, place.inode)["tcp_listen_overflow"] == grown["TcpExt.ListenOverflows"]


@families
def test_a_syn_that_finds_the_queue_full_is_no_drop_to_the_kernel(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """What this probe cannot see: ListenDrops counts them, and the kernel frees them as if they were used."""

    def ask() -> None:
        with contextlib.ExitStack() as sockets:
            server = socket.create_server((LOOPBACK[family], _PORT), family=family, backlog=0)
            sockets.enter_context(server)
            for _ in range(COUNT):
                client = sockets.enter_context(socket.socket(family))
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    client.connect((LOOPBACK[family], _PORT))

    grown = gained(place, lambda: place.run(ask))

    assert grown["TcpExt.ListenDrops"] == COUNT - 1
    assert dropped(probe, place.inode) == {}


def _client_first(client: socket.socket, server: socket.socket) -> None:
    client.close()
    assert server.recv(1) == b""
    server.close()


def _server_first(client: socket.socket, server: socket.socket) -> None:
    _client_first(server, client)


def _half_closed(client: socket.socket, server: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.sendall(b"y")
    server.close()
    assert client.recv(1) == b"y"
    client.close()


def _at_once(client: socket.socket, server: socket.socket) -> None:
    for each in (client, server):
        each.shutdown(socket.SHUT_WR)
    for each in (client, server):
        each.close()


def _talk(family: socket.AddressFamily, end: Callable[[socket.socket, socket.socket], None]) -> None:
    """Connect, say something in both directions, and close."""
    with socket.create_server((LOOPBACK[family], 0), family=family) as server:
        for _ in range(COUNT):
            client = socket.create_connection(server.getsockname()[:2])
            connection = server.accept()[0]
            client.sendall(b"x" * 1000)
            connection.sendall(connection.recv(1000))
            client.recv(1000)
            end(client, connection)


@families
@pytest.mark.parametrize("end", [_client_first, _server_first, _half_closed, _at_once])
def test_a_connection_that_ends_well_drops_nothing(
    probe: DropsProbe,
    place: Place,
    family: socket.AddressFamily,
    end: Callable[[socket.socket, socket.socket], None],
) -> None:
    """Whoever ends it: what the kernel frees unused then is counted apart, by its name."""
    place.run(lambda: _talk(family, end))

    benign = {count.kind.reason for count in probe.counts() if count.client.netns == place.inode}
    assert dropped(probe, place.inode) == {}
    assert benign <= BENIGN


@families
def test_what_comes_after_the_last_byte_is_benign_though_the_kernel_gives_no_reason(
    probe: DropsProbe, place: Place, family: socket.AddressFamily
) -> None:
    """Between two bounds, tracing sees as many without a reason as are told apart here, and as stay."""
    with tracefs.watching("skb/kfree_skb") as events:
        [number] = [n for n, name in events.symbols("reason").items() if name == "NOT_SPECIFIED"]
        words = ("tcp_end", "not_specified")
        outer = sum(everywhere(probe, word) for word in words)
        events.start(f"reason == {number}")
        inner = sum(everywhere(probe, word) for word in words)
        place.run(lambda: _talk(family, _half_closed))
        inner = sum(everywhere(probe, word) for word in words) - inner
        lines = events.stop()
        outer = sum(everywhere(probe, word) for word in words) - outer

    found = Counter({c.kind.reason: c.count for c in probe.counts() if c.client.netns == place.inode})
    assert found.keys() == {"tcp_end"}
    assert COUNT <= found["tcp_end"] <= inner <= len(lines) <= outer + tracefs.of_others(lines)


def test_datagrams_and_local_sockets_drop_nothing(probe: DropsProbe, place: Place) -> None:
    """Read or left unread by whoever closes."""

    def work() -> None:
        for family in LOOPBACK:
            with socket.socket(family, socket.SOCK_DGRAM) as receiver:
                receiver.bind((LOOPBACK[family], 0))
                send(family, receiver.getsockname()[1])
                receiver.recv(1)
        one, other = socket.socketpair()
        one.send(b"x")
        one.close()
        other.close()

    place.run(work)

    assert dropped(probe, place.inode) == {}


def test_many_packets_on_every_cpu_are_as_many(probe: DropsProbe, place: Place) -> None:
    """Slots of CPUs add up."""
    senders = [
        threading.Thread(target=place.run, args=(functools.partial(send, family, _PORT, 2_000),))
        for family in LOOPBACK
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert dropped(probe, place.inode) == {"no_socket": 4_000}


def test_what_finds_the_table_full_keeps_its_reason(
    session: Session, probe: DropsProbe, place: Place
) -> None:
    """Nothing is lost but whose it was."""
    table = session.maps["drop_counts"]
    with contextlib.suppress(MapFull):
        for number in range(table.capacity + 1):
            table.insert(DROP_KEY.pack(number, 250), bytes(table.stride))
    before = everywhere(probe, "no_socket")
    place.run(lambda: send(socket.AF_INET, _PORT))

    assert dropped(probe, place.inode) == {}
    # Others on this machine find it full as well.
    assert everywhere(probe, "no_socket") - before >= COUNT
    [usage] = probe.usage()
    assert usage.entries == usage.capacity
    assert usage.overflows >= COUNT


def test_a_number_that_this_kernel_has_no_name_for_is_other(
    session: Session, probe: DropsProbe, place: Place
) -> None:
    """It is counted, whatever it means."""
    table = session.maps["drop_counts"]
    table.insert(DROP_KEY.pack(place.inode, 9_999), struct.pack("<Q", 2) * (table.stride // 8))

    assert dropped(probe, place.inode) == {"other": 2 * table.stride // 8}


def test_retired_namespaces_are_forgotten(probe: DropsProbe, place: Place) -> None:
    """Counters of a namespace that is gone leave the table; others stay."""
    place.run(lambda: send(socket.AF_INET, _PORT))
    with attempts.place() as other:
        other.run(lambda: send(socket.AF_INET, _PORT))
        probe.retire([Client(place.inode)])

        assert dropped(probe, place.inode) == {}
        assert dropped(probe, other.inode) == {"no_socket": COUNT}
