"""The maps of the policy datapath: their names, and their keys and values as bytes.

The layouts repeat `bpf/include/policy.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Callable, Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from netsre.datapath.policy.identities import Whose
from netsre.datapath.policy.prefixes import BITS, PORT_BITS, Prefix
from netsre.datapath.policy.reference import Answer, Decision, Reason
from netsre.model.policies.values import Address, Direction, Network

SLOTS: Final = 16
"""Places for revisions."""

REVISION: Final = struct.Struct("<QIIQI4x")
ADDRESS_KEY: Final = struct.Struct("<II16s")
WHOSE: Final = struct.Struct("<IHBB")
ZONE: Final = struct.Struct("<HH")
ENDPOINT_KEY: Final = struct.Struct("<II16s")
ENDPOINT: Final = struct.Struct("<8I")
ENTRY_KEY: Final = struct.Struct("<IIIB2sB")
ENTRY: Final = struct.Struct("<IBBH")
COUNT_KEY: Final = struct.Struct("<IIIBBBB")
COUNT: Final = struct.Struct("<QQQ")
ROW: Final = struct.Struct("<I")
LAST_ROW: Final = struct.Struct("<Q")
ROWS: Final = 16_384
"""Counters that there may be; there is no row 0."""
MODE: Final = struct.Struct("<QBB6s")
ANSWER_BYTES: Final = 64
ANSWERS: Final = 1024
"""Places for what tables said lately, of each CPU; the programs alone read them."""
BELIEVED_BYTES: Final = 24
BELIEVED: Final = 64
"""Places for the source that an interface had last, likewise."""

DECISIONS: Final = MappingProxyType({one: number for number, one in enumerate(Decision)})
REASONS: Final = MappingProxyType({one: number for number, one in enumerate(Reason)})
DIRECTIONS: Final = MappingProxyType({one: number for number, one in enumerate(Direction)})

END: Final = struct.Struct("<I")
"""Identity and zone of somebody, in a key of an entry."""
END_AT: Final = 8

_SET_BITS: Final = 32
_ENTRY_BITS: Final = 64
_NO_INTERFACE: Final = 0
_NO_ADDRESS: Final = bytes(16)
_MAPPED: Final = bytes(10) + b"\xff\xff"


class Map(StrEnum):
    """What a revision is made of, by the names of the maps that hold it."""

    ENTRIES = "policy_entries"
    ZONES = "policy_zones"
    ENDPOINTS = "policy_endpoints"
    ADDRESSES = "policy_addresses"


PAIRS: Final = MappingProxyType(
    {
        where: struct.Struct(f"{key.size}s{value.size}s")
        for where, key, value in (
            (Map.ENTRIES, ENTRY_KEY, ENTRY),
            (Map.ZONES, ADDRESS_KEY, ZONE),
            (Map.ENDPOINTS, ENDPOINT_KEY, ENDPOINT),
            (Map.ADDRESSES, ADDRESS_KEY, WHOSE),
        )
    }
)
"""A key and its value, one behind the other."""
_NUMBER_AT: Final = MappingProxyType({Map.ENTRIES: 4, Map.ZONES: 4, Map.ENDPOINTS: 0, Map.ADDRESSES: 4})
"""Where in a key the number of its table or set stands."""


def number_of(where: Map, key: bytes) -> int:
    """Return the table or set that a key belongs to."""
    at = _NUMBER_AT[where]
    return int.from_bytes(key[at : at + 4], "little")


def numbered(where: Map, number: int) -> Callable[[bytes], bytes]:
    """Return what puts a key into a table or set of another number."""
    at, middle = _NUMBER_AT[where], number.to_bytes(4, "little")
    return lambda key: key[:at] + middle + key[at + 4 :]


def tables_of(endpoints: Iterable[bytes]) -> tuple[set[int], set[int]]:
    """Return the tables that values of `policy_endpoints` refer to, and the zones; many, at once."""
    whole = b"".join(endpoints)
    numbers = struct.unpack(f"<{len(whole) // 4}I", whole)
    words = ENDPOINT.size // 4
    _, ingress, egress, _, ingress_zones, egress_zones, *_ = (numbers[at::words] for at in range(words))
    return {*ingress, *egress}, {*ingress_zones, *egress_zones}


class Revision(NamedTuple):
    """One slot of `policy_revisions`."""

    number: int
    addresses: int
    """The number of a set; 0 where the slot decides nothing."""
    endpoints: int
    until_ns: int = 0
    """By CLOCK_BOOTTIME, of one on trial; 0 is for ever."""
    afterwards: int = 0
    """The slot that decides then."""

    @property
    def is_whole(self) -> bool:
        """Return whether it decides anything."""
        return bool(self.addresses and self.endpoints)

    def has_ended(self, now_ns: int) -> bool:
        """Return whether it was on trial, and that is over."""
        return 0 < self.until_ns <= now_ns

    def pack(self) -> bytes:
        """Return the slot as bytes."""
        return REVISION.pack(*self)


EMPTY: Final = Revision(0, 0, 0)


def address_bytes(address: Address) -> bytes:
    """Return an address as it stands in an IPv6 header, IPv4 as `::ffff:a.b.c.d`."""
    return address.packed if address.version == 6 else _MAPPED + address.packed


def address_key(number: int, network: Network) -> bytes:
    """Return a network as a key of `policy_addresses`, and of `policy_zones`, in a set."""
    family_bits = 0 if network.version == 6 else 8 * len(_MAPPED)
    bits = _SET_BITS + family_bits + network.prefixlen
    return ADDRESS_KEY.pack(bits, number, address_bytes(network.network_address))


def endpoint_key(number: int, address: Address) -> bytes:
    """Return an address of an endpoint as a key of `policy_endpoints`, in a set."""
    return ENDPOINT_KEY.pack(number, _NO_INTERFACE, address_bytes(address))


def interface_key(number: int, interface: int) -> bytes:
    """Return an interface of endpoints as a key of `policy_endpoints`, in a set."""
    return ENDPOINT_KEY.pack(number, interface, _NO_ADDRESS)


def whose(one: Whose) -> bytes:
    """Return whose an address is."""
    return WHOSE.pack(one.number, one.asked, one.outside, 0)


def entry_key(table: int, end: int, prefix: Prefix) -> bytes:
    """Return whom and what an entry is about as a key of `policy_entries`, in a table."""
    whole = prefix.bits << (BITS - prefix.length)
    port = (whole & (1 << PORT_BITS) - 1).to_bytes(2, "big")
    return ENTRY_KEY.pack(_ENTRY_BITS + prefix.length, table, end, whole >> PORT_BITS, port, 0)


def entry(answer: Answer, rule: int) -> bytes:
    """Return what an entry answers; `rule` is 0 where the reason is no rule."""
    return ENTRY.pack(rule, DECISIONS[answer.decision], REASONS[answer.reason], 0)
