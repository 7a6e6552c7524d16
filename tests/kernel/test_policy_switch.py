"""Revisions change under packets: each packet is decided by one of them, and by the whole of it."""

import threading
from collections.abc import Iterator

import pytest

from bench.policy_frames import TCP, frame, tcp
from bench.policy_rig import CountKey, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.conntrack import Event, State
from netsre.datapath.policy.resolve import Resolved
from tests.unit.policy.cluster import ENDPOINTS, address, kubernetes, read

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

RUNS = 40_000
SWITCHES = 100


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs."""
    with loaded(policy_template) as made:
        yield made


def revisions() -> list[Resolved]:
    """Return two that differ in everything: rules, tables, and the numbers of identities."""
    allow_80, allow_81 = (
        read(
            kubernetes(
                "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress, Egress]\n"
                "ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}], "
                f"ports: [{{port: {port}}}]}}]",
                f"only-{port}",
            )
        )
        for port in (80, 81)
    )
    first = resolve.resolve(allow_80, ENDPOINTS, {})
    shifted = {key: number + 100 for key, number in first.numbers.items() if number >= 256}
    return [first, resolve.resolve(allow_81, ENDPOINTS, shifted)]


def keys_of(rig: Rig, slot: int, packets: list[bytes]) -> set[CountKey]:
    """Return what packets are counted by under one revision alone."""
    rig.switch(slot)
    rig.forget(programs.ROWS, programs.CONNECTIONS)
    for packet in packets:
        rig.arrives(packet)
    return set(rig.counts())


@pytest.mark.parametrize("tracked", [False, True], ids=["each packet asks", "connections are known"])
def test_each_packet_is_decided_by_one_whole_revision(rig: Rig, *, tracked: bool) -> None:
    """Packets run in one thread while another switches; each is counted by one of both, in all parts."""
    if not tracked:
        for state in State:
            rig.timeout(state, 0)
    ways = [(address("x/b", version), address("x/a", version)) for version in (4, 6)]
    packets = [frame(*way, TCP, tcp(1000, port)) for way in ways for port in (80, 81)]
    for slot, resolved in enumerate(revisions()):
        rig.write(resolved, ENDPOINTS, slot + 1, slot)
    expected = [keys_of(rig, slot, packets) for slot in range(2)]
    rig.forget(programs.ROWS, programs.CONNECTIONS)
    passed: list[bool] = []
    runner = threading.Thread(
        target=lambda: passed.extend(rig.arrives(packets[n % len(packets)]) for n in range(RUNS))
    )
    runner.start()
    switched = 0
    while runner.is_alive():
        rig.switch(switched % 2)
        switched += 1
    runner.join()
    counted = rig.counts()

    assert not expected[0] & expected[1]
    assert set(counted) == expected[0] | expected[1]
    assert sum(count.packets for key, count in counted.items() if key.verdict == 0) == passed.count(True)
    assert sum(count.packets for count in counted.values()) == len(passed) == RUNS
    assert switched > SWITCHES
    assert rig.events()[Event.INTERNAL] == 0
