"""The maps of the programs that drop blocked sources: their sizes, the bytes they hold, and what those mean.

The layouts repeat `bpf/include/block.h`; a test compiles that file and compares.
"""

import ipaddress
import struct
from typing import Final, NamedTuple

MAX_BLOCKED: Final = 128
"""Sources that one attachment can drop."""
DEFINES: Final = {"MAX_BLOCKED": MAX_BLOCKED}
"""Preprocessor names that the programs' source needs."""

SOURCE_BYTES: Final = 16
BLOCK: Final = struct.Struct("<QI4x")
"""When it ends, by CLOCK_BOOTTIME in nanoseconds, and the slot of its counter."""
SLOT: Final = struct.Struct("<I")
DROPS: Final = struct.Struct("<QQ")
UNPARSED: Final = struct.Struct("<Q")
BLOCKED_REASON: Final = "blocked_source"
"""Why these programs drop, as a label value."""


class Drops(NamedTuple):
    """What was dropped."""

    packets: int
    bytes: int

    def plus(self, other: "Drops") -> "Drops":
        """Return both together."""
        return Drops(self.packets + other.packets, self.bytes + other.bytes)


NOTHING: Final = Drops(0, 0)


def source_key(address: str) -> bytes:
    """Return an address as the programs read it from a packet: 16 bytes, IPv4 as `::ffff:a.b.c.d`.

    Raises `ValueError` for what is no address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return bytes(10) + b"\xff\xff" + parsed.packed
    if parsed.scope_id is not None:
        raise ValueError(f"{address!r} names an interface; write the address alone")
    return parsed.packed


def sum_drops(value: bytes) -> Drops:
    """Return the sum over the CPUs' slots of one value."""
    total = NOTHING
    for packets, length in DROPS.iter_unpack(value):
        total = total.plus(Drops(packets, length))
    return total


def sum_unparsed(value: bytes) -> int:
    """Return the sum over the CPUs' slots of the counter of unread packets."""
    return sum(count for (count,) in UNPARSED.iter_unpack(value))


def source_text(key: bytes) -> str:
    """Return the address of a key in its shortest form."""
    parsed = ipaddress.IPv6Address(key)
    return str(parsed.ipv4_mapped or parsed)
