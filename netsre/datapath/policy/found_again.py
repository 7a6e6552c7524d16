"""Names that nobody remembers any more, found again by the addresses that the kernel has under their numbers.

Orders and modes of single endpoints are kept under numbers. Where their names are lost, the next revision
would give other numbers to the same endpoints, and what was ordered of them would hold for nobody.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType

from netsre.datapath.policy import layouts
from netsre.datapath.policy.layouts import Map
from netsre.datapath.policy.numbers import Numbering, Numbers
from netsre.datapath.policy.sync import Held
from netsre.model.policies.values import Endpoint


def nameless(numbers: Numbers, held: Held) -> AbstractSet[int]:
    """Return the numbers of endpoints that decide now or later and have no name."""
    found = {
        layouts.ENDPOINT.unpack(value)[0]
        for slot in held.seen
        for value in held.parts[Map.ENDPOINTS].get(held.slots[slot].endpoints, {}).values()
    }
    return found - {0} - {*numbers.endpoints.known.values()}


def with_names(
    numbers: Numbers,
    held: Held,
    listed: Mapping[int, Iterable[Endpoint]],
    called: Callable[[str], str] = str,
) -> Numbers:
    """Return numbers with the names of endpoints and interfaces that have none, as far as they are listed.

    `listed` are the endpoints that a revision was made of, by its number; the latest goes first, and what is
    known goes before all of them. `called` says which of its names an interface is known by.
    """
    endpoints, interfaces = _Names(numbers.endpoints), _Names(numbers.interfaces)
    for revision in sorted((one for one in held.slots if one.number in listed), reverse=True):
        there = held.parts[Map.ENDPOINTS].get(revision.endpoints, {})
        for endpoint in listed[revision.number]:
            keys = (layouts.endpoint_key(revision.endpoints, ip) for ip in endpoint.ips)
            for value in [there[key] for key in keys if key in there][:1]:
                number, *_, interface = layouts.ENDPOINT.unpack(value)
                endpoints.add(endpoint.full_name, number)
                if endpoint.interface is not None:
                    interfaces.add(called(endpoint.interface), interface)
    return replace(numbers, endpoints=endpoints.numbering(), interfaces=interfaces.numbering())


class _Names:
    """A numbering that takes names for numbers without one."""

    def __init__(self, known: Numbering) -> None:
        self._last = known.last
        self._known = {**known.known}
        self._taken = {0, *known.known.values()}

    def add(self, name: str, number: int) -> None:
        if name not in self._known and number not in self._taken:
            self._known[name] = number
            self._taken.add(number)

    def numbering(self) -> Numbering:
        return Numbering(MappingProxyType(self._known), max(self._last, *self._taken))
