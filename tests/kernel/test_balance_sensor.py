"""What the agent says of services that are balanced by command: what was answered, whatever changes."""

import contextlib
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from netsre import conventions as c
from netsre.app.sensors.balance import BalanceSensor
from tests.kernel.agent_process import Running, running
from tests.kernel.balanced import ADDRESSES, backend
from tests.kernel.balanced_node import Node, balanced_node
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

ASKED, REFUSED = 73, 74
"""Services that nobody else asks for: the probe of services sees what is asked anywhere on the host."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make three backends of each family, and a cgroup; nothing is balanced yet."""
    with balanced_node(3) as made:
        yield made


@contextlib.contextmanager
def agent_on(node: Node) -> Iterator[Running]:
    """Run an agent that looks where the node has its balancer."""
    places = ("--balance-pins", str(node.pins), "--balance-state", str(node.home / "state"))
    with running(*places, "--without", "loads") as agent:
        yield agent


def load(node: Node, number: int, count: int) -> Counter[str]:
    """Connect to a service in both families; return who answered, or what failed."""
    return node.site.load([address.format(number) for address in ADDRESSES.values()], count)


def values(agent: Running, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of a metric by the values of their labels, in the order of their names."""
    return {
        tuple(value for _, value in pairs): value
        for (metric, pairs), value in agent.samples().items()
        if metric == name
    }


def given(agent: Running) -> Counter[str]:
    """Return connections by backend."""
    found = values(agent, c.BALANCE_CONNECTIONS)
    assert {service for _, service in found} <= {f"default/s{ASKED}"}
    return Counter({one: int(count) for (one, _), count in found.items() if count})


def test_every_connection_is_told_by_service_and_backend_through_changes(node: Node) -> None:
    """Before and after another revision, a way back and another balancer; and nothing of what is gone."""
    with agent_on(node) as agent:
        assert c.BALANCE_REVISION not in {name for name, _ in agent.samples()}
        node.apply({ASKED: [1, 2], REFUSED: []})
        agent.samples()
        said = load(node, ASKED, 60)
        assert load(node, REFUSED, 6).total() == 6
        assert given(agent) == said
        assert values(agent, c.BALANCE_REFUSED) == {(f"default/s{REFUSED}",): 6}
        assert values(agent, c.BALANCE_REVISION) == {(): 1}
        assert values(agent, c.BALANCE_ATTACHED) == {(): 1}
        assert values(agent, c.BALANCE_SERVICES) == {("serving",): 4, ("without_backend",): 4}
        assert values(agent, c.BALANCE_BACKENDS)[f"default/s{REFUSED}", "serving"] == 0

        node.apply({ASKED: [1, 2, 3]})
        node.run("drain", backend(1, 4))
        said += load(node, ASKED, 60)
        assert given(agent) == said
        assert values(agent, c.BALANCE_BACKENDS) == {
            (f"default/s{ASKED}", "serving"): 10,
            (f"default/s{ASKED}", "draining"): 2,
        }
        node.run("detach")
        assert c.BALANCE_REVISION not in {name for name, _ in agent.samples()}
        node.apply({ASKED: [3]})
        again = load(node, ASKED, 10)
        assert given(agent) == again
        assert agent.samples()[c.AGENT_READ_ERRORS, (("source", BalanceSensor.name),)] == 0


def test_the_share_on_the_balancer_is_told_by_the_names_of_its_services(node: Node) -> None:
    """What processes of its cgroup ask goes by `bpf`, what others ask does not."""
    node.apply({ASKED: [1, 2]})
    with agent_on(node) as agent:
        assert wait_until(
            lambda: bool(load(node, ASKED, 1)) and bool(values(agent, c.LB_CONNECTIONS)), PATIENCE
        )
        before = values(agent, c.LB_CONNECTIONS)
        load(node, ASKED, 10)
        for _ in range(3):
            node.site.place.run(lambda: _connect(ADDRESSES[4].format(ASKED)))
        found = values(agent, c.LB_CONNECTIONS)

    called = f"default/s{ASKED}"
    assert set(found) == {("bpf", called), ("other", called)}
    assert {path: found[path, called] - before[path, called] for path in ("bpf", "other")} == {
        "bpf": 10,
        "other": 3,
    }


def _connect(address: str) -> None:
    with socket.socket() as client:
        client.settimeout(1)
        client.connect_ex((address, 80))
