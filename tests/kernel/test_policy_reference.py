"""The kernel decides what the reference decides, for the same reason, on packets of every protocol."""

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from bench.policy_frames import opening
from bench.policy_rig import ALLOWED, DENIED, DIRECTIONS, REASONS, CountKey, Rig, loaded
from netsre.adapters.bpf.policy import Template
from netsre.datapath.policy import ends, programs, reference, resolve
from netsre.datapath.policy.conntrack import Event, State
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.identities import ANY
from netsre.datapath.policy.lookup import Lookup
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.model.policies import files
from netsre.model.policies.values import Direction, Kind, Network, Policy
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

SEEDS = 80
QUESTIONS = 400
_ITSELF = Answer(Decision.ALLOW, Reason.ITSELF)


@pytest.fixture(scope="module")
def rig(policy_template: Template) -> Iterator[Rig]:
    """Load the programs once, so that revisions of all seeds meet in the same maps."""
    with loaded(policy_template) as made:
        # Each question is about a connection that begins.
        for state in State:
            made.timeout(state, 0)
        yield made


def expected(
    policies: tuple[Policy, ...], source: End, destination: End, service: Service, way: Direction
) -> Answer:
    """Return what one end's side says."""
    if source.is_same(destination):
        return _ITSELF
    ends_seen = (source, destination) if way is Direction.EGRESS else (destination, source)
    return reference.answer(policies, *ends_seen, service, way)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_kernel_agrees_with_the_reference(rig: Rig, seed: int) -> None:
    """On the verdict of each of 64,000 packets, and on rule, reason and identities as they are counted."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 12))})
    resolved = resolve.resolve(policies, ENDPOINTS, {})
    known = Lookup(resolved)
    rig.forget(
        *(programs.ADDRESSES, programs.ZONES, programs.ENTRIES, programs.ENDPOINTS),
        *(programs.ROWS, programs.CONNECTIONS),
    )
    rig.write(resolved, ENDPOINTS, seed + 1, seed % 16)
    rig.switch(seed % 16)
    counted = Counter[CountKey]()
    elsewhere = rig.events()[Event.NO_ENDPOINT]

    def number(end: End) -> int:
        whose = known.whose(end)
        return ANY if whose is None else whose.number

    for port, (one, other, asked) in enumerate(generated.questions(chance, QUESTIONS), 20_000):
        source, destination = ends.between(one, other, ENDPOINTS)
        service = ends.service(asked)
        assert source.address is not None
        assert destination.address is not None
        packet = opening(source.address, destination.address, service, port)
        for way, subject in ((Direction.EGRESS, source), (Direction.INGRESS, destination)):
            passes = rig.passes(way, packet)
            if subject.kind is not Kind.ENDPOINT:
                assert passes
                elsewhere += 1
                continue
            answer = expected(policies, source, destination, service, way)
            assert passes == (answer.decision is Decision.ALLOW), (seed, way, one, other, asked)
            verdict = ALLOWED if passes else DENIED
            counted[
                CountKey(
                    rig.rule(answer), number(source), number(destination), verdict, DIRECTIONS.index(way),
                    REASONS.index(answer.reason),
                )
            ] += 1  # fmt: skip

    assert {key: count.packets for key, count in rig.counts().items()} == counted
    assert {key: count.connections for key, count in rig.counts().items()} == counted
    assert rig.events()[Event.NO_ENDPOINT] == elsewhere
    assert rig.events()[Event.INTERNAL] == rig.events()[Event.CONNECTIONS_FULL] == 0


@pytest.fixture
def asked_anew(policy_template: Template) -> Iterator[Rig]:
    """Load the programs for one seed alone: orders would hold for the next one too."""
    with loaded(policy_template) as made:
        for state in State:
            made.timeout(state, 0)
        yield made


@pytest.mark.parametrize("seed", range(0, SEEDS, 8))
def test_orders_go_before_what_the_reference_decides(asked_anew: Rig, seed: int) -> None:
    """An address that one holds about is denied either way, whatever policies say; all else is as without."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 12))})
    asked_anew.write(resolve.resolve(policies, ENDPOINTS, {}), ENDPOINTS, 1)
    ips = [ip for one in ENDPOINTS for ip in one.ips]
    given: list[tuple[int, Network, int]] = []
    for _ in range(12):
        network = ip_interface((chance.choice(ips), chance.choice((8, 16, 24, 30, 32)))).network
        place, until_ns = chance.choice((0, *range(1, len(ENDPOINTS) + 1))), chance.choice((0, 1, 1 << 62))
        # Of two about the same the later one counts.
        given = [one for one in given if one[:2] != (place, network)] + [(place, network, until_ns)]
        asked_anew.deny(str(network), endpoint=place, until_ns=until_ns)
    denied = 0
    for port, (one, other, asked) in enumerate(generated.questions(chance, QUESTIONS), 20_000):
        source, destination = ends.between(one, other, ENDPOINTS)
        service = ends.service(asked)
        assert source.address is not None
        assert destination.address is not None
        packet = opening(source.address, destination.address, service, port)
        for way, (own, peer) in (
            (Direction.EGRESS, (source, destination)),
            (Direction.INGRESS, (destination, source)),
        ):
            if own.kind is Kind.ENDPOINT and own.endpoint is not None:
                places = {0, ENDPOINTS.index(own.endpoint) + 1}
                ordered = any(
                    number in places and peer.address in network and until_ns != 1
                    for number, network, until_ns in given
                )
                answer = expected(policies, source, destination, service, way)
                allowed = answer.decision is Decision.ALLOW and not ordered
                assert asked_anew.passes(way, packet) == allowed, (seed, way, one, other, asked)
                denied += ordered
    assert denied
