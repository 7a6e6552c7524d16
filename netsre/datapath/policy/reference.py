"""What a set of policies decides about a connection: the reference, slow and obvious.

It follows the published semantics sentence by sentence, and is what everything faster is compared with. A
connection is allowed when both its ends allow it: the source to go out, the destination to let in. At one
end, a rule that denies wins over every rule that allows; what no rule mentions is denied where a policy
isolates the endpoint in this direction, and allowed elsewhere. The question is about who begins: answers of
the other end belong to a connection that was allowed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

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
    AUDIT = "audit"
    """It is allowed, and counted: only policies that are on monitor would deny it."""


@dataclass(frozen=True, slots=True)
class Staged:
    """Policies that are not enforced, by name. What they allow is allowed; they deny nothing."""

    monitored: frozenset[str] = frozenset()
    """What they would deny is counted."""
    off: frozenset[str] = frozenset()

    def monitors(self, policy: Policy) -> bool:
        """Return whether a policy is on monitor; the `specs` of one document are one policy."""
        return policy.document in self.monitored

    def tells(self, policy: Policy) -> bool:
        """Return whether what a policy denies is counted at least."""
        return policy.document not in self.off

    def enforces(self, policy: Policy) -> bool:
        """Return whether what a policy denies is dropped."""
        return policy.document not in self.monitored | self.off


ENFORCED: Final = Staged()
"""All policies are enforced."""


class Reason(StrEnum):
    """Why; where it is a rule, the rule has a name."""

    RULE = "rule"
    DEFAULT_DENY = "default deny"
    NO_POLICY = "no policy selects it"
    ITSELF = "an endpoint may reach itself"
    NODE = "the node may reach its endpoints"
    WITHDRAWN = "allowed before"
    """Default deny of what the revision before allows; the rule, if there is one, is the one that does."""


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


def verdict(
    policies: Iterable[Policy], source: End, destination: End, service: Service, staged: Staged = ENFORCED
) -> Verdict:
    """Return what the policies decide about one connection, and the rule that decides it."""
    known = tuple(policies)
    if source.is_same(destination):
        itself = Answer(Decision.ALLOW, Reason.ITSELF)
        return joined(itself, itself)
    return joined(
        staged_answer(known, staged, source, destination, service, Direction.EGRESS),
        staged_answer(known, staged, destination, source, service, Direction.INGRESS),
    )


def joined(egress: Answer, ingress: Answer) -> Verdict:
    """Return the verdict of two answers.

    Of a denied connection the first end that denies it is told: packets leave before they arrive; of one that
    is audited likewise. Of an allowed one the destination's, unless only the source's rule says something.
    """
    ways = (egress, Direction.EGRESS), (ingress, Direction.INGRESS)
    silent = ingress.decision is Decision.ALLOW and ingress.rule is None
    told, direction = ways[0] if silent and egress.rule is not None else ways[1]
    for worst in (Decision.AUDIT, Decision.DENY):
        told, direction = next((one for one in ways if one[0].decision is worst), (told, direction))
    return Verdict(told.decision, told.name, direction, egress, ingress)


def answer(
    policies: Iterable[Policy], subject: End, peer: End, service: Service, direction: Direction
) -> Answer:
    """Return what one end's policies decide about its connection with the other end."""
    about = [policy for policy in _in_order(policies) if selects(policy, subject)]
    matching = _matching(about, subject, peer, service, direction)
    for rule in matching:
        if rule.deny:
            return Answer(Decision.DENY, Reason.RULE, rule)
    for rule in matching:
        return Answer(Decision.ALLOW, Reason.RULE, rule)
    return _without_rule(about, peer, direction)


def staged_answer(
    policies: Iterable[Policy],
    staged: Staged,
    subject: End,
    peer: End,
    service: Service,
    direction: Direction,
) -> Answer:
    """Return the same where not all policies are enforced.

    What one that is not enforced denies, by a rule or by isolating, counts for nothing but a note: so nothing
    becomes stricter by it. What it allows goes on to be allowed: so nothing that rests on it breaks.
    """
    about = [policy for policy in _in_order(policies) if selects(policy, subject)]
    enforced = [policy for policy in about if staged.enforces(policy)]
    told = [policy for policy in about if staged.tells(policy)]
    allowing = [rule for rule in _matching(about, subject, peer, service, direction) if not rule.deny]
    for rule in _matching(enforced, subject, peer, service, direction):
        if rule.deny:
            return Answer(Decision.DENY, Reason.RULE, rule)
    strict = _without_rule(enforced, peer, direction)
    if not allowing and strict.decision is Decision.DENY:
        return strict
    for rule in _matching(told, subject, peer, service, direction):
        if rule.deny:
            return Answer(Decision.AUDIT, Reason.RULE, rule)
    for rule in allowing:
        return Answer(Decision.ALLOW, Reason.RULE, rule)
    found = _without_rule(told, peer, direction)
    return replace(found, decision=Decision.AUDIT) if found.decision is Decision.DENY else found


def replacing(new: Answer, old: Answer) -> Answer:
    """Return the answer of new policies, and whether it takes away what the old ones gave.

    What they let pass, and no rule allows any longer, is withdrawn; a rule that denies is meant to.
    """
    lost = new.decision is Decision.DENY and new.reason is Reason.DEFAULT_DENY
    if not lost or old.decision is Decision.DENY:
        return new
    return replace(new, reason=Reason.WITHDRAWN, rule=old.rule)


def _matching(
    policies: Iterable[Policy], subject: End, peer: End, service: Service, direction: Direction
) -> list[Rule]:
    """Return the rules that are about a connection."""
    # The port of a service is the destination's, and so is its name.
    server = subject if direction is Direction.INGRESS else peer
    rules = [rule for policy in policies for rule in policy.rules[direction]]
    return [rule for rule in rules if matches(rule, peer, server, service)]


def _without_rule(policies: Iterable[Policy], peer: End, direction: Direction) -> Answer:
    """Return what policies about an endpoint decide where no rule says anything."""
    isolating = [policy for policy in policies if direction in policy.isolates]
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
