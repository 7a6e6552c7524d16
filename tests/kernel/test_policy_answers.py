"""What tables said lately is said again: the same, whatever shares its place, and of its revision alone."""

import os
import random
from collections.abc import Iterator

import pytest

from bench.policy_frames import SYN, TCP, UDP, frame, tcp, udp
from bench.policy_rig import MONITOR, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import programs, resolve
from netsre.datapath.policy.conntrack import Event
from netsre.datapath.policy.layouts import ANSWERS
from tests.unit.policy.cluster import ENDPOINTS, address, kubernetes, read

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

ALLOWED_PORTS = range(8000, 9000)
SEED = 3


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with a range of ports allowed to one peer, and under the next revision nothing."""
    spec = "podSelector: {matchLabels: {pod: a}}\npolicyTypes: [Ingress]"
    peer = "from: [{podSelector: {matchLabels: {pod: b}}}]"
    allowing = f"{spec}\ningress: [{{{peer}, ports: [{{port: 8000, endPort: 8999}}]}}]"
    with loaded(policy_template) as made:
        for slot, text in enumerate((allowing, spec)):
            made.write(resolve.resolve(read(kubernetes(text)), ENDPOINTS, {}), ENDPOINTS, slot + 1, slot)
        yield made


@pytest.fixture
def one_processor() -> Iterator[None]:
    """Stay on one: each has answers of its own."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def opening(port: int, version: int, peer: str = "x/b", own: str = "x/a") -> bytes:
    """Return a first packet of a peer to a port of the isolated endpoint."""
    return frame(address(peer, version), address(own, version), TCP, tcp(1000, port, SYN))


@both_versions
def test_questions_that_share_a_place_each_have_their_own_answer(rig: Rig, version: int) -> None:
    """There are three times as many as places; each is asked three times, in any order."""
    asked = [(port, peer) for port in range(7500, 9500) for peer in ("x/b", "x/c")]
    assert len(asked) > 3 * ANSWERS
    right = {(port, peer): peer == "x/b" and port in ALLOWED_PORTS for port, peer in asked}
    wrong = []
    for one in random.Random(SEED).sample(asked * 3, 3 * len(asked)):  # noqa: S311  the same order each time
        passed = rig.arrives(opening(one[0], version, one[1]))
        if passed != right[one]:
            wrong.append(one)

    assert wrong == []


@both_versions
@pytest.mark.usefixtures("one_processor")
def test_an_answer_is_given_again_without_a_table(rig: Rig, version: int) -> None:
    """Until another question takes its place; whoever differs in a single word is asked about."""
    told = [rig.arrives(opening(8000, version)), rig.arrives(opening(80, version))]
    rig.forget(programs.CONNECTIONS, programs.ENTRIES)
    again = [rig.arrives(opening(8000, version)), rig.arrives(opening(80, version))]
    before = rig.events()[Event.INTERNAL]
    others = [
        opening(8001, version),
        opening(8000, version, "x/c"),
        frame(address("x/b", version), address("x/a", version), UDP, udp(1000, 8000)),
    ]
    for other in others:
        rig.arrives(other)

    assert told == again == [True, False]
    assert before == 0
    assert rig.events()[Event.INTERNAL] == len(others)


@both_versions
def test_an_answer_is_of_its_revision(rig: Rig, version: int) -> None:
    """There and back again, and in whatever mode: that is asked apart."""
    told = []
    for slot in (0, 1, 0, 1):
        rig.switch(slot)
        rig.forget(programs.CONNECTIONS)
        told.append(rig.arrives(opening(8000, version)))
    rig.mode(MONITOR)
    told.append(rig.arrives(opening(8000, version)))
    rig.mode(0)
    rig.forget(programs.CONNECTIONS)
    told.append(rig.arrives(opening(8000, version)))

    assert told == [True, False, True, False, True, False]
