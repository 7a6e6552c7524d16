"""The published semantics of NetworkPolicy as tables: the pages of Kubernetes and its conformance cases."""

import pytest

from tests.unit.policy.cluster import NAMES, ask, asked, kubernetes, lines, reachable, read

OTHERS = set(NAMES)
OF_X = {"x/a", "x/b", "x/c"}
OF_Y = {"y/a", "y/b", "y/c"}
OF_Z = {"z/a", "z/b", "z/c"}

INGRESS = {
    "no policy: everybody reaches everybody": ([], OTHERS),
    "default deny of ingress": ([kubernetes("podSelector: {}\npolicyTypes: [Ingress]")], set()),
    "ingress is the type where none is written": ([kubernetes("podSelector: {}")], set()),
    "an empty list of types says as much as none": ([kubernetes("podSelector: {}\npolicyTypes: []")], set()),
    "an empty list of rules allows nothing": ([kubernetes("podSelector: {}\ningress: []")], set()),
    "an empty rule allows everything": ([kubernetes("podSelector: {}\ningress: [{}]")], OTHERS),
    "an empty list of peers is everybody": ([kubernetes("podSelector: {}\ningress: [{from: []}]")], OTHERS),
    "an empty list of ports is every port": (
        [kubernetes("podSelector: {}\ningress: [{from: [{podSelector: {}}], ports: []}]")],
        OF_X,
    ),
    "only egress is isolated, ingress is free": (
        [kubernetes("podSelector: {}\npolicyTypes: [Egress]")],
        OTHERS - OF_X,
    ),
    "rules of a direction that is not among the types do nothing": (
        [
            kubernetes("podSelector: {}", "deny"),
            kubernetes("podSelector: {}\npolicyTypes: [Egress]\negress: [{}]\ningress: [{}]", "out"),
        ],
        set(),
    ),
    "a policy of another namespace is not about this pod": (
        [kubernetes("podSelector: {}", namespace="y")],
        OTHERS,
    ),
    "a policy that selects another pod is not about this one": (
        [kubernetes("podSelector: {matchLabels: {pod: b}}")],
        OTHERS,
    ),
    "by the label of a pod, in the policy's own namespace": (
        [
            kubernetes(
                "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{podSelector: "
                "{matchLabels: {pod: b}}}]}]"
            )
        ],
        {"x/b"},
    ),
    "by an expression": (
        [
            kubernetes(
                "podSelector: {matchLabels: {pod: a}}\n"
                "ingress: [{from: [{podSelector: {matchExpressions: [{key: pod, operator: In, "
                "values: [b]}]}}]}]"
            )
        ],
        {"x/b"},
    ),
    "by two labels of which no pod has both values": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}, "
                "matchExpressions: [{key: pod, operator: NotIn, values: [b]}]}}]}]"
            )
        ],
        set(),
    ),
    "NotIn is fulfilled by whoever lacks the label": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: "
                "[{key: tier, operator: NotIn, values: [db]}]}}]}]"
            )
        ],
        OF_X,
    ),
    "Exists and DoesNotExist": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: "
                "[{key: pod, operator: Exists}, {key: tier, operator: DoesNotExist}]}}]}]"
            )
        ],
        OF_X,
    ),
    "all namespaces by an empty selector": (
        [kubernetes("podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{namespaceSelector: {}}]}]")],
        OTHERS,
    ),
    "another namespace by its label": (
        [kubernetes("podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}]}]")],
        OF_Y,
    ),
    "another namespace by the name that Kubernetes puts on it": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: "
                "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]}]"
            )
        ],
        OF_Y,
    ),
    "every namespace but its own": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{namespaceSelector: "
                "{matchExpressions: [{key: ns, operator: NotIn, values: [x]}]}}]}]"
            )
        ],
        OF_Y | OF_Z,
    ),
    "two peers: this pod or that namespace": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchLabels: {ns: y}}}, "
                "{podSelector: {matchLabels: {pod: b}}}]}]"
            )
        ],
        OF_Y | {"x/b"},
    ),
    "one peer with both selectors: this pod in that namespace": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: "
                "[{namespaceSelector: {matchLabels: {ns: y}}, podSelector: {matchLabels: {pod: b}}}]}]"
            )
        ],
        {"y/b"},
    ),
    "several selectors of several pods and namespaces": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{namespaceSelector: {matchExpressions: "
                "[{key: ns, operator: NotIn, values: [x]}]}, podSelector: {matchExpressions: "
                "[{key: pod, operator: In, values: [b, c]}]}}]}]"
            )
        ],
        {"y/b", "y/c", "z/b", "z/c"},
    ),
    "policies add up": (
        [
            kubernetes("podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]", "one"),
            kubernetes("podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: c}}}]}]", "two"),
        ],
        {"x/b", "x/c"},
    ),
    "allow all beside deny all": (
        [kubernetes("podSelector: {}", "deny"), kubernetes("podSelector: {}\ningress: [{}]", "allow")],
        OTHERS,
    ),
    "another port": ([kubernetes("podSelector: {}\ningress: [{ports: [{port: 81}]}]")], set()),
    "this port": ([kubernetes("podSelector: {}\ningress: [{ports: [{port: 80}]}]")], OTHERS),
    "one of several ports": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: 81}, {port: 80}]}]")],
        OTHERS,
    ),
    "this port by its name": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: serve-80}]}]")],
        OTHERS,
    ),
    "another port by its name": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: serve-81}]}]")],
        set(),
    ),
    "a name that the pod does not have": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: serve-82}]}]")],
        set(),
    ),
    "the name of a port of another protocol": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: serve-80, protocol: UDP}]}]")],
        set(),
    ),
    "another protocol": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: 80, protocol: UDP}]}]")],
        set(),
    ),
    "SCTP is not TCP": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: 80, protocol: SCTP}]}]")],
        set(),
    ),
    "a protocol without a port is all its ports": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{protocol: TCP}]}]")],
        OTHERS,
    ),
    "an entry without anything is every port of TCP": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{}]}]")],
        OTHERS,
    ),
    "a range of ports around it": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: 70, endPort: 80}]}]")],
        OTHERS,
    ),
    "a range of ports beside it": (
        [kubernetes("podSelector: {}\ningress: [{ports: [{port: 81, endPort: 90}]}]")],
        set(),
    ),
    "peers and ports must both match": (
        [kubernetes("podSelector: {}\ningress: [{from: [{podSelector: {}}], ports: [{port: 81}]}]")],
        set(),
    ),
    "peers of one rule do not mix with ports of another": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{podSelector: {matchLabels: {pod: b}}}], "
                "ports: [{port: 81}]}, "
                "{from: [{podSelector: {matchLabels: {pod: c}}}], ports: [{port: 80}]}]"
            )
        ],
        {"x/c"},
    ),
    "addresses of pods": (
        [kubernetes("podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.0.2.0/24}}]}]")],
        OF_Y,
    ),
    "all but some addresses": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: "
                "[10.0.2.0/24, 10.0.3.1/32]}}]}]"
            )
        ],
        {"x/b", "x/c", "z/b", "z/c"},
    ),
    "an exception of one block is in another": (
        [
            kubernetes(
                "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: "
                "[10.0.2.0/24]}}, "
                "{ipBlock: {cidr: 10.0.2.1/32}}]}]"
            )
        ],
        {"x/b", "x/c", "y/a", "z/a", "z/b", "z/c"},
    ),
    "addresses of the other family are others": (
        [kubernetes("podSelector: {}\ningress: [{from: [{ipBlock: {cidr: '::/0'}}]}]")],
        set(),
    ),
}
"""Policies, and who then reaches x/a at port 80 of TCP."""


@pytest.mark.parametrize("case", INGRESS)
def test_who_may_come_in(case: str) -> None:
    """The rows of the published semantics that are about ingress."""
    documents, expected = INGRESS[case]

    assert reachable(read(*documents), "x/a") == expected - {"x/a"}


def test_policies_of_one_namespace_leave_the_others_alone() -> None:
    """Deny all of x: nobody in, nobody out, y and z as before."""
    policies = read(kubernetes("podSelector: {}\npolicyTypes: [Ingress, Egress]"))

    for source in NAMES:
        for destination in NAMES:
            touched = source != destination and "x" in {source[0], destination[0]}
            assert (ask(policies, source, destination).decision == "deny") == touched


EGRESS = {
    "default deny of egress": (
        "podSelector: {}\npolicyTypes: [Egress]",
        """
        x/a x/b 80/TCP deny
        x/a y/a 80/TCP deny
        y/a x/a 80/TCP allow
        """,
    ),
    "rules of egress make it a type": (
        "podSelector: {}\negress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]",
        """
        x/a x/b 80/TCP deny
        x/b x/a 80/TCP deny
        x/a 192.0.2.1 80/TCP deny
        y/a x/b 80/TCP deny
        """,
    ),
    "rules of egress alone, with its type": (
        "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{podSelector: {matchLabels: {pod: b}}}]}]",
        """
        x/a x/b 80/TCP allow
        x/b x/a 80/TCP deny
        x/a y/b 80/TCP deny
        x/a 192.0.2.1 80/TCP deny
        y/a x/b 80/TCP allow
        """,
    ),
    "an empty list of rules of egress is no rule": (
        "podSelector: {}\negress: []\ningress: [{}]",
        """
        x/a y/a 80/TCP allow
        """,
    ),
    "to a named port: the destination's name counts": (
        (
            "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: serve-81}, {port: dns, "
            "protocol: UDP}]}]"
        ),
        """
        x/a y/a 81/TCP allow
        x/a y/a 80/TCP deny
        x/a y/a 53/UDP allow
        x/a y/a 53/TCP deny
        x/a 192.0.2.1 81/TCP deny
        """,
    ),
    "to addresses outside": (
        (
            "podSelector: {}\npolicyTypes: [Egress]\n"
            "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.0.2.0/24]}}], "
            "ports: [{port: 443}]}]"
        ),
        """
        x/a 198.51.100.1 443/TCP allow
        x/a 198.51.100.1 80/TCP  deny
        x/a 192.0.2.1    443/TCP deny
        x/a y/a          443/TCP deny
        x/a 2001:db8::1  443/TCP deny
        """,
    ),
    "to addresses of the other family": (
        "podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{ipBlock: {cidr: '2001:db8::/32'}}]}]",
        """
        x/a 2001:db8::1         443/TCP allow
        x/a 2001:db9::1         443/TCP deny
        x/a ::ffff:198.51.100.1 443/TCP deny
        """,
    ),
    "both ends must allow it": (
        (
            "podSelector: {}\npolicyTypes: [Ingress, Egress]\n"
            "ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]\n"
            "egress: [{to: [{podSelector: {matchLabels: {pod: a}}}]}]"
        ),
        """
        x/b x/a 80/TCP allow
        x/c x/a 80/TCP deny
        x/b x/c 80/TCP deny
        """,
    ),
    "protocols without ports need a rule without ports": (
        "podSelector: {}\ningress: [{from: [{podSelector: {}}]}, {ports: [{protocol: UDP}]}]",
        """
        x/b x/a 8/ICMP      allow
        y/b x/a 8/ICMP      deny
        y/b x/a 53/UDP      allow
        y/b x/a 53/SCTP     deny
        x/b x/a 128/ICMPv6  allow
        """,
    ),
    "an endpoint always reaches itself, and its node it": (
        "podSelector: {}\npolicyTypes: [Ingress, Egress]",
        """
        x/a  x/a         80/TCP allow
        x/a  10.0.1.1    80/TCP allow
        host x/a         80/TCP allow
        192.168.0.1 x/a  80/TCP allow
        127.0.0.1   x/a  80/TCP allow
        x/a  host        80/TCP allow
        192.168.0.2 x/a  80/TCP deny
        """,
    ),
    "an address in IPv6 dress is its IPv4 address": (
        "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}]}]",
        """
        ::ffff:192.0.2.7   x/a             80/TCP allow
        192.0.2.7          ::ffff:10.0.1.1 80/TCP allow
        ::ffff:198.51.100.7 x/a            80/TCP deny
        """,
    ),
    "selectors never mean what is no endpoint": (
        "podSelector: {}\ningress: [{from: [{namespaceSelector: {}}]}]",
        """
        z/a         x/a 80/TCP allow
        192.0.2.1   x/a 80/TCP deny
        192.168.0.2 x/a 80/TCP deny
        """,
    ),
}
"""A policy of namespace x, and what it decides."""


@pytest.mark.parametrize("case", EGRESS)
def test_what_is_decided(case: str) -> None:
    """The rows that are about egress, protocols, addresses and the node."""
    spec, table = EGRESS[case]

    assert asked(read(kubernetes(spec)), table) == lines(table)


@pytest.mark.parametrize(
    ("source", "destination", "port", "decision", "rule", "direction"),
    [
        ("y/a", "y/b", "80/TCP", "allow", "no policy selects it", "ingress"),
        ("x/b", "x/a", "80/TCP", "allow", "x/in ingress[1]", "ingress"),
        ("x/c", "x/a", "80/TCP", "deny", "default deny", "ingress"),
        ("z/a", "y/a", "80/TCP", "deny", "default deny", "egress"),
        ("z/a", "y/a", "443/TCP", "allow", "z/out egress[0]", "egress"),
        ("z/a", "x/a", "80/TCP", "deny", "default deny", "egress"),
        ("z/a", "x/a", "443/TCP", "deny", "default deny", "ingress"),
        ("host", "x/a", "80/TCP", "allow", "the node may reach its endpoints", "ingress"),
        ("x/a", "x/a", "80/TCP", "allow", "an endpoint may reach itself", "ingress"),
    ],
)
def test_the_rule_that_decides_is_named(
    source: str, destination: str, port: str, decision: str, rule: str, direction: str
) -> None:
    """Or the reason that there is none; of a denied connection the first end that denies it."""
    policies = read(
        kubernetes(
            "podSelector: {}\n"
            "ingress: [{from: [{podSelector: {matchLabels: {pod: a}}}]}, {from: [{podSelector: "
            "{matchLabels: {pod: b}}}]}]",
            "in",
        ),
        kubernetes("podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: 443}]}]", "out", "z"),
    )

    found = ask(policies, source, destination, port)
    assert (found.decision, found.rule, found.direction) == (decision, rule, direction)


def test_a_policy_without_a_namespace_is_of_the_default_one() -> None:
    """As for kubectl."""
    text = kubernetes("podSelector: {}").replace(", namespace: x", "")

    assert [policy.name for policy in read(text)] == ["default/p"]
