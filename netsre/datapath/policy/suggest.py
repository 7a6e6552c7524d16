"""The least that must be allowed for what was delivered: policies from observed flows.

Every group of endpoints gets one policy that isolates it in both directions. A flow that was delivered is
allowed at both its ends; what failed or was denied is not, and is kept beside the policy for people.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import groups
from netsre.datapath.policy.ends import End, Service
from netsre.datapath.policy.groups import Group
from netsre.datapath.policy.observed import DELIVERED, Flow, Tally, together
from netsre.model.policies.values import (
    Address,
    Direction,
    Endpoint,
    Kind,
    Network,
    Operator,
    Ports,
    Requirement,
    within,
)

PREFIX: Final = "suggested-"
_LONGEST_NAME: Final = 200

Peer = Group | Network


@dataclass(frozen=True, slots=True)
class Explained:
    """Flows of one peer for one service."""

    peer: Peer
    service: Service
    tallies: Mapping[str, Tally]
    """By outcome."""


@dataclass(frozen=True, slots=True)
class SuggestedRule:
    """Peers that use the same services."""

    groups: tuple[Group, ...]
    networks: tuple[tuple[Network, tuple[Network, ...]], ...]
    """Each with what is excepted."""
    ports: tuple[Ports, ...]
    explains: tuple[Explained, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy for one group."""

    group: Group
    name: str
    """Without the namespace."""
    rules: Mapping[Direction, tuple[SuggestedRule, ...]]
    refused: Mapping[Direction, tuple[Explained, ...]]
    """What was tried, never delivered, and is not allowed."""


Learned = dict[tuple[Group, Direction], dict[Peer, dict[Service, dict[str, list[Tally]]]]]


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Who is known, and what is asked for."""

    group_of: Mapping[str, Group]
    """By `namespace/name`."""
    joined: Mapping[Network, tuple[Network, ...]]
    """Networks that stand for all of the world in them, in order, each with the known addresses in it."""
    found: dict[Address, Network] = field(default_factory=dict, compare=False)

    def peer(self, end: End) -> Peer | None:
        """Return by what a policy can mean an end; None for the node, which needs no rule."""
        if end.endpoint is not None and end.kind is Kind.ENDPOINT:
            return self.group_of[end.endpoint.full_name]
        if end.kind is Kind.HOST or end.address is None:
            return None
        if end.address not in self.found:
            own = ipaddress.ip_network(end.address)
            around = (one for one in self.joined if end.kind is Kind.WORLD and within(own, one))
            self.found[end.address] = next(around, own)
        return self.found[end.address]


def suggest(
    endpoints: Sequence[Endpoint],
    flows: Iterable[Flow],
    namespace: str | None = None,
    join: Iterable[Network] = (),
) -> tuple[Suggestion, ...]:
    """Return a policy for every group of endpoints, of one namespace or of all.

    `join` are networks of which all is to be allowed as soon as one address of it was seen; addresses of
    known endpoints and nodes stay excepted.
    """
    known = groups.groups(endpoints)
    cluster = _Cluster(
        MappingProxyType({name: group for group in known for name in group.members}),
        MappingProxyType(dict(_joined(join, endpoints))),
    )
    learned = _learned(flows, cluster)
    wanted = [group for group in known if namespace in {None, group.namespace}]
    return tuple(
        Suggestion(
            group,
            name,
            MappingProxyType({way: _rules(learned, group, way, cluster) for way in Direction}),
            MappingProxyType({way: _refused(learned, group, way) for way in Direction}),
        )
        for group, name in zip(wanted, _names(wanted), strict=True)
    )


def _joined(
    join: Iterable[Network], endpoints: Sequence[Endpoint]
) -> Iterator[tuple[Network, tuple[Network, ...]]]:
    taken = [ipaddress.ip_network(ip) for one in endpoints for ip in one.ips]
    # A network comes before those in it, and so is found before them: it says all that they say.
    for network in sorted(set(join), key=_place):
        yield network, _collapsed(one for one in taken if within(one, network))


def _learned(flows: Iterable[Flow], cluster: _Cluster) -> Learned:
    found: Learned = {}
    for flow in flows:
        if flow.source.is_same(flow.destination):
            continue
        sides = (
            (flow.source, flow.destination, Direction.EGRESS),
            (flow.destination, flow.source, Direction.INGRESS),
        )
        for end, other, direction in sides:
            subject, peer = cluster.peer(end), cluster.peer(other)
            if not isinstance(subject, Group) or peer is None:
                continue
            tallies = found.setdefault((subject, direction), {}).setdefault(peer, {})
            for outcome, tally in flow.tallies.items():
                tallies.setdefault(flow.service, {}).setdefault(outcome, []).append(tally)
    return found


def _rules(
    learned: Learned, group: Group, direction: Direction, cluster: _Cluster
) -> tuple[SuggestedRule, ...]:
    """Return the rules of one direction: peers of the same services share one."""
    sharing: dict[tuple[Ports, ...], list[Peer]] = {}
    explained: dict[Peer, list[Explained]] = {}
    for peer, services in learned.get((group, direction), {}).items():
        delivered = [one for one in _explained(peer, services) if DELIVERED in one.tallies]
        if delivered:
            explained[peer] = delivered
            sharing.setdefault(_ranges(one.service for one in delivered), []).append(peer)
    rules = [
        SuggestedRule(
            tuple(sorted(one for one in peers if isinstance(one, Group))),
            _networks((one for one in peers if not isinstance(one, Group)), cluster),
            ports,
            tuple(one for peer in sorted(peers, key=_order) for one in explained[peer]),
        )
        for ports, peers in sharing.items()
    ]
    return tuple(sorted(rules, key=lambda rule: _order(rule.explains[0].peer)))


def _refused(learned: Learned, group: Group, direction: Direction) -> tuple[Explained, ...]:
    services = learned.get((group, direction), {})
    return tuple(
        one
        for peer in sorted(services, key=_order)
        for one in _explained(peer, services[peer])
        if DELIVERED not in one.tallies
    )


def _explained(peer: Peer, services: Mapping[Service, Mapping[str, list[Tally]]]) -> list[Explained]:
    return [
        Explained(
            peer,
            service,
            MappingProxyType(
                {outcome: together(some) for outcome, some in sorted(services[service].items())}
            ),
        )
        for service in sorted(services, key=lambda one: (one.protocol, one.port))
    ]


def _ranges(services: Iterable[Service]) -> tuple[Ports, ...]:
    """Return services as ranges of ports; only neighbours are in one."""
    found: list[Ports] = []
    for one in sorted(set(services), key=lambda one: (one.protocol, one.port)):
        before = found[-1] if found else None
        if before is not None and before.protocol is one.protocol and before.last + 1 == one.port:
            found[-1] = Ports(one.protocol, before.first, one.port)
        else:
            found.append(Ports(one.protocol, one.port, one.port))
    return tuple(found)


def _networks(
    networks: Iterable[Network], cluster: _Cluster
) -> tuple[tuple[Network, tuple[Network, ...]], ...]:
    """Return networks with their exceptions; those of which all was seen are one."""
    known = [*networks]
    holed = [(one, cluster.joined[one]) for one in known if cluster.joined.get(one)]
    whole = _collapsed(one for one in known if not cluster.joined.get(one))
    return tuple(sorted((*holed, *((one, ()) for one in whole)), key=lambda pair: _place(pair[0])))


def _collapsed(networks: Iterable[Network]) -> tuple[Network, ...]:
    known = [*networks]
    four = ipaddress.collapse_addresses(one for one in known if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in known if isinstance(one, ipaddress.IPv6Network))
    return (*four, *six)


def _place(network: Network) -> tuple[int, int, int]:
    return (network.version, int(network.network_address), network.prefixlen)


def _order(peer: Peer) -> tuple[int, str, groups.Labels, tuple[int, int, int]]:
    """Return where a peer stands: groups by name before networks by address."""
    if isinstance(peer, Group):
        return (0, peer.namespace, peer.labels, (0, 0, 0))
    return (1, "", (), _place(peer))


def _names(wanted: Iterable[Group]) -> Iterator[str]:
    """Yield a name of a policy for each group, by the labels that tell it; once in each namespace."""
    taken: set[tuple[str, str]] = set()
    for group in wanted:
        words = "-".join(map(_words, group.selector))
        plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_LONGEST_NAME].strip("-")
        first = name = PREFIX + (plain or "others")
        number = 1
        while (group.namespace, name) in taken:
            number += 1
            name = f"{first}-{number}"
        taken.add((group.namespace, name))
        yield name


def _words(one: Requirement) -> str:
    if one.operator is not Operator.IN:
        return ""
    key = "" if one.key in groups.USUAL else one.key.rpartition("/")[2]
    return f"{key}-{one.values[0]}"
