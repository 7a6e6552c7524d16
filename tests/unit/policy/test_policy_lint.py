"""What is suspicious about policies that can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsre.datapath.policy import coverage, ends, lint, reference
from netsre.model.policies import codes, files
from netsre.model.policies.values import Direction
from tests.unit.policy import generated
from tests.unit.policy.cluster import ENDPOINTS, cilium, clusterwide, kubernetes, read

FRONT = "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}]"

CASES = {
    "all is well": ([kubernetes(f"{FRONT}, ports: [{{port: 80}}]}}]")], []),
    "a default deny is well": (
        [
            kubernetes("podSelector: {}\npolicyTypes: [Ingress, Egress]"),
            cilium("endpointSelector: {}\negress: [{}]"),
        ],
        [],
    ),
    "everybody, every port": (
        [kubernetes("podSelector: {}\ningress: [{}]")],
        [(codes.TOO_BROAD, "x/p ingress[0] allows everybody every port")],
    ),
    "every address, every port": (
        [
            kubernetes(
                "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"
            )
        ],
        [(codes.TOO_BROAD, "x/p egress[0]")],
    ),
    "the whole world, every port": (
        [cilium("endpointSelector: {}\negress: [{toEntities: [world]}]")],
        [(codes.TOO_BROAD, "x/p egress[0]")],
    ),
    "every address, with exceptions": (
        [
            kubernetes(
                "podSelector: {}\npolicyTypes: [Egress]\n"
                "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}]"
            )
        ],
        [],
    ),
    "everybody, one port": ([kubernetes("podSelector: {}\ningress: [{ports: [{port: 80}]}]")], []),
    "denying everybody is not broad": (
        [cilium("endpointSelector: {}\ningressDeny: [{fromEntities: [all]}]")],
        [],
    ),
    "the same twice in one policy": (
        [kubernetes(f"{FRONT}}}, {{from: [{{podSelector: {{matchLabels: {{pod: b}}}}}}]}}]")],
        [(codes.REPEATED, "x/p ingress[1] says the same as x/p ingress[0] in p.yaml:7")],
    ),
    "the same in two policies, in other words": (
        [
            kubernetes(f"{FRONT}}}]", "one"),
            kubernetes(
                "podSelector: {matchExpressions: [{key: pod, operator: In, values: [a]}]}\n"
                "ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]",
                "two",
            ),
        ],
        [(codes.REPEATED, "x/two ingress[0] says the same as x/one ingress[0]")],
    ),
    "one port of a rule for all": (
        [kubernetes(f"{FRONT}, ports: [{{port: 80}}]}}]", "narrow"), kubernetes(f"{FRONT}}}]", "wide")],
        [(codes.SHADOWED, "x/narrow ingress[0] says nothing that x/wide ingress[0]")],
    ),
    "a network inside of another": (
        [
            cilium(
                "endpointSelector: {}\n"
                "egress: [{toCIDR: [192.0.2.0/24], toPorts: [{ports: [{port: '80'}]}]}, "
                "{toCIDR: [192.0.0.0/16], toPorts: [{ports: [{port: '70', endPort: 90}]}]}]"
            )
        ],
        [(codes.SHADOWED, "x/p egress[0]")],
    ),
    "the exception is where the other rule is": (
        [
            cilium(
                "endpointSelector: {}\negress: [{toCIDR: [192.0.2.0/24]}, "
                "{toCIDRSet: [{cidr: 192.0.0.0/16, except: [192.0.2.0/24]}]}]"
            )
        ],
        [],
    ),
    "one that allows what another denies": (
        [
            kubernetes(f"{FRONT}, ports: [{{port: 80}}]}}]", "allow"),
            cilium("endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {pod: b}}]}]", "deny"),
        ],
        [(codes.CONTRADICTED, "x/allow ingress[0] is always denied by x/deny ingressDeny[0]")],
    ),
    "one that allows more than another denies": (
        [
            kubernetes(f"{FRONT}}}]", "allow"),
            cilium(
                "endpointSelector: {}\n"
                "ingressDeny: [{fromEndpoints: [{matchLabels: {pod: b}}], "
                "toPorts: [{ports: [{port: '80'}]}]}]",
                "deny",
            ),
        ],
        [],
    ),
    "a rule that matches nothing beside one that does": (
        [cilium("endpointSelector: {}\ningress: [{}, {fromEndpoints: [{}]}]")],
        [(codes.NO_EFFECT, "x/p ingress[0] matches nothing")],
    ),
    "a rule of a direction that is not among the types": (
        [kubernetes("podSelector: {}\npolicyTypes: [Egress]\ningress: [{ports: [{port: 80}]}]")],
        [(codes.NO_EFFECT, "x/p ingress[0] is of a direction that policyTypes leaves out")],
    ),
    "no endpoint is selected": (
        [kubernetes("podSelector: {matchLabels: {pod: d}}\ningress: [{ports: [{port: 80}]}]")],
        [(codes.NO_ENDPOINT, "x/p selects no endpoint")],
    ),
    "no endpoint is the peer": (
        [
            clusterwide(
                "endpointSelector: {}\ningress: [{fromEndpoints: "
                "[{matchLabels: {pod: a}}, {matchLabels: {pod: d}}, {matchLabels: {'reserved:host': ''}}]}]"
            )
        ],
        [(codes.NO_PEER, "p ingress[0] has a peer that no endpoint is (number 2)")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_found(case: str) -> None:
    """Every code, its rule and what it says; and nothing where nothing is wrong."""
    documents, expected = CASES[case]
    found = lint.findings(read(*documents), ENDPOINTS)

    assert [one.code for one in found] == [code for code, _ in expected]
    for finding, (_, words) in zip(found, expected, strict=True):
        assert finding.message.startswith(words)


def test_every_code_of_lint_is_found_somewhere() -> None:
    """None is promised in vain."""
    assert {code for _, expected in CASES.values() for code, _ in expected} == {
        code for code in codes.CODES if code.startswith("POL1")
    } - {codes.UNUSED}  # needs flows: see test_unused.py


def test_without_endpoints_nothing_is_said_about_them() -> None:
    """Whoever has no list of them is not told that nothing is selected."""
    policies = read(kubernetes("podSelector: {matchLabels: {pod: d}}\ningress: [{ports: [{port: 80}]}]"))

    assert lint.findings(policies) == ()


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_a_rule_that_covers_another_matches_whatever_that_matches(seed: int) -> None:
    """So that nobody is told to leave out what they need."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 8))})
    asked = [
        (*ends.between(source, destination, ENDPOINTS), ends.service(port))
        for source, destination, port in generated.questions(chance, 20)
    ]
    for direction in Direction:
        placed = [(policy, rule) for policy in policies for rule in policy.rules[direction]]
        for outer_policy, outer in placed:
            for inner_policy, inner in placed:
                if not (
                    coverage.selects(outer_policy.subject, inner_policy.subject)
                    and coverage.covers(outer, inner)
                ):
                    continue
                for source, destination, service in asked:
                    subject, peer = source, destination
                    if direction is Direction.INGRESS:
                        subject, peer = destination, source
                    if reference.selects(inner_policy, subject) and reference.matches(
                        inner, peer, destination, service
                    ):
                        assert reference.selects(outer_policy, subject)
                        assert reference.matches(outer, peer, destination, service)


@given(seed=st.integers(min_value=0, max_value=2**32))
def test_leaving_out_what_is_superfluous_changes_no_decision(seed: int) -> None:
    """A rule that is shadowed or repeated may go, as long as its policy goes on to isolate."""
    chance = generated.chance_of(seed)
    policies = files.parse({f"{n}": text for n, text in enumerate(generated.documents(chance, 8))})
    found = lint.findings(policies)
    spare = [one for one in found if one.code in {codes.SHADOWED, codes.REPEATED, codes.CONTRADICTED}]
    if not spare:
        return
    name = spare[0].message.partition("] ")[0] + "]"
    kept = tuple(generated.without(policy, name) for policy in policies)
    for source, destination, port in generated.questions(chance, 30):
        one, other = ends.between(source, destination, ENDPOINTS)
        service = ends.service(port)
        before = reference.verdict(policies, one, other, service)
        assert reference.verdict(kept, one, other, service).decision == before.decision
