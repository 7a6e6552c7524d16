"""Frames as they are on a link, header by header."""

import ipaddress
import struct
from collections.abc import Sequence
from typing import Final

from netsre.datapath.policy.ends import Service
from netsre.datapath.policy.prefixes import PROTOCOLS
from netsre.model.policies.values import Address, Protocol

ICMP, TCP, UDP, ICMPV6, SCTP = (
    PROTOCOLS[one] for one in (Protocol.ICMP, Protocol.TCP, Protocol.UDP, Protocol.ICMPV6, Protocol.SCTP)
)
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, NO_NEXT, OPTIONS = 0, 43, 44, 51, 59, 60
MORE: Final = 0x2000
"""The flag of IPv4 that says that more pieces follow."""
_ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}


def tcp(source: int, destination: int, flags: int = SYN, payload: bytes = b"") -> bytes:
    """Return a segment."""
    return struct.pack(">HHIIBBHHH", source, destination, 1, 1, 0x50, flags, 1024, 0, 0) + payload


def udp(source: int, destination: int, payload: bytes = b"") -> bytes:
    """Return a datagram."""
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def sctp(source: int, destination: int) -> bytes:
    """Return an SCTP packet without chunks."""
    return struct.pack(">HHII", source, destination, 1, 0)


def icmp(kind: int, identifier: int = 0, payload: bytes = b"") -> bytes:
    """Return a message of ICMP or ICMPv6; of an error the payload is what it is about."""
    return struct.pack(">BBHHH", kind, 0, 0, identifier, 0) + payload


def ipv4(  # noqa: PLR0913  as many as a header has fields
    source: str, destination: str, protocol: int, body: bytes, *, options: bytes = b"", piece: int = 0,
    identification: int = 0,
) -> bytes:  # fmt: skip
    """Return a packet; `piece` has flag and offset as in the header."""
    length = 20 + len(options)
    header = struct.pack(
        ">BBHHHBBH4s4s",
        *(0x40 | length // 4, 0, length + len(body), identification, piece, 64, protocol, 0),
        ipaddress.IPv4Address(source).packed,
        ipaddress.IPv4Address(destination).packed,
    )
    return header + options + body


def ipv6(
    source: str, destination: str, protocol: int, body: bytes, extensions: Sequence[tuple[int, bytes]] = ()
) -> bytes:
    """Return a packet; each extension is its number and its bytes without the first, the next number."""
    following = [*(number for number, _ in extensions), protocol]
    chain = b"".join(
        bytes([number]) + rest for number, (_, rest) in zip(following[1:], extensions, strict=True)
    )
    header = struct.pack(
        ">IHBB16s16s",
        *(6 << 28, len(chain) + len(body), following[0], 64),
        ipaddress.IPv6Address(source).packed,
        ipaddress.IPv6Address(destination).packed,
    )
    return header + chain + body


def piece_of(offset: int, identification: int, *, more: bool) -> tuple[int, bytes]:
    """Return a fragment header of IPv6; the offset counts eight bytes."""
    return FRAGMENT, struct.pack(">BHI", 0, offset << 3 | more, identification)


def ip(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    """Return a packet of the family of its addresses."""
    return (ipv4 if _version(source) == 4 else ipv6)(source, destination, protocol, body)


def ethernet(packet: bytes, tags: Sequence[int] = (), protocol: int | None = None) -> bytes:
    """Return a frame with so many tags, by their protocol numbers."""
    kind = _ETHERTYPES.get(packet[0] >> 4, 0) if protocol is None else protocol
    return bytes(12) + b"".join(struct.pack(">HH", tag, 7) for tag in tags) + struct.pack(">H", kind) + packet


def frame(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    """Return a plain frame."""
    return ethernet(ip(source, destination, protocol, body))


def opening(source: Address, destination: Address, service: Service, port: int) -> bytes:
    """Return the first frame of a connection that asks for a service."""
    number = PROTOCOLS[service.protocol]
    match service.protocol:
        case Protocol.TCP:
            body = tcp(port, service.port)
        case Protocol.UDP:
            body = udp(port, service.port)
        case Protocol.SCTP:
            body = sctp(port, service.port)
        case Protocol.ICMP | Protocol.ICMPV6:
            body = icmp(service.port, port)
    return frame(str(source), str(destination), number, body)


def _version(address: str) -> int:
    return 6 if ":" in address else 4
