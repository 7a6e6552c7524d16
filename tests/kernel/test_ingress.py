"""What a server's node counts: clients elsewhere once, and clients on the node not again."""

import contextlib
import errno
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from netsre.app.sensors.flows import FlowSensor
from netsre.app.sensors.places import Places
from netsre.datapath.block import source_key
from netsre.datapath.flow_log import FlowEvent, Switch
from netsre.datapath.flows import MAX_REFUSALS, REFUSAL, REFUSAL_NS, TCP_SERVER
from netsre.datapath.workloads import Workload
from netsre.metrics.readings import Readings
from tests.kernel import firewall, netstat
from tests.kernel.attempts import COUNT
from tests.kernel.remote_client import RemoteClient, remote_client
from tests.kernel.tracked_link import CLIENTS, IPV4, IPV6, Link, link
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

_PORT, _CLOSED, _MANY = 7000, 7001, 1_000
_BACKLOG = 4_096
TAKEN, TURNED_AWAY = ("server", "ingress", "delivered", "none"), ("server", "ingress", "failed", "refused")
OPENED, REFUSED = ("client", "egress", "delivered", "none"), ("client", "egress", "failed", "refused")
ITS_OWN = ("server", "egress", "delivered", "none")
_ASKED = (
    "chain ask { type filter hook input priority -10; "
    f"tcp dport {_CLOSED} tcp flags syn counter name asked; }}"
)
_RESETS = "chain watch { type filter hook output priority 0; tcp flags & rst == rst counter name resets; }"


@dataclass(frozen=True, slots=True)
class Site:
    """A server, a client on this node, and one that is no socket of this node, in one family."""

    between: Link
    family: socket.AddressFamily
    server: str
    near: str
    far: str

    @contextlib.contextmanager
    def listening(self, port: int = _PORT, backlog: int = _BACKLOG) -> Iterator[socket.socket]:
        """Listen; nobody takes anything out of the queue, which is the kernel's to fill."""

        def listen() -> socket.socket:
            return socket.create_server((self.server, port), family=self.family, backlog=backlog)

        with namespaces.inside(self.between.server, listen) as server:
            yield server

    @contextlib.contextmanager
    def remote(self) -> Iterator[RemoteClient]:
        """Yield a client elsewhere."""
        with remote_client(self.between.client, self.far, self.server) as client:
            yield client

    def connect(self, count: int, port: int = _PORT) -> Counter[int]:
        """Connect from this node, one after the other; return the errno of each."""

        def work() -> Counter[int]:
            seen: Counter[int] = Counter()
            for _ in range(count):
                with socket.socket(self.family) as client:
                    client.bind((self.near, 0))
                    seen[client.connect_ex((self.server, port))] += 1
            return seen

        return namespaces.inside(self.between.client, work)

    def talk_to_itself(self, count: int) -> None:
        """Connect at the server to its own address."""

        def work() -> None:
            for _ in range(count):
                socket.create_connection((self.server, _PORT)).close()

        namespaces.inside(self.between.server, work)

    @property
    def places(self) -> dict[int, str]:
        """Return which namespace is whose."""
        names = {"server": self.between.server, "client": self.between.client}
        return {identity[1]: who for who, name in names.items() if (identity := namespaces.identity(name))}


@pytest.fixture(params=["ipv4", "ipv6"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Make a link whose server tracks connections, and has long queues."""
    with link("ingress") as between:
        longer = ["sysctl", "-qw", f"net.core.somaxconn={_BACKLOG}"]
        namespaces.run(between.server, longer).check_returncode()
        if request.param == "ipv4":
            yield Site(between, socket.AF_INET, IPV4, CLIENTS[0], CLIENTS[1])
        else:
            yield Site(between, socket.AF_INET6, IPV6, CLIENTS[3], CLIENTS[4])


@pytest.fixture(params=[False, True], ids=["one-program", "both-programs"])
def probe(request: pytest.FixtureRequest, site: Site) -> Iterator[FlowProbe]:
    """Attach a probe of this test's own after the namespaces are there, also with its second program."""
    del site
    session = open_session(directory("bpf"))
    if request.param:
        session.reinforce()
    yield FlowProbe(session)
    session.close()


def counted(probe: FlowProbe, site: Site) -> dict[tuple[str, ...], int]:
    """Return counts by (end that is here, direction, outcome, reason)."""
    found: Counter[tuple[str, ...]] = Counter()
    for count in probe.counts():
        if (who := site.places.get(count.netns)) is not None:
            found[(who, count.role.direction, count.outcome, count.reason)] += count.count
    return dict(found)


def settled(probe: FlowProbe, site: Site) -> dict[tuple[str, ...], int]:
    """Return the counts when every refused attempt has waited for its client long enough."""
    probe.scan(time.monotonic_ns() + REFUSAL_NS)
    return counted(probe, site)


def gained(site: Site, work: Callable[[], object]) -> Counter[str]:
    """Return by how much the kernel's own counters at the server grew meanwhile."""
    before = netstat.counters(site.between.server)
    work()
    return netstat.counters(site.between.server) - before


def test_connections_from_elsewhere_are_counted_at_the_server_and_from_here_at_the_client(
    probe: FlowProbe, site: Site
) -> None:
    """Thousands of each at the same time; /proc says how many the server took, from wherever."""

    def everything() -> None:
        pid = os.fork()
        if pid == 0:
            assert site.connect(_MANY) == {0: _MANY}
            site.talk_to_itself(COUNT)
            os._exit(0)
        with site.remote() as client:
            assert all(client.connect(_PORT) for _ in range(_MANY + 1))
        assert os.waitpid(pid, 0)[1] == 0

    with site.listening():
        passive = gained(site, everything)["Tcp.PassiveOpens"]

    assert passive == 2 * _MANY + 1 + COUNT
    assert settled(probe, site) == {TAKEN: _MANY + 1, OPENED: _MANY, ITS_OWN: COUNT}


def test_what_nobody_listens_for_is_refused_once_by_the_end_that_can_know(
    probe: FlowProbe, site: Site
) -> None:
    """The firewall sees a reset leave for each; a client on this node counts its own, at once."""
    firewall.load(site.between.server, f"counter asked {{ }}\ncounter resets {{ }}\n{_ASKED}\n{_RESETS}")
    before_the_first = time.monotonic_ns()
    with site.remote() as client:
        answers = [client.connect(_CLOSED) for _ in range(_MANY)]
    seen = site.connect(_MANY + 1, _CLOSED)
    probe.scan(before_the_first + REFUSAL_NS - 1)
    early = counted(probe, site)

    assert (set(answers), seen) == ({False}, {errno.ECONNREFUSED: _MANY + 1})
    # A SYN that comes twice under load is answered twice, and is the same attempt.
    packets = firewall.packets(site.between.server)
    assert packets["resets"] == packets["asked"] >= 2 * _MANY + 1
    assert early == {REFUSED: _MANY + 1}
    assert settled(probe, site) == {TURNED_AWAY: _MANY, REFUSED: _MANY + 1}
    assert settled(probe, site) == {TURNED_AWAY: _MANY, REFUSED: _MANY + 1}


def test_over_loopback_a_connection_is_its_clients_alone(probe: FlowProbe, site: Site) -> None:
    """Answered or refused, and nothing waits for anybody to take it away."""

    def work() -> None:
        host = "127.0.0.1" if site.family == socket.AF_INET else "::1"
        with socket.create_server((host, _PORT), family=site.family, backlog=COUNT):
            for port, wanted in ((_PORT, 0), (_CLOSED, errno.ECONNREFUSED)):
                for _ in range(COUNT):
                    with socket.socket(site.family) as client:
                        assert client.connect_ex((host, port)) == wanted

    namespaces.inside(site.between.server, work)

    assert list(probe.session.maps["refusals"].entries()) == []
    assert settled(probe, site) == {ITS_OWN: COUNT, ("server", "egress", "failed", "refused"): COUNT}


def _taken(server: socket.socket) -> str:
    """Take a connection out of the queue, and return whose it is."""
    connection, (peer, *_) = server.accept()
    connection.close()
    return str(peer)


def _translate(site: Site) -> None:
    """Have the server's kernel change both addresses of what comes for another port, and where it is from."""
    word = "ip" if site.family == socket.AF_INET else "ip6"
    rules = f"""
      table {word} netsre-translate {{
        chain goal {{ type nat hook prerouting priority -100; tcp dport 8080 redirect to :{_PORT}; }}
        chain source {{ type nat hook input priority 100; tcp dport {_PORT} snat to {site.server}; }}
      }}
    """
    namespaces.run(site.between.server, ["nft", "-f", "-"], rules).check_returncode()


def test_translated_addresses_on_the_way_change_nothing(probe: FlowProbe, site: Site) -> None:
    """The server sees its own address as the client's, and another port than was asked for."""
    _translate(site)
    with site.listening() as server, site.remote() as client:
        assert all(client.connect(8080) for _ in range(COUNT))
        assert site.connect(2 * COUNT, 8080) == {0: 2 * COUNT}
        peers = {_taken(server) for _ in range(3 * COUNT)}

    assert peers == {site.server}
    assert settled(probe, site) == {TAKEN: COUNT, OPENED: 2 * COUNT}


def test_a_connection_that_is_accepted_long_after_it_was_answered_is_still_one(
    probe: FlowProbe, site: Site
) -> None:
    """A server that wants data first has its connection when they come."""
    with site.listening() as server, contextlib.ExitStack() as sockets:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        clients = []
        for _ in range(COUNT):
            client = sockets.enter_context(
                namespaces.inside(site.between.client, lambda: socket.socket(site.family))
            )
            client.connect((site.server, _PORT))
            clients.append(client)
        passive = netstat.counters(site.between.server)["Tcp.PassiveOpens"]
        for client in clients:
            client.send(b"x")
        for _ in range(COUNT):
            server.accept()[0].close()
        later = netstat.counters(site.between.server)["Tcp.PassiveOpens"]

    assert later - passive == COUNT
    assert settled(probe, site) == {OPENED: COUNT}


def test_data_in_the_first_segment_make_no_second_connection(probe: FlowProbe, site: Site) -> None:
    """With fast open the numbers of both ends are further on when the connection is there."""
    for place in (site.between.server, site.between.client):
        namespaces.run(place, ["sysctl", "-qw", "net.ipv4.tcp_fastopen=0x607"]).check_returncode()

    def work() -> None:
        for _ in range(COUNT):
            with socket.socket(site.family) as client:
                client.sendto(b"early", socket.MSG_FASTOPEN, (site.server, _PORT))
                assert client.recv(1) == b"!"

    with site.listening() as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, COUNT)
        pid = os.fork()
        if pid == 0:
            namespaces.inside(site.between.client, work)
            os._exit(0)
        for _ in range(COUNT):
            connection = server.accept()[0]
            assert connection.recv(5) == b"early"
            connection.send(b"!")
            connection.close()
        assert os.waitpid(pid, 0)[1] == 0
    found = netstat.counters(site.between.server)

    assert found["TcpExt.TCPFastOpenPassive"] == COUNT
    assert settled(probe, site) == {OPENED: COUNT}


def test_a_server_without_a_queue_is_no_client(probe: FlowProbe, site: Site) -> None:
    """One that listens with a backlog of 0 has room for one connection, which is accepted as any other."""
    with site.listening(backlog=0) as server, site.remote() as client:
        for _ in range(COUNT):
            assert client.connect(_PORT)
            server.accept()[0].close()

    assert settled(probe, site) == {TAKEN: COUNT}


def test_two_that_open_one_connection_are_clients_both(probe: FlowProbe, site: Site) -> None:
    """A simultaneous open goes by SYN_RECV as well, and nobody accepts it."""
    with site.remote() as client:
        for port in range(9000, 9000 + COUNT):
            with namespaces.inside(site.between.server, lambda: socket.socket(site.family)) as opener:
                opener.bind((site.server, port))
                opener.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    opener.connect((site.far, port))
                client.meet(port, port)
                assert wait_until(lambda: _state(opener) == 1)

    found = settled(probe, site)
    assert found[ITS_OWN] == COUNT
    assert TAKEN not in found


def _state(connection: socket.socket) -> int:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def test_a_handshake_that_its_client_leaves_is_no_attempt_that_failed_here(
    probe: FlowProbe, site: Site
) -> None:
    """Given up by a reset, or left open: the kernel tells nobody, and we do not guess."""
    with site.listening(), site.remote() as client:
        for _ in range(COUNT):
            half = client.begin(_PORT)
            assert half
            client.reset(half)
            assert client.begin(_PORT)

    assert settled(probe, site) == {}


def test_a_full_queue_hides_who_is_turned_away(probe: FlowProbe, site: Site) -> None:
    """As many are counted as the kernel took (PassiveOpens); for the others it has a number and no more."""
    with site.listening(backlog=2), site.remote() as client:

        def work() -> None:
            for _ in range(3):
                assert client.connect(_PORT)
            for port in range(COUNT):
                client.ask(60_000 + port, _PORT, 1)

        found = gained(site, work)
        assert wait_until(lambda: netstat.counters(site.between.server)["TcpExt.ListenOverflows"] >= COUNT)

    assert found["Tcp.PassiveOpens"] == 3
    assert settled(probe, site) == {TAKEN: 3}


def test_a_syn_that_is_sent_again_is_the_same_attempt(probe: FlowProbe, site: Site) -> None:
    """Some systems ask again after a refusal; whoever begins everything at one number asks each time anew."""
    with site.remote() as client:
        for again in range(3):
            client.ask(20_000, _CLOSED, 77)
            client.ask(20_001, _CLOSED, 77)
            client.ask(20_000, _CLOSED + 1, 77)
            client.ask(20_000, _CLOSED, 78 + again)
        assert wait_until(lambda: len(list(probe.session.maps["refusals"].entries())) == 6)

    assert settled(probe, site) == {TURNED_AWAY: 6}


def test_a_storm_of_scans_is_counted_as_far_as_there_is_room_and_the_rest_is_known(
    probe: FlowProbe, site: Site
) -> None:
    """What found the table full is an overflow, and never an attempt of anybody."""
    table = probe.session.maps["refusals"]
    filler = REFUSAL.pack(time.monotonic_ns(), bytes(16), bytes(16), 1, 0, 1, 1, 0)
    for number in range(MAX_REFUSALS):
        table.insert(struct.pack("<II", number, 1), filler)
    with site.remote() as client:
        for _ in range(COUNT):
            assert not client.connect(_CLOSED)
    overflows = {usage.name: usage.overflows for usage in probe.usage()}

    assert overflows["refusals"] == COUNT
    assert TURNED_AWAY not in settled(probe, site)
    assert list(table.entries()) == []


def test_the_flow_log_has_both_ends_of_what_comes_from_elsewhere(probe: FlowProbe, site: Site) -> None:
    """Ours and theirs, with ports, for what is taken and for what is refused."""
    log = probe.log = FlowLog(probe.session)
    log.switch(Switch(on=True, one_in=1))
    ours = {inode for inode, who in site.places.items() if who == "server"}
    with site.listening(), site.remote() as client:
        client.ports = iter(range(30_000, 30_000 + 2 * COUNT))
        for _ in range(COUNT):
            assert client.connect(_PORT)
            assert not client.connect(_CLOSED)
    settled(probe, site)
    found = [event for event in log.drain() if event.netns in ours]
    log.close()

    def ports(of: str) -> list[tuple[int, int]]:
        return [(event.remote_port, event.local_port) for event in found if event.outcome == of]

    assert ports("delivered") == [(30_000 + 2 * number, _PORT) for number in range(COUNT)]
    assert sorted(ports("failed")) == [(30_001 + 2 * number, _CLOSED) for number in range(COUNT)]
    assert {_ends(event) for event in found} == {(source_key(site.server), source_key(site.far))}
    assert {(event.role, event.start_ns, event.one_in) for event in found} == {(TCP_SERVER, 0, 1)}


def _ends(event: FlowEvent) -> tuple[bytes, bytes]:
    return event.local, event.remote


def test_the_agent_shows_the_client_as_source_and_the_workload_here_as_destination(
    probe: FlowProbe, site: Site
) -> None:
    """By the class of the client's address, and the name of the namespace that was asked."""
    sensor, readings = FlowSensor(probe, Places()), Readings()
    with site.listening(), site.remote() as client:
        for _ in range(COUNT):
            assert client.connect(_PORT)
            assert not client.connect(_CLOSED)
    settled(probe, site)
    sensor.scan(time.monotonic())
    sensor.read(readings, time.monotonic())

    found = {
        (labels["src"], labels["outcome"], labels["reason"]): value
        for labels, value in readings.numbers[c.FLOWS]
        if labels["direction"] == "ingress" and labels["dst"] == site.between.server
    }
    assert found == {("private", "delivered", "none"): COUNT, ("private", "failed", "refused"): COUNT}
    connect = [labels["direction"] for labels, _ in readings.histograms.get(c.FLOW_CONNECT_SECONDS, ())]
    assert "ingress" not in connect


def test_a_scan_of_closed_ports_is_no_failure_of_a_client_here(probe: FlowProbe, site: Site) -> None:
    """What decides how much is logged counts attempts of this node's clients, whoever they are."""

    def failed() -> int:
        counts = [count for count in probe.counts() if count.role.direction == "egress"]
        return sum(count.count for count in counts if count.outcome == "failed")

    sensor = FlowSensor(probe, Places())
    with site.remote() as client:
        for _ in range(COUNT):
            assert not client.connect(_CLOSED)
    assert settled(probe, site) == {TURNED_AWAY: COUNT}
    before = failed()
    sensor.scan(time.monotonic())

    assert before <= sensor.ended(0.0).failed <= failed()


def test_a_client_has_the_name_of_its_network_and_not_of_a_port_there(probe: FlowProbe, site: Site) -> None:
    """The port that a client comes from means nothing."""
    length = 24 if site.family == socket.AF_INET else 64
    network = ip_network(f"{site.far}/{length}", strict=False)
    probe.name_destinations(
        [
            Workload(
                "database", (ip_network(f"{site.far}/{network.max_prefixlen}"),), tuple(range(1, 2_000))
            ),
            Workload("office", (network,)),
        ]
    )
    with site.listening(), site.remote() as client:
        client.ports = iter(range(1_000, 2_000))
        for _ in range(COUNT):
            assert client.connect(_PORT)
            assert not client.connect(_CLOSED)
    settled(probe, site)

    named = {(count.workload, count.outcome): count.count for count in probe.counts() if count.workload}
    assert named == {(2, "delivered"): COUNT, (2, "failed"): COUNT}
