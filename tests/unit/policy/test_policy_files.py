"""What is wrong with a file of policies is said with its line, its code and what to write instead."""

import pytest
import yaml

from netsre.errors import SpecErrors
from netsre.model import linting
from netsre.model.policies import codes, files
from netsre.model.policies.values import Direction, NetworkPeer
from tests.unit.app import test_schemas as both

KUBERNETES = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector: {matchExpressions: [{key: app, operator: In, values: [front]}]}
        - ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26]}
      ports: [{protocol: TCP, port: 80, endPort: 90}]
  egress:
    - to: [{namespaceSelector: {matchLabels: {team: db}}}]
      ports: [{port: postgres}]
"""
CILIUM = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  enableDefaultDeny: {ingress: true, egress: false}
  ingress:
    - fromEndpoints: [{matchLabels: {'k8s:app': front}}]
      toPorts: [{ports: [{port: '80', endPort: 90, protocol: TCP}]}]
    - fromEntities: [world]
      icmps: [{fields: [{family: IPv4, type: EchoRequest}]}]
  egressDeny:
    - toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]
    - toCIDR: [192.0.2.7]
"""

MISTAKES = [
    # old, new, line, code, words of the message
    (
        "networking.k8s.io/v1",
        "networking.k8s.io/v1beta1",
        1,
        linting.API_VERSION,
        "write networking.k8s.io/v1",
    ),
    ("kind: NetworkPolicy", "kind: NetworkPolicys", 2, linting.KIND, "did you mean 'NetworkPolicy'?"),
    ("name: web,", "name: Web,", 3, codes.NAME, "'Web' is not a name"),
    ("{name: web, namespace: shop}", "{namespace: shop}", 3, linting.MISSING, "metadata.name is missing"),
    ("{name: web, namespace", "{name: web, namespac", 3, linting.UNKNOWN_KEY, "did you mean 'namespace'?"),
    ("  podSelector: {matchLabels: {app: web}}\n", "", 5, linting.MISSING, "spec.podSelector is missing"),
    (
        "matchLabels: {app: web}",
        "matchLabel: {app: web}",
        5,
        linting.UNKNOWN_KEY,
        "did you mean 'matchLabels'?",
    ),
    ("{app: web}", "{app: 'web server'}", 5, codes.SELECTOR, "'web server' is no value of a label"),
    ("{app: web}", "{'-app': web}", 5, codes.SELECTOR, "'-app' is no key of a label"),
    ("[Ingress, Egress]", "[ingress, Egress]", 6, linting.CHOICE, "did you mean 'Ingress'?"),
    ("  ingress:\n", "  ingres:\n", 7, linting.UNKNOWN_KEY, "did you mean 'ingress'?"),
    ("operator: In,", "operator: in,", 9, linting.CHOICE, "did you mean 'In'?"),
    ("operator: In,", "operator: Exists,", 9, codes.SELECTOR, "mean nothing to Exists"),
    (", values: [front]", "", 9, codes.SELECTOR, "In compares with nothing"),
    ("cidr: 192.0.2.0/24", "cidr: 192.0.2.1/24", 10, codes.NETWORK, "write 192.0.2.0/24"),
    ("cidr: 192.0.2.0/24", "cidr: 192.0.2.300", 10, codes.NETWORK, "write one such as 10.1.0.0/16"),
    ("cidr: 192.0.2.0/24", "cidr: 192.0.2.1", 10, codes.NETWORK, "write 192.0.2.1/32"),
    ("cidr: 192.0.2.0/24", "cidr: '::ffff:192.0.2.0/120'", 10, codes.NETWORK, "write 192.0.2.0/24"),
    ("except: [192.0.2.64/26]", "except: [192.0.3.0/26]", 10, codes.EXCEPTION, "no part of 192.0.2.0/24"),
    ("except: [192.0.2.64/26]", "except: ['2001:db8::/64']", 10, codes.EXCEPTION, "no part of 192.0.2.0/24"),
    ("except: [192.0.2.64/26]", "except: [192.0.2.0/24]", 10, codes.EXCEPTION, "a smaller network"),
    (
        "except: [192.0.2.64/26]",
        "excepts: [192.0.2.64/26]",
        10,
        linting.UNKNOWN_KEY,
        "did you mean 'except'?",
    ),
    ("- ipBlock: {cidr", "- podSelector: {}\n          ipBlock: {cidr", 11, codes.PEER, "write two peers"),
    ("- ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.64/26]}", "- {}", 10, codes.PEER, "is nobody"),
    ("protocol: TCP", "protocol: tcp", 11, linting.CHOICE, "did you mean 'TCP'?"),
    ("protocol: TCP", "protocol: ICMP", 11, linting.CHOICE, "not one of TCP, UDP, SCTP"),
    ("port: 80", "port: 0", 11, codes.PORT, "write a number from 1 to 65535"),
    ("port: 80", "port: 65536", 11, codes.PORT, "write a number from 1 to 65535"),
    ("port: 80", "port: -1", 11, codes.PORT, "write a number from 1 to 65535"),
    ("port: 80", "port: HTTP", 11, codes.PORT, "'HTTP' is no port"),
    ("endPort: 90", "endPort: 79", 11, codes.PORT, "79 is below port 80"),
    ("port: 80", "port: http", 11, codes.PORT, "is the end of no range"),
    ("endPort: 90", "endport: 90", 11, linting.UNKNOWN_KEY, "did you mean 'endPort'?"),
    (
        "ports: [{port: postgres}]",
        "port: [{port: postgres}]",
        14,
        linting.UNKNOWN_KEY,
        "did you mean 'ports'?",
    ),
    ("    - to: [{", "    - to: {", 13, linting.SYNTAX, "not YAML"),
    ("  egress:\n", "  ingress: []\n  egress:\n", 12, linting.DUPLICATE_KEY, "already written on line 7"),
]
CILIUM_MISTAKES = [
    ("cilium.io/v2", "cilium.io/v1", 1, linting.API_VERSION, "write cilium.io/v2"),
    (
        "  endpointSelector: {matchLabels: {app: web}}\n",
        "",
        5,
        linting.MISSING,
        "endpointSelector is missing",
    ),
    ("  endpointSelector:", "  nodeSelector:", 5, codes.UNSUPPORTED, "write endpointSelector"),
    ("{app: web}", "{app: web, 'k8s:io.kubernetes.pod.namespace': x}", 5, codes.SELECTOR, "about shop alone"),
    ("{app: web}", "{'container:app': web}", 5, codes.SELECTOR, "write k8s:app"),
    ("{app: web}", "{'reserved:hots': ''}", 5, codes.SELECTOR, "did you mean 'host'?"),
    ("ingress: true", "ingress: yes", 6, linting.CHOICE, "not one of true, false"),
    ("enableDefaultDeny", "enableDefaultdeny", 6, linting.UNKNOWN_KEY, "did you mean 'enableDefaultDeny'?"),
    ("fromEndpoints", "fromEndpoint", 8, linting.UNKNOWN_KEY, "did you mean 'fromEndpoints'?"),
    ("fromEndpoints", "fromRequires", 8, codes.UNSUPPORTED, "was removed from Cilium"),
    ("fromEndpoints", "fromNodes", 8, codes.UNSUPPORTED, "remote-node"),
    ("fromEndpoints", "fromGroups", 8, codes.UNSUPPORTED, "cloud provider"),
    ("      toPorts: [", "      fromEntities: [host]\n      toPorts: [", 8, codes.PEER, "write two rules"),
    ("endPort: 90", "endPort: 70", 9, codes.PORT, "70 is below port 80"),
    ("protocol: TCP", "protocol: TPC", 9, linting.CHOICE, "did you mean 'TCP'?"),
    ("protocol: TCP", "protocol: ICMP", 9, codes.UNSUPPORTED, "write a rule with icmps"),
    ("port: '80'", "port: '70000'", 9, codes.PORT, "write a number from 0 to 65535"),
    ("[{port: '80', endPort: 90, protocol: TCP}]", "[]", 9, codes.PORT, "leave toPorts out"),
    ("protocol: TCP}]}", "protocol: TCP}], rules: {http: [{}]}}", 9, codes.UNSUPPORTED, "layer 7 (http)"),
    ("protocol: TCP}]}", "protocol: TCP}], serverNames: [a]}", 9, codes.UNSUPPORTED, "layer 7"),
    ("[world]", "[wolrd]", 10, linting.CHOICE, "did you mean 'world'?"),
    ("type: EchoRequest", "type: EchoRequests", 11, codes.ICMP, "did you mean 'EchoRequest'?"),
    ("type: EchoRequest", "type: 256", 11, codes.ICMP, "write a number from 0 to 255"),
    ("family: IPv4", "family: ipv4", 11, linting.CHOICE, "did you mean 'IPv4'?"),
    (
        "      icmps:",
        "      toPorts: [{ports: [{port: '1'}]}]\n      icmps:",
        12,
        codes.PORT,
        "write two rules",
    ),
    ("egressDeny:", "egressdeny:", 12, linting.UNKNOWN_KEY, "did you mean 'egressDeny'?"),
    ("except: [10.1.0.0/16]", "except: [11.1.0.0/16]", 13, codes.EXCEPTION, "no part of 10.0.0.0/8"),
    ("{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}", "{cidrGroupRef: a}", 13, codes.UNSUPPORTED, "write cidr"),
    ("toCIDR: [192.0.2.7]", "toCIDR: [192.0.2.7/24]", 14, codes.NETWORK, "write 192.0.2.0/24"),
    ("toCIDR: [192.0.2.7]", "toCIDR: [example.org]", 14, codes.NETWORK, "'example.org' is no address"),
    ("toCIDR: [192.0.2.7]", "toFQDNs: [{matchName: a.org}]", 14, codes.UNSUPPORTED, "write addresses"),
    ("toCIDR: [192.0.2.7]", "toServices: []", 14, codes.UNSUPPORTED, "write endpoints or addresses"),
    ("toCIDR: [192.0.2.7]", "toRequires: []", 14, codes.UNSUPPORTED, "was removed from Cilium"),
    ("toCIDR: [192.0.2.7]", "authentication: {mode: required}", 14, codes.UNSUPPORTED, "leave it out"),
    ("spec:", "specc:", 1, codes.NO_RULES, "write spec, or specs with several"),
]


@pytest.mark.parametrize("text", [KUBERNETES, CILIUM], ids=["kubernetes", "cilium"])
def test_a_whole_policy_is_read(text: str) -> None:
    """The texts that the mistakes are made in have none."""
    (policy,) = files.parse({"p.yaml": text})

    assert policy.name == "shop/web"
    assert [len(policy.rules[way]) for way in Direction] == [1, 1] if text is KUBERNETES else [2, 2]


@pytest.mark.parametrize(("old", "new", "line", "code", "words"), MISTAKES)
def test_a_mistake_in_a_network_policy(old: str, new: str, line: int, code: str, words: str) -> None:
    """Every one has its place, its code and its way out."""
    check(KUBERNETES, old, new, (line, code, words))


@pytest.mark.parametrize(("old", "new", "line", "code", "words"), CILIUM_MISTAKES)
def test_a_mistake_in_a_policy_of_ciliums(old: str, new: str, line: int, code: str, words: str) -> None:
    """The same; what is not enforced is refused by its name."""
    check(CILIUM, old, new, (line, code, words))


def check(text: str, old: str, new: str, expected: tuple[int, str, str]) -> None:
    """Make one mistake, and look for its finding."""
    assert old in text
    with pytest.raises(SpecErrors) as caught:
        files.parse({"p.yaml": text.replace(old, new, 1)})

    line, code, words = expected
    found = [one for one in caught.value.findings if (one.line, one.code) == (line, code)]
    assert any(words in one.message for one in found), caught.value


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """In all documents of all files."""
    wrong = KUBERNETES.replace("port: 80,", "port: 0,").replace("operator: In", "operator: is")
    with pytest.raises(SpecErrors) as caught:
        files.parse({"a.yaml": wrong, "b.yaml": CILIUM.replace("[world]", "[moon]")})

    found = [(one.file, one.line) for one in caught.value.findings]
    assert found == [("a.yaml", 9), ("a.yaml", 11), ("b.yaml", 10)]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems: [{K}, {C}]\n",
        "{K}\n---\n# nothing\n---\n{C}\n",
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.k8s.io/v1\n"
            "  kind: NetworkPolicyList\n  metadata: {}\n  items: [{K}]\n- {C}\n"
        ),
    ],
    ids=["a list", "documents", "a list of lists"],
)
def test_what_kubectl_prints_is_read(text: str) -> None:
    """Lists, several documents, and the keys that a cluster adds."""
    added = "creationTimestamp: null, uid: 1a, annotations: {a: b}, managedFields: [{manager: kubectl}]"
    policy = f"kind: NetworkPolicy, apiVersion: networking.k8s.io/v1, metadata: {{name: k, {added}}}"
    other = "kind: CiliumNetworkPolicy, apiVersion: cilium.io/v2, metadata: {name: c}"
    texts = text.replace("{K}", f"{{{policy}, spec: {{podSelector: {{}}}}, status: {{}}}}").replace(
        "{C}", f"{{{other}, spec: {{endpointSelector: {{}}, ingress: [{{}}], description: all}}}}"
    )

    assert [one.name for one in files.parse({"p.yaml": texts})] == ["default/c", "default/k"]


def test_one_name_is_one_policy() -> None:
    """Of one kind: in a cluster the second would replace the first."""
    with pytest.raises(SpecErrors, match=rf"b.yaml:3: {codes.DUPLICATE} .* already stands in a.yaml:1"):
        files.parse({"a.yaml": KUBERNETES, "b.yaml": KUBERNETES})

    assert len(files.parse({"a.yaml": KUBERNETES, "b.yaml": CILIUM})) == 2


@pytest.mark.parametrize("text", ["", "[]", "word", "kind: List\napiVersion: v1", "a: b"])
def test_a_file_without_a_policy_is_refused(text: str) -> None:
    """An empty set would be read as: all is allowed."""
    with pytest.raises(SpecErrors):
        files.parse({"p.yaml": text})


def test_an_address_without_a_prefix_is_one_of_ciliums_networks() -> None:
    """Of either family."""
    (policy,) = files.parse({"p.yaml": CILIUM.replace("[192.0.2.7]", "[192.0.2.7, '2001:db8::7']")})

    peers = policy.rules[Direction.EGRESS][1].peers or ()
    assert [str(peer.network) for peer in peers if isinstance(peer, NetworkPeer)] == [
        "192.0.2.7/32",
        "2001:db8::7/128",
    ]


@pytest.mark.parametrize("text", [KUBERNETES, CILIUM], ids=["kubernetes", "cilium"])
def test_whatever_stands_in_a_place_is_read_or_found_wrong(text: str) -> None:
    """Nothing that a person writes ends in anything but policies or findings."""
    whole = yaml.safe_load(text)
    taken = refused = 0
    for number, path in enumerate(both.places(whole)):
        for _, candidate in both.changed(whole, path, number):
            findings = linting.Findings()
            policies = files.read({"p.yaml": yaml.safe_dump(candidate)}, findings)
            taken += not len(findings)
            refused += bool(len(findings))
            assert policies or len(findings)
            assert all(one.line > 0 and one.message for one in findings.sorted())
    assert taken > 10
    assert refused > 100
