"""The maps of the balancer.

The layouts repeat `bpf/include/balance.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from netsre.datapath.balance import maglev
from netsre.model.balance.values import place

REVISIONS: Final = 16
PLACES: Final = 8
"""Services that one socket is known to have asked."""
MAX_SERVICES: Final = 16_384
"""Of all revisions that are kept, together; so are the others."""
MAX_TABLES: Final = 4_096
MAX_BACKENDS: Final = 65_536
MAX_MEMBERS: Final = 131_072
MAX_PEERS: Final = 65_536
"""Pairs of a socket and a service."""
MAX_COUNTS: Final = 16_384
DEFINES: Final = {
    "BALANCE_TABLE_SIZE": maglev.SIZE,
    "MAX_BALANCE_SERVICES": MAX_SERVICES,
    "MAX_BALANCE_TABLES": MAX_TABLES,
    "MAX_BALANCE_BACKENDS": MAX_BACKENDS,
    "MAX_BALANCE_MEMBERS": MAX_MEMBERS,
    "MAX_BALANCE_PEERS": MAX_PEERS,
    "MAX_BALANCE_COUNTS": MAX_COUNTS,
}
"""Preprocessor names that the source needs."""

NUMBER: Final = struct.Struct("<I")
REVISION: Final = struct.Struct("<QIIQ")
END: Final = struct.Struct("<16s2sH")
SERVICE_KEY: Final = struct.Struct("<I20sI")
PLACE: Final = struct.Struct("<20sI")
"""The same without the set: an end and a protocol."""
SERVICE: Final = struct.Struct("<II")
MEMBER: Final = struct.Struct("<III")
PEER_KEY: Final = struct.Struct("<QII")
PEER: Final = struct.Struct("<20s20s20sII")
COUNT_KEY: Final = struct.Struct("<II")
COUNT: Final = struct.Struct("<QQ")
TABLE: Final = struct.Struct(f"<{maglev.SIZE}I")

EVENTS: Final = ("passed", "broken", "peers_full", "counts_full")
"""By their numbers in the kernel's map."""

PROTOCOLS: Final = {6: "TCP", 17: "UDP"}
"""Those whose sockets ask a hook, by the numbers of IP. Of SCTP the kernel asks nobody."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def end(address: IPv4Address | IPv6Address, port: int) -> bytes:
    """Return an address with a port as the kernel's maps have it."""
    packed = address.packed
    return END.pack(packed if address.version == 6 else _MAPPED + packed, port.to_bytes(2, "big"), 0)


def address_of(packed: bytes) -> tuple[IPv4Address | IPv6Address, int]:
    """Return the address and the port of an end."""
    address, port, _ = END.unpack(packed)
    is_mapped = address.startswith(_MAPPED)
    return IPv4Address(address[12:]) if is_mapped else IPv6Address(address), int.from_bytes(port, "big")


def shown(packed: bytes) -> str:
    """Return an end as people write it."""
    return place(*address_of(packed))


def count(value: bytes) -> tuple[int, int]:
    """Return connections and datagrams, summed over CPUs."""
    slots = list(COUNT.iter_unpack(value))
    return sum(connections for connections, _ in slots), sum(datagrams for _, datagrams in slots)


def total(value: bytes) -> int:
    """Return the sum of a counter over all CPUs."""
    return sum(each for (each,) in struct.iter_unpack("<Q", value))


def table(backends: Iterable[int]) -> bytes:
    """Return a table with these numbers of backends, slot by slot."""
    return TABLE.pack(*backends)
