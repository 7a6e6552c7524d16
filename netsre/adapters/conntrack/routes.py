"""Where packets of a source come in, as the routes say, and which sources must not be blocked."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator
from typing import Final

from netsre.adapters.conntrack.netlink import ROUTE, Channel, Opening, aligned, attribute, attributes, here
from netsre.adapters.conntrack.table import parse
from netsre.errors import EnvironmentUnfit
from netsre.model.effects import Route

_RTM_GETROUTE: Final = 26
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA = 1, 4, 5, 9, 18
_HEADER: Final = struct.Struct("=BBBBBBBBI")
"""Family, destination's and source's prefix, service, table, protocol, scope, type, flags."""
_INDEX: Final = struct.Struct("=I")
_HOP: Final = struct.Struct("=HBBi")
"""One hop of several: length, flags, weight, interface."""
_BODY_AT: Final = 16
_TYPES: Final = {2: "own_address", 3: "broadcast", 4: "own_address", 5: "multicast"}
_UNICAST: Final = 1
_SECONDS: Final = 5.0
_UNROUTABLE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENETDOWN, errno.EAFNOSUPPORT}
)
"""How a lookup fails: no route, and routes of the types unreachable, prohibit and blackhole."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def route(source: str, opening: Opening = here) -> Route:
    """Return the interface on which packets of a source come in, by default into this thread's namespace.

    It is the one that answers would leave by; where routes are not symmetric another may be meant. The
    reason why it must not be blocked is `unspecified`, `loopback`, `multicast`, `broadcast`, `link_local` (an
    IPv6 address that says nothing without its interface), `own_address`, `gateway` (next hop of a default
    route), or `unroutable`; empty when it may be.
    Raises `BadInput` for what is no address and `EnvironmentUnfit` when the kernel does not tell.
    """
    address = parse(source)
    if reason := _by_itself(address):
        return Route("", reason)
    try:
        with Channel(ROUTE, opening) as channel:
            interface, kind = _look_up(channel, address)
            if kind == _UNICAST and address in set(_default_gateways(channel)):
                return Route(interface, "gateway")
    except FileNotFoundError:
        raise  # The namespace is gone.
    except OSError as error:
        raise EnvironmentUnfit(f"route of {address}: the kernel says {error.strerror or error}") from error
    if kind == _UNICAST and interface:
        return Route(interface, "")
    return Route(interface, _TYPES.get(kind, "unroutable"))


def _by_itself(address: _Address) -> str:
    """Return why an address is none of a client, whatever the routes say."""
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    return "link_local" if address.version == 6 and address.is_link_local else ""


def _look_up(channel: Channel, address: _Address) -> tuple[str, int]:
    """Return the interface towards an address and the type of its route; none of both without a route."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    header = _HEADER.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        data, at, end = channel.ask(_RTM_GETROUTE, header + attribute(_RTA_DST, address.packed))
    except OSError as error:
        if error.errno in _UNROUTABLE:
            return "", 0
        raise
    kind = _HEADER.unpack_from(data, at + _BODY_AT)[7]
    begin, stop = attributes(data, at + _BODY_AT + _HEADER.size, end).get(_RTA_OIF, (end, end))
    interface = channel.interface(_INDEX.unpack(data[begin:stop])[0]) if begin < stop else ""
    return interface, kind


def _default_gateways(channel: Channel) -> Iterator[_Address]:
    """Yield the next hops of the default routes of both families, in every routing table."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for data, at, end in channel.dump(_RTM_GETROUTE, _HEADER.pack(family, *[0] * 8), _SECONDS):
            if _HEADER.unpack_from(data, at + _BODY_AT)[1] == 0:
                yield from _next_hops(data, at + _BODY_AT + _HEADER.size, end)


def _next_hops(data: bytes, at: int, end: int) -> Iterator[_Address]:
    """Yield the next hops of one route: its only one, or each of several."""
    found = attributes(data, at, end)
    if _RTA_GATEWAY in found:
        begin, stop = found[_RTA_GATEWAY]
        yield ipaddress.ip_address(data[begin:stop])
    if _RTA_VIA in found:
        # Behind its address family, because that is not the route's own.
        begin, stop = found[_RTA_VIA]
        yield ipaddress.ip_address(data[begin + 2 : stop])
    begin, stop = found.get(_RTA_MULTIPATH, (end, end))
    while begin + _HOP.size <= stop:
        length = max(_HOP.size, _HOP.unpack_from(data, begin)[0])
        yield from _next_hops(data, begin + _HOP.size, min(stop, begin + length))
        begin += aligned(length)
