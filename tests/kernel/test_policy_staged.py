"""In the kernel: policies that are not enforced, and a revision that gives way to another one at its end."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from bench.policy_frames import TCP, UDP, ethernet, frame, ipv4, opening, tcp
from bench.policy_rig import ALLOWED, AUDITED, DENIED, DIRECTIONS, OFF, REASONS, Rig, loaded, now_ns
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import ends, reference, resolve
from netsre.datapath.policy.conntrack import Event, State
from netsre.datapath.policy.reference import Decision, Staged
from netsre.datapath.policy.resolve import Canary, Trial
from netsre.model.policies import files
from netsre.model.policies.values import Direction, Kind
from tests.kernel.test_policy_conntrack import OWN, PEER, POLICIES
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, address
from tests.unit.policy.test_staged import some_stages

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

SEEDS: Final = 20
QUESTIONS: Final = 300
VERDICTS: Final = {Decision.ALLOW: ALLOWED, Decision.DENY: DENIED, Decision.AUDIT: AUDITED}
MONITORED: Final = Staged(frozenset(policy.document for policy in POLICIES))
ALL_OFF: Final = Staged(off=MONITORED.monitored)


@pytest.fixture
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs with empty maps."""
    with loaded(policy_template) as made:
        yield made


def write(rig: Rig, staged: Staged, number: int = 1, slot: int = 0) -> None:
    """Write the policies of the tables of connections."""
    rig.write(resolve.resolve(POLICIES, ENDPOINTS, {}, trial=Trial(staged)), ENDPOINTS, number, slot)


def denied(port: int = 1000) -> bytes:
    """Return a packet to a port that nobody allows."""
    return frame(address(PEER), address(OWN), TCP, tcp(port, 81))


def verdicts(rig: Rig) -> dict[int, int]:
    """Return how many packets were counted with each verdict."""
    found = Counter[int]()
    for key, count in rig.counts().items():
        found[key.verdict] += count.packets
    return dict(found)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_kernel_agrees_with_the_reference_where_policies_are_staged(rig: Rig, seed: int) -> None:
    """On verdict, rule and reason of 12,000 packets, of a canary and others by the policies of each."""
    chance = generated.chance_of(seed)
    old, new = (
        files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 8))}) for _ in "ab"
    )
    chosen = frozenset(one.full_name for one in ENDPOINTS if chance.random() < 0.5)
    trial = Trial(some_stages(chance, (*old, *new)), Canary(chosen, old))
    rig.write(resolve.resolve(new, ENDPOINTS, {}, trial=trial), ENDPOINTS, 1)
    for state in State:
        rig.timeout(state, 0)
    counted = Counter[tuple[int, int, int, int]]()
    for port, (one, other, asked) in enumerate(generated.questions(chance, QUESTIONS), 20_000):
        source, destination = ends.between(one, other, ENDPOINTS)
        service = ends.service(asked)
        assert source.address is not None
        assert destination.address is not None
        packet = opening(source.address, destination.address, service, port)
        for way, subject, peer in (
            (Direction.EGRESS, source, destination),
            (Direction.INGRESS, destination, source),
        ):
            passes = rig.passes(way, packet)
            if subject.kind is not Kind.ENDPOINT or subject.endpoint is None or source.is_same(destination):
                continue
            about = trial.staged, subject, peer, service, way
            answer = reference.staged_answer(old, *about)
            if subject.endpoint.full_name in chosen:
                answer = reference.replacing(reference.staged_answer(new, *about), answer)
            assert passes == (answer.decision is not Decision.DENY), (seed, way, one, other, asked)
            counted[
                rig.rule(answer),
                VERDICTS[answer.decision],
                DIRECTIONS.index(way),
                REASONS.index(answer.reason),
            ] += 1

    assert without_itself(rig) == counted
    assert rig.events()[Event.INTERNAL] == 0


def without_itself(rig: Rig) -> Counter[tuple[int, int, int, int]]:
    """Return what was counted, without what an endpoint says to itself."""
    found = Counter[tuple[int, int, int, int]]()
    for key, count in rig.counts().items():
        if REASONS[key.reason] is not reference.Reason.ITSELF:
            found[key.rule, key.verdict, key.direction, key.reason] += count.packets
    return found


def test_what_only_a_policy_on_monitor_denies_passes_and_is_counted(rig: Rig) -> None:
    """Each packet of it, as audited; not at all while the mode is off, and enforced again it is dropped."""
    write(rig, MONITORED)
    passed = [rig.arrives(denied(1000 + number % 2)) for number in range(7)]
    audited = verdicts(rig)
    rig.mode(OFF)
    off = rig.arrives(denied())
    write(rig, reference.ENFORCED, 2, 1)
    rig.mode(0)
    rig.switch(1)

    assert passed == [True] * 7
    assert audited == {AUDITED: 7}
    assert (off, verdicts(rig)) == (True, {AUDITED: 7})
    assert not rig.arrives(denied())
    assert verdicts(rig) == {AUDITED: 7, DENIED: 1}


@pytest.mark.parametrize("staged", [MONITORED, ALL_OFF], ids=["monitor", "off"])
def test_a_packet_without_ports_passes_where_nothing_is_denied(rig: Rig, staged: Staged) -> None:
    """A later piece whose first was not seen: dropped only by who enforces something."""
    piece = ethernet(ipv4(address(PEER), address(OWN), UDP, bytes(24), piece=2, identification=7))
    write(rig, staged)
    passes = rig.arrives(piece)
    write(rig, reference.ENFORCED, 2, 1)
    rig.switch(1)

    assert (passes, rig.arrives(piece)) == (True, False)
    assert (rig.events()[Event.FRAGMENT_PASSED], rig.events()[Event.FRAGMENT_KEPT_OUT]) == (1, 1)


def test_a_revision_gives_way_to_the_next_at_its_end(rig: Rig) -> None:
    """To the moment, and back in the same way; the connection that it allowed is asked about again."""
    write(rig, reference.ENFORCED, 1, 3)
    write(rig, ALL_OFF, 2, 5)
    rig.slot(5, 2, now_ns() + 10**12, 3)
    rig.switch(5)
    before = rig.arrives(denied())
    until = now_ns() + 50_000_000
    rig.slot(5, 2, until, 3)
    while now_ns() < until:
        time.sleep(0.01)
    after = rig.arrives(denied())
    rig.slot(5, 2, now_ns() + 10**12, 3)

    assert (before, after, rig.arrives(denied())) == (True, False, True)


def test_an_end_leads_one_step_further_and_never_in_a_circle(rig: Rig) -> None:
    """Two slots that are over and name each other: the second one decides, for nobody follows any further."""
    write(rig, reference.ENFORCED, 1, 3)
    write(rig, ALL_OFF, 2, 5)
    rig.slot(5, 2, 1, 3)
    rig.slot(3, 1, 1, 5)
    rig.switch(5)

    assert not rig.arrives(denied())
