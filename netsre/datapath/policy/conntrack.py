"""Connections of the policy datapath: the bytes of their maps, and how long each state is remembered.

The layouts repeat `bpf/include/policy_ct.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Iterable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple, Self


class State(IntEnum):
    """How far a connection has come: the index of its timeout."""

    TCP_SYN = 0
    TCP_ESTABLISHED = 1
    TCP_CLOSING = 2
    TCP_CLOSED = 3
    UDP_ASKED = 4
    UDP_ANSWERED = 5
    ICMP = 6
    OTHER_ASKED = 7
    OTHER_ANSWERED = 8


SECONDS: Final = MappingProxyType(
    {
        State.TCP_SYN: 60,
        # Longer than the two hours after which a silent connection asks whether the other end is there.
        State.TCP_ESTABLISHED: 8000,
        State.TCP_CLOSING: 120,
        State.TCP_CLOSED: 10,
        State.UDP_ASKED: 30,
        State.UDP_ANSWERED: 120,
        State.ICMP: 30,
        State.OTHER_ASKED: 60,
        State.OTHER_ANSWERED: 600,
    }
)
"""Until somebody writes others."""

_FIN: Final = 1
_RST: Final = 4
_TCP: Final = 6
_UDP: Final = 17
_ICMP: Final = frozenset({1, 58})
PROTOCOL_AT: Final = 36
"""Where the protocol stands in a key."""
MARGIN_NS: Final = 5 * 10**9
"""A connection is left alone for so long after its end: a run of a program may have met it while it lived."""


class Event(IntEnum):
    """What no policy was asked about, or could not be told of: the index of its count."""

    NOT_IP = 0
    ARP = 1
    NEIGHBOUR = 2
    UNREADABLE = 3
    NO_ENDPOINT = 4
    CUT_PASSED = 5
    CUT_DROPPED = 6
    FRAGMENT_PASSED = 7
    FRAGMENT_DROPPED = 8
    INTERNAL = 9
    CONNECTIONS_FULL = 10
    COUNTS_FULL = 11
    CUT_KEPT_OUT = 12
    FRAGMENT_KEPT_OUT = 13
    FORGED_SOURCE_PASSED = 14
    FORGED_SOURCE_DROPPED = 15


KEY: Final = struct.Struct("<16s16s2s2sB3x")
"""Own and peer's address, own and peer's port as on the wire, protocol."""
CONNECTION: Final = struct.Struct("<QIIIIIIBBBBBxH")
REVISION_AT: Final = 8
"""Where the end of the revision's number stands in a value."""
_COUNTED: Final = struct.Struct("<16x12s4x3s5x")
"""Of a connection: rule and ends, then direction, verdict and reason."""
TIMEOUT: Final = struct.Struct("<Q")
EVENT: Final = struct.Struct("<Q")
FRAGMENT_KEY_BYTES: Final = 40
FRAGMENT_BYTES: Final = 16


class Connection(NamedTuple):
    """What is remembered of a connection, in the order of its bytes."""

    seen_ns: int
    """CLOCK_MONOTONIC of its last packet, to the tick."""
    revision: int
    orders: int
    """The turn of orders that it was last asked about in."""
    rule: int
    source: int
    destination: int
    endpoint: int
    direction: int
    verdict: int
    reason: int
    said_forward: int
    said_back: int
    row: int = 0
    """In which its packets are counted; 0 for none yet."""

    @classmethod
    def of(cls, value: bytes) -> Self:
        """Return the connection of an entry."""
        return cls(*CONNECTION.unpack(value))

    def packed(self) -> bytes:
        """Return the entry."""
        return CONNECTION.pack(*self)


def timeouts(entries: Iterable[tuple[bytes, bytes]]) -> dict[State, int]:
    """Return the nanoseconds of each state, from the entries of their map."""
    return {State(int.from_bytes(key, "little")): TIMEOUT.unpack(value)[0] for key, value in entries}


def counted_under(values: bytes) -> set[bytes]:
    """Return the keys of the counters that the packets of connections are counted under, of many in a row."""
    found = {*_COUNTED.iter_unpack(values)}
    return {ends + bytes((kind[1], kind[0], kind[2], 0)) for ends, kind in found}


def state_of(one: Connection, protocol: int) -> State:
    """Return how far a connection has come, as the programs see it."""
    back = one.said_back
    if protocol == _UDP:
        return State.UDP_ANSWERED if back else State.UDP_ASKED
    if protocol in _ICMP:
        return State.ICMP
    if protocol != _TCP:
        return State.OTHER_ANSWERED if back else State.OTHER_ASKED
    either = one.said_forward | back
    if either & _RST or one.said_forward & back & _FIN:
        return State.TCP_CLOSED
    if either & _FIN:
        return State.TCP_CLOSING
    return State.TCP_ESTABLISHED if back else State.TCP_SYN


def over(entries: Iterable[tuple[bytes, bytes]], timeouts: Mapping[State, int], now_ns: int) -> list[bytes]:
    """Return the keys of the connections that no packet belongs to any more; timeouts are nanoseconds."""
    # Most are young: of these nobody needs to know more than when they were seen.
    latest = now_ns - min(timeouts.values())
    found = []
    for key, value in entries:
        (seen_ns,) = TIMEOUT.unpack_from(value)
        if seen_ns <= latest:
            state = state_of(Connection.of(value), key[PROTOCOL_AT])
            if seen_ns + timeouts[state] <= now_ns:
                found.append(key)
    return found
