"""Policies and questions by chance, about the cluster of the tables."""

import dataclasses
import json
import random
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any

from netsre.model.policies.values import Policy, within
from tests.unit.policy import cluster

Json = dict[str, Any]

ADDRESSES = (
    "192.0.2.1", "192.0.2.77", "198.51.100.7", "10.9.0.1", "2001:db8::1", "2001:db8:1::7", "127.0.0.1",
    "192.168.0.1", "192.168.0.2", "192.168.0.3", "::ffff:192.0.2.1", "10.0.2.9", "127.0.1.1", "203.0.113.9",
    "2001:db8:1:1::7", "::9",
)  # fmt: skip
WORLD = ("0.0.0.0/0", "::/0")
NETWORKS = (
    *WORLD, "0.0.0.0/1", "10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.0/30", "10.0.2.0/24",
    "10.0.2.2/32", "10.0.120.0/24", "10.0.120.2/32", "127.0.0.0/8", "127.0.1.0/24", "192.0.2.0/24",
    "192.0.2.64/26", "192.0.2.77/32", "192.0.0.0/8", "192.168.0.0/16", "192.168.0.3/32", "::/64",
    "2000::/3", "2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:1::/64", "fd00::/8", "fd00:1::/64",
    "fd00:3::1/128", "fd00:78::/32",
)  # fmt: skip
PORTS = (
    "80/TCP",
    "81/TCP",
    "443/TCP",
    "8080/TCP",
    "53/UDP",
    "80/UDP",
    "9/SCTP",
    "8/ICMP",
    "0/ICMP",
    "128/ICMPv6",
)
NUMBERS = (53, 80, 81, 443, 8080)
ENTITIES = (
    "all",
    "world",
    "world-ipv4",
    "world-ipv6",
    "cluster",
    "host",
    "remote-node",
    "kube-apiserver",
    "none",
)


def chance_of(seed: int) -> random.Random:
    """Return the chance that a seed is: the same in every run."""
    return random.Random(seed)  # noqa: S311  no secret


def documents(chance: random.Random, most: int) -> list[str]:
    """Return up to so many documents, of every kind."""
    found = []
    for number in range(chance.randint(0, most)):
        name = f"p{number}"
        if chance.random() < 0.5:
            found.append(cluster.kubernetes(kubernetes_spec(chance), name, chance.choice(cluster.NAMESPACES)))
        else:
            found.append(
                cilium_document(chance, name, deny=chance.random() < 0.4, isolating=chance.random() < 0.7)
            )
    return found


def questions(chance: random.Random, count: int) -> list[tuple[str, str, str]]:
    """Return so many connections between ends that have a family of addresses in common."""
    everybody = (
        *cluster.NAMES,
        *cluster.NAMES,
        *ADDRESSES,
        *(cluster.address(one, 6) for one in cluster.NAMES),
    )
    found: list[tuple[str, str, str]] = []
    while len(found) < count:
        source, destination = chance.choice(everybody), chance.choice(everybody)
        if chance.random() < 0.7:
            destination = chance.choice(cluster.NAMES)
        families = {_family(source), _family(destination)} - {None}
        if len(families) < 2:
            found.append((source, destination, chance.choice(PORTS)))
    return found


def _family(text: str) -> int | None:
    if "/" in text:
        return None
    return 6 if ":" in text and not text.startswith("::ffff:") else 4


def kubernetes_spec(chance: random.Random) -> str:
    """Return the spec of a NetworkPolicy."""
    spec: Json = {"podSelector": _selector(chance, "pod", cluster.PODS)}
    types = [word for word in ("Ingress", "Egress") if chance.random() < 0.5]
    if chance.random() < 0.8:
        spec["policyTypes"] = types
    for way, whom in (("ingress", "from"), ("egress", "to")):
        if chance.random() < 0.7:
            spec[way] = [_kubernetes_rule(chance, whom) for _ in range(chance.randint(0, 3))]
    return json.dumps(spec)


def _kubernetes_rule(chance: random.Random, whom: str) -> Json:
    rule: Json = {}
    if chance.random() < 0.8:
        rule[whom] = [_kubernetes_peer(chance) for _ in range(chance.randint(0, 2))]
    if chance.random() < 0.6:
        rule["ports"] = [_kubernetes_port(chance) for _ in range(chance.randint(0, 2))]
    return rule


def _kubernetes_peer(chance: random.Random) -> Json:
    if chance.random() < 0.4:
        return {"ipBlock": _block(chance)}
    pods = {"podSelector": _selector(chance, "pod", cluster.PODS)}
    spaces = {"namespaceSelector": _selector(chance, "ns", cluster.NAMESPACES)}
    return chance.choice((pods, spaces, {**pods, **spaces}))


def _kubernetes_port(chance: random.Random) -> Json:
    protocol = chance.choice(("TCP", "UDP", "SCTP"))
    if chance.random() < 0.2:
        return {"protocol": protocol}
    if chance.random() < 0.3:
        return {"protocol": protocol, "port": chance.choice(("serve-80", "serve-81", "dns", "missing"))}
    first = chance.choice(NUMBERS)
    return {"protocol": protocol, "port": first, **_range(chance, first)}


def _range(chance: random.Random, first: int) -> Json:
    return {"endPort": chance.choice([first, first + 1, 9000, 65535])} if chance.random() < 0.4 else {}


def _block(chance: random.Random) -> Json:
    network = chance.choice(WORLD if chance.random() < 0.4 else NETWORKS)
    inside = [one for one in NETWORKS if one != network and within(ip_network(one), ip_network(network))]
    excepted = chance.sample(inside, min(len(inside), chance.choice((0, 1, 1, 2, 3))))
    return {"cidr": network, "except": excepted} if excepted else {"cidr": network}


def _selector(chance: random.Random, key: str, values: Sequence[str]) -> Json:
    kind = chance.random()
    if kind < 0.3:
        return {}
    if kind < 0.6:
        return {"matchLabels": {key: chance.choice(values)}}
    if kind < 0.9:
        some = sorted(chance.sample(values, chance.randint(1, 2)))
        operator = chance.choice(("In", "NotIn"))
        return {"matchExpressions": [{"key": key, "operator": operator, "values": some}]}
    operator = chance.choice(("Exists", "DoesNotExist"))
    return {"matchExpressions": [{"key": chance.choice((key, "tier")), "operator": operator}]}


def cilium_document(chance: random.Random, name: str, *, deny: bool, isolating: bool) -> str:
    """Return a policy of Cilium's whose rules allow, or deny."""
    spec: Json = {"endpointSelector": _selector(chance, "pod", cluster.PODS)}
    for way, prefix in (("ingress", "from"), ("egress", "to")):
        if chance.random() < 0.7:
            rules = [_cilium_rule(chance, prefix) for _ in range(chance.randint(1, 2))]
            spec[f"{way}Deny" if deny else way] = rules
    if not isolating:
        spec["enableDefaultDeny"] = {"ingress": False, "egress": False}
    if chance.random() < 0.3:
        return cluster.clusterwide(json.dumps(spec), name)
    return cluster.cilium(json.dumps(spec), name, chance.choice(cluster.NAMESPACES))


def _cilium_rule(chance: random.Random, prefix: str) -> Json:
    rule: Json = {}
    kind = chance.random()
    if kind < 0.35:
        rule[f"{prefix}Endpoints"] = [_cilium_selector(chance) for _ in range(chance.randint(0, 2))]
    elif kind < 0.5:
        rule[f"{prefix}CIDR"] = chance.sample(NETWORKS, chance.randint(1, 2))
    elif kind < 0.65:
        rule[f"{prefix}CIDRSet"] = [_block(chance)]
    elif kind < 0.85:
        rule[f"{prefix}Entities"] = chance.sample(ENTITIES, chance.randint(1, 2))
    services = chance.random()
    if services < 0.4:
        rule["toPorts"] = [{"ports": [_cilium_port(chance) for _ in range(chance.randint(1, 2))]}]
    elif services < 0.5:
        field = chance.choice(({"type": 8}, {"type": "EchoRequest", "family": "IPv6"}))
        rule["icmps"] = [{"fields": [field]}]
    return rule


def _cilium_selector(chance: random.Random) -> Json:
    kind = chance.random()
    if kind < 0.1:
        return {"matchLabels": {f"reserved:{chance.choice(('host', 'remote-node', 'world'))}": ""}}
    found = _selector(chance, "pod", cluster.PODS)
    if kind < 0.4:
        key = chance.choice(("io.kubernetes.pod.namespace", "io.cilium.k8s.namespace.labels.ns"))
        labels = found.setdefault("matchLabels", {})
        labels[f"k8s:{key}"] = chance.choice(cluster.NAMESPACES)
    return found


def _cilium_port(chance: random.Random) -> Json:
    protocol = {"protocol": chance.choice(("TCP", "UDP", "SCTP", "ANY"))} if chance.random() < 0.8 else {}
    kind = chance.random()
    if kind < 0.15:
        return {"port": "0", **protocol}
    if kind < 0.35:
        return {"port": chance.choice(("serve-80", "serve-81", "dns")), **protocol}
    first = chance.choice(NUMBERS)
    return {"port": str(first), **_range(chance, first), **protocol}


def without(policy: Policy, name: str) -> Policy:
    """Return a policy without the rule of a name."""
    kept = {way: tuple(one for one in rules if one.name != name) for way, rules in policy.rules.items()}
    return dataclasses.replace(policy, rules=kept)
