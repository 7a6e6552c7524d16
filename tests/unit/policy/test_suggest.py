"""Suggested policies allow what was delivered, and nothing else between endpoints of other labels."""

import ipaddress
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import ends, lint, reference, suggest, suggest_yaml
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.observed import DELIVERED, Flow
from netsre.model.policies import endpoints, files
from netsre.model.policies.values import Endpoint, Kind, Policy, Protocol
from tests.unit.policy import generated, observations
from tests.unit.policy.observations import raw

SEEDS = st.integers(min_value=0, max_value=2**32)
SHOP = """\
- {name: front-1, namespace: shop, labels: {app: front, pod-template-hash: aa}, ips: [10.0.0.1]}
- {name: front-2, namespace: shop, labels: {app: front, pod-template-hash: bb}, ips: [10.0.0.2]}
- {name: web, namespace: shop, labels: {app: web, tier: '1'}, ips: [10.0.0.3]}
- {name: canary, namespace: shop, labels: {app: web}, ips: [10.0.0.4]}
- {name: db, namespace: data, labels: {app: db}, ips: [10.0.0.5]}
"""
KNOWN = endpoints.parse({"endpoints.yaml": SHOP + observations.NODE_ENTRIES})


def text_of(
    lines: list[str], known: tuple[Endpoint, ...], namespace: str | None = None, join: Sequence[str] = ()
) -> str:
    """Return what is suggested for the lines of a log."""
    observed = observations.observed(lines, known)
    networks = [ipaddress.ip_network(one) for one in join]
    return suggest_yaml.text(suggest.suggest(known, observed.flows, namespace, networks), observed)


def policies_of(text: str) -> tuple[Policy, ...]:
    """Return the policies of a text, of which there may be none."""
    return files.parse({"suggested.yaml": text}) if "\nkind:" in text else ()


def allows(policies: tuple[Policy, ...], flow: Flow) -> bool:
    """Return whether the reference allows a flow."""
    return reference.verdict(policies, flow.source, flow.destination, flow.service).decision == "allow"


def free(source: End, destination: End) -> bool:
    """Return whether no policy of Kubernetes can deny a connection."""
    kinds = {source.kind, destination.kind}
    return source.is_same(destination) or Kind.ENDPOINT not in kinds or Kind.HOST in kinds


@given(seed=SEEDS)
def test_what_was_delivered_is_allowed_and_nothing_else(seed: int) -> None:
    """Every connection of a whole cluster, with and without joined networks, is asked the reference."""
    chance = generated.chance_of(seed)
    known = observations.cluster(chance)
    lines = observations.log(chance, known)
    join = [one for one in observations.JOINED if chance.random() < 0.3]
    policies = policies_of(text_of(lines, known, None, join))
    flows = observations.observed(lines, known).flows
    seen = {
        (observations.whom(one.source, join), observations.whom(one.destination, join), one.service)
        for one in flows
        if DELIVERED in one.tallies and not one.source.is_same(one.destination)
    }

    assert all(allows(policies, flow) for flow in flows if DELIVERED in flow.tallies)
    everybody = [ends.of_address(ipaddress.ip_address(one), known) for one in observations.everybody(known)]
    pairs = [
        (one, other)
        for one, other in itertools.product(everybody, everybody)
        if (":" in str(one.address)) == (":" in str(other.address))
    ]
    asked = [*chance.sample(pairs, min(60, len(pairs))), *((one.source, one.destination) for one in flows)]
    for (one, other), service in itertools.product(asked, observations.SERVICES):
        expected = free(one, other) or (
            (observations.whom(one, join), observations.whom(other, join), service) in seen
        )
        assert allows(policies, Flow(one, other, service, {})) == expected, (str(one), str(other), service)


@given(seed=SEEDS)
def test_suggestions_have_nothing_for_lint(seed: int) -> None:
    """No rule says what another one says, no peer is nobody, and every policy selects somebody."""
    chance = generated.chance_of(seed)
    known = observations.cluster(chance)
    join = [one for one in observations.JOINED if chance.random() < 0.3]
    policies = policies_of(text_of(observations.log(chance, known), known, None, join))

    assert lint.findings(policies, known) == ()


@given(seed=SEEDS)
def test_the_order_of_lines_and_of_endpoints_changes_nothing(seed: int) -> None:
    """Not a letter: what is reviewed changes only when something was seen."""
    chance = generated.chance_of(seed)
    known = observations.cluster(chance)
    lines = observations.log(chance, known)
    shuffled, others = lines.copy(), [*known]
    chance.shuffle(shuffled)
    chance.shuffle(others)

    assert text_of(lines, known) == text_of(shuffled, tuple(others))


def test_the_generator_makes_flows_of_every_kind() -> None:
    """Otherwise the laws above would say nothing."""
    chance = generated.chance_of(1)
    seen = set()
    for _ in range(600):
        known = observations.cluster(chance)
        for flow in observations.observed(observations.log(chance, known), known).flows:
            seen |= {(flow.source.kind, flow.destination.kind, outcome) for outcome in flow.tallies}

    kinds = (Kind.ENDPOINT, Kind.WORLD, Kind.HOST, Kind.REMOTE_NODE, Kind.KUBE_APISERVER)
    outcomes = ("delivered", "failed", "denied")
    assert seen == {*itertools.product(kinds, kinds, outcomes)}


def test_rules_stand_under_the_flows_that_they_explain() -> None:
    """With count, first and last; rollouts, sampling and both ends of a flow count as they should."""
    lines = [
        raw("10.0.0.1", "10.0.0.4", 8080, sampling=100),
        raw("10.0.0.2", "10.0.0.4", 8080, sampling=100, time="2026-01-03T03:04:05"),
        raw("10.0.0.2", "10.0.0.4", 8080, sampling=100, direction="ingress"),
        raw("10.0.0.2", "10.0.0.4", 8081),
        raw("10.0.0.2", "10.0.0.4", 8083),
        raw("10.0.0.2", "10.0.0.4", 22, outcome="failed"),
    ]

    assert (
        text_of(lines, KNOWN, "shop").split("---\n")[2]
        == """\
# shop app=web,!tier: shop/canary
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: suggested-web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}, matchExpressions: [{key: tier, operator: DoesNotExist}]}
  policyTypes: [Ingress, Egress]
  ingress:
    # from shop app=front, 8080/TCP: 200 delivered, 2026-01-02T03:04:05Z to 2026-01-03T03:04:05Z
    # from shop app=front, 8081/TCP: 1 delivered, 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z
    # from shop app=front, 8083/TCP: 1 delivered, 2026-01-02T03:04:05Z to 2026-01-02T03:04:05Z
    - from:
        - podSelector: {matchLabels: {app: front}}
      ports: [{protocol: TCP, port: 8080, endPort: 8081}, {protocol: TCP, port: 8083}]
  # Not allowed (ingress), because nothing of it was delivered:
  #   from shop app=front, 22/TCP: 1 failed, last 2026-01-02T03:04:05Z
"""
    )


def test_a_peer_of_another_namespace_is_named_with_it() -> None:
    """In one entry: two would be either of them."""
    (policy,) = (one for one in policies_of(text_of([raw("10.0.0.3", "10.0.0.5", 5432)], KNOWN, "data")))

    for source, expected in (("shop/web", "allow"), ("shop/canary", "deny"), ("shop/front-1", "deny")):
        one, other = ends.between(source, "data/db", KNOWN)
        asked = Service(Protocol.TCP, 5432)
        assert reference.verdict([policy], one, other, asked).decision == expected


def test_an_endpoint_that_speaks_to_itself_needs_no_rule() -> None:
    """A rule for it would let in its twins, which nobody saw speak to it."""
    policies = policies_of(text_of([raw("10.0.0.1", "10.0.0.1", 80)], KNOWN))

    for source, expected in (("shop/front-1", "allow"), ("shop/front-2", "deny")):
        one, other = ends.between(source, "shop/front-1", KNOWN)
        assert reference.verdict(policies, one, other, Service(Protocol.TCP, 80)).decision == expected


@pytest.mark.parametrize(
    ("sources", "join", "expected"),
    [
        (["192.0.2.4", "192.0.2.5"], [], '[{cidr: "192.0.2.4/31"}]'),
        (["192.0.2.5", "192.0.2.6"], [], '[{cidr: "192.0.2.5/32"}, {cidr: "192.0.2.6/32"}]'),
        (["192.0.2.5"], ["192.0.2.0/24"], '[{cidr: "192.0.2.0/24"}]'),
        (["192.0.2.5"], ["192.0.3.0/24"], '[{cidr: "192.0.2.5/32"}]'),
        (["192.0.2.5"], ["192.0.2.0/24", "192.0.0.0/16"], '[{cidr: "192.0.0.0/16"}]'),
        (["10.0.0.200"], ["10.0.0.128/25"], '[{cidr: "10.0.0.128/25"}]'),
        (
            ["10.0.0.9", "192.168.0.2"],
            ["10.0.0.0/29", "10.0.0.8/29", "192.168.0.0/16"],
            '[{cidr: "10.0.0.8/29"}, {cidr: "192.168.0.2/32"}]',
        ),
        (
            ["10.0.0.9"],
            ["10.0.0.0/28"],
            '[{cidr: "10.0.0.0/28", except: ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31"]}]',
        ),
        (["2001:db8::4", "2001:db8::5"], [], '[{cidr: "2001:db8::4/127"}]'),
    ],
)
def test_networks_are_joined_where_all_was_seen_or_asked_for(
    sources: list[str], join: list[str], expected: str
) -> None:
    """What is known, endpoint or node, stays out of what was asked for."""
    family = endpoints.parse({"e.yaml": SHOP.replace("[10.0.0.5]", "[10.0.0.5, 'fd00::5']")})
    known = (*family, *(one for one in KNOWN if one.kind is not Kind.ENDPOINT))
    lines = [raw(one, "fd00::5" if ":" in one else "10.0.0.5", 5432) for one in sources]
    text = text_of(lines, known, "data", join)

    blocks = [line.partition("ipBlock: ")[2] for line in text.splitlines() if "ipBlock" in line]
    assert f"[{', '.join(blocks)}]" == expected


def test_words_that_yaml_reads_as_something_else_stay_words() -> None:
    """Labels that look like truth values, numbers or nothing are labels all the same."""
    labels = ("true", "on", "1", "1e3", "null", "", "1.5", "y", "0x1f", "a.b-c_d")
    entries = [
        f"- {{name: e{n}, labels: {{app: '{one}'}}, ips: [10.0.0.{n}]}}" for n, one in enumerate(labels)
    ]
    known = endpoints.parse({"e.yaml": "\n".join(entries)})
    lines = [raw(f"10.0.0.{n}", f"10.0.0.{(n + 1) % len(labels)}", 80) for n in range(len(labels))]
    policies = policies_of(text_of(lines, known))

    assert len(policies) == len(labels)
    assert {policy.name for policy in policies} >= {"default/suggested-true", "default/suggested-1-5"}
    assert all(allows(policies, flow) for flow in observations.observed(lines, known).flows)


def test_an_end_without_an_address_is_said_and_left_out() -> None:
    """A UDP socket may leave its address to the kernel; nobody can say whose it was."""
    text = text_of([raw(None, "10.0.0.5", 53, protocol="udp"), raw("10.0.0.5", None, None)], KNOWN, "data")

    assert "# Left out: 2 attempts with an end of no known address." in text
    assert "allows nothing" in text
