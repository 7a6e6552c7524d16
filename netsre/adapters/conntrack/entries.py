"""What stands where in an entry of the connection table, as netlink writes it.

Attributes may come in any order, so they are looked for by name; but a kernel writes every entry of one kind
alike. Where the things that are counted stood in one entry of a length is therefore tried first in the next
of that length, and believed if the bytes around them are the same.
"""

import struct
from dataclasses import dataclass
from typing import Final

from netsre.adapters.conntrack.netlink import Message, attributes

ATTRIBUTES_AT: Final = 20
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO, CTA_ZONE = 1, 2, 3, 4, 18
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_SOURCES: Final = (1, 3)
_CTA_PROTO_NUM: Final = 1
_CTA_PROTOINFO_TCP: Final = 1
_CTA_PROTOINFO_TCP_STATE: Final = 1
_SOURCE_AT: Final = 32
"""Where every kernel so far has the source: in the tuple of the original direction, which comes first."""
_ABOVE_STATUS, _ABOVE_STATE = 4, 12
"""Bytes of headers before the two: of one attribute, of three that are nested."""
_STATUS_BITS: Final = 0x6
"""SEEN_REPLY and ASSURED."""

Facts = tuple[bytes, int, int, int]
"""Source as packed, IP protocol, bits of the status, TCP state or 0."""
NOTHING: Final[Facts] = (b"", 0, 0, 0)
"""Of an entry that lacks one of them."""


@dataclass(frozen=True, slots=True)
class _Places:
    """Where things begin, and the source ends; 0 for the state of an entry without one."""

    source: int
    source_end: int
    protocol: int
    status: int
    state: int


class Reader:
    """Reads entries one after the other, each faster than the first of its kind."""

    def __init__(self) -> None:
        """Begin without having seen any."""
        self._known: dict[int, tuple[struct.Struct, tuple[bytes, bytes, bytes], bool]] = {}

    def facts(self, message: Message) -> Facts:
        """Return what one entry says."""
        data, at, end = message
        known = self._known.get(end - at)
        if known is not None:
            layout, expected, has_state = known
            if has_state:
                shape, source, protocol, above, status, around, state = layout.unpack_from(data, at)
            else:
                shape, source, protocol, above, status = layout.unpack_from(data, at)
                around, state = b"", 0
            if (shape, above, around) == expected:
                return source, protocol, status & _STATUS_BITS, state
        return self._by_name(data, at, end, learn=known is None)

    def _by_name(self, data: bytes, at: int, end: int, *, learn: bool) -> Facts:
        places = _find(data, at, end)
        if places is None:
            return NOTHING
        if learn:
            self._learn(data, at, end, places)
        state = data[places.state] if places.state else 0
        status = data[places.status + 3] & _STATUS_BITS
        return data[places.source : places.source_end], data[places.protocol], status, state

    def _learn(self, data: bytes, at: int, end: int, places: _Places) -> None:
        source, protocol, status = places.source - at, places.protocol - at, places.status - at
        length = places.source_end - places.source
        if source != _SOURCE_AT or not source < protocol < status:
            return
        written = f"={ATTRIBUTES_AT}x12s{length}s{protocol - source - length}xB"
        written += f"{status - _ABOVE_STATUS - protocol - 1}x4s3xB"
        expected = (
            data[at + ATTRIBUTES_AT : places.source],
            data[places.status - _ABOVE_STATUS : places.status],
            b"",
        )
        if places.state:
            gap = places.state - _ABOVE_STATE - (places.status + 4)
            if gap < 0:
                return
            written += f"{gap}x12sB"
            expected = (*expected[:2], data[places.state - _ABOVE_STATE : places.state])
        self._known[end - at] = (struct.Struct(written), expected, bool(places.state))


def _find(data: bytes, at: int, end: int) -> _Places | None:
    """Find everything by name; None in an entry that lacks source, protocol or status."""
    whole = attributes(data, at + ATTRIBUTES_AT, end)
    original = attributes(data, *whole.get(CTA_TUPLE_ORIG, (end, end)))
    addresses = attributes(data, *original.get(_CTA_TUPLE_IP, (end, end)))
    source = next((addresses[kind] for kind in _CTA_IP_SOURCES if kind in addresses), (end, end))
    protocol = attributes(data, *original.get(_CTA_TUPLE_PROTO, (end, end))).get(_CTA_PROTO_NUM, (end, end))
    status = whole.get(CTA_STATUS, (end, end))
    if not (_holds(source, 4) and _holds(protocol, 1) and _holds(status, 4)):
        return None
    tcp = attributes(data, *whole.get(CTA_PROTOINFO, (end, end))).get(_CTA_PROTOINFO_TCP, (end, end))
    state = attributes(data, *tcp).get(_CTA_PROTOINFO_TCP_STATE, (end, end))
    return _Places(*source, protocol[0], status[0], state[0] if _holds(state, 1) else 0)


def _holds(place: tuple[int, int], least: int) -> bool:
    return place[1] - place[0] >= least
