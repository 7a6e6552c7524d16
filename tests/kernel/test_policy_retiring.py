"""Counters of rules that are gone leave the kernel's table, with every packet told, while all goes on."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf import policy_reading
from netsre.app.sensors.policy import PolicySensor
from netsre.datapath.policy.layouts import COUNT_KEY
from netsre.datapath.policy.programs import ROWS
from netsre.datapath.policy.sync import KEPT
from netsre.metrics.readings import Readings
from tests.kernel import backlog
from tests.kernel.block_link import PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

ROUNDS: Final = 2 * KEPT
"""Policies one after the other."""
PACKETS: Final = 7
_MINUTE: Final = 61.0


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def named(number: int) -> str:
    """Return a policy of another name, and so with another rule, that allows what is sent."""
    return policy(PORT).replace("name: p,", f"name: p{number},")


def sensor_on(node: Node) -> PolicySensor:
    """Return what the agent reads it with, which has looked once."""
    found = PolicySensor(node.home / "bpf" / "policy", node.home / "state")
    found.scan(0)
    return found


def told(sensor: PolicySensor, now: float) -> tuple[int, dict[str, int]]:
    """Return how many packets were allowed, and connections by rule."""
    readings = Readings()
    sensor.read(readings, now)
    packets = sum(
        int(count) for labels, count in readings.numbers[c.POLICY_PACKETS] if labels["verdict"] == "allowed"
    )
    rules = {labels["rule"]: int(count) for labels, count in readings.numbers[c.POLICY_VERDICTS]}
    return packets, rules


def counted_rules(node: Node) -> set[int]:
    """Return the numbers of the rules that the kernel has counters of."""
    with policy_reading.opened(node.home / "bpf" / "policy", ROWS) as found:
        return {COUNT_KEY.unpack(key)[0] for key, _ in found.entries()}


def forget_connections(node: Node) -> None:
    """Have what was sent be over, and collected."""
    with policy_reading.opened_for_change(node.home / "bpf" / "policy", "policy_ct") as found:
        for key, _ in list(found.entries()):
            found.delete(key)


@contextlib.contextmanager
def heard(node: Node) -> Iterator[None]:
    """Have somebody listen: an error that comes back would be counted with the connection."""
    server = namespaces.inside(node.link.receiver, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with server:
        server.bind(("::", PORT))
        yield


def test_through_a_churn_of_rules_the_table_stays_small_and_no_count_is_lost(node: Node) -> None:
    """Each policy has a rule of its own; what the firewall behind has counted is what is told at the end."""
    node.apply(named(0))
    sensor, sizes, arrived = sensor_on(node), [], 0
    with heard(node):
        for number in range(1, ROUNDS + 1):
            arrived += node.link.send(SOURCE[4], TARGET[4], PACKETS)
            node.apply(named(number))
            forget_connections(node)
            sensor.scan(number * _MINUTE)
            sizes.append(len(counted_rules(node)))
    packets, rules = told(sensor, ROUNDS * _MINUTE)

    assert arrived == packets == ROUNDS * PACKETS
    assert max(sizes) <= KEPT + 3
    # What has been gone for some minutes is no series any more.
    assert {f"x/p{number} egress[0]" for number in range(ROUNDS)} > set(rules)
    assert {"x/p0 egress[0]", f"x/p{ROUNDS - 1} egress[0]"} & set(rules) == {f"x/p{ROUNDS - 1} egress[0]"}
    assert set(rules.values()) == {1}


def test_a_counter_that_a_connection_leads_to_stays_until_that_is_over(node: Node) -> None:
    """What only answers still is counted under the rule that allowed it, however long that is gone."""
    node.apply(named(0))
    sensor = sensor_on(node)
    with heard(node):
        node.link.send(SOURCE[4], TARGET[4], 1)
        [first] = counted_rules(node)
        for number in range(1, ROUNDS):
            node.apply(named(number))
        sensor.scan(_MINUTE)
        sensor.scan(2 * _MINUTE)
        known = counted_rules(node)
        forget_connections(node)
        sensor.scan(3 * _MINUTE)

    assert first in known
    assert first not in counted_rules(node)
    assert told(sensor, 3 * _MINUTE)[0] == 1


def test_another_agent_loses_nothing_of_a_counter_that_is_taken_out(node: Node) -> None:
    """It has a minute to read what was counted last, however often others look."""
    node.apply(named(0))
    one, other = sensor_on(node), sensor_on(node)
    with heard(node):
        for number in range(1, ROUNDS):
            node.apply(named(number))
        for sensor in (one, other):
            node.link.send(SOURCE[4], TARGET[4], PACKETS)
            sensor.scan(_MINUTE)
        node.link.send(SOURCE[4], TARGET[4], PACKETS)
        [last] = counted_rules(node)
        for number in range(ROUNDS, 2 * ROUNDS):
            node.apply(named(number))
        forget_connections(node)
        one.scan(2 * _MINUTE)
        other.scan(2 * _MINUTE)
        assert last in counted_rules(node)
        one.scan(3 * _MINUTE)

    assert last not in counted_rules(node)
    for sensor in (one, other):
        assert told(sensor, 3 * _MINUTE)[0] == 3 * PACKETS
        assert {*told(sensor, 3 * _MINUTE)[1]} == {f"x/p{ROUNDS - 1} egress[0]"}


def test_counters_of_orders_go_with_their_orders_and_not_before(node: Node) -> None:
    """However many addresses are denied in time: each is told, and leaves neither a counter nor a name."""
    node.apply(named(0))
    sensor, counted, rules = sensor_on(node), [], dict[str, int]()
    for number in range(3):
        node.run("deny", f"10.9.0.0/{28 + number}")
        node.link.send(SOURCE[4], TARGET[4], PACKETS)
        sensor.scan((3 * number + 1) * _MINUTE)
        counted.append(counted_rules(node))
        node.run("deny", f"10.9.0.0/{28 + number}", "--remove")
        sensor.scan((3 * number + 2) * _MINUTE)
        sensor.scan((3 * number + 3) * _MINUTE)
        counted.append(counted_rules(node))
        # Some minutes later it is no series any more.
        rules |= told(sensor, (3 * number + 3) * _MINUTE)[1]

    assert [len(each) for each in counted] == [1, 0] * 3
    assert {rule: count for rule, count in rules.items() if "deny" in rule} == {
        f"deny 10.9.0.0/{28 + number}": PACKETS for number in range(3)
    }


def test_where_the_names_were_lost_nothing_is_taken(node: Node) -> None:
    """A revision that is kept may have the rule, and nobody can say."""
    node.apply(named(0))
    sensor = sensor_on(node)
    with heard(node):
        node.link.send(SOURCE[4], TARGET[4], 1)
        [first] = counted_rules(node)
        forget_connections(node)
        (node.home / "state" / "state.json").unlink()
        node.apply(named(1))
        sensor.scan(_MINUTE)

    assert first in counted_rules(node)


def test_what_is_counted_while_others_are_taken_out_is_counted(node: Node) -> None:
    """Packets of both families without a pause, through changes and takings: exact at the end."""
    node.apply(named(0))
    sensor, over = sensor_on(node), threading.Event()
    sent = itertools.count()

    def keep_sending() -> None:
        families = ((socket.AF_INET, SOURCE[4], TARGET[4]), (socket.AF_INET6, SOURCE[6], TARGET[6]))
        while not over.is_set():
            for family, source, target in families:
                with socket.socket(family, socket.SOCK_DGRAM) as sender:
                    sender.bind((source, 0))
                    for _ in range(PACKETS):
                        sender.sendto(b"x", (target, PORT))
                        next(sent)
        backlog.drain()

    before = node.link.arrived()
    with heard(node):
        thread = threading.Thread(target=lambda: namespaces.inside(node.link.sender, keep_sending))
        thread.start()
        for number in range(1, ROUNDS):
            node.apply(named(number))
            sensor.scan(number * _MINUTE)
        over.set()
        thread.join()
        arrived = node.link.arrived() - before

    assert arrived == next(sent)
    assert told(sensor, ROUNDS * _MINUTE)[0] == arrived
