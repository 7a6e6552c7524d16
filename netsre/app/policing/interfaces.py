"""The interfaces of this node that are policed: where programs sit, and whose sources are believed there."""

import contextlib
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Final

from netsre.adapters.bpf.policy import Datapath
from netsre.adapters.bpf.policy_pins import Pins
from netsre.app.policing import node
from netsre.datapath.policy import interfaces
from netsre.datapath.policy.interfaces import AT_ONE, PLACES, Crowded
from netsre.datapath.policy.numbers import Numbers
from netsre.datapath.policy.programs import INTERFACES
from netsre.model.policies.values import Endpoint, Kind

_PLACE: Final = struct.Struct("<I")


def known_as(name: str) -> str:
    """Return the one of its names that an interface is known by here; of one that is not there, this one."""
    with contextlib.suppress(OSError):
        return socket.if_indextoname(socket.if_nametoindex(name))
    return name


def police(
    pins: Pins, datapath: Datapath, endpoints: Iterable[Endpoint], numbers: Numbers
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Police the interfaces of endpoints, and no others; return their names, and those that are not there."""
    names = _names(endpoints)
    there = _there(names)
    with node.kernel("the revision is in force, but what is policed cannot be read"):
        pins.sweep()
        links = pins.links()
    # Two names may be of one interface.
    by_number = {number: name for name, number in there.items()}
    with node.kernel("the revision is in force, but interfaces cannot be told apart"):
        believing = _number(datapath, by_number, numbers.interfaces.known)
    for number, name in by_number.items():
        with node.kernel(f"the revision is in force, but interface {name} cannot be policed"):
            pins.attach(datapath, number, links)
    for link in links:
        if link.interface not in there.values():
            link.path.unlink(missing_ok=True)
    if believing:
        raise Crowded(
            f"the revision is in force, but from {', '.join(believing)} any source is believed: there is "
            f"room for {AT_ONE} interfaces with the same number modulo {PLACES}; make these anew, and apply"
        )
    return tuple(there), tuple(name for name in names if name not in there)


def at(names: Iterable[str]) -> Mapping[str, tuple[int, str]]:
    """Return what the kernel knows those by that are there: a number, and the one name it goes by."""
    return {name: (number, known_as(name)) for name, number in _there(names).items()}


def _names(endpoints: Iterable[Endpoint]) -> list[str]:
    return sorted({one.interface for one in endpoints if one.interface and one.kind is Kind.ENDPOINT})


def _there(names: Iterable[str]) -> dict[str, int]:
    """Return the kernel's numbers of those that are there."""
    found = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = socket.if_nametoindex(name)
    return found


def _number(datapath: Datapath, there: Mapping[int, str], known: Mapping[str, int]) -> list[str]:
    """Say which interface the kernel means by each of its numbers, and by no others.

    Return the names of those that there is no room for.
    """
    asked = {at: number for at, name in there.items() if (number := known.get(known_as(name))) is not None}
    table, found = datapath.maps[INTERFACES], interfaces.fitting(asked)
    for at, place in interfaces.places(table.slots(), found).items():
        table.put(_PLACE.pack(at), place)
    return [there[at] for at in asked if at not in found]
