"""The numbers to go on with, after a restart or a while: what the kernel refers to has the last word."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from netsre.datapath.policy import layouts
from netsre.datapath.policy.encode import Entries, digest
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbering, Numbers
from netsre.datapath.policy.sync import Held, used

_EMPTY: Final[Entries] = MappingProxyType({})
"""Of a set without an entry the kernel has nothing but the number that a revision refers to."""


def reconciled(known: Numbers, held: Held) -> Numbers:
    """Return the numbers of what revisions in the kernel refer to.

    Tables and sets are known again by what is in them, even where nothing is known of them. Names are in no
    map: where those are lost, rules and endpoints get new numbers, above all that the kernel still has.
    """
    refers = used(held, held.kept.keys() | held.seen)
    values = {
        where: {value for number in refers[where] for value in held.parts[where].get(number, _EMPTY).values()}
        for where in Map
    }
    rules = {rule for rule, *_ in map(layouts.ENTRY.unpack, values[Map.ENTRIES])}
    listed = [*map(layouts.ENDPOINT.unpack, values[Map.ENDPOINTS])]
    endpoints = {number for number, *_ in listed}
    interfaces = {number for *_, number in listed}
    identities = {number for number, *_ in map(layouts.WHOSE.unpack, values[Map.ADDRESSES])}
    identities |= {identity for _, _, _, identity, *_ in listed}
    return Numbers(
        MappingProxyType({key: one for key, one in known.identities.items() if one in identities}),
        _named(known.rules, rules),
        _named(known.endpoints, endpoints),
        _by_content(known.tables, held, Map.ENTRIES, refers[Map.ENTRIES]),
        _by_content(known.address_sets, held, Map.ADDRESSES, refers[Map.ADDRESSES]),
        _by_content(known.endpoint_sets, held, Map.ENDPOINTS, refers[Map.ENDPOINTS]),
        _by_content(known.zone_sets, held, Map.ZONES, refers[Map.ZONES]),
        _named(known.interfaces, interfaces),
    )


def _named(known: Numbering, numbers: AbstractSet[int]) -> Numbering:
    return replace(known.within(numbers), last=max([known.last, *numbers]))


def _by_content(known: Numbering, held: Held, where: Map, numbers: Iterable[int]) -> Numbering:
    found = {digest(where, held.parts[where].get(number, _EMPTY)): number for number in sorted(numbers)}
    return Numbering(MappingProxyType(found), max([known.last, *found.values()]))
