"""Numbers for those who cannot be told apart by any policy: identities.

An identity is what policies can see of an end beside its address: its security-relevant labels and the ports
that it names. Ends of one identity get the same answers wherever no network makes a difference, so a kernel
map needs one entry for all of them. The world has an identity for each network that a policy mentions, so
that packets are counted by it; tables are asked about the class of its family instead.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.datapath.policy.ends import End, of_kind
from netsre.errors import EnvironmentUnfit
from netsre.model.policies.values import (
    Address,
    Direction,
    EntityPeer,
    Facts,
    Kind,
    NamedPort,
    Network,
    NetworkPeer,
    Policy,
    Scope,
    SelectorPeer,
)

_OUTSIDE: Final = frozenset({Kind.WORLD, Kind.KUBE_APISERVER})

ANY: Final = 0
"""In the place of a number: whoever it is."""
FIRST: Final = 256
"""The first number that is not reserved."""
NUMBERS: Final[Mapping[tuple[Kind, int | None], int]] = MappingProxyType(
    {
        (Kind.HOST, None): 1,
        (Kind.WORLD, None): 2,
        (Kind.UNMANAGED, None): 3,
        (Kind.HEALTH, None): 4,
        (Kind.INIT, None): 5,
        (Kind.REMOTE_NODE, None): 6,
        (Kind.KUBE_APISERVER, None): 7,
        (Kind.INGRESS, None): 8,
        (Kind.WORLD, 4): 9,
        (Kind.WORLD, 6): 10,
    }
)
"""Reserved numbers by kind and family, as Cilium has them."""

FAMILIES: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
"""All addresses there are."""

NOISE: Final = frozenset(
    {
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
        "controller-revision-hash",
        "controller-uid",
        "pod-template-generation",
        "pod-template-hash",
        "statefulset.kubernetes.io/pod-name",
    }
)
"""Labels that differ from one pod, or rollout, to the next; they count only where a policy asks for them."""
Whom = SelectorPeer | EntityPeer
"""Peers that are about who somebody is, and not about where."""


class IdentitiesExhausted(EnvironmentUnfit):
    """There are more identities than numbers; the policies in force stay."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What policies can see of an end."""

    kind: Kind
    labels: tuple[tuple[Scope, str, str], ...]
    """The facts that count, in order."""
    network: Network | None
    """Of the world only: the smallest network that a policy mentions around the address."""
    family: int | None
    """Of the world only."""
    named_ports: tuple[NamedPort, ...]
    facts: Facts = field(init=False, repr=False, compare=False)
    """The same as labels, for selectors."""
    key: str = field(init=False, repr=False, compare=False)
    """All of it as one line of text: what an allocation is kept under."""

    def __post_init__(self) -> None:
        """Gather facts and key once: they are asked for again and again."""
        found = {(scope, key): value for scope, key, value in self.labels}
        object.__setattr__(self, "facts", MappingProxyType(found))
        object.__setattr__(self, "key", self._key())

    def _key(self) -> str:
        parts = [self.kind.value, *(f"{scope}:{key}={value}" for scope, key, value in self.labels)]
        parts += [f"cidr:{self.network}"] if self.network is not None else []
        parts += [f"family:{self.family}"] if self.family is not None else []
        parts += [f"port:{one.name}={one.port}/{one.protocol}" for one in self.named_ports]
        return " ".join(parts)

    @property
    def reserved(self) -> int | None:
        """Return the number that it always has, or None."""
        plain = self.network is None and not self.named_ports
        named = all(scope is Scope.RESERVED for scope, _, _ in self.labels)
        return NUMBERS.get((self.kind, self.family)) if plain and named else None

    @property
    def outside(self) -> bool:
        """Return whether networks of all policies mean it, and not only those that mean anybody."""
        return self.kind in _OUTSIDE

    def is_meant_by(self, peer: Whom) -> bool:
        """Return whether a peer means the ends of this identity: all of them or none."""
        match peer:
            case SelectorPeer(selector):
                of_interest = self.kind is Kind.ENDPOINT or selector.asks_for_reserved
                return of_interest and selector.matches(self.facts)
            case EntityPeer():
                return self.kind in peer.kinds and peer.family in {None, self.family}


class Whose(NamedTuple):
    """Whose an address is, in numbers."""

    number: int
    """Of its identity: what packets are counted by."""
    asked: int
    """What tables are asked about: the same, and of the world the class of its family."""
    outside: bool

    @classmethod
    def of(cls, identity: Identity, number: int) -> "Whose":
        """Return what an identity is under a number."""
        asked = NUMBERS[Kind.WORLD, identity.family] if identity.kind is Kind.WORLD else number
        return cls(number, asked, identity.outside)


class Networks:
    """A set of networks that finds the smallest one around an address or a network."""

    def __init__(self, networks: Iterable[Network]) -> None:
        """Keep the networks by family and length of their prefix."""
        self._by_length: dict[tuple[int, int], dict[int, Network]] = {}
        for one in sorted(set(networks), key=lambda one: (one.version, -one.prefixlen)):
            of_length = self._by_length.setdefault((one.version, one.prefixlen), {})
            of_length[int(one.network_address) >> (one.max_prefixlen - one.prefixlen)] = one

    def around(self, inner: Address | Network) -> Network | None:
        """Return the smallest network around an address or a network, which may be that one."""
        address = inner if not isinstance(inner, Network) else inner.network_address
        longest = inner.max_prefixlen if not isinstance(inner, Network) else inner.prefixlen
        for (version, length), known in self._by_length.items():
            if version == inner.version and length <= longest:
                found = known.get(int(address) >> (inner.max_prefixlen - length))
                if found is not None:
                    return found
        return None


@dataclass(frozen=True, slots=True)
class Relevance:
    """What a set of policies can see."""

    label_keys: frozenset[str]
    """Those of noise that are asked for; all others always count."""
    port_names: frozenset[str]
    """Names of ports of destinations."""

    def identity(self, end: End) -> Identity:
        """Return the identity of an end that is not the world."""
        labels = (
            (scope, key, value)
            for (scope, key), value in end.facts.items()
            if scope is not Scope.LABEL or key not in NOISE or key in self.label_keys
        )
        ports = sorted(one for one in end.named_ports if one.name in self.port_names)
        return Identity(end.kind, tuple(sorted(labels)), None, None, tuple(ports))


def of_world(network: Network) -> Identity:
    """Return the identity of the addresses of the world that have no smaller network around them."""
    facts = of_kind(Kind.WORLD).facts.items()
    labels = tuple((scope, key, value) for (scope, key), value in facts)
    return Identity(Kind.WORLD, labels, network if network.prefixlen else None, network.version, ())


WORLD: Final[Mapping[int, Identity]] = MappingProxyType(
    {NUMBERS[Kind.WORLD, one.version]: of_world(one) for one in FAMILIES}
)
"""The classes that tables know of the world, by number: one for each family."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """What policies mention, in no order."""

    label_keys: frozenset[str] = frozenset()
    networks: frozenset[Network] = frozenset()
    port_names: frozenset[str] = frozenset()

    @classmethod
    def union(cls, several: Iterable["Mentions"]) -> "Mentions":
        """Return what several mention together."""
        known = tuple(several)
        return cls(
            frozenset().union(*(one.label_keys for one in known)),
            frozenset().union(*(one.networks for one in known)),
            frozenset().union(*(one.port_names for one in known)),
        )


def mentions(policy: Policy) -> Mentions:
    """Return what one policy mentions."""
    keys = {one.key for one in policy.subject.requirements if one.scope is Scope.LABEL}
    networks: set[Network] = set()
    names: set[str] = set()
    for direction in Direction:
        for rule in policy.rules[direction]:
            for peer in rule.peers or ():
                if isinstance(peer, SelectorPeer):
                    keys |= {one.key for one in peer.selector.requirements if one.scope is Scope.LABEL}
                elif isinstance(peer, NetworkPeer):
                    networks |= {peer.network, *peer.excepted}
            if direction is Direction.EGRESS:
                names |= {one.name for one in rule.ports or () if one.name is not None}
    return Mentions(frozenset(keys), frozenset(networks), frozenset(names))


def relevance(found: Mentions) -> Relevance:
    """Return what whoever mentions this can see."""
    return Relevance(found.label_keys & NOISE, found.port_names)


def allocate(wanted: Iterable[Identity], previous: Mapping[str, int], bits: int = 16) -> dict[str, int]:
    """Return a number for every identity, by its key.

    Who had a number before keeps it, whatever becomes of the others. New ones get the numbers above the
    highest that was ever given, in the order of their keys, so that a number that is free again stays unused
    as long as possible: packets of its last owner may still be on their way. Raises `IdentitiesExhausted`
    when there are more identities than numbers.
    """
    keys = {one.key: one.reserved for one in wanted}
    found = {key: number for key, number in keys.items() if number is not None}
    unnumbered = sorted(key for key in keys if key not in found)
    end = 1 << bits
    usable = {key: number for key, number in previous.items() if FIRST <= number < end}
    found |= {key: usable[key] for key in unnumbered if key in usable}
    taken = set(found.values())
    begin = max([FIRST - 1, *usable.values()]) + 1
    free = (number for number in (*range(begin, end), *range(FIRST, begin)) if number not in taken)
    for key in unnumbered:
        if key in found:
            continue
        number = next(free, None)
        if number is None:
            raise IdentitiesExhausted(
                f"{len(unnumbered)} identities need a number and {end - FIRST} are there; "
                "mention fewer networks and labels in policies"
            )
        found[key] = number
    return found
