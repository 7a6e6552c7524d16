"""The UDP probe's maps: their sizes, the bytes they hold, and what the bytes mean.

The layouts repeat `bpf/include/udp.h`; a test compiles that file and compares. What is counted is decoded as
for TCP (`netsre.datapath.flows`).
"""

import errno
import struct
from dataclasses import dataclass
from typing import Final

from netsre.datapath import flows
from netsre.datapath.flow_log import PAGE_BYTES, FlowEvent
from netsre.datapath.flows import UDP_CLIENT, UNKNOWN_BUCKET, FlowCount

MAX_SOCKETS: Final = 32_768
MAX_PEERS: Final = 16_384
"""Conversations beyond the first of their socket."""
MAX_COUNTS: Final = 4_096
CONVERSATION_NS: Final = 30_000_000_000
"""After an answer, what is sent within this time goes on with the same conversation; as for conntrack."""
LOG_BYTES: Final = 1 << 18

_CLAIM_NS: Final = 100_000_000
_SAME_CALL_NS: Final = 1_000_000
_FAILURES: Final = (
    *(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN),
    *(errno.ENONET, errno.ENOPROTOOPT, errno.EPROTO, errno.EACCES, errno.EPERM),
)
"""What an error of a datagram can be (`icmp_err_convert` of the kernel, routes, and firewalls)."""

DEFINES: Final = {
    "MAX_UDP_SOCKETS": MAX_SOCKETS,
    "MAX_UDP_PEERS": MAX_PEERS,
    "MAX_UDP_COUNTS": MAX_COUNTS,
    "UDP_LOG_PAGES": LOG_BYTES // PAGE_BYTES,
    "UDP_CONVERSATION_NS": f"{CONVERSATION_NS}ULL",
    "UDP_CLAIM_NS": f"{_CLAIM_NS}ULL",
    "UDP_SAME_CALL_NS": f"{_SAME_CALL_NS}ULL",
    "UDP_FAILURES": " ".join(f"X({number})" for number in _FAILURES),
    "UDP_REFUSED": errno.ECONNREFUSED,
    "UNKNOWN_BUCKET": UNKNOWN_BUCKET,
    "STALL_NS": f"{flows.STALL_NS}ULL",
    "MAX_DENIED": flows.MAX_DENIED,
    "EEXIST_CODE": errno.EEXIST,
}
"""Preprocessor names that the probe's source needs, beside the member offsets."""

CONVERSATION: Final = struct.Struct("<QQQQ16s16sII2sHBBBBBB6x")
PEER: Final = struct.Struct("<Q16s2s6x")
SOCKET: Final = struct.Struct(f"<{CONVERSATION.size}s{PEER.size}sQIIBBB5x")
_TIMES: Final = struct.Struct("<QQQ")
COOKIE: Final = struct.Struct("<Q")
_ROLE_AT: Final = CONVERSATION.size + PEER.size + 16
_PEERS_AT: Final = _ROLE_AT + 1
_CLIENT: Final = 0
NOT_OPEN: Final = bytes(8)
"""What a conversation without an open attempt begins with."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A socket and an address that it has written to. Times are nanoseconds of CLOCK_MONOTONIC."""

    cookie: int
    """Names the socket; none is ever used again."""
    start_ns: int
    """When the attempt began that is open."""
    netns: int
    destination: str
    local: bytes
    """16 bytes as in an IPv6 header, an IPv4 address as `::ffff:a.b.c.d`; zero where it is not known."""
    local_port: int
    remote: bytes
    remote_port: int
    cgroup: int = 0
    workload: int = 0

    @property
    def claim(self) -> bytes:
        """Return the name of the attempt, for ever."""
        return flows.STALL_CLAIM.pack(self.cookie, self.start_ns)

    def ended(self, outcome: str, reason: str) -> FlowCount:
        """Return how an end of the attempt is counted, none of them yet."""
        ends = self.cgroup, self.workload
        return FlowCount(
            self.netns, outcome, reason, self.destination, UNKNOWN_BUCKET, 0, 0, *ends, role=UDP_CLIENT
        )

    def event(self, outcome: str, reason: str, end_ns: int) -> FlowEvent:
        """Return the event of an end of the attempt."""
        ends = self.local, self.local_port, self.remote, self.remote_port
        whose = self.cgroup, self.workload, UDP_CLIENT
        return FlowEvent(
            end_ns, self.start_ns, self.netns, outcome, reason, self.destination, *ends, 1, *whose
        )


def is_client(raw: bytes) -> bool:
    """Tell of an entry of the map `udp_sockets` whether the socket asks, and not answers."""
    return raw[_ROLE_AT] == _CLIENT


def has_one_peer(raw: bytes) -> bool:
    """Tell of an entry of the map `udp_sockets` whether it has everything about its socket."""
    return raw[_PEERS_AT] < 2


def is_open(raw: bytes) -> bool:
    """Tell whether an attempt waits for its answer, of a conversation or of the first of a socket."""
    return raw[:8] != NOT_OPEN


def cookie_of(key: bytes) -> int:
    """Return the socket of an entry of either map."""
    cookie: int = COOKIE.unpack_from(key)[0]
    return cookie


def latest(raw: bytes) -> int:
    """Return when anything last became of a conversation, or of the first of a socket; 0 for never."""
    times: tuple[int, int, int] = _TIMES.unpack_from(raw)
    return max(times)


def is_idle(raw: bytes, now_ns: int) -> bool:
    """Tell whether nothing is open, and nothing became of it for as long as a conversation lasts."""
    return not is_open(raw) and now_ns - latest(raw) > CONVERSATION_NS


def decode(key: bytes, raw: bytes) -> Conversation:
    """Return a conversation, of an entry of either map."""
    start_ns, _, _, cgroup, local, remote, netns, workload, port, local_port, destination, *_ = (
        CONVERSATION.unpack_from(raw)
    )
    goal, remote_port = flows.destination_of(destination), int.from_bytes(port, "big")
    ends = local, local_port, remote, remote_port
    return Conversation(cookie_of(key), start_ns, netns, goal, *ends, cgroup, workload)
