"""Who no rule allows is noted by address: how often, since when, and what became of it."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import pytest

from bench.policy_frames import ACK, ICMP, ICMPV6, RST, TCP, UDP, frame, icmp, tcp, udp
from bench.policy_rig import CAPACITIES, MONITOR, OFF, Rig, loaded, now_ns
from netsre.adapters.bpf import policy_refused
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.model.policies.values import Direction
from tests.kernel.test_policy_conntrack import OWN, PEER, POLICIES, ROUTER
from tests.unit.policy.cluster import ENDPOINTS, address

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

NUMBER: Final = [one.full_name for one in ENDPOINTS].index(OWN) + 1
_FEW: Final = 256


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with the policies of the tables of connections in force."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


@both_versions
def test_an_unknown_destination_has_its_address_port_and_times(rig: Rig, version: int) -> None:
    """Denied three times, then let pass twice in one connection while nobody enforces."""
    own, there = address(OWN, version), ROUTER[version]
    begin = now_ns()
    denied = [rig.leaves(frame(own, there, TCP, tcp(1000 + n, 443))) for n in range(3)]
    between = now_ns()
    rig.mode(MONITOR)
    passed = [rig.leaves(frame(own, there, TCP, tcp(2000, 443, flags))) for flags in (2, ACK)]

    [noted] = rig.refused()
    assert (denied, passed) == ([False] * 3, [True] * 2)
    assert (noted.endpoint, noted.direction) == (NUMBER, Direction.EGRESS)
    assert noted.service.address == ip_address(there)
    assert noted.service.what == "443/TCP"
    assert (noted.denied, noted.passed, noted.connections) == (3, 2, 4)
    assert begin <= noted.first_ns <= noted.denied_ns <= between <= noted.passed_ns <= now_ns()


def test_who_asks_the_endpoint_is_noted_with_the_service_it_asked_for(rig: Rig) -> None:
    """By the endpoint's own port, whatever port it came from; of ICMP by the type."""
    for port in (1000, 2000):
        rig.arrives(frame(ROUTER[4], address(OWN), UDP, udp(port, 53)))
    rig.arrives(frame(ROUTER[4], address(OWN), ICMP, icmp(13)))

    noted = {(one.direction, one.service.what): one.denied for one in rig.refused()}
    assert noted == {(Direction.INGRESS, "53/UDP"): 2, (Direction.INGRESS, "13/ICMP"): 1}


@both_versions
def test_what_is_allowed_is_not_noted_nor_what_an_order_denies(rig: Rig, version: int) -> None:
    """Known connections, rules, orders, and the mode off."""
    own, peer = address(OWN, version), address(PEER, version)
    rig.leaves(frame(own, peer, TCP, tcp(1000, 443)))
    rig.arrives(frame(peer, own, TCP, tcp(443, 1000, ACK)))
    rig.leaves(frame(own, peer, TCP, tcp(1000, 443, ACK)))
    rig.deny(f"{ROUTER[version]}/{128 if version == 6 else 32}")
    rig.leaves(frame(own, ROUTER[version], TCP, tcp(1000, 443)))
    rig.mode(OFF)
    rig.leaves(frame(own, peer, TCP, tcp(1000, 80)))

    assert not rig.refused()


def test_late_answers_are_no_destinations(rig: Rig) -> None:
    """A server that goes on in a connection that nobody knows, resets, answers to echoes; all are denied."""
    own, there = address(OWN), ROUTER[4]
    packets = [
        frame(own, there, TCP, tcp(8080, 40_000, ACK)),
        frame(own, there, TCP, tcp(50_000, 443, RST | ACK)),
        frame(own, there, ICMP, icmp(0, 5)),
        frame(address(OWN, 6), ROUTER[6], ICMPV6, icmp(129, 5)),
    ]
    assert not any(map(rig.leaves, packets))
    assert not rig.refused()
    # A client that goes on is noted: it may do so since before there were policies.
    assert not rig.leaves(frame(own, there, TCP, tcp(40_000, 8080, ACK)))
    assert [one.service.what for one in rig.refused()] == ["8080/TCP"]


def test_the_oldest_make_room_and_are_counted(policy_template: Template) -> None:
    """A scan of ten times as many as there is room for: the newest are there, the rest is a number."""
    with loaded(policy_template, {**CAPACITIES, programs.REFUSED: _FEW}) as rig:
        rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        for port in range(1, 10 * _FEW + 1):
            rig.leaves(frame(address(OWN), ROUTER[4], TCP, tcp(1000, port)))
        said = policy_refused.read(rig.datapath.maps)

    assert said.evicted + len(said.entries) == 10 * _FEW
    assert 0 < len(said.entries) <= _FEW
    assert said.lost == 0
    assert 10 * _FEW in {one.service.port for one in said.entries}
