"""Addresses denied on a node by the command: on a real link, with no process of ours behind it."""

import contextlib
import json
import random
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre.adapters import namespaces
from tests.kernel.block_link import INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_ELSEWHERE: Final = {4: "10.9.0.77", 6: "fd09::77"}
"""Another address of the node's end."""
_KILLS: Final = 6
_OPEN: Final = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{}]}
"""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def tcp4() -> socket.socket:
    """Return a socket of this namespace."""
    return socket.socket(socket.AF_INET)


def tcp6() -> socket.socket:
    """Return a socket of this namespace."""
    return socket.socket(socket.AF_INET6)


@contextlib.contextmanager
def connections(node: Node, *targets: str) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Open a TCP connection from the endpoint to each address; yield both ends of each."""
    with contextlib.ExitStack() as stack:
        found = []
        for target in targets:
            server, client = (
                stack.enter_context(namespaces.inside(at, tcp6 if ":" in target else tcp4))
                for at in (node.link.receiver, node.link.sender)
            )
            server.bind((target, 0))
            server.listen()
            # The other address of its interface is no endpoint's.
            client.bind((SOURCE[6 if ":" in target else 4], 0))
            client.settimeout(PATIENCE)
            client.connect(server.getsockname()[:2])
            accepted = stack.enter_context(server.accept()[0])
            found.append((client, accepted))
        yield found


def hears(sender: socket.socket, receiver: socket.socket, seconds: float) -> bool:
    """Say whether what one end says comes to the other in time."""
    sender.send(b"x")
    receiver.settimeout(seconds)
    try:
        return receiver.recv(100) != b""
    except TimeoutError:
        return False


def orders(node: Node) -> list[dict[str, Any]]:
    """Return the orders in force."""
    listed = json.loads(node.run("deny", "--json"))["orders"]
    assert isinstance(listed, list)
    return listed


def refused(node: Node, *options: str) -> list[dict[str, Any]]:
    """Return who no rule allows."""
    listed = json.loads(node.run("refused", "--json", *options))["refused"]
    assert isinstance(listed, list)
    return listed


@both_versions
def test_an_order_ends_in_the_kernel_with_every_process_dead(node: Node, version: int) -> None:
    """The command was killed, and nothing of ours runs; what policy allows passes again at its time."""
    node.apply(policy(PORT))
    until = time.monotonic() + 4
    with node.start("deny", TARGET[version], "--endpoint", "x/own", "--ttl", "4s") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    passed = node.link.send(SOURCE[version], TARGET[version], 5)
    in_time = time.monotonic() < until

    assert passed == 0 or not in_time
    assert wait_until(lambda: node.link.send(SOURCE[version], TARGET[version], 5) == 5, PATIENCE)
    assert orders(node) == []


@both_versions
def test_an_established_connection_is_cut_and_another_goes_on(node: Node, version: int) -> None:
    """In both directions, when the command is over; the peer's other address is somebody else."""
    bits = {4: "24", 6: "64"}[version]
    place = (f"{_ELSEWHERE[version]}/{bits}", "dev", INTERFACE)
    node.link.run(node.link.receiver, "ip", "address", "add", *place, *(["nodad"] if version == 6 else []))
    node.apply(_OPEN)
    with connections(node, TARGET[version], _ELSEWHERE[version]) as ((one, its), (other, others)):
        assert hears(one, its, PATIENCE)
        assert hears(other, others, PATIENCE)
        node.run("deny", TARGET[version])
        cut = hears(one, its, 0.5), hears(its, one, 0.5)
        goes_on = hears(other, others, PATIENCE), hears(others, other, PATIENCE)
        node.run("deny", TARGET[version], "--remove")
        one.settimeout(PATIENCE)
        # TCP sends again what was lost.
        came = one.recv(100)

    assert (cut, goes_on) == ((False, False), (True, True))
    assert came == b"x"


def test_an_order_outlives_other_policies_and_modes_and_ends_with_detach(node: Node) -> None:
    """Applied, rolled back, monitor and off; counted by its name as what somebody wants."""
    node.apply(policy(PORT))
    node.run("deny", f"{TARGET[4]}/32")
    told = [node.link.send(SOURCE[4], TARGET[4], 3)]
    node.apply(policy(PORT, 2))
    told.append(node.link.send(SOURCE[4], TARGET[4], 3))
    node.run("rollback")
    told.append(node.link.send(SOURCE[4], TARGET[4], 3))
    for mode in ("monitor", "off"):
        node.run("mode", mode)
        told.append(node.link.send(SOURCE[4], TARGET[4], 3))
    counted = {(one["verdict"], one["rule"]): one["packets"] for one in node.status()["verdicts"]}
    others = node.link.send(SOURCE[6], TARGET[6], 3)
    node.run("detach")

    assert told == [0] * 5
    assert counted["denied", f"deny {TARGET[4]}"] == 15
    assert (others, node.link.send(SOURCE[4], TARGET[4], 3)) == (3, 3)


def test_orders_are_listed_replaced_and_taken_back(node: Node) -> None:
    """Those that end first first; what is not there is said, with the next step, in one line."""
    node.apply(policy(PORT))
    said = node.run("deny", "10.9.0.0/24", "--endpoint", "x/own", "--ttl", "1h")
    node.run("deny", "2001:db8::/32")
    node.run("deny", "10.9.0.0/24", "--endpoint", "x/own", "--ttl", "30m")
    listed, shown, counted = orders(node), node.run("deny"), node.status()["orders"]
    node.run("deny", "10.9.0.0/24", "--endpoint", "x/own", "--remove")
    passes = node.link.send(SOURCE[4], TARGET[4], 3)
    complaints = [
        node.run("deny", "10.9.0.0/24", "--endpoint", "x/own", "--remove", code=2),
        node.run("deny", "10.9.0.0/24", "--endpoint", "x/owm", code=2),
    ]

    assert [(one["address"], one["endpoint"]) for one in listed] == [
        ("10.9.0.0/24", "x/own"),
        ("2001:db8::/32", None),
    ]
    assert 1700 < listed[0]["secondsLeft"] <= 1800
    assert listed[1]["secondsLeft"] is None
    assert "netsre policy deny 10.9.0.0/24 --endpoint x/own --remove" in said
    assert "stays" in shown
    assert counted == 2
    assert passes == 3
    assert [text.count("\n") for text in complaints] == [1, 1]
    assert "netsre policy deny lists" in complaints[0]
    assert "did you mean 'x/own'?" in complaints[1]


def test_more_orders_about_one_address_than_programs_look_for_are_refused(node: Node) -> None:
    """One too many, whether it lies around the others or within them."""
    node.apply(policy(PORT))
    for bits in range(24, 32):
        node.run("deny", f"10.9.0.0/{bits}")
    inner = node.run("deny", "10.9.0.0/32", code=2)
    outer = node.run("deny", "10.9.0.0/16", code=2)

    assert "more than 8 orders would be about 10.9.0.0/32" in inner
    assert "more than 8 orders would be about 10.9.0.0/31" in outer
    assert len(orders(node)) == 8


def test_an_unexpected_destination_is_listed_with_the_order_that_denies_it(node: Node) -> None:
    """Let pass in monitor, then denied by what the list proposes, typed as it stands there."""
    node.apply(policy(PORT + 1))
    denied = 3 - node.link.send(SOURCE[6], TARGET[6], 3)
    node.run("mode", "monitor")
    passed = node.link.send(SOURCE[4], TARGET[4], 5)
    [newest, older] = refused(node, "--egress")
    shown = node.run("refused")
    _, _, *typed = newest["deny"].split()
    node.run(*typed)

    assert (denied, passed, node.link.send(SOURCE[4], TARGET[4], 5)) == (3, 5, 0)
    assert (newest["endpoint"], newest["address"], newest["service"]) == ("x/own", TARGET[4], f"{PORT}/UDP")
    assert (newest["letPass"], newest["denied"], newest["became"]) == (5, 0, "let pass")
    assert (older["letPass"], older["denied"], older["became"]) == (0, 3, "denied")
    assert [one["address"] for one in refused(node, "--busiest")] == [TARGET[4], TARGET[6]]
    assert refused(node, "--ingress") == []
    assert f"{TARGET[4]}:{PORT}/UDP" in shown
    assert newest["deny"] in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_killed_at_any_moment_an_order_holds_or_not_and_the_same_command_again_gives_it(node: Node) -> None:
    """Nothing is left that stops the next one, or that denies somebody else."""
    node.apply(_OPEN)
    moments = random.Random(7)  # noqa: S311  no secret
    began = time.monotonic()
    node.run("deny", "192.0.2.1")
    took = time.monotonic() - began
    for _ in range(_KILLS):
        with node.start("deny", TARGET[4], "--ttl", "1h") as process:
            time.sleep(moments.uniform(0.3, 1.0) * took)
            process.send_signal(signal.SIGKILL)
        assert node.link.send(SOURCE[4], TARGET[4], 5) in {0, 5}
        node.run("deny", TARGET[4], "--ttl", "1h")
        assert node.link.send(SOURCE[4], TARGET[4], 5) == 0
        assert node.link.send(SOURCE[6], TARGET[6], 5) == 5
        node.run("deny", TARGET[4], "--remove")
        assert node.link.send(SOURCE[4], TARGET[4], 5) == 5


def test_an_endpoint_that_is_gone_takes_orders_and_addresses_along(node: Node) -> None:
    """Not before it is in no revision that can be gone back to; what was removed was not evicted."""
    node.apply(policy(PORT + 1))
    node.link.send(SOURCE[4], TARGET[4], 3)
    node.run("deny", TARGET[4], "--endpoint", "x/own")
    node.run("deny", "192.0.2.1")
    listed = (node.home / "endpoints.yaml").read_text(encoding="utf-8")
    (node.home / "endpoints.yaml").write_text(listed.replace("name: own", "name: other"), encoding="utf-8")
    node.apply(policy(PORT + 1))
    kept = {one["endpoint"] for one in orders(node)}, len(refused(node))
    for networks in range(1, 10):
        node.apply(policy(PORT + 1, networks))
    found = json.loads(node.run("refused", "--json"))

    assert kept == ({"x/own", None}, 1)
    assert [(one["address"], one["endpoint"]) for one in orders(node)] == [("192.0.2.1/32", None)]
    assert (found["refused"], found["evicted"], found["lost"]) == ([], 0, 0)
