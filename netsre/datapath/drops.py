"""The drops probe's maps: their sizes, the bytes they hold, and what this kernel's reasons are called.

The layout repeats `bpf/include/drops.h`; a test compiles that file and compares. The kernel numbers its
reasons anew from version to version: here they have names only, and the running kernel tells the numbers.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from netsre.datapath.attribution import Client, Counter

MAX_DROP_COUNTS: Final = 4_096
TCP_END: Final = 511
"""Our own number, for what a TCP peer sends after its FIN, which the kernel frees without a reason."""
DEFINES: Final = {"MAX_DROP_COUNTS": MAX_DROP_COUNTS}
"""Preprocessor names that the probe's source needs, beside the member offsets."""

DROP_KEY: Final = struct.Struct("<II")

REASON_ENUM: Final = "skb_drop_reason"
SUBSYSTEM_ENUM: Final = "skb_drop_reason_subsys"
_REASON_PREFIX: Final = "SKB_DROP_REASON_"
_SUBSYSTEM_PREFIX: Final = "SKB_DROP_REASON_SUBSYS_"
_SUBSYSTEM_SHIFT: Final = 16
_NO_REASONS: Final = frozenset({"MAX", "SUBSYS_MASK"})
UNKNOWN: Final = "other"
"""The word for a number that this kernel's list does not have."""

BENIGN: Final = frozenset(
    {
        # A socket was closed, or a queue given up, with something still in it.
        *("queue_purge", "socket_close", "unix_disconnect", "unix_skip_oob"),
        # What came a second time: the first was taken. Senders repeat when an answer is late.
        *(
            "tcp_old_data",
            "tcp_ofomerge",
            "tcp_old_sequence",
            "tcp_old_ack",
            "tcp_rfc7323_paws_ack",
            "dup_frag",
        ),
        # Acknowledgements after the peer's last byte; our own word, for the kernel gives no reason.
        "tcp_end",
        # A reset is obeyed, and then there is nothing to hand to anybody.
        "tcp_reset",
        # Meant for somebody else on the same wire.
        *("otherhost", "ipv6_ndisc_ns_otherhost"),
    }
)
"""Reasons by which nobody loses anything, by their names in lower case; normal ends and echoes of traffic."""


class DropKind(NamedTuple):
    """What is kept apart in one namespace."""

    reason: str

    @property
    def benign(self) -> bool:
        """Whether nobody loses anything by it."""
        return self.reason in BENIGN


def reason_words(reasons: Mapping[int, str], subsystems: Mapping[int, str]) -> dict[int, str]:
    """Return the words for this kernel's reasons, by its own numbers.

    Reasons of a subsystem have names in its own module only; all of one have the word of the subsystem. It
    stands under the number with which its reasons begin.
    """
    words = {TCP_END: "tcp_end"} | {
        number: name.removeprefix(_REASON_PREFIX).lower()
        for number, name in reasons.items()
        if name.startswith(_REASON_PREFIX) and name.removeprefix(_REASON_PREFIX) not in _NO_REASONS
    }
    for number, name in subsystems.items():
        word = name.removeprefix(_SUBSYSTEM_PREFIX)
        if number and word != "NUM":
            words[number << _SUBSYSTEM_SHIFT] = word.lower()
    return words


def words_of(enums: Mapping[str, Mapping[int, str]]) -> dict[int, str]:
    """Return the words for this kernel's reasons, from its enumerations by name; none without them."""
    return reason_words(enums.get(REASON_ENUM, {}), enums.get(SUBSYSTEM_ENUM, {}))


def counter_of(key: bytes, words: Mapping[int, str]) -> Counter[DropKind]:
    """Return the counter that a key of the map `drop_counts` means."""
    netns, reason = DROP_KEY.unpack(key)
    return Counter(Client(netns), DropKind(_word(reason, words)))


def counter_of_slot(slot: int, words: Mapping[int, str]) -> Counter[DropKind]:
    """Return the counter of nobody that a slot of the map `drop_overflow` is."""
    return Counter(Client(0), DropKind(_word(slot, words)))


def _word(reason: int, words: Mapping[int, str]) -> str:
    subsystem = reason >> _SUBSYSTEM_SHIFT << _SUBSYSTEM_SHIFT
    return words.get(subsystem or reason, UNKNOWN)
