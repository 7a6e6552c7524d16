"""The published semantics of CiliumNetworkPolicy at layers 3 and 4, as tables."""

import pytest

from netsre.model.policies.values import Direction
from tests.unit.policy.cluster import ask, asked, cilium, clusterwide, kubernetes, lines, read

TABLES = {
    "an empty rule isolates and allows nothing": (
        cilium("endpointSelector: {}\ningress: [{}]"),
        """
        x/b x/a 80/TCP deny
        y/a x/a 80/TCP deny
        x/a y/a 80/TCP allow
        """,
    ),
    "an empty list of rules is none": (
        cilium("endpointSelector: {}\ningress: []\negress: [{}]"),
        """
        x/b y/a 80/TCP deny
        y/b x/a 80/TCP allow
        """,
    ),
    "an empty selector of peers is every endpoint of the same namespace": (
        cilium("endpointSelector: {}\ningress: [{fromEndpoints: [{}]}]"),
        """
        x/b       x/a 80/TCP allow
        y/b       x/a 80/TCP deny
        192.0.2.1 x/a 80/TCP deny
        """,
    ),
    "an empty list of peers is nobody": (
        cilium("endpointSelector: {}\ningress: [{fromEndpoints: [], toPorts: [{ports: [{port: '80'}]}]}]"),
        """
        x/b x/a 80/TCP deny
        """,
    ),
    "ports alone are everybody": (
        cilium("endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]"),
        """
        y/b       x/a 80/TCP allow
        192.0.2.1 x/a 80/TCP allow
        y/b       x/a 81/TCP deny
        """,
    ),
    "another namespace is asked for by its name": (
        cilium(
            "endpointSelector: {matchLabels: {pod: a}}\n"
            "ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': y, "
            "'any:pod': b}}]}]"
        ),
        """
        y/b x/a 80/TCP allow
        y/a x/a 80/TCP deny
        x/b x/a 80/TCP deny
        x/b x/c 80/TCP allow
        """,
    ),
    "or by the labels of the namespace": (
        cilium(
            "endpointSelector: {}\n"
            "ingress: [{fromEndpoints: [{matchLabels: "
            "{'k8s:io.cilium.k8s.namespace.labels.ns': z, 'k8s:pod': b}}]}]"
        ),
        """
        z/b x/a 80/TCP allow
        z/a x/a 80/TCP deny
        x/b x/a 80/TCP deny
        """,
    ),
    "a clusterwide one is about every namespace, and so are its peers": (
        clusterwide(
            "endpointSelector: {matchLabels: {pod: a}}\ningress: [{fromEndpoints: [{matchLabels: {pod: b}}]}]"
        ),
        """
        y/b       x/a 80/TCP allow
        x/b       z/a 80/TCP allow
        x/c       z/a 80/TCP deny
        192.0.2.1 z/a 80/TCP deny
        """,
    ),
    "a clusterwide one for the endpoints of one namespace": (
        clusterwide(
            "endpointSelector: {matchExpressions: "
            "[{key: io.kubernetes.pod.namespace, operator: NotIn, values: [z]}]}\ningress: ["
            "{fromEndpoints: [{}]}]"
        ),
        """
        192.0.2.1 x/a 80/TCP deny
        192.0.2.1 z/a 80/TCP allow
        z/a       x/a 80/TCP allow
        """,
    ),
    "any protocol where none is written, and ICMP by a rule of its own": (
        cilium(
            "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: '80'}]}]}, {icmps: ["
            "{fields: [{type: 8}]}]}]"
        ),
        """
        y/b x/a 80/TCP  allow
        y/b x/a 80/UDP  allow
        y/b x/a 80/SCTP allow
        y/b x/a 81/TCP  deny
        y/b x/a 8/ICMP  allow
        y/b x/a 0/ICMP  deny
        y/b x/a 8/ICMPv6 deny
        """,
    ),
    "types of ICMP by name, in both families": (
        cilium(
            "endpointSelector: {}\ningress: [{icmps: [{fields: "
            "[{family: IPv6, type: EchoRequest}, {type: TimeExceeded}]}]}]"
        ),
        """
        y/b x/a 128/ICMPv6 allow
        y/b x/a 11/ICMP    allow
        y/b x/a 8/ICMP     deny
        y/b x/a 80/TCP     deny
        """,
    ),
    "a range, a name, and port 0 for all": (
        cilium(
            "endpointSelector: {}\ningress: [{toPorts: [{ports: [{port: '100', endPort: 200, "
            "protocol: TCP}, "
            "{port: Serve-81}, {port: '0', protocol: UDP}]}]}]"
        ),
        """
        y/b x/a 100/TCP allow
        y/b x/a 200/TCP allow
        y/b x/a 201/TCP deny
        y/b x/a 81/TCP  allow
        y/b x/a 80/TCP  deny
        y/b x/a 80/UDP  allow
        y/b x/a 81/SCTP deny
        """,
    ),
    "port 0 of any protocol is whatever there is": (
        cilium("endpointSelector: {}\ningress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '0'}]}]}]"),
        """
        x/b x/a 80/TCP allow
        x/b x/a 8/ICMP allow
        y/b x/a 80/TCP deny
        """,
    ),
    "addresses are those of the world, not of endpoints or nodes": (
        cilium("endpointSelector: {}\negress: [{toCIDR: [10.0.0.0/8, 192.168.0.0/16, 192.0.2.1]}]"),
        """
        x/a 10.9.9.9    80/TCP allow
        x/a 192.0.2.1   80/TCP allow
        x/a 192.0.2.2   80/TCP deny
        x/a 10.0.2.1    80/TCP deny
        x/a x/b         80/TCP deny
        x/a 192.168.0.2 80/TCP deny
        """,
    ),
    "a set of addresses with exceptions": (
        cilium(
            "endpointSelector: {}\negress: [{toCIDRSet: [{cidr: 0.0.0.0/0, except: "
            "[192.0.2.0/24]}, {cidr: '::/0'}]}]"
        ),
        """
        x/a 198.51.100.1 80/TCP allow
        x/a 192.0.2.9    80/TCP deny
        x/a 2001:db8::1  80/TCP allow
        x/a y/a          80/TCP deny
        """,
    ),
    "the world": (
        cilium("endpointSelector: {}\ningress: [{fromEntities: [world]}]"),
        """
        192.0.2.1   x/a 80/TCP allow
        192.168.0.2 x/a 80/TCP deny
        y/a         x/a 80/TCP deny
        """,
    ),
    "the world of one family": (
        cilium("endpointSelector: {}\ningress: [{fromEntities: [world-ipv6]}]"),
        """
        192.0.2.1   x/a 80/TCP deny
        2001:db8::1 x/a 80/TCP allow
        fd00:1::2   x/a 80/TCP deny
        """,
    ),
    "the cluster": (
        cilium("endpointSelector: {}\ningress: [{fromEntities: [cluster]}]"),
        """
        y/a         x/a 80/TCP allow
        192.168.0.1 x/a 80/TCP allow
        192.168.0.2 x/a 80/TCP allow
        192.168.0.3 x/a 80/TCP allow
        192.0.2.1   x/a 80/TCP deny
        """,
    ),
    "nodes and the API server": (
        cilium("endpointSelector: {}\negress: [{toEntities: [remote-node, kube-apiserver]}]"),
        """
        x/a 192.168.0.2 80/TCP allow
        x/a 192.168.0.3 80/TCP allow
        x/a 192.168.0.1 80/TCP deny
        x/a y/a         80/TCP deny
        """,
    ),
    "an endpoint needs a rule to reach its node, the node needs none": (
        cilium("endpointSelector: {}\ningress: [{}]\negress: [{toEntities: [world]}]"),
        """
        host x/a  80/TCP allow
        x/a  host 80/TCP deny
        """,
    ),
    "with a rule it reaches its node": (
        cilium("endpointSelector: {}\negress: [{toEntities: [host]}]"),
        """
        x/a host        80/TCP allow
        x/a 192.168.0.2 80/TCP deny
        """,
    ),
    "all, and none": (
        cilium("endpointSelector: {}\ningress: [{fromEntities: [none]}]\negress: [{toEntities: [all]}]"),
        """
        x/a 192.0.2.1 80/TCP allow
        x/a y/a       80/TCP allow
        y/a x/a       80/TCP deny
        """,
    ),
    "what is reserved can be selected": (
        cilium(
            "endpointSelector: {}\ningress: [{fromEndpoints: [{matchLabels: {'reserved:remote-node': ''}}]}]"
        ),
        """
        192.168.0.2 x/a 80/TCP allow
        192.168.0.3 x/a 80/TCP deny
        x/b         x/a 80/TCP deny
        """,
    ),
    "a rule that denies wins, and isolates": (
        cilium(
            "endpointSelector: {}\ningress: [{fromEndpoints: [{}]}]\n"
            "ingressDeny: [{fromEndpoints: [{matchLabels: {pod: b}}]}]"
        ),
        """
        x/c x/a 80/TCP allow
        x/b x/a 80/TCP deny
        """,
    ),
    "a rule that denies one port": (
        cilium("endpointSelector: {}\ningressDeny: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]")
        + kubernetes("podSelector: {}\ningress: [{}]", "all"),
        """
        x/c  x/a 80/TCP deny
        x/c  x/a 81/TCP allow
        host x/a 80/TCP deny
        """,
    ),
    "without a default deny a rule that denies is all there is": (
        cilium(
            "endpointSelector: {}\nenableDefaultDeny: {ingress: false, egress: false}\n"
            "ingressDeny: [{fromEndpoints: [{matchLabels: {pod: b}}]}]\negress: [{toEntities: [world]}]"
        ),
        """
        x/c x/a 80/TCP allow
        y/c x/a 80/TCP allow
        x/b x/a 80/TCP deny
        x/a y/a 80/TCP allow
        """,
    ),
    "a default deny without rules": (
        cilium("endpointSelector: {}\nenableDefaultDeny: {egress: true}\ningress: [{fromEntities: [all]}]"),
        """
        x/a y/a 80/TCP deny
        y/a x/a 80/TCP allow
        """,
    ),
    "one policy that isolates is enough": (
        cilium(
            "endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress: [{fromEntities: [world]}]",
            "free",
        )
        + cilium("endpointSelector: {matchLabels: {pod: a}}\ningress: [{}]", "isolating"),
        """
        192.0.2.1 x/a 80/TCP allow
        y/a       x/a 80/TCP deny
        y/a       x/b 80/TCP allow
        """,
    ),
}
"""Documents, and what they decide."""


@pytest.mark.parametrize("case", TABLES)
def test_what_is_decided(case: str) -> None:
    """The rows of the published policy language."""
    document, table = TABLES[case]

    assert asked(read(document), table) == lines(table)


def test_several_rules_of_one_document_are_told_apart() -> None:
    """By their number under `specs`."""
    specs = (
        "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: x}\n"
        "specs:\n- {endpointSelector: {matchLabels: {pod: a}}, ingress: [{fromEntities: [world]}]}\n"
        "- {endpointSelector: {matchLabels: {pod: a}}, ingress: [{fromEndpoints: [{}]}]}\n"
    )

    assert ask(read(specs), "x/b", "x/a").rule == "x/p specs[1] ingress[0]"
    assert ask(read(specs), "192.0.2.1", "x/a").rule == "x/p specs[0] ingress[0]"


def test_a_rule_that_denies_is_named() -> None:
    """Before any that allows, also of another policy."""
    policies = read(
        kubernetes("podSelector: {}\ningress: [{}]", "a"),
        clusterwide("endpointSelector: {}\ningressDeny: [{fromEntities: [world]}]", "no-world"),
    )

    found = ask(policies, "192.0.2.1", "x/a")
    assert (found.decision, found.rule, found.direction) == (
        "deny",
        "no-world ingressDeny[0]",
        Direction.INGRESS,
    )
