"""What a set of policies decides about a connection: the reference, slow and obvious.

It follows the published semantics sentence by sentence, and is what everything faster is compared with. A
connection is allowed when both its ends allow it: the source to go out, the destination to let in. At one
end, a rule that denies wins over every rule that allows; what no rule mentions is denied where a policy
isolates the endpoint in this direction, and allowed elsewhere. The question is about who begins: answers of
the other end belong to a connection that was allowed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from netsre.datapath.policy.ends import End, Service
from netsre.model.policies.values import (
    CILIUM_POLICY,
    CLUSTERWIDE_POLICY,
    Direction,
    EntityPeer,
    Kind,
    NetworkPeer,
    Peer,
    Policy,
    Ports,
    Rule,
    SelectorPeer,
)


class Decision(StrEnum):
    """What happens to a connection."""

    ALLOW = "allow"
    DENY = "deny"


class Reason(StrEnum):
    """Why; where it is a rule, the rule has a name."""

    RULE = "rule"
    DEFAULT_DENY = "default deny"
    NO_POLICY = "no policy selects it"
    ITSELF = "an endpoint may reach itself"
    NODE = "the node may reach its endpoints"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one end decides."""

    decision: Decision
    reason: Reason
    rule: Rule | None = None
    isolating: tuple[str, ...] = field(default=(), compare=False)
    """The policies that isolate the endpoint, where that decides."""

    @property
    def name(self) -> str:
        """Return the rule's name, or the reason that there is none."""
        return self.rule.name if self.rule is not None else self.reason.value


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both ends decide, and which of them is told."""

    decision: Decision
    rule: str
    """The document and the rule in it, or the reason that there is none."""
    direction: Direction
    egress: Answer
    """What the source's side says."""
    ingress: Answer
    """What the destination's side says."""


def verdict(policies: Iterable[Policy], source: End, destination: End, service: Service) -> Verdict:
    """Return what the policies decide about one connection, and the rule that decides it."""
    known = tuple(policies)
    if source.is_same(destination):
        itself = Answer(Decision.ALLOW, Reason.ITSELF)
        return joined(itself, itself)
    return joined(
        answer(known, source, destination, service, Direction.EGRESS),
        answer(known, destination, source, service, Direction.INGRESS),
    )


def joined(egress: Answer, ingress: Answer) -> Verdict:
    """Return the verdict of two answers.

    Of a denied connection the first end that denies it is told: packets leave before they arrive. Of an
    allowed one the destination's, unless only the source's rule says something.
    """
    silent = ingress.decision is Decision.ALLOW and ingress.rule is None
    if egress.decision is Decision.DENY or (silent and egress.rule is not None):
        told, direction = egress, Direction.EGRESS
    else:
        told, direction = ingress, Direction.INGRESS
    return Verdict(told.decision, told.name, direction, egress, ingress)


def answer(
    policies: Iterable[Policy], subject: End, peer: End, service: Service, direction: Direction
) -> Answer:
    """Return what one end's policies decide about its connection with the other end."""
    about = [policy for policy in _in_order(policies) if selects(policy, subject)]
    rules = [rule for policy in about for rule in policy.rules[direction]]
    # The port of a service is the destination's, and so is its name.
    server = subject if direction is Direction.INGRESS else peer
    matching = [rule for rule in rules if matches(rule, peer, server, service)]
    for rule in matching:
        if rule.deny:
            return Answer(Decision.DENY, Reason.RULE, rule)
    for rule in matching:
        return Answer(Decision.ALLOW, Reason.RULE, rule)
    isolating = [policy for policy in about if direction in policy.isolates]
    if not isolating:
        return Answer(Decision.ALLOW, Reason.NO_POLICY)
    if peer.kind is Kind.HOST and node_is_free(isolating, direction):
        return Answer(Decision.ALLOW, Reason.NODE)
    return Answer(Decision.DENY, Reason.DEFAULT_DENY, isolating=tuple(one.name for one in isolating))


def node_is_free(isolating: Iterable[Policy], direction: Direction) -> bool:
    """Return whether an isolated endpoint and its own node may talk without a rule.

    To Kubernetes they always may. To Cilium the node may reach its endpoints (its probes do), and endpoints
    need a rule to reach the node.
    """
    cilium = {CILIUM_POLICY, CLUSTERWIDE_POLICY}
    return direction is Direction.INGRESS or not any(policy.kind in cilium for policy in isolating)


def selects(policy: Policy, subject: End) -> bool:
    """Return whether a policy is about an end: only endpoints are policed."""
    return subject.kind is Kind.ENDPOINT and policy.subject.matches(subject.facts)


def matches(rule: Rule, peer: End, server: End, service: Service) -> bool:
    """Return whether a rule is about a connection: one of its peers and one of its ports must be."""
    whom = rule.peers is None or any(is_peer(one, peer) for one in rule.peers)
    what = rule.ports is None or any(is_port(one, server, service) for one in rule.ports)
    return whom and what


def is_peer(peer: Peer, end: End) -> bool:
    """Return whether an end is meant by a peer."""
    match peer:
        case SelectorPeer(selector):
            of_interest = end.kind is Kind.ENDPOINT or selector.asks_for_reserved
            return of_interest and selector.matches(end.facts)
        case EntityPeer():
            if peer.family is not None and (end.address is None or end.address.version != peer.family):
                return False
            return end.kind in peer.kinds
        case NetworkPeer():
            if end.address is None or end.address not in peer.network:
                return False
            outside = end.kind in {Kind.WORLD, Kind.KUBE_APISERVER}
            return (peer.anybody or outside) and not any(end.address in one for one in peer.excepted)


def is_port(ports: Ports, server: End, service: Service) -> bool:
    """Return whether a service is meant by a range of ports, or by a name that the server has for it."""
    if ports.protocol is not service.protocol:
        return False
    if ports.name is None:
        return ports.first <= service.port <= ports.last
    return any(
        one.name == ports.name and one.protocol is service.protocol and one.port == service.port
        for one in server.named_ports
    )


def _in_order(policies: Iterable[Policy]) -> list[Policy]:
    """Return policies in the order in which rules are named, which is not that of files."""
    return sorted(policies, key=lambda policy: policy.order)
