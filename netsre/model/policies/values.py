"""What policies and endpoints say, in one form for NetworkPolicy and CiliumNetworkPolicy.

Labels, namespace, labels of the namespace and reserved names of an end of a connection are its facts; a
selector asks about facts. A rule matches the other end by peers, and the service by ports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType
from typing import Final

from netsre.model.levels import Origin

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LAST_PORT: Final = 65_535
LAST_ICMP_TYPE: Final = 255
METADATA_NAME: Final = "kubernetes.io/metadata.name"
"""A label that Kubernetes gives every namespace: its name."""


class Direction(StrEnum):
    """Which way a packet goes, as its endpoint sees it."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Protocol(StrEnum):
    """What a service speaks, by the names of both upstreams."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"
    ICMP = "ICMP"
    ICMPV6 = "ICMPv6"


WITH_PORTS: Final = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)


class Scope(StrEnum):
    """What kind of fact a requirement asks about."""

    LABEL = "k8s"
    NAMESPACE = "namespace"
    NAMESPACE_LABEL = "namespace-label"
    RESERVED = "reserved"


Fact = tuple[Scope, str]
Facts = Mapping[Fact, str]
NAMESPACE: Final[Fact] = (Scope.NAMESPACE, "")


class Operator(StrEnum):
    """How a requirement compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One condition of a selector."""

    scope: Scope
    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    """Sorted; of `In` and `NotIn` only."""

    def holds(self, facts: Facts) -> bool:
        """Return whether the facts fulfil it; what has no such label is in no list of values."""
        value = facts.get((self.scope, self.key))
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None


_IN_NAMESPACE: Final = (Scope.NAMESPACE, Operator.IN)


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold; none at all select everything."""

    requirements: frozenset[Requirement] = frozenset()

    def matches(self, facts: Facts) -> bool:
        """Return whether something with these facts is selected."""
        return all(requirement.holds(facts) for requirement in self.requirements)

    @property
    def namespace(self) -> str | None:
        """Return the one namespace that it can select something in; None where there may be others."""
        asked = (one.values for one in self.requirements if (one.scope, one.operator) == _IN_NAMESPACE)
        return next((values[0] for values in asked if len(values) == 1), None)

    @property
    def asks_for_reserved(self) -> bool:
        """Return whether it asks about reserved names, and so is not about endpoints alone."""
        return any(requirement.scope is Scope.RESERVED for requirement in self.requirements)


class Kind(StrEnum):
    """What an end of a connection is; all but `endpoint` are reserved names."""

    ENDPOINT = "endpoint"
    HOST = "host"
    REMOTE_NODE = "remote-node"
    KUBE_APISERVER = "kube-apiserver"
    HEALTH = "health"
    INIT = "init"
    INGRESS = "ingress"
    UNMANAGED = "unmanaged"
    WORLD = "world"


RESERVED: Final = frozenset(Kind) - {Kind.ENDPOINT, Kind.WORLD}
"""What an entry of the endpoints file can be by a label `reserved:<name>`."""

_INSIDE: Final = frozenset(Kind) - {Kind.WORLD}
ENTITIES: Final[Mapping[str, frozenset[Kind]]] = MappingProxyType(
    {
        "all": frozenset(Kind),
        "cluster": _INSIDE,
        "none": frozenset(),
        "world-ipv4": frozenset({Kind.WORLD}),
        "world-ipv6": frozenset({Kind.WORLD}),
        **{kind.value: frozenset({kind}) for kind in Kind if kind is not Kind.ENDPOINT},
    }
)
"""The kinds that each entity of Cilium's stands for."""
_FAMILIES: Final = MappingProxyType({"world-ipv4": 4, "world-ipv6": 6})


@dataclass(frozen=True, slots=True)
class SelectorPeer:
    """Ends by their facts."""

    selector: Selector


@dataclass(frozen=True, slots=True)
class NetworkPeer:
    """Ends by their address."""

    network: Network
    excepted: tuple[Network, ...] = ()
    anybody: bool = False
    """Whoever has the address, as in a NetworkPolicy; else only what is no endpoint and no node."""

    def covers(self, network: Network) -> bool:
        """Return whether all of a network is meant: inside, and inside of no exception."""
        return within(network, self.network) and not any(within(network, one) for one in self.excepted)


@dataclass(frozen=True, slots=True)
class EntityPeer:
    """Ends by what they are."""

    entity: str

    @property
    def kinds(self) -> frozenset[Kind]:
        """Return what it stands for."""
        return ENTITIES[self.entity]

    @property
    def family(self) -> int | None:
        """Return the version of IP that it is limited to."""
        return _FAMILIES.get(self.entity)


Peer = SelectorPeer | NetworkPeer | EntityPeer


def within(inner: Network, outer: Network) -> bool:
    """Return whether a network is part of another of the same family, or is that one."""
    if isinstance(inner, IPv4Network):
        return isinstance(outer, IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, IPv6Network) and inner.subnet_of(outer)


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports of one protocol (types of ICMP are its ports), or a port that the server names."""

    protocol: Protocol
    first: int = 0
    last: int = LAST_PORT
    name: str | None = None
    """Of a named port; then the numbers mean nothing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one entry of a list of rules allows or denies."""

    name: str
    """The document and the place in it: `namespace/name ingress[0]`."""
    peers: tuple[Peer, ...] | None
    """None is every peer, an empty tuple none."""
    ports: tuple[Ports, ...] | None
    """None is every protocol and port."""
    deny: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Policy:
    """One document, or one of the `specs` of one."""

    kind: str
    name: str
    """`namespace/name`, of a clusterwide one its name; with `specs[1]` for one of several."""
    subject: Selector
    """The endpoints that it is about; a namespace of the policy is a requirement in it."""
    isolates: frozenset[Direction]
    """The directions in which what no rule allows is denied."""
    rules: Mapping[Direction, tuple[Rule, ...]]
    origin: Origin
    idle: tuple[Rule, ...] = ()
    """Rules of a direction that it is not about: they are written, and mean nothing."""

    @property
    def document(self) -> str:
        """Return the name of its document, which the `specs` of one have in common."""
        return self.name.partition(" ")[0]

    @property
    def order(self) -> tuple[str, str, str, int]:
        """Return where it stands among others, whatever the order of files."""
        return (self.name, self.kind, self.origin.file, self.origin.line)


NETWORK_POLICY: Final = "NetworkPolicy"
CILIUM_POLICY: Final = "CiliumNetworkPolicy"
CLUSTERWIDE_POLICY: Final = "CiliumClusterwideNetworkPolicy"


@dataclass(frozen=True, slots=True, order=True)
class NamedPort:
    """A port of a server under a name."""

    name: str
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of connections that is known by name."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    ips: tuple[Address, ...]
    interface: str | None
    named_ports: tuple[NamedPort, ...]
    origin: Origin
    kind: Kind = Kind.ENDPOINT
    facts: Facts = field(init=False, repr=False, compare=False)
    """What selectors ask about."""

    def __post_init__(self) -> None:
        """Gather the facts once: selectors ask for them again and again."""
        found: dict[Fact, str] = {(Scope.LABEL, key): value for key, value in self.labels.items()}
        if self.kind is Kind.ENDPOINT:
            found[NAMESPACE] = self.namespace
            for key, value in {METADATA_NAME: self.namespace, **self.namespace_labels}.items():
                found[Scope.NAMESPACE_LABEL, key] = value
        else:
            found[Scope.RESERVED, self.kind.value] = ""
        object.__setattr__(self, "facts", MappingProxyType(found))

    @property
    def full_name(self) -> str:
        """Return `namespace/name`."""
        return f"{self.namespace}/{self.name}"
