"""Monitor lets pass and counts, off lets pass, and each ends by itself."""

import time
from collections.abc import Iterator

import pytest

from bench.policy_frames import TCP, frame, tcp
from bench.policy_rig import ALLOWED, AUDITED, DENIED, ENFORCE, MONITOR, OFF, Rig, loaded, now_ns
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import resolve
from tests.kernel.test_policy_conntrack import OWN, PEER, POLICIES
from tests.unit.policy.cluster import ENDPOINTS, address

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

NUMBER = [one.full_name for one in ENDPOINTS].index(OWN) + 1
OTHER = [one.full_name for one in ENDPOINTS].index(PEER) + 1
COUNT = 23


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs, with the policies of the tables of connections in force."""
    with loaded(policy_template) as made:
        made.write(resolve.resolve(POLICIES, ENDPOINTS, {}), ENDPOINTS, 1)
        yield made


def denied(version: int = 4, port: int = 1000) -> bytes:
    """Return a packet to a port that nobody allows."""
    return frame(address(PEER, version), address(OWN, version), TCP, tcp(port, 81))


def by_verdict(rig: Rig) -> dict[int, int]:
    """Return how many packets were counted with each verdict."""
    found: dict[int, int] = {}
    for key, count in rig.counts().items():
        found[key.verdict] = found.get(key.verdict, 0) + count.packets
    return found


@both_versions
@pytest.mark.parametrize(
    ("mode", "passes", "counted"),
    [(ENFORCE, False, {DENIED: COUNT}), (MONITOR, True, {AUDITED: COUNT}), (OFF, True, {})],
)
def test_a_mode_decides_what_becomes_of_a_denied_packet(
    rig: Rig, version: int, mode: int, counted: dict[int, int], *, passes: bool
) -> None:
    """Of each packet, and not of the first alone; what is allowed passes and counts in every mode."""
    rig.mode(mode)
    told = [rig.arrives(denied(version, 1000 + number % 2)) for number in range(COUNT)]
    allowed = frame(address(PEER, version), address(OWN, version), TCP, tcp(1000, 80))

    assert told == [passes] * COUNT
    assert by_verdict(rig) == counted
    assert rig.arrives(allowed)
    assert by_verdict(rig) == counted | {ALLOWED: 1}


def test_answers_are_counted_as_what_they_answer(rig: Rig) -> None:
    """As audited in monitor, not at all while the mode is off."""
    answer = frame(address(OWN), address(PEER), TCP, tcp(81, 1000))
    for mode, counted in ((OFF, {}), (MONITOR, {AUDITED: 2})):
        rig.mode(mode)

        assert (rig.arrives(denied()), rig.leaves(answer)) == (True, True)
        assert by_verdict(rig) == counted


@pytest.mark.parametrize("endpoint", [None, NUMBER], ids=["for all", "of one endpoint"])
@pytest.mark.parametrize("mode", [MONITOR, OFF])
def test_a_mode_ends_by_itself(rig: Rig, endpoint: int | None, mode: int) -> None:
    """At its deadline, and nobody has to do anything; what follows was said when it was set."""
    rig.mode(mode, endpoint=endpoint, until_ns=now_ns() + 10**12, afterwards=ENFORCE)
    before = rig.arrives(denied())
    until = now_ns() + 50_000_000
    rig.mode(mode, endpoint=endpoint, until_ns=until, afterwards=ENFORCE)
    while now_ns() < until:
        time.sleep(0.01)

    assert (before, rig.arrives(denied())) == (True, False)


def test_enforcement_may_have_an_end_as_well(rig: Rig) -> None:
    """A rollout that is tried for a while."""
    rig.mode(ENFORCE, until_ns=now_ns() + 10**12, afterwards=MONITOR)
    before = rig.arrives(denied())
    rig.mode(ENFORCE, until_ns=now_ns(), afterwards=MONITOR)

    assert (before, rig.arrives(denied())) == (False, True)


def test_the_mode_of_an_endpoint_goes_before_that_for_all(rig: Rig) -> None:
    """In both directions, and for this endpoint alone."""
    rig.mode(MONITOR, endpoint=OTHER)
    others = rig.arrives(denied())
    rig.mode(MONITOR, endpoint=NUMBER)
    mine = rig.arrives(denied())
    rig.mode(MONITOR)
    rig.mode(ENFORCE, endpoint=NUMBER)

    assert (others, mine, rig.arrives(denied())) == (False, True, False)
