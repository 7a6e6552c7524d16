"""Orders to deny an address on this node: given, taken back and told."""

import dataclasses
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.policy import Datapath
from netsre.app.policing import node
from netsre.app.policing.node import Places
from netsre.app.policing.state import State
from netsre.clock import boottime
from netsre.datapath.policy import orders
from netsre.datapath.policy.layouts import COUNT_KEY
from netsre.datapath.policy.numbers import Numbering
from netsre.datapath.policy.orders import FIRST_RULE, Order
from netsre.datapath.policy.programs import ORDER_TURN, ORDERS, ROWS
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.policies.values import Network

_ONLY = bytes(4)
_NAMELESS: Final = "endpoint"


@dataclasses.dataclass(frozen=True, slots=True)
class Named:
    """An order that holds, and whom it is about."""

    order: Order
    endpoint: str | None
    """None for all."""


def deny(places: Places, network: Network, endpoint: str | None, seconds: float | None) -> Order:
    """Have nothing pass to and from a network, for ever or for a time that the kernel ends.

    An order about the same is replaced. When this returns, it holds for every packet, also of connections
    that were there. Raises `BadInput` for an endpoint that is not known here, and where there are too many.
    """
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the order cannot be given"):
        state = place.read()
        number = 0 if endpoint is None else number_of(state, endpoint)
        known = _swept(datapath, boottime())
        until_ns = 0 if seconds is None else boottime() + int(seconds * 1e9)
        name = orders.rule_name(network)
        numbering = _used(with_names(state.orders, known), known, datapath).including([name])
        wanted = Order(number, network, until_ns, FIRST_RULE + numbering.known[name])
        orders.check(known, wanted)
        # First the name: what the kernel counts must be explained, whatever becomes of us.
        place.write(dataclasses.replace(state, orders=numbering))
        _count_turn(datapath)  # without a turn programs look for no order at all
        datapath.maps[ORDERS].put(wanted.key, wanted.value)
        # Connections are asked about once more after it is there: before, they would not be told.
        _count_turn(datapath)
        syscalls.wait_for_programs()
    return wanted


def allow(places: Places, network: Network, endpoint: str | None) -> None:
    """Take an order back; raises `BadInput` where none holds that is about exactly this."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("the order cannot be taken back"):
        number = 0 if endpoint is None else number_of(place.read(), endpoint)
        known = _swept(datapath, boottime())
        key = Order(number, network, 0, 0).key
        if all(one.key != key for one in known):
            whom = "all endpoints" if endpoint is None else endpoint
            name = orders.rule_name(network)
            raise BadInput(
                f"no order to {name} is in force for {whom}; netsre policy deny lists those that are"
            )
        datapath.maps[ORDERS].delete(key)


def read(places: Places) -> tuple[Named, ...]:
    """Return the orders that hold, those that end first first; raises `BadInput` without a datapath."""
    place = places.place
    with place.locked(), node.opened(places) as datapath, node.kernel("orders cannot be read"):
        now = boottime()
        names = {number: name for name, number in place.read().numbers.endpoints.known.items()}
        listed = [
            Named(one, names.get(one.endpoint, nameless(one.endpoint)) if one.endpoint else None)
            for one in holding(datapath, now)
        ]
    return tuple(sorted(listed, key=lambda one: (one.order.until_ns or float("inf"), one.order.key)))


def holding(datapath: Datapath, now_ns: int) -> list[Order]:
    """Return the orders that hold; raises `OSError`."""
    return [one for one in _there(datapath) if one.holds(now_ns)]


def forget(datapath: Datapath, endpoints: AbstractSet[int]) -> None:
    """Take back the orders of all but these endpoints: their numbers are to be others' some day."""
    for one in _there(datapath):
        if one.endpoint and one.endpoint not in endpoints:
            datapath.maps[ORDERS].delete(one.key)


def number_of(state: State, endpoint: str) -> int:
    """Return the number of an endpoint by name; raises `BadInput` for one that nobody knows.

    One whose name is lost is known by what it is called then.
    """
    known = state.numbers.endpoints.known
    word, _, number = endpoint.partition(" ")
    if word == _NAMELESS and number.isdecimal() and int(number) not in known.values():
        return int(number)
    if endpoint not in known:
        hint = literals.nearest(endpoint, known)
        raise BadInput(
            f"endpoint {literals.shown(endpoint)} is not among those that policies were applied for{hint}"
        )
    return known[endpoint]


def nameless(number: int) -> str:
    """Return what an endpoint is called whose name is lost: no name has a space in it."""
    return f"{_NAMELESS} {number}"


def with_names(numbering: Numbering, known: Iterable[Order]) -> Numbering:
    """Return a numbering that has the names of these orders, too: each follows from what it is about."""
    names = {orders.rule_name(one.network): one.rule - FIRST_RULE for one in known if one.rule > FIRST_RULE}
    taken = {*numbering.known.values()}
    new = {name: number for name, number in names.items() if number not in taken}
    both = MappingProxyType({**new, **numbering.known})
    return Numbering(both, max([numbering.last, *both.values()]))


def _count_turn(datapath: Datapath) -> None:
    turn = datapath.maps[ORDER_TURN]
    (now,) = orders.TURN.unpack(turn.lookup(_ONLY) or _ONLY)
    turn.put(_ONLY, orders.TURN.pack(orders.next_turn(now)))


def _there(datapath: Datapath) -> list[Order]:
    return [Order.of(key, value) for key, value in datapath.maps[ORDERS].entries()]


def _swept(datapath: Datapath, now_ns: int) -> list[Order]:
    """Remove what has ended; return the rest."""
    there = _there(datapath)
    for one in there:
        if not one.holds(now_ns):
            datapath.maps[ORDERS].delete(one.key)
    return [one for one in there if one.holds(now_ns)]


def _used(numbering: Numbering, known: Iterable[Order], datapath: Datapath) -> Numbering:
    """Return a numbering of nothing but what the kernel has, and above all numbers there."""
    counted = {COUNT_KEY.unpack(key)[0] for key, _ in datapath.maps[ROWS].entries()}
    used = {rule - FIRST_RULE for rule in (*counted, *(one.rule for one in known)) if rule > FIRST_RULE}
    return dataclasses.replace(numbering.within(used), last=max([numbering.last, *used]))
