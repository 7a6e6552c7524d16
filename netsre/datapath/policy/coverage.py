"""Whether one rule says all that another one says, as far as their words show it.

A yes is certain. A no may be wrong: two selectors may select the same without having anything in common.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from netsre.model.policies.values import (
    LAST_PORT,
    EntityPeer,
    Kind,
    NetworkPeer,
    Operator,
    Peer,
    Ports,
    Requirement,
    Rule,
    Selector,
    SelectorPeer,
    within,
)

_Part = TypeVar("_Part")


def selects(outer: Selector, inner: Selector) -> bool:
    """Return whether the one selects whatever the other selects."""
    return all(any(_implies(has, wanted) for has in inner.requirements) for wanted in outer.requirements)


def _implies(has: Requirement, wanted: Requirement) -> bool:
    """Return whether whatever fulfils the one requirement fulfils the other."""
    if (has.scope, has.key) != (wanted.scope, wanted.key):
        return False
    mine, theirs = {*has.values}, {*wanted.values}
    match has.operator, wanted.operator:
        case Operator.IN, Operator.IN:
            return mine <= theirs
        case Operator.IN, Operator.NOT_IN:
            return not mine & theirs
        case Operator.NOT_IN, Operator.NOT_IN:
            return theirs <= mine
        case (Operator.IN, Operator.EXISTS) | (Operator.DOES_NOT_EXIST, Operator.NOT_IN):
            return True
        case before, after:
            return before is after


def covers(outer: Rule, inner: Rule) -> bool:
    """Return whether one rule matches whatever another one of the same direction matches."""
    return _all(outer.peers, inner.peers, _peer) and _all(outer.ports, inner.ports, _ports)


def _all(
    outer: Iterable[_Part] | None, inner: Iterable[_Part] | None, one: Callable[[_Part, _Part], bool]
) -> bool:
    if outer is None or inner is None:
        return outer is None
    known = tuple(outer)
    return all(any(one(candidate, part) for candidate in known) for part in inner)


def _peer(outer: Peer, inner: Peer) -> bool:
    match outer, inner:
        case EntityPeer(), _:
            return _entity(outer, inner)
        case SelectorPeer(), SelectorPeer():
            asks = outer.selector.asks_for_reserved, inner.selector.asks_for_reserved
            return asks[0] == asks[1] and selects(outer.selector, inner.selector)
        case NetworkPeer(), NetworkPeer():
            return _network(outer, inner)
        case _:
            return False


def _entity(outer: EntityPeer, inner: Peer) -> bool:
    if outer.entity == "all":
        return True
    match inner:
        case EntityPeer():
            return inner.kinds <= outer.kinds and outer.family in {None, inner.family}
        case NetworkPeer():
            outside = {Kind.WORLD, Kind.KUBE_APISERVER} <= outer.kinds
            return outside and not inner.anybody and outer.family in {None, inner.network.version}
        case SelectorPeer():
            return Kind.ENDPOINT in outer.kinds and not inner.selector.asks_for_reserved


def _network(outer: NetworkPeer, inner: NetworkPeer) -> bool:
    # What the one leaves out of the other's network, the other must leave out itself.
    missing = [one for one in outer.excepted if within(one, inner.network)]
    return (
        outer.covers(inner.network)
        and (outer.anybody or not inner.anybody)
        and all(any(within(one, left) for left in inner.excepted) for one in missing)
    )


def _ports(outer: Ports, inner: Ports) -> bool:
    if outer.protocol is not inner.protocol:
        return False
    if outer.name is None and (outer.first, outer.last) <= (1, LAST_PORT) and outer.last == LAST_PORT:
        return True
    if outer.name is not None or inner.name is not None:
        return outer.name == inner.name
    return outer.first <= inner.first and inner.last <= outer.last
