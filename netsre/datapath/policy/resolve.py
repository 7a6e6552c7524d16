"""Policies and endpoints as kernel maps can hold them: a number for every end, and tables by number.

What a set of policies has in common with the one before is not made again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import ends, matches, tables, zones
from netsre.datapath.policy.ends import LOOPBACK
from netsre.datapath.policy.identities import (
    FAMILIES,
    WORLD,
    Identity,
    Mentions,
    Networks,
    Relevance,
    Whom,
    Whose,
    allocate,
    mentions,
    of_world,
    relevance,
)
from netsre.datapath.policy.reference import ENFORCED, Staged
from netsre.datapath.policy.tables import Ends, Table
from netsre.datapath.policy.views import Share, ShareKey
from netsre.datapath.policy.zones import Place, Residents, Zones
from netsre.model.policies.values import (
    Address,
    Direction,
    Endpoint,
    Kind,
    NamedPort,
    Network,
    Policy,
    Selector,
)

_HOME: Final = Networks(LOOPBACK)
_NODE: Final = relevance(Mentions()).identity(ends.of_kind(Kind.HOST))
"""Who has the addresses of loopback."""

_Key = tuple[ShareKey, tuple[NamedPort, ...]]
"""What makes two endpoints have the same tables: policies, their stages, and the ports that they name."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Endpoints that have the new policies, while all others have those of before."""

    endpoints: frozenset[str]
    """`namespace/name` of each."""
    before: tuple[Policy, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What makes policies hold in another way than for everybody and in full."""

    staged: Staged = ENFORCED
    canary: Canary | None = None


_NO_TRIAL: Final = Trial()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A whole set of policies for a whole set of endpoints."""

    numbers: Mapping[str, int]
    """By the key of an identity: what the next one is given as its previous."""
    identities: Mapping[str, int]
    """The number of every endpoint, by its name."""
    addresses: Mapping[Network, Whose]
    """Whose every other address is, by the longest prefix."""
    tables: Mapping[str, Mapping[Direction, Table]]
    """By the name of an endpoint; endpoints that no policy selects have none."""


def resolve(
    policies: Iterable[Policy],
    endpoints: Sequence[Endpoint],
    previous: Mapping[str, int],
    bits: int = 16,
    trial: Trial = _NO_TRIAL,
) -> Resolved:
    """Return what the kernel is to know; raises `IdentitiesExhausted` and `ZonesExhausted`."""
    return Resolver().resolve(policies, endpoints, previous, bits, trial)


@dataclass(frozen=True, slots=True)
class _Listed:
    """An entry of the endpoints, as it was found."""

    endpoint: Endpoint
    identity: Identity
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """A table, and what it rests on."""

    share: Share
    table: Table
    peers: frozenset[Whom]
    everyone: bool
    """Whether each identity there is can have entries of its own."""


@dataclass(slots=True)
class Resolver:
    """Resolves one set after the other. What it keeps makes it faster, and never changes an answer.

    Policies and endpoints are known again by being the same objects; what is kept of them keeps them alive.
    """

    _mentions: dict[int, tuple[Policy, Mentions]] = field(default_factory=dict)
    _about: Relevance = field(default_factory=lambda: relevance(Mentions()))
    _listed: dict[int, _Listed] = field(default_factory=dict)
    _mentioned: Mapping[Network, Identity] = field(default_factory=dict)
    _selected: matches.Matches[Selector, Endpoint] = field(default_factory=matches.of_endpoints)
    _meant: matches.Matches[Whom, Identity] = field(default_factory=matches.of_identities)
    _identities: Mapping[int, Identity] = field(default_factory=dict)
    _residents: Residents = field(default_factory=lambda: Residents({}))
    _made: dict[tuple[_Key, Direction], _Made] = field(default_factory=dict)

    def resolve(
        self,
        policies: Iterable[Policy],
        endpoints: Sequence[Endpoint],
        previous: Mapping[str, int],
        bits: int = 16,
        trial: Trial = _NO_TRIAL,
    ) -> Resolved:
        """Return what the kernel is to know; raises `IdentitiesExhausted` and `ZonesExhausted`."""
        known = sorted(policies, key=lambda policy: policy.order)
        before = sorted(trial.canary.before, key=lambda policy: policy.order) if trial.canary else []
        # Who is who rests on the policies of both, so that all tables speak of the same numbers.
        networks, listed = self._networks([*known, *before]), self._owners(endpoints)
        # Who has an address goes before a network that is this address alone.
        for one in listed:
            if one.endpoint.kind is not Kind.ENDPOINT:
                networks.update((alone(ip), one.identity) for ip in one.endpoint.ips)
        identities = {one.key: one for one in (*networks.values(), *(one.identity for one in listed))}
        numbers = allocate(identities.values(), previous, bits)
        whose = {key: Whose.of(one, numbers[key]) for key, one in identities.items()}
        asked = {whose[key].asked: one for key, one in identities.items() if one.kind is not Kind.WORLD}
        residents: dict[Place, Whose] = {zones.place(one): whose[_NODE.key] for one in LOOPBACK}
        for one in listed:
            residents.update(dict.fromkeys(one.places, whose[one.identity.key]))
        self._renew({**WORLD, **asked}, residents)
        shares = self._shares(known, before, endpoints, trial)
        return Resolved(
            MappingProxyType(numbers),
            MappingProxyType({one.endpoint.full_name: numbers[one.identity.key] for one in listed}),
            MappingProxyType({network: whose[one.key] for network, one in networks.items()}),
            MappingProxyType(self._tables(shares, endpoints)),
        )

    def _networks(self, policies: Sequence[Policy]) -> dict[Network, Identity]:
        """Return the networks that policies mention, and all there are, with their identities."""
        before = self._mentions
        self._mentions = {
            id(one): before[id(one)] if id(one) in before else (one, mentions(one)) for one in policies
        }
        whole = Mentions.union(found for _, found in self._mentions.values())
        about = relevance(whole)
        if self._about != about:
            self._about, self._listed = about, {}
        known = self._mentioned
        self._mentioned = {
            one: known[one] if one in known else _of_network(one)
            for one in (*FAMILIES, *LOOPBACK, *whole.networks)
        }
        return dict(self._mentioned)

    def _owners(self, endpoints: Sequence[Endpoint]) -> list[_Listed]:
        """Return who has addresses of his own."""
        before = self._listed
        self._listed = {
            id(one): before[id(one)] if id(one) in before else _listed(one, self._about) for one in endpoints
        }
        return [one for one in self._listed.values() if one.places]

    def _renew(self, identities: Mapping[int, Identity], residents: Mapping[Place, Whose]) -> None:
        """Take the identities of now and where they are, and forget the tables that rest on others."""
        asked = (one.table.zones for one in self._made.values() if one.table.zones)
        self._residents, moved = self._residents.moved(residents, asked)
        renewed, same_hosts = identities != self._identities, _hosts(identities) == _hosts(self._identities)
        changed = self._meant.update(identities) if renewed else frozenset()
        self._identities = identities
        if changed is None or not same_hosts:
            self._made = {}
            return

        def holds(one: _Made) -> bool:
            return not ((one.everyone and renewed) or one.peers & changed or _rests_on(one.table, moved))

        if renewed or moved is None or moved:
            self._made = {key: one for key, one in self._made.items() if holds(one)}

    def _shares(
        self,
        policies: Sequence[Policy],
        before: Sequence[Policy],
        endpoints: Sequence[Endpoint],
        trial: Trial,
    ) -> Mapping[int, Share]:
        """Return the policies of each endpoint; those of before are of all that are in no canary."""
        self._selected.update({id(one): one for one in endpoints})
        new, old = self._selecting(policies), self._selecting(before)
        self._selected.keep({policy.subject for policy in (*policies, *before)})
        canary = trial.canary
        if canary is None:
            return {number: Share(tuple(mine), trial.staged) for number, mine in new.items()}
        chosen = {id(one) for one in endpoints if one.full_name in canary.endpoints}
        shares = {
            number: Share(tuple(mine), trial.staged) for number, mine in old.items() if number not in chosen
        }
        for number in chosen & new.keys():
            shares[number] = Share(tuple(new[number]), trial.staged, tuple(old.get(number, ())))
        return shares

    def _selecting(self, policies: Iterable[Policy]) -> dict[int, list[Policy]]:
        found: dict[int, list[Policy]] = {}
        for policy in policies:
            for number in self._selected.of(policy.subject):
                found.setdefault(number, []).append(policy)
        return found

    def _tables(
        self, shares: Mapping[int, Share], endpoints: Sequence[Endpoint]
    ) -> dict[str, Mapping[Direction, Table]]:
        others = Ends(self._identities, self._meant, _hosts(self._identities), self._residents)
        used: dict[tuple[_Key, Direction], _Made] = {}
        ways: dict[_Key, Mapping[Direction, Table]] = {}
        found: dict[str, Mapping[Direction, Table]] = {}
        for endpoint in endpoints:
            if id(endpoint) not in shares:
                continue
            share = shares[id(endpoint)]
            same = share.key, endpoint.named_ports
            if same not in ways:
                for way in Direction:
                    known = self._made.get((same, way))
                    used[same, way] = known or _make(share, endpoint.named_ports, way, others)
                ways[same] = MappingProxyType({way: used[same, way].table for way in Direction})
            found[endpoint.full_name] = ways[same]
        self._made = used
        self._meant.keep(frozenset().union(*(one.peers for one in used.values())))
        self._residents.keep({one.table.zones for one in used.values()})
        return found


def _make(share: Share, named_ports: tuple[NamedPort, ...], way: Direction, others: Ends) -> _Made:
    everyone = any(tables.asks_everyone(policy, way) for policy in share.all)
    return _Made(share, tables.table(share, way, named_ports, others), tables.whom(share.all, way), everyone)


def _rests_on(table: Table, moved: Mapping[Zones, frozenset[int]] | None) -> bool:
    """Return whether a table rests on where somebody was who has moved."""
    if not table.zones or moved is None:
        return bool(table.zones)
    movers = moved.get(table.zones, frozenset())
    return bool(movers if table.whom is None else movers & table.whom)


def _hosts(identities: Mapping[int, Identity]) -> frozenset[int]:
    return frozenset(number for number, one in identities.items() if one.kind is Kind.HOST)


def _of_network(network: Network) -> Identity:
    return _NODE if _HOME.around(network) is not None else of_world(network)


def _listed(endpoint: Endpoint, about: Relevance) -> _Listed:
    places = tuple((ip.version, int(ip), ip.max_prefixlen) for ip in endpoint.ips)
    return _Listed(endpoint, about.identity(ends.of_endpoint(endpoint, None)), places)


def alone(ip: Address) -> Network:
    """Return the network of one address; `ip_network` would try IPv4 first, at ten times the cost."""
    whole = int(ip), ip.max_prefixlen
    return IPv4Network(whole) if ip.version == 4 else IPv6Network(whole)
