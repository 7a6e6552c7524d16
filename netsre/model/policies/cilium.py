"""The part of `cilium.io/v2` policies that is about addresses and ports becomes `Policy`s.

What Cilium takes and netsre does not enforce is refused by its name: a rule that means less than it says is
worse than none.
"""

from types import MappingProxyType
from typing import Final

from netsre.model import literals, values
from netsre.model.policies import cilium_ports, codes, parts
from netsre.model.policies.values import (
    CLUSTERWIDE_POLICY,
    ENTITIES,
    NAMESPACE,
    Direction,
    EntityPeer,
    Kind,
    Network,
    NetworkPeer,
    Peer,
    Policy,
    Rule,
    Scope,
    Selector,
    SelectorPeer,
)

API_VERSION: Final = "cilium.io/v2"

_POD_NAMESPACE: Final = "io.kubernetes.pod.namespace"
_NAMESPACE_LABELS: Final = "io.cilium.k8s.namespace.labels."
_PREFIX: Final = MappingProxyType({Direction.INGRESS: "from", Direction.EGRESS: "to"})
_REFUSED: Final = MappingProxyType(
    {
        "Requires": "was removed from Cilium; write what it requires into every selector of peers",
        "Nodes": "selects nodes by labels, which is not enforced; write the entity remote-node, or addresses",
        "Groups": "asks a cloud provider, which is not done; write addresses",
        "Services": "is not enforced; write endpoints or addresses",
        "FQDNs": "is not enforced; write addresses",
    }
)
"""Kinds of peers without the `from` or `to` before them, and what to write instead."""
_GROUPS: Final = ("cidrGroupRef", "cidrGroupSelector")
_EGRESS_ONLY: Final = frozenset({"Services", "FQDNs"})


def read(document: values.Mapping, kind: str) -> tuple[Policy, ...]:
    """Return the policies of a document after its `apiVersion` and `kind`; what is wrong is a finding."""
    clusterwide = kind == CLUSTERWIDE_POLICY
    named = parts.metadata(document, namespaced=not clusterwide)
    namespace, name = named or ("", "")
    full_name = name if clusterwide else f"{namespace}/{name}"
    one = document.mapping("spec", required=False)
    several = document.sequence("specs", required=False)
    document.skip("status")
    document.end()
    if "spec" not in document and "specs" not in document:
        document.wrong("spec", codes.NO_RULES, "is missing; write spec, or specs with several")
    found = [(one, full_name)] if one is not None else []
    listed = several.mappings() if several is not None else ()
    found += [(part, f"{full_name} specs[{index}]") for index, part in enumerate(listed)]
    scope = None if clusterwide else namespace
    return tuple(_policy(part, kind, name, scope) for part, name in found)


def _policy(spec: values.Mapping, kind: str, name: str, namespace: str | None) -> Policy:
    parts.refuse(spec, ["nodeSelector"], "selects nodes, which are not policed; write endpointSelector")
    chosen = spec.mapping("endpointSelector", required="nodeSelector" not in spec)
    subject = parts.selector(chosen, _key) if chosen is not None else Selector()
    if namespace is not None:
        own = parts.in_namespace(Selector(), namespace)
        asked = {one for one in subject.requirements if one.scope is Scope.NAMESPACE}
        if asked - own.requirements:
            message = f"asks for a namespace; the policy is about {namespace} alone, so leave that out"
            spec.wrong("endpointSelector", codes.SELECTOR, message)
        subject = parts.joined(subject, own)
    rules = {way: _rules(spec, way, namespace, name) for way in Direction}
    isolates = _isolates(spec, rules)
    spec.skip("description", "labels", "log")
    spec.end()
    kept = MappingProxyType(rules)
    return Policy(kind, name, subject, isolates, kept, spec.origin)


def _isolates(spec: values.Mapping, rules: dict[Direction, tuple[Rule, ...]]) -> frozenset[Direction]:
    """Return the directions in which it isolates: where it has rules, unless `enableDefaultDeny` says."""
    part = spec.mapping("enableDefaultDeny", required=False)
    said = {way: part.choice(way, "true", "false", required=False) if part else None for way in Direction}
    if part is not None:
        part.end()
    return frozenset(way for way in Direction if said[way] == "true" or (said[way] is None and rules[way]))


def _rules(spec: values.Mapping, way: Direction, namespace: str | None, name: str) -> tuple[Rule, ...]:
    found = []
    for key, deny in ((way.value, False), (f"{way}Deny", True)):
        listed = spec.sequence(key, required=False)
        for index, part in enumerate(listed.mappings() if listed is not None else ()):
            peers = _peers(part, _PREFIX[way], namespace)
            ports, written = cilium_ports.read(part, deny=deny)
            parts.refuse(part, ["authentication"], "is not enforced; leave it out")
            part.end()
            if peers is None and not written:
                # As upstream: a rule without any part matches nothing. It isolates all the same.
                peers = ()
            found.append(Rule(f"{name} {key}[{index}]", peers, ports, deny, part.origin))
    return tuple(found)


def _peers(part: values.Mapping, prefix: str, namespace: str | None) -> tuple[Peer, ...] | None:
    """Return whom a rule is about: None for everybody, and nobody where a list is written and empty."""
    keys = {key: f"{prefix}{key}" for key in ("Endpoints", "CIDR", "CIDRSet", "Entities")}
    listed = {short: part.sequence(key, required=False) for short, key in keys.items()}
    for short, instead in _REFUSED.items():
        if prefix == "to" or short not in _EGRESS_ONLY:
            parts.refuse(part, [f"{prefix}{short}"], instead)
    written = {short: items for short, items in listed.items() if items is not None}
    filled = [keys[short] for short, items in written.items() if items.nodes]
    if len(filled) > 1:
        message = f"stands beside {filled[1]}, which Cilium does not take either; write two rules"
        part.wrong(filled[0], codes.PEER, message)
    found: list[Peer] = []
    if (items := written.get("Endpoints")) is not None:
        found += [SelectorPeer(_peer_selector(one, namespace)) for one in items.mappings()]
    if (items := written.get("CIDR")) is not None:
        read = [one.read(_network_or_address, codes.NETWORK) for one in items.scalars()]
        found += [NetworkPeer(network) for network in read if network is not None]
    if (items := written.get("CIDRSet")) is not None:
        found += [peer for one in items.mappings() for peer in _set(one)]
    if (items := written.get("Entities")) is not None:
        words = [one.choice(*ENTITIES) for one in items.scalars()]
        found += [EntityPeer(word) for word in words if word is not None]
    nobody = any(not items.nodes for items in written.values())
    return None if not written else () if nobody else tuple(found)


def _set(part: values.Mapping) -> list[NetworkPeer]:
    parts.refuse(part, _GROUPS, "names a group that is not read; write cidr")
    scalar = part.scalar("cidr", required=not {*_GROUPS} & {*part.keys()})
    network = scalar.read(parts.network, codes.NETWORK) if scalar is not None else None
    excepted = parts.exceptions(part, network)
    part.end()
    return [NetworkPeer(network, excepted)] if network is not None else []


def _network_or_address(text: str) -> Network:
    """Return a network; an address without a prefix is one of its own. Raises `ValueError`."""
    return parts.network(text if "/" in text else f"{parts.address(text)}/{128 if ':' in text else 32}")


def _peer_selector(part: values.Mapping, namespace: str | None) -> Selector:
    """Return whom an entry of `fromEndpoints` means: its own namespace unless it asks about namespaces."""
    found = parts.selector(part, _key)
    asked = {one.scope for one in found.requirements}
    if namespace is None or asked & {Scope.NAMESPACE, Scope.NAMESPACE_LABEL, Scope.RESERVED}:
        return found
    return parts.in_namespace(found, namespace)


def _key(where: values.Mapping | values.Scalar, text: str) -> tuple[Scope, str] | None:
    """Return the fact that a key is about; its source (`k8s:`, `any:`, `reserved:`) may be left out."""
    source, colon, key = text.partition(":")
    if not colon:
        source, key = "any", text
    if source == "reserved":
        if key in {kind for kind in Kind if kind is not Kind.ENDPOINT}:
            return Scope.RESERVED, key
        known = sorted(kind for kind in Kind if kind is not Kind.ENDPOINT)
        message = f"{literals.shown(text)} is no reserved name{literals.nearest(key, known)}"
    elif source not in {"any", "k8s"}:
        message = f"{literals.shown(text)} is a label of another source; write k8s:{key}"
    elif key == _POD_NAMESPACE:
        return NAMESPACE
    elif key.startswith(_NAMESPACE_LABELS):
        return _PLAIN_NAMESPACE(where, key.removeprefix(_NAMESPACE_LABELS))
    else:
        return _PLAIN(where, key)
    parts.complain(where, text, message)
    return None


_PLAIN: Final = parts.plain_key(Scope.LABEL)
_PLAIN_NAMESPACE: Final = parts.plain_key(Scope.NAMESPACE_LABEL)
