"""The TCP probe's maps: their sizes, the bytes they hold, and what the bytes mean.

The layouts repeat `bpf/include/tcp.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.attribution import Client, Counter
from netsre.datapath.flows import destination_of

MAX_TCP_COUNTS: Final = 8_192
DEFINES: Final = {"MAX_TCP_COUNTS": MAX_TCP_COUNTS}
"""Preprocessor names that the probe's source needs, beside the member offsets."""

TCP_KEY: Final = struct.Struct("<QIBBBB")
TCP_VALUE: Final = struct.Struct("<QQ")
DETAILS: Final = 128
"""Slots of one event in the map `tcp_overflow`."""

RESET_ENUM: Final = "sk_rst_reason"
"""The kernel's own list of why it sends a reset."""
_RESET_PREFIX: Final = "SK_RST_REASON_"

_EVENTS: Final = ("retransmit", "reset_sent", "reset_received", "rtt")
_RETRANSMITS: Final = ("data", "syn", "syn_ack")
_RECEIVED: Final = ("refused", "broken")
_DIRECTIONS: Final = (OTHER, "egress", "ingress")


class TcpKind(NamedTuple):
    """What is kept apart of one client."""

    event: str
    """`retransmit`, `reset_sent`, `reset_received` or `rtt`."""
    detail: str
    """What was sent again, or why there was a reset; empty for `rtt`."""
    direction: str
    """Who opened the connection: this end (`egress`), the other (`ingress`), or nobody knows."""
    destination: str
    bucket: int
    """Number of a cell (`datapath.buckets`); 0 for what is not timed."""


def reset_words(enumerators: Mapping[int, str]) -> dict[int, str]:
    """Return the words for why this kernel sends resets, by its own numbers."""
    return {
        number: name.removeprefix(_RESET_PREFIX).lower()
        for number, name in enumerators.items()
        if name != f"{_RESET_PREFIX}MAX"
    }


def counter_of(key: bytes, words: Mapping[int, str]) -> Counter[TcpKind]:
    """Return the counter that a key of the map `tcp_counts` means; `words` say why resets were sent."""
    cgroup, netns, event, detail, direction, destination = TCP_KEY.unpack(key)
    where = (_word(_DIRECTIONS, direction, OTHER), destination_of(destination))
    return Counter(Client(netns, cgroup), _kind(event, detail, where, words))


def counter_of_slot(slot: int, words: Mapping[int, str]) -> Counter[TcpKind]:
    """Return the counter of nobody that a slot of the map `tcp_overflow` is."""
    event, detail = divmod(slot, DETAILS)
    return Counter(Client(0), _kind(event, detail, (OTHER, OTHER), words))


def _kind(event: int, detail: int, where: tuple[str, str], words: Mapping[int, str]) -> TcpKind:
    name = _EVENTS[event]
    if name == "rtt":
        return TcpKind(name, "", *where, detail)
    if name == "reset_sent":
        return TcpKind(name, words.get(detail, "other"), *where, 0)
    return TcpKind(
        name, _word(_RETRANSMITS if name == "retransmit" else _RECEIVED, detail, "other"), *where, 0
    )


def _word(words: tuple[str, ...], number: int, otherwise: str) -> str:
    return words[number] if number < len(words) else otherwise
