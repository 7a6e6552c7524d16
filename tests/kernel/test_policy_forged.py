"""Forged sources on a real link, by the commands alone: dropped, said, and whatever interfaces become."""

import json
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces
from netsre.adapters.bpf import policy_pins, policy_reading
from netsre.datapath.policy import interfaces
from netsre.datapath.policy.programs import INTERFACES
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, PORT, SOURCE, TARGET
from tests.kernel.policed_node import ENDPOINTS, Node, crowd, policed_node, policy
from tests.kernel.test_policy_sensor import agent_on, value

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_SECOND: Final = "second"
_MORE: Final = {4: "10.9.1.1", 6: "fd09:1::1"}
_HERE: Final = {4: "10.9.1.2", 6: "fd09:1::2"}
_MAC: Final = "02:00:00:00:09:03"
_PREFIX: Final = {4: 24, 6: 64}
_TWO: Final = ENDPOINTS.replace(TARGET[4], f"{TARGET[4]}, {_HERE[4]}, '{_HERE[6]}'") + (
    f"- {{name: more, namespace: x, ips: [{_MORE[4]}, '{_MORE[6]}'], interface: {_SECOND}}}\n"
)
"""Another endpoint, behind an interface of its own, and the addresses of the node's end."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


@both_versions
def test_a_forged_source_is_dropped_said_and_let_pass_where_nobody_enforces(node: Node, version: int) -> None:
    """In the status, in the agent's metrics, and by the counter of the firewall behind."""
    forged = OTHER_SOURCE[version], TARGET[version]
    with agent_on(node) as agent:
        node.apply(policy(PORT))
        enforced = node.link.send(*forged)
        honest = node.link.send(SOURCE[version], TARGET[version])
        dropped = value(agent, c.DROPS, hook="tc_ingress", reason="forged_source", rule="", netns="host")
        node.run("mode", "monitor", "--endpoint", "x/own")
        monitored = node.link.send(*forged, 5)
        node.run("mode", "off")
        node.run("mode", "inherit", "--endpoint", "x/own")
        off = node.link.send(*forged, 7)
        passed = value(agent, c.POLICY_EVENTS, event="forged_source_passed")

    events = node.status()["events"]
    assert (enforced, honest, monitored, off) == (0, COUNT, 5, 7)
    assert (dropped, passed) == (COUNT, 12)
    assert (events["forged_source_dropped"], events["forged_source_passed"]) == (COUNT, 12)
    assert f"forged_source_dropped {COUNT}" in " ".join(node.run("status").split())


def make_second(node: Node) -> str:
    """Make another link between the two, and return the number of the node's end."""
    run, (sender, receiver) = node.link.run, (node.link.sender, node.link.receiver)
    pair = ("type", "veth", "peer", "name", "away", "netns", sender)
    run(receiver, "ip", "link", "add", _SECOND, "address", _MAC, *pair)
    for place, name, addresses in ((receiver, _SECOND, _HERE), (sender, "away", _MORE)):
        for version, address in addresses.items():
            nodad = ("nodad",) if version == 6 else ()
            run(place, "ip", "addr", "add", f"{address}/{_PREFIX[version]}", "dev", name, *nodad)
        run(place, "ip", "link", "set", name, "up")
    for address in _HERE.values():
        known = ("lladdr", _MAC, "dev", "away", "nud", "permanent")
        run(sender, "ip", "neigh", "replace", address, *known)
    return str(json.loads(run(receiver, "ip", "--json", "link", "show", _SECOND))[0]["ifindex"])


@both_versions
def test_interfaces_are_known_by_name_whatever_becomes_of_their_numbers(node: Node, version: int) -> None:
    """One is made anew, then the other has the number that this one had; applying again is no revision."""
    (node.home / "endpoints.yaml").write_text(_TWO, encoding="utf-8")
    number = make_second(node)
    honest, forged = (_MORE[version], _HERE[version]), (SOURCE[version], _HERE[version])
    before = node.link.send(*forged, 5)
    first = node.apply(policy(PORT))["revision"]
    second = node.apply(policy(PORT, 2))["revision"]

    def outcome() -> tuple[int, int, int]:
        own = node.link.send(SOURCE[version], TARGET[version], 5)
        return node.link.send(*honest, 5), node.link.send(*forged, 5), own

    found = [outcome()]
    node.link.run(node.link.receiver, "ip", "link", "delete", _SECOND)
    node.link.run(node.link.receiver, "ip", "link", "add", "third", "index", number, "type", "veth")
    anew = make_second(node)
    again = node.apply(policy(PORT, 2))
    found.append(outcome())
    node.run("rollback", str(first))
    found.append(outcome())

    assert anew != number
    assert (again["revision"], again["written"]) == (second, 0)
    assert before == 5
    assert found == [(5, 0, 5)] * 3


@both_versions
def test_who_goes_back_polices_the_interfaces_of_that_revision(node: Node, version: int) -> None:
    """Also what later files had left out; forged sources and policies alike."""
    (node.home / "endpoints.yaml").write_text(_TWO, encoding="utf-8")
    make_second(node)
    first = node.apply(policy(PORT + 1))["revision"]
    (node.home / "endpoints.yaml").write_text(ENDPOINTS, encoding="utf-8")
    node.apply(policy(PORT))

    def outcome() -> tuple[int, int]:
        honest, forged = (_MORE[version], _HERE[version]), (SOURCE[version], _HERE[version])
        return node.link.send(*honest, 5), node.link.send(*forged, 5)

    without = outcome()
    node.run("rollback", str(first))

    assert without[0] == 5
    assert outcome() == (5, 0)


@pytest.mark.parametrize("command", ["status", "refused", "connections", "rollback"])
def test_a_command_in_another_network_namespace_takes_nothing_away(node: Node, command: str) -> None:
    """Interfaces have other numbers there, or are not there: what is policed stays policed."""
    node.apply(policy(PORT))
    node.apply(policy(PORT + 1))
    node.apply(policy(PORT + 2))
    asked = namespaces.inside(
        node.link.sender, lambda: subprocess.run(node.command(command), check=False, timeout=60)
    )

    assert asked.returncode == 0
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0
    assert node.status()["interfaces"] == [INTERFACE]


def test_only_interfaces_that_are_there_have_a_number(node: Node) -> None:
    """One that is left out of the file has none any more, as its number may be another's some day."""
    (node.home / "endpoints.yaml").write_text(_TWO, encoding="utf-8")
    numbers = []
    make_second(node)
    for text in (_TWO, ENDPOINTS, _TWO):
        (node.home / "endpoints.yaml").write_text(text, encoding="utf-8")
        node.apply(policy(PORT))
        numbers.append(numbered(node))

    assert [len(each) for each in numbers] == [2, 1, 2]
    assert numbers[0] == numbers[2]


def numbered(node: Node) -> dict[int, int]:
    """Return the numbers of interfaces in revisions, by those of the kernel."""
    with policy_reading.opened(node.home / "bpf" / "policy", INTERFACES) as found:
        return interfaces.known(found.slots())


def test_an_endpoint_without_an_address_believes_nobody_less(node: Node) -> None:
    """Nobody could say what is forged there: whatever comes is nobody's, and passes."""
    text = ENDPOINTS.replace(f"ips: [{SOURCE[4]}, '{SOURCE[6]}'], ", "")
    (node.home / "endpoints.yaml").write_text(text, encoding="utf-8")
    applied = node.apply(policy(PORT + 1))

    assert applied["interfaces"] == [INTERFACE]
    assert node.link.passes()
    assert policy_pins.map_path(node.home / "bpf" / "policy", INTERFACES).exists()


def test_interfaces_whose_numbers_end_alike_are_policed_and_said(node: Node) -> None:
    """There is room for the sources of four; the fifth is named, and all else is as ever."""
    alike, listed = crowd(node)
    (node.home / "endpoints.yaml").write_text(ENDPOINTS + listed, encoding="utf-8")
    (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
    complaint = node.run(*node.applying(), code=3)

    assert f"the revision is in force, but from {alike[-1]} any source is believed" in complaint
    assert complaint.count("\n") == 1
    assert sorted(node.status()["interfaces"]) == [*alike, INTERFACE]
    assert len(numbered(node)) == interfaces.AT_ONE + 1
    assert node.link.send(OTHER_SOURCE[4], TARGET[4], 5) == 0
    assert node.link.passes()
