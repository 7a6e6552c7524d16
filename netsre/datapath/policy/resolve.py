"""Policies and endpoints as a kernel map can hold them: entries whose longest match is the answer.

Every end is a number. For an endpoint and a direction there is a table: under a number, or under `ANY`, lie
prefixes of protocol and port. The longest prefix that matches has the answer of all rules together, those
that deny before those that allow: nothing has to be compared at the time of the packet. A number with entries
of its own has all that are under `ANY` in them; where nothing matches, the table's own answer counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import ends, reference
from netsre.datapath.policy.ends import LOOPBACK
from netsre.datapath.policy.identities import ANY, Identity, Networks, Relevance, allocate, relevance
from netsre.datapath.policy.prefixes import WHATEVER, Prefix, around, of_range
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.model.policies.values import (
    Direction,
    Endpoint,
    EntityPeer,
    Kind,
    NamedPort,
    Network,
    Peer,
    Policy,
    Ports,
    Rule,
)

_WORLD: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_NODE: Final = Answer(Decision.ALLOW, Reason.NODE)
_LAST: Final = 1 << 62

_Rank = tuple[bool, int]
"""What comes first has the say: whatever denies, then in the order of the rules."""
_Said = tuple[Prefix, _Rank, Answer]


@dataclass(frozen=True, slots=True)
class Table:
    """What one endpoint decides in one direction."""

    otherwise: Answer
    """Where no entry matches."""
    entries: Mapping[int, Mapping[Prefix, Answer]]
    """By number of the other end."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A whole set of policies for a whole set of endpoints."""

    numbers: Mapping[str, int]
    """By the key of an identity: what the next one is given as its previous."""
    addresses: Mapping[Network, int]
    """The number of every address, by the longest prefix."""
    tables: Mapping[str, Mapping[Direction, Table]]
    """By the name of an endpoint; endpoints that no policy selects have none."""


def resolve(
    policies: Iterable[Policy], endpoints: Sequence[Endpoint], previous: Mapping[str, int], bits: int = 16
) -> Resolved:
    """Return what the kernel is to know; raises `IdentitiesExhausted`."""
    known = sorted(policies, key=lambda policy: policy.order)
    about = relevance(known)
    regions = dict(_regions(endpoints, about))
    identities = dict.fromkeys(regions.values())
    numbers = allocate(identities, previous, bits)
    numbered = {numbers[one.key]: one for one in identities}
    builder = _Builder(numbered)
    tables = {}
    spaces = {None, *(endpoint.namespace for endpoint in endpoints)}
    # Most policies are about one namespace: endpoints of others are not asked.
    near = {space: [one for one in known if one.subject.namespace in {None, space}] for space in spaces}
    for endpoint in endpoints:
        end = ends.of_endpoint(endpoint, None)
        mine = tuple(one for one in near[endpoint.namespace] if reference.selects(one, end))
        if mine:
            tables[endpoint.full_name] = builder.tables(mine, endpoint.named_ports)
    addresses = {network: numbers[identity.key] for network, identity in regions.items()}
    return Resolved(MappingProxyType(numbers), MappingProxyType(addresses), MappingProxyType(tables))


def _regions(endpoints: Sequence[Endpoint], about: Relevance) -> Iterator[tuple[Network, Identity]]:
    """Yield networks with the identity of the addresses that have none smaller around them."""
    for network in (*_WORLD, *LOOPBACK, *about.networks):
        at_home = Networks(LOOPBACK).around(network) is not None
        end = ends.of_kind(Kind.HOST if at_home else Kind.WORLD)
        yield network, about.identity(end, network)
    for endpoint in endpoints:
        for ip in endpoint.ips:
            yield ip_network(ip), about.identity(ends.of_endpoint(endpoint, ip))


class _Builder:
    """Makes tables, each once: endpoints under the same policies share them."""

    def __init__(self, identities: Mapping[int, Identity]) -> None:
        self._identities = identities
        self._meant: dict[Peer, frozenset[int]] = {}
        self._made: dict[tuple[tuple[int, ...], tuple[NamedPort, ...]], Mapping[Direction, Table]] = {}

    def tables(
        self, policies: tuple[Policy, ...], named_ports: tuple[NamedPort, ...]
    ) -> Mapping[Direction, Table]:
        key = tuple(map(id, policies)), named_ports
        if key not in self._made:
            found = {way: self._table(policies, way, named_ports) for way in Direction}
            self._made[key] = MappingProxyType(found)
        return self._made[key]

    def _table(
        self, policies: tuple[Policy, ...], way: Direction, named_ports: tuple[NamedPort, ...]
    ) -> Table:
        said: dict[int, list[_Said]] = {}
        for place, rule in enumerate(rule for policy in policies for rule in policy.rules[way]):
            answer = Answer(Decision.DENY if rule.deny else Decision.ALLOW, Reason.RULE, rule)
            for number, prefix in self._matches(rule, way, named_ports):
                said.setdefault(number, []).append((prefix, (not rule.deny, place), answer))
        isolating = [policy for policy in policies if way in policy.isolates]
        if isolating and reference.node_is_free(isolating, way):
            for number, identity in self._identities.items():
                if identity.kind is Kind.HOST:
                    said.setdefault(number, []).append((WHATEVER, (True, _LAST), _NODE))
        names = tuple(policy.name for policy in isolating)
        otherwise = (
            Answer(Decision.DENY, Reason.DEFAULT_DENY, isolating=names)
            if isolating
            else Answer(Decision.ALLOW, Reason.NO_POLICY)
        )
        everybody = said.get(ANY, [])
        flat = {number: _flat(own if number == ANY else own + everybody) for number, own in said.items()}
        return Table(otherwise, MappingProxyType(flat))

    def _matches(
        self, rule: Rule, way: Direction, named_ports: tuple[NamedPort, ...]
    ) -> Iterator[tuple[int, Prefix]]:
        """Yield whom and what a rule matches."""
        named = way is Direction.EGRESS and any(one.name is not None for one in rule.ports or ())
        everybody = rule.peers is None or EntityPeer("all") in rule.peers
        if everybody and not named:
            numbers: Iterable[int] = (ANY,)
        elif everybody:
            numbers = self._identities
        else:
            numbers = {number for peer in rule.peers or () for number in self._numbers(peer)}
        for number in numbers:
            server = named_ports
            if named:
                server = self._identities[number].named_ports
            for prefix in _prefixes(rule.ports, server):
                yield number, prefix

    def _numbers(self, peer: Peer) -> frozenset[int]:
        if peer not in self._meant:
            self._meant[peer] = frozenset(
                number for number, identity in self._identities.items() if identity.is_meant_by(peer)
            )
        return self._meant[peer]


def _prefixes(ports: tuple[Ports, ...] | None, names: tuple[NamedPort, ...]) -> Iterator[Prefix]:
    if ports is None:
        yield WHATEVER
        return
    for one in ports:
        if one.name is None:
            yield from of_range(one.protocol, one.first, one.last)
        for named in names:
            if (named.name, named.protocol) == (one.name, one.protocol):
                yield from of_range(one.protocol, named.port, named.port)


def _flat(said: Iterable[_Said]) -> Mapping[Prefix, Answer]:
    """Return one answer for each prefix: the first of all around it; without prefixes that add nothing."""
    first: dict[Prefix, tuple[_Rank, Answer]] = {}
    for prefix, rank, answer in said:
        if prefix not in first or rank < first[prefix][0]:
            first[prefix] = rank, answer
    found: dict[Prefix, Answer] = {}
    for prefix in sorted(first):
        outside = [one for one in around(prefix) if one in first]
        _, best = min((first[one] for one in outside), key=lambda pair: pair[0])
        smallest = next((found[one] for one in outside[1:] if one in found), None)
        if best != smallest:
            found[prefix] = best
    return MappingProxyType(found)
