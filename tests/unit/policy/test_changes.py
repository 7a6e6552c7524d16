"""What a change of policies does to observed flows."""

from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import changes, reference
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Policy
from tests.unit.policy import cluster, generated, observations
from tests.unit.policy.cluster import ENDPOINTS, kubernetes, read
from tests.unit.policy.observations import raw

ADDRESSES = (*generated.ADDRESSES[:-1], *(cluster.address(name, 6) for name in cluster.NAMES))
"""Of everybody; the last one of the generator is written in another way."""


def log(seed: int) -> list[str]:
    """Return lines about the cluster of the tables."""
    chance = generated.chance_of(seed)
    everybody = [*ADDRESSES, *map(cluster.address, cluster.NAMES), *map(cluster.address, cluster.NAMES)]
    found: list[str] = []
    while len(found) < 40:
        source, destination = chance.choice(everybody), chance.choice(everybody)
        if (":" in source) == (":" in destination):
            port, outcome = chance.choice(generated.NUMBERS), chance.choice(("delivered", "failed", "denied"))
            protocol = chance.choice(("tcp", "udp"))
            found.append(raw(source, destination, port, protocol=protocol, outcome=outcome))
    return found


def some(seed: int) -> tuple[Policy, ...]:
    """Return policies of every kind."""
    texts = generated.documents(generated.chance_of(seed), 6)
    return files.parse({f"{number}.yaml": text for number, text in enumerate(texts)}) if texts else ()


@given(old=st.integers(0, 2**32), new=st.integers(0, 2**32), seed=st.integers(0, 2**32))
def test_a_flow_is_told_when_the_reference_changes_its_mind(old: int, new: int, seed: int) -> None:
    """Each once, with both verdicts in full, whatever kind the policies are of."""
    before, after = some(old), some(new)
    flows = observations.observed(log(seed), ENDPOINTS).flows
    verdicts = [
        (
            reference.verdict(before, one.source, one.destination, one.service),
            reference.verdict(after, one.source, one.destination, one.service),
        )
        for one in flows
    ]
    expected = {
        one.order: (first, second)
        for one, (first, second) in zip(flows, verdicts, strict=True)
        if first.decision is not second.decision
    }

    told = changes.changes(before, after, flows)
    assert len(told) == len(expected)
    assert {one.flow.order: (one.before, one.after) for one in told} == expected


def test_what_is_denied_now_comes_first_and_the_busiest_before_the_others() -> None:
    """Whoever reads the first line has read the worst."""
    old = read(kubernetes("podSelector: {matchLabels: {pod: b}}"))
    new = read(kubernetes("podSelector: {matchLabels: {pod: a}}"))
    lines = [
        raw("10.0.2.1", "10.0.1.2", 80, sampling=100),
        raw("10.0.2.1", "10.0.1.1", 80),
        raw("10.0.2.2", "10.0.1.1", 80, outcome="failed"),
        raw("10.0.2.2", "10.0.1.1", 80),
        raw("10.0.2.2", "10.0.1.3", 80),
    ]

    found = changes.changes(old, new, observations.observed(lines, ENDPOINTS).flows)
    assert [(str(one.flow.source), one.denies, one.flow.all.count) for one in found] == [
        ("y/b (10.0.2.2)", True, 2),
        ("y/a (10.0.2.1)", True, 1),
        ("y/a (10.0.2.1)", False, 100),
    ]


def test_named_ports_belong_to_each_endpoint() -> None:
    """Two servers that only differ in what their ports are called get their own answers."""
    known = endpoints.parse(
        {
            "e.yaml": "- {name: one, namespace: x, ips: [10.0.9.1], namedPorts: {web: 80}}\n"
            "- {name: two, namespace: x, ips: [10.0.9.2], namedPorts: {web: 81}}\n"
        }
    )
    old = read(kubernetes("podSelector: {}\ningress: [{ports: [{port: web}]}]"))
    lines = [raw("192.0.2.1", f"10.0.9.{server}", port) for server in (1, 2) for port in (80, 81)]

    found = changes.changes(old, (), observations.observed(lines, known).flows)
    assert [(str(one.flow.destination), one.flow.service.port) for one in found] == [
        ("x/one (10.0.9.1)", 81),
        ("x/two (10.0.9.2)", 80),
    ]
