"""Orders to deny an address, beside all revisions: the bytes of their maps, and which may be written.

The layouts repeat `bpf/include/policy_orders.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Final, Self

from netsre.datapath.policy.layouts import address_bytes
from netsre.datapath.policy.numbers import Numbering
from netsre.errors import BadInput
from netsre.model.policies.values import Network

KEY: Final = struct.Struct("<III16s")
ORDER: Final = struct.Struct("<QII")
TURN: Final = struct.Struct("<I")
MOST: Final = 4_096
"""Orders that there may be."""
NESTED: Final = 8
"""So many may be about one address of one endpoint: the programs look behind no more that have ended."""
FIRST_RULE: Final = 1 << 31
"""Numbers of their rules begin above it, those of policies below."""

_BEFORE: Final = 64
_MAPPED_BITS: Final = 96
_LAST_TURN: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Order:
    """Nothing passes between an endpoint and a network."""

    endpoint: int
    """Its number; 0 for all."""
    network: Network
    until_ns: int
    """By CLOCK_BOOTTIME; 0 is for ever."""
    rule: int
    """What it denies is counted under this number."""

    def holds(self, now_ns: int) -> bool:
        """Say whether it has not ended."""
        return not self.until_ns or self.until_ns > now_ns

    @property
    def key(self) -> bytes:
        """Return the key of the map."""
        free = 0 if self.network.version == 6 else _MAPPED_BITS
        bits = _BEFORE + free + self.network.prefixlen
        return KEY.pack(
            bits, self.endpoint, self.network.version, address_bytes(self.network.network_address)
        )

    @property
    def value(self) -> bytes:
        """Return the value of the map."""
        (bits, *_) = KEY.unpack(self.key)
        return ORDER.pack(self.until_ns, self.rule, bits)

    @classmethod
    def of(cls, key: bytes, value: bytes) -> Self:
        """Return the order of an entry."""
        bits, endpoint, version, packed = KEY.unpack(key)
        until_ns, rule, _ = ORDER.unpack(value)
        address = IPv6Address(packed)
        if version == 4 and address.ipv4_mapped is not None:
            network: Network = ip_network((address.ipv4_mapped, bits - _BEFORE - _MAPPED_BITS))
        else:
            network = ip_network((address, bits - _BEFORE))
        return cls(endpoint, network, until_ns, rule)


def check(known: Collection[Order], wanted: Order) -> None:
    """Raise `BadInput` where an order finds no place among those that are in the map."""
    others = [one for one in known if one.key != wanted.key]
    if len(others) >= MOST:
        raise BadInput(f"{MOST} orders are in force, and no more may be; netsre policy deny lists them")
    mine = [one for one in others if one.endpoint == wanted.endpoint]
    for one in (wanted, *(each for each in mine if _within(each.network, wanted.network))):
        around = [each for each in (wanted, *mine) if _within(one.network, each.network)]
        if len(around) > NESTED:
            raise BadInput(
                f"more than {NESTED} orders would be about {one.network}; remove some: netsre policy deny "
                "lists them"
            )


def next_turn(turn: int) -> int:
    """Return the turn after one; 0 is that of nobody."""
    return 1 if turn >= _LAST_TURN else turn + 1


def rule_name(network: Network) -> str:
    """Return what packets are counted under that an order denies."""
    short = network.prefixlen == network.max_prefixlen
    return f"deny {network.network_address if short else network}"


def rule_names(numbering: Numbering) -> Mapping[str, int]:
    """Return the numbers that the kernel counts under, by name."""
    return {name: FIRST_RULE + number for name, number in numbering.known.items()}


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one family
