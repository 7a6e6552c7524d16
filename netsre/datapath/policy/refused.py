"""What no rule allows, by address: the bytes of its map, and what was seen of each.

The layouts repeat `bpf/include/policy_refused.h`; a test compiles that file and compares.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from netsre.datapath.policy.layouts import DIRECTIONS
from netsre.datapath.policy.prefixes import PROTOCOLS
from netsre.model.policies.values import Address, Direction, Protocol

KEY: Final = struct.Struct("<I16s2sBB")
VALUE: Final = struct.Struct("<6Q")
SUM: Final = struct.Struct("<Q")

_DIRECTION: Final = MappingProxyType({number: one for one, number in DIRECTIONS.items()})
_PROTOCOL: Final = MappingProxyType({number: one for one, number in PROTOCOLS.items()})
_PORTLESS: Final = (Protocol.ICMP, Protocol.ICMPV6)


class Sum(IntEnum):
    """What is counted beside the map."""

    MADE = 0
    """Entries that were made: those that are not there any more were evicted."""
    LOST = 1
    """Packets that there was no room for."""
    REMOVED = 2
    """Entries that we removed, of endpoints that are gone."""


class Service(NamedTuple):
    """Who was asked for what."""

    address: Address
    port: int
    """Of ICMP the type; 0 where the protocol has none."""
    protocol: int
    """As in a header."""

    @property
    def what(self) -> str:
        """Return the service alone: `443/TCP`."""
        known = _PROTOCOL.get(self.protocol)
        return f"protocol {self.protocol}" if known is None else f"{self.port}/{known.value}"

    def __str__(self) -> str:
        """Return `203.0.113.7:443/TCP`, `[2001:db8::7]:443/TCP`, `203.0.113.7 8/ICMP`."""
        known = _PROTOCOL.get(self.protocol)
        if known is None or known in _PORTLESS:
            return f"{self.address} {self.what}"
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{shown}:{self.what}"


@dataclass(frozen=True, slots=True)
class Refused:
    """What was seen of one endpoint, one address and one service in one direction."""

    endpoint: int
    """Its number."""
    direction: Direction
    """Egress where the address was asked by the endpoint, ingress where it asked."""
    service: Service
    first_ns: int
    """This and the next two are CLOCK_BOOTTIME, 0 for never."""
    denied_ns: int
    passed_ns: int
    denied: int
    """Packets."""
    passed: int
    """Packets that were let pass, because the mode was monitor."""
    connections: int

    @property
    def last_ns(self) -> int:
        """Return when a packet was seen last."""
        return max(self.denied_ns, self.passed_ns)

    @classmethod
    def of(cls, key: bytes, value: bytes) -> Self:
        """Return what an entry says."""
        endpoint, packed, port, protocol, direction = KEY.unpack(key)
        address = IPv6Address(packed)
        service = Service(address.ipv4_mapped or address, int.from_bytes(port, "big"), protocol)
        return cls(endpoint, _DIRECTION[direction], service, *VALUE.unpack(value))
