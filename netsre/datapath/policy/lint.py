"""What is wrong with policies that can be read: rules that do nothing, or far more than anybody wants."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from netsre.datapath.policy import coverage, ends, reference
from netsre.errors import Finding
from netsre.model import linting
from netsre.model.levels import Origin
from netsre.model.policies import codes
from netsre.model.policies.values import (
    Direction,
    Endpoint,
    EntityPeer,
    NetworkPeer,
    Peer,
    Policy,
    Rule,
    Selector,
    SelectorPeer,
)

_EVERYBODY: Final = frozenset({"all", "world"})


@dataclass(frozen=True, slots=True)
class _Placed:
    """A rule with the endpoints that it is about."""

    subject: Selector
    rule: Rule


def findings(policies: Iterable[Policy], endpoints: Sequence[Endpoint] | None = None) -> tuple[Finding, ...]:
    """Return everything that is suspicious about policies; with endpoints also what is about none of them."""
    found = linting.Findings()
    known = sorted(policies, key=lambda policy: policy.order)
    for policy in known:
        for direction in Direction:
            rules = policy.rules[direction]
            for rule in rules:
                _alone(rule, rules, found)
        for rule in policy.idle:
            message = "is of a direction that policyTypes leaves out; add it there, or leave the rule out"
            _say(found, rule.origin, codes.NO_EFFECT, rule.name, message)
    for direction in Direction:
        _together([_Placed(one.subject, rule) for one in known for rule in one.rules[direction]], found)
    if endpoints is not None:
        _against(known, endpoints, found)
    return found.sorted()


def _alone(rule: Rule, rules: Sequence[Rule], found: linting.Findings) -> None:
    everybody = rule.peers is None or any(map(_is_everybody, rule.peers))
    if not rule.deny and everybody and rule.ports is None:
        message = "allows everybody every port; name peers or ports"
        _say(found, rule.origin, codes.TOO_BROAD, rule.name, message)
    nobody = rule.peers is not None and not any(map(_is_anybody, rule.peers))
    # Alone, such a rule is how Cilium's policies isolate without allowing anything.
    if nobody and len(rules) > 1:
        message = "matches nothing; name peers, or leave it out"
        _say(found, rule.origin, codes.NO_EFFECT, rule.name, message)


def _is_everybody(peer: Peer) -> bool:
    match peer:
        case NetworkPeer(network, excepted):
            return network.prefixlen == 0 and not excepted
        case EntityPeer(entity):
            return entity in _EVERYBODY
        case SelectorPeer():
            return False


def _is_anybody(peer: Peer) -> bool:
    return not isinstance(peer, EntityPeer) or bool(peer.kinds)


def _together(placed: Sequence[_Placed], found: linting.Findings) -> None:
    """Report rules that another one covers, each once: the worst that can be said of it."""
    near: dict[str | None, list[tuple[int, _Placed]]] = {}
    for index, one in enumerate(placed):
        near.setdefault(one.subject.namespace, []).append((index, one))
    for index, one in enumerate(placed):
        if one.rule.peers == ():
            continue
        # What is about one namespace covers nothing of another.
        spaces = {None, one.subject.namespace}
        candidates = sorted(
            (pair for space in spaces for pair in near.get(space, [])), key=lambda pair: pair[0]
        )
        others = [(at, other) for at, other in candidates if at != index and _covers(other, one)]
        denying = [other for _, other in others if other.rule.deny]
        same = [other for at, other in others if _twins(one, other) and at < index]
        wider = [other for _, other in others if _alike(one, other) and not _covers(one, other)]
        if denying and not one.rule.deny:
            message = f"is always denied by {_place(denying[0].rule)}; leave one of the two out"
            _say(found, one.rule.origin, codes.CONTRADICTED, one.rule.name, message)
        elif same:
            message = f"says the same as {_place(same[0].rule)}; leave one of the two out"
            _say(found, one.rule.origin, codes.REPEATED, one.rule.name, message)
        elif wider:
            message = f"says nothing that {_place(wider[0].rule)} does not say; leave it out"
            _say(found, one.rule.origin, codes.SHADOWED, one.rule.name, message)


def _covers(outer: _Placed, inner: _Placed) -> bool:
    return coverage.selects(outer.subject, inner.subject) and coverage.covers(outer.rule, inner.rule)


def _alike(one: _Placed, other: _Placed) -> bool:
    return one.rule.deny == other.rule.deny


def _twins(one: _Placed, other: _Placed) -> bool:
    return _alike(one, other) and _covers(one, other)


def _against(policies: Iterable[Policy], endpoints: Sequence[Endpoint], found: linting.Findings) -> None:
    known = [ends.of_endpoint(one, None) for one in endpoints]
    for policy in policies:
        if not any(reference.selects(policy, end) for end in known):
            message = "selects no endpoint; correct its selector, or leave it out"
            _say(found, policy.origin, codes.NO_ENDPOINT, policy.name, message)
        for rule in (rule for direction in Direction for rule in policy.rules[direction]):
            for number in _nobody(rule, known):
                message = f"has a peer that no endpoint is (number {number}); correct its selector"
                _say(found, rule.origin, codes.NO_PEER, rule.name, message)


def _nobody(rule: Rule, known: Sequence[ends.End]) -> Iterator[int]:
    for number, peer in enumerate(rule.peers or (), start=1):
        if isinstance(peer, SelectorPeer) and not any(reference.is_peer(peer, end) for end in known):
            yield number


def _place(rule: Rule) -> str:
    return f"{rule.name} in {rule.origin.file}:{rule.origin.line}"


def _say(found: linting.Findings, origin: Origin, code: str, name: str, message: str) -> None:
    found.add(origin, code, f"{name} {message}")
