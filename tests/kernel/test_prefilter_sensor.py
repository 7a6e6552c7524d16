"""What the agent says of the prefilter on a real link: what a firewall counted, whatever changes."""

import contextlib
import ipaddress
import signal
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters.bpf import prefilter_pins
from netsre.app.sensors.prefilter import PrefilterSensor
from netsre.datapath.prefilter import MOST_RULES
from netsre.metrics.readings import Readings
from tests.kernel.agent_process import Running, running
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, SOURCE, TARGET
from tests.kernel.filtered_node import Node, filtered_node
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

AROUND: Final = {4: "10.9.0.0/24", 6: "fd09::/64"}


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose receiver is the node."""
    with filtered_node() as made:
        yield made


@contextlib.contextmanager
def agent_on(node: Node) -> Iterator[Running]:
    """Run an agent that looks where the node has its prefilter."""
    with running("--prefilter-pins", str(node.pins), "--without", "loads") as agent:
        yield agent


def value(agent: Running, name: str, **labels: str) -> float | None:
    """Return one sample; None where it is absent."""
    return agent.samples().get((name, tuple(sorted(labels.items()))))


def dropped(agent: Running, rule: str, reason: str) -> float | None:
    """Return how many packets were dropped by a rule."""
    return value(agent, c.DROPS, hook="xdp", reason=reason, rule=rule, netns="host")


def packets(agent: Running, rule: str, action: str, verdict: str) -> float | None:
    """Return what a rule has counted."""
    return value(agent, c.PREFILTER_PACKETS, rule=rule, action=action, verdict=verdict)


def test_every_packet_is_counted_as_the_firewall_behind_it_has_it(node: Node) -> None:
    """Dropped, limited, audited and excepted, by an agent that keeps no privilege but its three."""
    with agent_on(node) as agent:
        assert not {name for name, _ in agent.samples() if "prefilter" in name}
        node.run("attach", INTERFACE)
        node.run("add", AROUND[4], "--limit", "1/20")
        node.run("add", AROUND[6], "--drop")
        limited = COUNT - node.link.send(SOURCE[4], TARGET[4])
        lost = COUNT - node.link.send(SOURCE[6], TARGET[6])
        node.run("add", OTHER_SOURCE[4], "--pass")
        excepted = node.link.send(OTHER_SOURCE[4], TARGET[4], 9)
        node.run("mode", "monitor", "--ttl", "1h")
        audited = node.link.send(SOURCE[6], TARGET[6], 5)

        assert dropped(agent, AROUND[4], "rate_limited") == limited > 0
        assert dropped(agent, AROUND[6], "blocked_source") == lost == COUNT
        assert packets(agent, f"{OTHER_SOURCE[4]}/32", "pass", "passed") == excepted == 9
        assert packets(agent, AROUND[6], "drop", "audited") == audited == 5
        assert packets(agent, AROUND[4], "limit", "passed") == COUNT - limited
        assert value(agent, c.PREFILTER_RULES, action="drop", mode="enforce") == 1
        assert value(agent, c.PREFILTER_MODE, mode="monitor") == 1
        assert 3500 < (value(agent, c.PREFILTER_MODE_LEFT) or 0) <= 3600
        assert value(agent, c.PREFILTER_EVENTS, event="unreadable") == 0
        assert value(agent, c.AGENT_READ_ERRORS, source=PrefilterSensor.name) == 0


def test_the_prefilter_may_go_and_come_again_under_a_running_agent(node: Node) -> None:
    """Totals only ever grow; what was counted before the agent counts nowhere."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    node.link.send(SOURCE[4], TARGET[4])
    with agent_on(node) as agent:
        assert dropped(agent, AROUND[4], "blocked_source") == 0
        node.link.send(SOURCE[4], TARGET[4], 5)
        assert dropped(agent, AROUND[4], "blocked_source") == 5
        node.run("detach")
        gone = agent.samples()
        assert not {name for name, _ in gone if name == c.PREFILTER_RULES}
        assert dropped(agent, AROUND[4], "blocked_source") == 5
        node.run("attach", INTERFACE)
        node.run("add", AROUND[4], "--drop")
        node.link.send(SOURCE[4], TARGET[4], 3)
        assert dropped(agent, AROUND[4], "blocked_source") == 8
        (node.pins / "maps" / "prefilter_hosts").rename(node.pins / "maps" / "prefilter_other")
        assert value(agent, c.AGENT_READ_ERRORS, source=PrefilterSensor.name) == 0
        agent.stop(signal.SIGKILL)
        assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_while_rules_change_the_agent_goes_on_with_what_it_knows(node: Node) -> None:
    """Rules about addresses are in no table for a moment: nothing is counted twice for that."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], SOURCE[4], "--drop")
    node.link.send(SOURCE[4], TARGET[4])
    sensor, readings = PrefilterSensor(node.pins), Readings()
    sensor.scan(0.0)
    counted = COUNT - node.link.send(SOURCE[4], TARGET[4])
    with prefilter_pins.Pins(node.pins).locked():
        sensor.read(readings, 1.0)
    later = Readings()
    sensor.read(later, 2.0)

    name = f"{SOURCE[4]}/32"
    assert [drops(each)[name] for each in (readings, later)] == [0, counted]
    assert readings.numbers[c.PREFILTER_RULES] == later.numbers[c.PREFILTER_RULES]


def drops(readings: Readings) -> dict[str, float]:
    """Return packets that were dropped, by rule."""
    return {labels["rule"]: count for labels, count in readings.numbers[c.DROPS]}


def test_room_for_rules_and_sources_is_told_with_all_other_maps(node: Node) -> None:
    """By the sensor of maps, under the directory where they are pinned."""
    node.run("attach", INTERFACE)
    node.run("add", "10.0.0.0/8", "10.9.0.0/24", "--limit", "1/1")
    node.run("add", "10.9.0.3", "--drop")
    node.link.send(SOURCE[4], TARGET[4], 3)
    with agent_on(node) as agent:

        def found() -> dict[str, float]:
            return {
                labels["map"]: count
                for (name, pairs), count in agent.samples().items()
                if name == c.BPF_MAP_ENTRIES and (labels := dict(pairs))["owner"] == "pinned:prefilter/maps"
            }

        wanted = {"prefilter_rules": 2, "prefilter_hosts": 1, "prefilter_bucke": 1}
        assert wait_until(lambda: wanted.items() <= found().items(), 4 * PATIENCE), found()


def test_a_full_prefilter_is_read_whole(node: Node) -> None:
    """As many rules as there may be; those beyond the bound are one series."""
    first = int(ipaddress.IPv4Address("172.16.0.0"))
    many = [str(ipaddress.IPv4Address(first + n)) for n in range(MOST_RULES)]
    node.run("attach", INTERFACE)
    node.run("add", "--from", "-", "--drop", text="\n".join(many))
    full = node.run("add", SOURCE[4], "--drop", code=2)
    said = prefilter_pins.Pins(node.pins).read()
    readings = Readings()
    PrefilterSensor(node.pins).read(readings, 0.0)

    assert f"{MOST_RULES} rules already" in full
    assert said is not None
    assert {str(each.rule.network.network_address) for each in said.rules} == {*many}
    assert len(readings.numbers[c.DROPS]) == 1025
    assert sum(count for _, count in readings.numbers[c.PREFILTER_RULES]) == MOST_RULES
