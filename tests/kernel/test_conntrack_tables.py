"""The sensor of connection tables against conntrack(8) and the kernel's own counts, in virtual time."""

import functools
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import conntrack, namespaces
from netsre.app.sensors.conntrack import ConntrackSensor
from netsre.app.sensors.places import Places
from netsre.metrics.readings import Readings
from tests.kernel import beyond, conntrack_tool, tracked_link
from tests.kernel.tracked_link import CLIENTS, IPV4, IPV6, Link

pytestmark = [pytest.mark.requires("nft", "ip", "netns", "conntrack")]

COUNT: Final = 23
SILENT: Final = 9009
"""The client's port that answers nothing."""
FIXED: Final = {
    c.CONNTRACK_INSERT_FAILED: "insert_failed",
    c.CONNTRACK_DROPS: "drop",
    c.CONNTRACK_EARLY_DROPS: "early_drop",
}


@pytest.fixture
def link() -> Iterator[Link]:
    """Make two namespaces with a link, and remove them."""
    with tracked_link.link("tables") as one:
        yield one


class Watch:
    """A sensor, and the time that it is told."""

    def __init__(self, namespace: str, top_sources: int = 5) -> None:
        """Watch a namespace, from a look before anything else."""
        self.namespace = namespace
        self.now = 0.0
        inventory = beyond.inventory()
        self.sensor = ConntrackSensor(Places(look=inventory.namespaces), inventory, top_sources)
        self.sensor.scan(self.now)

    def go_on(self, seconds: float) -> None:
        """Let time pass, then let the sensor scan, which a busy machine may keep from a whole count."""
        self.now += seconds
        try:
            self.sensor.scan(self.now)
        except OSError as error:
            if "not read in time" not in str(error):
                raise

    def counted(self) -> None:
        """Let time pass until the table was counted since."""
        before = self.now
        for _ in range(1000):
            self.go_on(5)
            age = self.read(c.CONNTRACK_COUNT_AGE).get((), self.now)
            if 0 <= age < self.now - before:
                return
        raise AssertionError("never counted")

    def read(self, metric: str) -> dict[tuple[str, ...], float]:
        """Return the values of a metric in the namespace by its labels beside the table's."""
        readings = Readings()
        self.sensor.read(readings, self.now)
        return {
            tuple(value for name, value in labels.items() if name not in {"table", "netns"}): number
            for labels, number in readings.numbers.get(metric, [])
            if labels["netns"] == self.namespace and labels["table"] == "kernel"
        }

    def one(self, metric: str) -> float | None:
        """Return the value of a metric that has no further labels, or None."""
        return self.read(metric).get(())

    def by_label(self, metric: str) -> Mapping[str, float]:
        """Return the values of a metric by its one further label."""
        return {label: value for (label,), value in self.read(metric).items()}


def _hold_open(link: Link) -> list[socket.socket]:
    """Leave connections of both families in every state that ends of sockets can bring about."""
    held = []
    for client, server, family in ((CLIENTS[0], IPV4, socket.AF_INET), (CLIENTS[3], IPV6, socket.AF_INET6)):
        listen = functools.partial(socket.create_server, (server, 7001), family=family, backlog=64)
        listener = namespaces.inside(link.server, listen)
        held.append(listener)
        connect = functools.partial(socket.create_connection, (server, 7001), source_address=(client, 0))
        pairs = [(namespaces.inside(link.client, connect), listener.accept()[0]) for _ in range(7)]
        for number, (one, other) in enumerate(pairs):
            if number < 2:  # half closed
                other.shutdown(socket.SHUT_WR)
            elif number < 4:  # closed by both
                one.close()
                assert other.recv(1) == b""
                other.close()
            elif number == 4:  # reset
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()
            held += [one, other]
        silent = namespaces.inside(link.server, functools.partial(socket.socket, family))
        silent.setblocking(False)
        silent.connect_ex((client, SILENT))
        held.append(silent)
    return held


def _exchange(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    for client, server in pairs:
        client.send(b"?")
        _, address = server.recvfrom(1)
        server.sendto(b"!", address)
        assert client.recv(1) == b"!"


def _datagram_pairs(link: Link) -> list[tuple[socket.socket, socket.socket]]:
    pairs = []
    for number, (server, family) in enumerate(((IPV4, socket.AF_INET), (IPV6, socket.AF_INET6)) * 3):
        port = 7100 + number
        one = namespaces.inside(link.server, functools.partial(socket.socket, family, socket.SOCK_DGRAM))
        other = namespaces.inside(link.client, functools.partial(socket.socket, family, socket.SOCK_DGRAM))
        one.bind((server, port))
        other.connect((server, port))
        pairs.append((other, one))
    return pairs


def _echo() -> None:
    """Ask for an echo in both families."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as four:
        four.sendto(struct.pack("!BBHHH", 8, 0, 0xF7F8, 7, 0), (IPV4, 0))
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as six:
        six.sendto(struct.pack("!BBHHH", 128, 0, 0, 7, 0), (IPV6, 0))


def test_states_and_sources_are_those_that_conntrack_lists(link: Link) -> None:
    """TCP, UDP and ICMP of both families in nine states: the same as another reader of the same table."""
    rules = f"table inet t {{ chain c {{ type filter hook input priority 0; tcp dport {SILENT} drop; }}; }}"
    namespaces.run(link.client, ["nft", "-f", "-"], rules).check_returncode()
    held = _hold_open(link)
    pairs = _datagram_pairs(link)
    try:
        _exchange(pairs)
        time.sleep(2.1)  # The kernel takes an exchange of datagrams for a stream after two seconds.
        _exchange(pairs[:4])
        link.datagrams(CLIENTS[1], range(1000, 1000 + COUNT))
        link.datagrams(CLIENTS[4], range(1000, 1000 + COUNT))
        namespaces.inside(link.client, _echo)
        watch = Watch(link.server)
        watch.counted()
        listed = conntrack_tool.states(link.server)
        states = {state: value for state, value in watch.by_label(c.CONNTRACK_STATE_ENTRIES).items() if value}
        found = link.count(100)
    finally:
        for each in (*held, *(one for pair in pairs for one in pair)):
            each.close()

    assert states == listed
    assert {
        "tcp_syn_sent",
        "tcp_established",
        "tcp_close_wait",
        "tcp_time_wait",
        "tcp_close",
    } <= listed.keys()
    assert listed["icmp"] >= 2
    assert (listed["udp_assured"], listed["udp_replied"]) == (4, 2)
    assert listed["udp_unreplied"] >= 2 * COUNT
    assert found.complete
    assert {each.state: each.entries for each in found.states} == listed
    assert {each.source: each.entries for each in found.sources} == conntrack_tool.sources(link.server)
    assert watch.one(c.CONNTRACK_ENTRIES) == sum(listed.values()) == found.counted
    assert watch.one(c.CONNTRACK_COUNTED) == 1


def _malformed(link: Link, source: str, count: int) -> None:
    """Send datagrams that say they are shorter than their own header."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET

    def work() -> None:
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP) as sender:
            sender.bind((source, 0))
            for _ in range(count):
                packet = struct.pack("!HHHH", 5000, 5001, 7, 1)
                sender.sendto(packet, (IPV6 if ":" in source else IPV4, 0))

    namespaces.inside(link.client, work)


@pytest.mark.parametrize("source", [CLIENTS[0], CLIENTS[3]])
def test_events_are_counted_as_conntrack_sums_them(link: Link, source: str) -> None:
    """Every event that the kernel counts, no more of each, and what it only prints is absent."""
    watch = Watch(link.server)
    _malformed(link, source, COUNT)
    events = watch.by_label(c.CONNTRACK_EVENTS)
    summed = conntrack_tool.statistics(link.server)

    assert events["invalid"] == COUNT
    assert {event: events[event] for event in summed} == summed
    assert events.keys() - summed.keys() == {"expect_new", "expect_create", "expect_delete"}
    for metric, event in FIXED.items():
        assert watch.one(metric) == events[event]


def test_what_happened_before_the_agent_counts_nowhere_and_the_rest_once(link: Link) -> None:
    """A restart tells none of the past anew; a namespace made meanwhile is counted from its beginning."""
    _malformed(link, CLIENTS[0], COUNT)
    watch = Watch(link.server)
    assert watch.by_label(c.CONNTRACK_EVENTS)["invalid"] == 0
    _malformed(link, CLIENTS[0], 5)
    assert watch.by_label(c.CONNTRACK_EVENTS)["invalid"] == 5
    with tracked_link.link("later") as later:
        _malformed(later, CLIENTS[3], COUNT)
        other = Watch(link.server)
        other.namespace = later.server
        assert other.by_label(c.CONNTRACK_EVENTS)["invalid"] == 0
        watch.namespace = later.server
        watch.go_on(6)
        assert watch.by_label(c.CONNTRACK_EVENTS)["invalid"] == COUNT
    watch.go_on(6)
    assert watch.read(c.CONNTRACK_ENTRIES) == {}


def test_a_bounded_fill_is_told_with_its_pace_and_its_end(link: Link) -> None:
    """A hundred entries each five seconds: twenty a second, and exactly the time that the limit leaves."""
    watch = Watch(link.server)
    assert watch.one(c.CONNTRACK_FULL_SECONDS) is None
    for turn in range(75):
        source = CLIENTS[(0, 3)[turn % 2]]
        # Ports that none had before: a client's port may come again, and would make no new entry.
        link.datagrams(source, range(1000 + 100 * turn, 1100 + 100 * turn))
        watch.go_on(5)
    entries, limit = watch.one(c.CONNTRACK_ENTRIES), watch.one(c.CONNTRACK_LIMIT)
    assert entries is not None
    assert limit == conntrack.limit()
    listed = sum(conntrack_tool.states(link.server).values())
    assert entries == listed
    assert entries >= 7500
    # A few more are the kernel's own: neighbours are looked for now and then.
    assert watch.one(c.CONNTRACK_GROWTH) == pytest.approx(20, rel=0.01)
    assert watch.one(c.CONNTRACK_FULL_SECONDS) == pytest.approx((limit - entries) / 20, rel=0.01)
    for _ in range(40):
        watch.go_on(5)
    assert watch.one(c.CONNTRACK_FULL_SECONDS) is None
    growth = watch.one(c.CONNTRACK_GROWTH)
    assert growth is not None
    assert growth < 20


def test_a_full_table_names_its_sources_and_forgets_them_when_it_is_empty_again(link: Link) -> None:
    """300,000 datagrams of two families: evictions as conntrack counts them, shares within a hundredth."""
    watch = Watch(link.server, top_sources=2)
    link.datagrams(CLIENTS[2], range(1000, 1010))
    watch.counted()
    assert watch.read(c.CONNTRACK_TOP_SOURCE) == {}
    link.datagrams(CLIENTS[0], range(1000, 41_000), sockets=5)
    link.datagrams(CLIENTS[3], range(1000, 41_000), sockets=2)
    link.datagrams(CLIENTS[1], range(1000, 21_000))
    watch.counted()
    events, summed = watch.by_label(c.CONNTRACK_EVENTS), conntrack_tool.statistics(link.server)
    assert {event: events[event] for event in summed} == summed
    assert events["early_drop"] > 0
    entries = watch.one(c.CONNTRACK_ENTRIES)
    assert entries is not None
    assert entries > 0.9 * conntrack.limit()
    shown, exact = watch.by_label(c.CONNTRACK_TOP_SOURCE), link.sources()[1]
    assert shown.keys() == {CLIENTS[0], CLIENTS[3]}
    for source, value in shown.items():
        assert value == pytest.approx(exact[source], abs=0.01 * entries)
    of_limit = watch.by_label(c.CONNTRACK_TOP_SOURCE_SHARE)
    assert of_limit == {source: value / conntrack.limit() for source, value in shown.items()}
    share = watch.one(c.CONNTRACK_COUNTED)
    assert share is not None
    assert 0 < share < 0.3
    states = watch.by_label(c.CONNTRACK_STATE_ENTRIES)
    assert sum(states.values()) == pytest.approx(entries, rel=0.01)
    assert states["udp_unreplied"] == pytest.approx(entries, rel=0.01)
    for source in CLIENTS[:4]:
        link.flush(source)
    watch.go_on(5)
    assert watch.read(c.CONNTRACK_TOP_SOURCE) == {}


def test_an_empty_table_has_no_entry_in_any_state_and_costs_no_count(link: Link) -> None:
    """All states are 0 at once, not absent, where entries were counted before."""
    link.datagrams(CLIENTS[0], range(1000, 1003))
    watch = Watch(link.server)
    watch.counted()
    for source in CLIENTS:
        link.flush(source)
    states = watch.by_label(c.CONNTRACK_STATE_ENTRIES)
    entries = watch.one(c.CONNTRACK_ENTRIES)
    if entries:  # The kernel's own: a neighbour was looked for.
        watch.counted()
    assert len(states) == 15
    assert sum(watch.by_label(c.CONNTRACK_STATE_ENTRIES).values()) == watch.one(c.CONNTRACK_ENTRIES)
