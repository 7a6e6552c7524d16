"""What the agent says of policies in force on a real link: what a firewall counted, whatever changes."""

import contextlib
import os
import pathlib
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf import pins, policy_pins
from netsre.adapters.bpf.policy_sweep import Sweep
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.app.sensors.policy import PolicySensor
from netsre.app.sensors.policy_connections import PolicyConnectionSensor
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.conntrack import Connection, State
from netsre.datapath.policy.programs import CONNECTIONS, ROWS
from netsre.metrics.readings import Readings
from tests.kernel.agent_process import Running, running
from tests.kernel.block_link import COUNT, PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

SECOND: Final = 10**9
_UDP: Final = 17
_THREE: Final = sum(1 << number for number in (12, 38, 39))
"""CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF."""
_RULE: Final = "x/p egress[0]"
_TABLE: Final = (("netns", "host"), ("table", "datapath"))


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


@contextlib.contextmanager
def agent_on(node: Node) -> Iterator[Running]:
    """Run an agent that looks where the node has its policies."""
    places = ("--policy-pins", str(node.home / "bpf" / "policy"), "--policy-state", str(node.home / "state"))
    with running(*places, "--without", "loads") as agent:
        yield agent


@contextlib.contextmanager
def listening(node: Node) -> Iterator[None]:
    """Have somebody listen: errors that come back would belong to the connection, and be counted with it."""
    server = namespaces.inside(node.link.receiver, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with server:
        server.bind(("::", PORT))
        yield


def verdicts(agent: Running) -> dict[tuple[str, str, str], int]:
    """Return counts by verdict, rule, and whether that is expected."""
    found: dict[tuple[str, str, str], int] = {}
    for (name, pairs), value in agent.samples().items():
        if name == c.POLICY_VERDICTS:
            labels = dict(pairs)
            assert (labels["src"], labels["dst"], labels["direction"]) == ("x/pod=a", "x/pod=b", "egress")
            found[labels["verdict"], labels["rule"], labels["expected"]] = int(value)
    return found


def value(agent: Running, name: str, **labels: str) -> float | None:
    """Return one sample; None where it is absent."""
    return agent.samples().get((name, tuple(sorted(labels.items()))))


def errors(agent: Running) -> float:
    """Return how often the policies could not be read."""
    samples = agent.samples()
    return sum(
        samples[c.AGENT_READ_ERRORS, (("source", source),)]
        for source in (PolicySensor.name, PolicyConnectionSensor.name)
    )


def test_every_packet_is_counted_as_the_firewall_behind_it_has_it(node: Node) -> None:
    """Allowed, denied and audited in both families, by an agent that keeps no privilege but its three."""
    with agent_on(node) as agent, listening(node):
        assert c.POLICY_VERDICTS not in {name for name, _ in agent.samples()}
        node.apply(policy(PORT))
        allowed = sum(node.link.send(SOURCE[version], TARGET[version]) for version in (4, 6))
        node.apply(policy(PORT + 1))
        denied = 10 + 7 - node.link.send(SOURCE[4], TARGET[4], 10) - node.link.send(SOURCE[6], TARGET[6], 7)
        node.run("mode", "monitor")
        audited = node.link.send(SOURCE[4], TARGET[4], 5)
        packets = {
            verdict: value(agent, c.POLICY_PACKETS, verdict=verdict, direction="egress")
            for verdict in ("allowed", "denied", "audited")
        }
        dropped = value(agent, c.DROPS, hook="tc_ingress", reason="denied", rule="default deny", netns="host")

        assert packets == {"allowed": allowed, "denied": denied, "audited": audited}
        assert (allowed, denied, audited, dropped) == (2 * COUNT, 17, 5, 17)
        counts = verdicts(agent)
        assert counts["allowed", _RULE, "yes"] == 2
        assert counts["denied", "default deny", "no"] == 17
        assert value(agent, c.POLICY_MODE, mode="monitor") == 1
        status = pathlib.Path(f"/proc/{agent.process.pid}/status").read_text(encoding="ascii")
        assert int(status.partition("CapEff:")[2].split()[0], 16) == _THREE
        assert errors(agent) == 0


def test_the_datapath_may_change_go_and_come_again_under_a_running_agent(node: Node) -> None:
    """Revisions as they are; nothing of what is gone, no error, and totals that only ever grow."""
    with agent_on(node) as agent:
        first = node.apply(policy(PORT + 1))["revision"]
        node.link.send(SOURCE[4], TARGET[4], 5)
        one = value(agent, c.POLICY_REVISION), verdicts(agent)["denied", "default deny", "no"]
        second = node.apply(policy(PORT + 1, 2))["revision"]
        two = value(agent, c.POLICY_REVISION), value(agent, c.POLICY_RULES)
        node.run("rollback")
        three = value(agent, c.POLICY_REVISION)
        assert wait_until(lambda: (c.CONNTRACK_ENTRIES, _TABLE) in agent.samples())
        node.run("detach")
        assert wait_until(lambda: (c.CONNTRACK_ENTRIES, _TABLE) not in agent.samples())
        gone = {name for name, _ in agent.samples()} & {c.POLICY_VERDICTS, c.POLICY_REVISION, c.POLICY_MODE}
        node.apply(policy(PORT + 1))
        node.link.send(SOURCE[4], TARGET[4], 3)

        assert (one, two, three) == ((first, 5), (second, 3), first)
        assert gone == set()
        assert verdicts(agent)["denied", "default deny", "no"] == 5 + 3
        assert errors(agent) == 0


def test_a_datapath_of_another_version_is_no_node_without_policies(node: Node) -> None:
    """It lacks a map that is younger: policies hold, and that nobody counts them is an error."""
    node.apply(policy(PORT))
    policy_pins.map_path(node.pins, ROWS).unlink()
    sensor = PolicySensor(node.pins, node.home / "state")

    with pytest.raises(OSError, match="another version"):
        sensor.read(Readings(), 0.0)


def test_what_is_not_enforced_and_what_is_on_trial_is_told(node: Node) -> None:
    """Policies by their mode, endpoints of a canary, and how long it takes until that ends."""
    with agent_on(node) as agent:

        def told() -> list[float | None]:
            staged = [value(agent, c.POLICY_STAGED, mode=mode) for mode in ("monitor", "off")]
            return [*staged, value(agent, c.POLICY_CANARY)]

        node.apply(policy(PORT + 1))
        lasting, never = told(), value(agent, c.POLICY_TRIAL_LEFT)
        node.run("mode", "off", "--policy", "x/p", "--ttl", "1h")
        off, left = told(), value(agent, c.POLICY_TRIAL_LEFT)
        node.run("rollback")
        node.apply(policy(PORT), "--canary", "x/own", "--ttl", "1h")

        assert (lasting, never) == ([0, 0, 0], None)
        assert off == [0, 1, 0]
        assert left is not None
        assert 0 < left <= 3600
        assert told() == [0, 0, 1]


def test_counters_begin_with_the_agent_as_its_start_says(node: Node) -> None:
    """What was counted before it counts nowhere: whoever reads them takes all of it for new."""
    node.apply(policy(PORT + 1))
    node.link.send(SOURCE[4], TARGET[4], 11)
    for packets in (3, 2):
        with agent_on(node) as agent:
            before = verdicts(agent)["denied", "default deny", "no"]
            compiles = value(agent, f"{c.POLICY_COMPILE_SECONDS}_count", stage="total", result="ok")
            node.link.send(SOURCE[4], TARGET[4], packets)
            assert (before, compiles) == (0, 0)
            assert verdicts(agent)["denied", "default deny", "no"] == packets
            agent.stop(signal.SIGKILL)


def test_every_change_is_timed_and_one_that_fails_is_an_error(node: Node) -> None:
    """By stage; one that is refused has none but its whole."""
    with agent_on(node) as agent:
        node.apply(policy(PORT))
        node.apply(policy(PORT + 1))
        (node.home / "policy.yaml").write_text(policy(PORT).replace("podSelector", "podSelectr"), "utf-8")
        node.run(*node.applying(), code=2)
        counts = {
            (dict(pairs)["stage"], dict(pairs)["result"]): value
            for (name, pairs), value in agent.samples().items()
            if name == f"{c.POLICY_COMPILE_SECONDS}_count"
        }

    stages = ("parse", "resolve", "encode", "load", "sync", "total")
    assert counts == {**{(stage, "ok"): 2 for stage in stages}, ("total", "error"): 1}


def test_names_that_cannot_be_read_stop_no_counter(node: Node) -> None:
    """It is an error that is counted; what is denied is counted still."""
    with agent_on(node) as agent:
        node.apply(policy(PORT + 1))
        node.link.send(SOURCE[4], TARGET[4], 3)
        assert verdicts(agent)["denied", "default deny", "no"] == 3
        (node.home / "state" / "state.json").write_text("{", encoding="utf-8")
        node.link.send(SOURCE[4], TARGET[4], 4)

        assert wait_until(lambda: errors(agent) > 0)
        assert value(agent, c.POLICY_PACKETS, verdict="denied", direction="egress") == 7


@contextlib.contextmanager
def connections(directory: pathlib.Path) -> Iterator[BpfMap]:
    """Open the table to write to it."""
    fd = pins.opened(policy_pins.map_path(directory, CONNECTIONS))
    try:
        yield BpfMap.of(CONNECTIONS, fd)
    finally:
        os.close(fd)


def entry(number: int, seen_ns: int) -> tuple[bytes, bytes]:
    """Return a connection that one side has asked for."""
    key = conntrack.KEY.pack(bytes(16), bytes(16), struct.pack(">H", number), bytes(2), _UDP)
    return key, Connection(seen_ns, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0).packed()


def write_each(table: BpfMap, entries: Mapping[bytes, bytes]) -> None:
    """Write one entry after the other."""
    for key, one in entries.items():
        table.put(key, one)


def swept(sweep: Sweep, directory: pathlib.Path, now_ns: int) -> tuple[int, int]:
    """Walk through the whole table; return how many were removed and restored."""
    removed = restored = 0
    while (piece := sweep.step(directory, 100, now_ns)) is not None:
        removed, restored = removed + piece.removed, restored + piece.restored
        if piece.last:
            break
    return removed, restored


def test_what_is_over_is_removed_and_nothing_else(node: Node) -> None:
    """Some seconds after its end, in pieces; where there is no datapath, there is nothing to do."""
    node.apply(policy(PORT))
    pinned, timeout = node.home / "bpf" / "policy", conntrack.SECONDS[State.UDP_ASKED] * SECOND
    now = 10**6 * SECOND
    old = dict(entry(number, now - timeout - 6 * SECOND) for number in range(3000))
    young = dict(entry(number, now - timeout - 4 * SECOND) for number in range(3000, 4000))
    with connections(pinned) as table:
        table.put_many({**old, **young})
        counts = swept(Sweep(), pinned, now)
        left = {key for key, _ in table.entries()}

    assert counts == (3000, 0)
    assert left == young.keys()
    assert Sweep().step(node.home / "bpf" / "nothing", 100, now) is None


def test_a_connection_that_comes_back_while_it_is_collected_stays(node: Node) -> None:
    """Its next packet may come between two looks at it, and in the middle of its removal."""
    node.apply(policy(PORT))
    pinned, now, restored = node.home / "bpf" / "policy", 10**6 * SECOND, 0
    old = dict(entry(number, SECOND) for number in range(2000))
    fresh = dict(entry(number, now) for number in range(2000))
    sweep, until = Sweep(), time.monotonic() + 30
    with connections(pinned) as table:
        while not restored and time.monotonic() < until:
            table.put_many(old)
            writer = threading.Thread(target=write_each, args=(table, fresh))
            writer.start()
            while writer.is_alive():
                restored += swept(sweep, pinned, now)[1]
            writer.join()
            assert dict(table.entries()) == fresh

    assert restored


def test_the_agent_collects_by_itself_and_says_how_many(node: Node) -> None:
    """And tells how full the table is, which connections that are over fill as well."""
    node.apply(policy(PORT))
    with connections(node.home / "bpf" / "policy") as table:
        table.put_many(dict(entry(number, 1) for number in range(5000)))
        later = time.monotonic_ns() + 3600 * SECOND
        table.put_many(dict(entry(number, later) for number in range(5000, 5100)))
    with agent_on(node) as agent:
        assert wait_until(lambda: value(agent, c.POLICY_COLLECTED, result="removed") == 5000)
        assert wait_until(lambda: (agent.samples().get((c.CONNTRACK_ENTRIES, _TABLE)) or 0) == 100)
        assert agent.samples()[c.CONNTRACK_LIMIT, _TABLE] == 65_536
        assert errors(agent) == 0


def test_without_policies_nothing_is_served_and_nothing_is_wrong(tmp_path: pathlib.Path) -> None:
    """Neither a directory without a datapath nor none at all is worth a word."""
    for directory in (tmp_path, tmp_path / "nothing"):
        sensors = PolicySensor(directory, directory), PolicyConnectionSensor(directory)
        readings = Readings()
        for sensor in sensors:
            for now in range(60):
                sensor.scan(now)
            sensor.read(readings, 60)
        assert not readings.numbers
        assert not readings.histograms
