"""A NetworkPolicy of `networking.k8s.io/v1` becomes a `Policy`."""

from types import MappingProxyType
from typing import Final

from netsre.model import values
from netsre.model.policies import codes, parts
from netsre.model.policies.values import (
    NETWORK_POLICY,
    WITH_PORTS,
    Direction,
    NetworkPeer,
    Peer,
    Policy,
    Ports,
    Protocol,
    Rule,
    Scope,
    Selector,
    SelectorPeer,
)

API_VERSION: Final = "networking.k8s.io/v1"

_TYPES: Final = MappingProxyType({"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS})
_PEERS: Final = MappingProxyType({Direction.INGRESS: "from", Direction.EGRESS: "to"})
_LABELS: Final = parts.plain_key(Scope.LABEL)
_NAMESPACE_LABELS: Final = parts.plain_key(Scope.NAMESPACE_LABEL)


def read(document: values.Mapping) -> tuple[Policy, ...]:
    """Return the policy of a document after its `apiVersion` and `kind`; what is wrong is a finding."""
    named = parts.metadata(document, namespaced=True)
    spec = document.mapping("spec")
    document.skip("status")
    document.end()
    if spec is None:
        return ()
    namespace, name = named or ("", "")
    full_name = f"{namespace}/{name}"
    chosen = spec.mapping("podSelector")
    subject = parts.selector(chosen, _LABELS) if chosen is not None else Selector()
    rules = {way: _rules(spec, way, namespace, full_name) for way in Direction}
    isolates = _types(spec, rules[Direction.EGRESS] != ())
    spec.end()
    kept = {way: rules[way] if way in isolates else () for way in Direction}
    idle = tuple(rule for way in Direction if way not in isolates for rule in rules[way])
    subject = parts.in_namespace(subject, namespace)
    origin = document.origin
    return (Policy(NETWORK_POLICY, full_name, subject, isolates, MappingProxyType(kept), origin, idle),)


def _types(spec: values.Mapping, egress_written: bool) -> frozenset[Direction]:  # noqa: FBT001 - an answer
    """Return the directions it is about: those written, else ingress, and egress where there are rules."""
    listed = spec.sequence("policyTypes", required=False)
    words = [one.choice(*_TYPES) for one in listed.scalars()] if listed is not None else []
    if listed is not None and listed.nodes:
        return frozenset(_TYPES[word] for word in words if word is not None)
    return frozenset(Direction) if egress_written else frozenset({Direction.INGRESS})


def _rules(spec: values.Mapping, way: Direction, namespace: str, name: str) -> tuple[Rule, ...]:
    listed = spec.sequence(way, required=False)
    found = []
    for index, part in enumerate(listed.mappings() if listed is not None else ()):
        peers = part.sequence(_PEERS[way], required=False)
        ports = part.sequence("ports", required=False)
        part.end()
        rule = Rule(
            f"{name} {way}[{index}]",
            # An empty list says as much as none: everybody, everything.
            tuple(_peers(peers, namespace)) if peers is not None and peers.nodes else None,
            tuple(_ports(ports)) if ports is not None and ports.nodes else None,
            deny=False,
            origin=part.origin,
        )
        found.append(rule)
    return tuple(found)


def _peers(listed: values.Sequence, namespace: str) -> list[Peer]:
    found: list[Peer] = []
    for part in listed.mappings():
        block = part.mapping("ipBlock", required=False)
        pods = part.mapping("podSelector", required=False)
        spaces = part.mapping("namespaceSelector", required=False)
        part.end()
        selecting = pods is not None or spaces is not None
        if not part.keys():
            message = f"{part.path} is nobody; write ipBlock, podSelector or namespaceSelector"
            part.findings.add(part.origin, codes.PEER, message)
        elif block is not None and selecting:
            part.wrong("ipBlock", codes.PEER, "stands beside a selector; write two peers")
        if block is not None:
            found += _block(block)
        if selecting:
            wanted = parts.selector(pods, _LABELS) if pods is not None else Selector()
            if spaces is None:
                wanted = parts.in_namespace(wanted, namespace)
            else:
                wanted = parts.joined(wanted, parts.selector(spaces, _NAMESPACE_LABELS))
            found.append(SelectorPeer(wanted))
    return found


def _block(part: values.Mapping) -> list[Peer]:
    scalar = part.scalar("cidr")
    network = scalar.read(parts.network, codes.NETWORK) if scalar is not None else None
    excepted = parts.exceptions(part, network)
    part.end()
    return [NetworkPeer(network, excepted, anybody=True)] if network is not None else []


def _ports(listed: values.Sequence) -> list[Ports]:
    found = []
    for part in listed.mappings():
        word = part.choice("protocol", *WITH_PORTS, required=False)
        protocol = Protocol(word) if word is not None else Protocol.TCP
        scalar = part.scalar("port", required=False)
        if scalar is not None and parts.PORT_NAME.fullmatch(scalar.value):
            parts.end_port(part, None)
            found.append(Ports(protocol, name=scalar.value))
        elif scalar is not None:
            first = scalar.read(parts.number, codes.PORT)
            last = parts.end_port(part, first) if first is not None else None
            part.skip("endPort")
            found.append(Ports(protocol, first or 0, last or first or 0))
        else:
            parts.end_port(part, None)
            found.append(Ports(protocol))
        part.end()
    return found
