"""The flow probe's maps: their sizes, the bytes they hold, and what the bytes mean.

The layouts repeat `bpf/include/flows.h`; a test compiles that file and compares.
"""

import errno
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.attribution import Client, Counted
from netsre.datapath.buckets import CONNECT_BOUNDS, STALL_SECONDS
from netsre.datapath.workloads import Names

MAX_ATTEMPTS: Final = 65_536
MAX_FLOWS: Final = 16_384
MAX_DENIED: Final = 1_024
"""Sources that are blocked, or were a moment ago."""
UNKNOWN_BUCKET: Final = 255
"""The bucket of an answered attempt whose beginning was not seen: counted, without a latency."""
STALL_NS: Final = STALL_SECONDS * 1_000_000_000

DEFINES: Final = {
    "MAX_ATTEMPTS": MAX_ATTEMPTS,
    "MAX_FLOWS": MAX_FLOWS,
    "MAX_DENIED": MAX_DENIED,
    "STALL_NS": f"{STALL_NS}ULL",
    "UNKNOWN_BUCKET": UNKNOWN_BUCKET,
    "CONNECT_BUCKET_COUNT": len(CONNECT_BOUNDS),
    "EEXIST_CODE": errno.EEXIST,
}
"""Preprocessor names that the probe's source needs, beside the member offsets."""

ATTEMPT: Final = struct.Struct("<QQIIB7x16s")
STALL_CLAIM: Final = struct.Struct("<QQ")
FLOW_KEY: Final = struct.Struct("<QIIBBBBB3x")
FLOW_VALUE: Final = struct.Struct("<QQ")
DENIAL: Final = struct.Struct("<QQ")
LAST_DENIAL: Final = struct.Struct("<Q")


class Role(NamedTuple):
    """Whose attempt it is: which end of it is here, and by what protocol."""

    direction: str
    protocol: str


TCP_CLIENT: Final = Role("egress", "tcp")
UDP_CLIENT: Final = Role("egress", "udp")
TCP_SERVER: Final = Role("ingress", "tcp")
ROLES: Final = (TCP_CLIENT, UDP_CLIENT, TCP_SERVER)

_OUTCOMES: Final = ("delivered", "failed", "failed", "denied")
_FIXED_REASONS: Final = {0: "none", 2: "stalled", 3: "blocked"}
"""Of outcomes that say themselves why."""
_UNANSWERED: Final = "unanswered"
"""The word for `stalled` where no answer may have been meant to come."""
DESTINATIONS: Final = (OTHER, "loopback", "private", "public")
"""Classes of addresses."""
OUTCOME_STALLED: Final = 2
OUTCOME_DENIED: Final = 3

_REASONS: Final = {
    0: "abandoned",
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ETIMEDOUT: "timed_out",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.ECONNABORTED: "aborted",
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
}
REASONS: Final = frozenset(_REASONS.values()) | {*_FIXED_REASONS.values(), _UNANSWERED, "other"}
"""Every value that the label `reason` can have, beside the marker for counts without detail."""


class FlowKind(NamedTuple):
    """What is kept apart of one client."""

    outcome: str
    reason: str
    destination: str
    bucket: int
    role: Role = TCP_CLIENT


@dataclass(frozen=True, slots=True)
class FlowCount:
    """One counter of the probe, summed over CPUs."""

    netns: int
    """Inode number of the client's network namespace; 0 when it is not known."""
    outcome: str
    reason: str
    destination: str
    bucket: int
    """Index into `CONNECT_BOUNDS`, its length for +Inf, `UNKNOWN_BUCKET` without a latency."""
    count: int
    sum_ns: int
    cgroup: int = 0
    """Id of the client's cgroup; 0 when it is not known."""
    workload: int = 0
    """Number of the destination's name; 0 when it has none."""
    role: Role = TCP_CLIENT

    @property
    def client(self) -> Client:
        """Return who connects."""
        return Client(self.netns, self.cgroup)

    def counted(self, names: Names) -> Counted[FlowKind]:
        """Return it as totals by name want it, with the name of where it went."""
        goal = names.destination(self.workload, self.destination)
        kind = FlowKind(self.outcome, self.reason, goal, self.bucket, self.role)
        return Counted(self.client, kind, self.count, self.sum_ns)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that waits for its answer."""

    sock: int
    start_ns: int
    netns: int
    destination: str
    source: bytes
    """16 bytes as in an IPv6 header; an IPv4 address is `::ffff:a.b.c.d`."""
    cgroup: int = 0
    workload: int = 0


def reason_of(outcome: int, error: int, role: Role = TCP_CLIENT) -> str:
    """Return the word for why an attempt ended, from the probe's outcome and the socket's errno."""
    if outcome == OUTCOME_STALLED and role == UDP_CLIENT:
        return _UNANSWERED
    return _FIXED_REASONS.get(outcome) or _REASONS.get(error, "other")


def outcome_of(code: int) -> str:
    """Return the word for how an attempt ended."""
    return _OUTCOMES[code]


def role_of(code: int) -> Role:
    """Return whose attempt it is."""
    return ROLES[code]


def code_of(destination: str) -> int:
    """Return the probe's number for where an attempt went."""
    return DESTINATIONS.index(destination)


def destination_of(code: int) -> str:
    """Return the word for where an attempt went."""
    return DESTINATIONS[code] if code < len(DESTINATIONS) else OTHER


def sum_per_cpu(value: bytes) -> tuple[int, int]:
    """Return (count, nanoseconds) summed over the CPUs' slots of one value."""
    count = total = 0
    for slot_count, slot_ns in FLOW_VALUE.iter_unpack(value):
        count += slot_count
        total += slot_ns
    return count, total


def decode_flows(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[FlowCount]:
    """Turn the entries of the map `flows` into counters."""
    for key, value in entries:
        cgroup, netns, workload, outcome, error, destination, bucket, role = FLOW_KEY.unpack(key)
        count, sum_ns = sum_per_cpu(value)
        yield FlowCount(
            netns,
            _OUTCOMES[outcome],
            reason_of(outcome, error, ROLES[role]),
            destination_of(destination),
            bucket if outcome == 0 else UNKNOWN_BUCKET,
            count,
            sum_ns,
            cgroup,
            workload,
            ROLES[role],
        )


def client_of(key: bytes) -> Client:
    """Return whose counter an entry of the map `flows` is."""
    cgroup, netns, *_ = FLOW_KEY.unpack(key)
    return Client(netns, cgroup)


def decode_overflow(slot: int, value: bytes) -> FlowCount:
    """Turn a slot of `flows_overflow` into a counter without detail."""
    role, outcome = divmod(slot, len(_OUTCOMES))
    count, _ = sum_per_cpu(value)
    reason = reason_of(outcome, 0, ROLES[role]) if outcome in _FIXED_REASONS else OTHER
    return FlowCount(0, _OUTCOMES[outcome], reason, OTHER, UNKNOWN_BUCKET, count, 0, role=ROLES[role])


def decode_attempts(entries: Iterable[tuple[bytes, bytes]]) -> tuple[list[Attempt], list[bytes], int]:
    """Return (attempts in flight, keys of idle entries, entries in use) of the map `attempts`."""
    waiting, idle, total = [], [], 0
    for key, value in entries:
        total += 1
        start_ns, cgroup, netns, workload, destination, source = ATTEMPT.unpack(value)
        if start_ns:
            (sock,) = struct.unpack("<Q", key)
            goal = destination_of(destination)
            waiting.append(Attempt(sock, start_ns, netns, goal, source, cgroup, workload))
        else:
            idle.append(key)
    return waiting, idle, total


def stalled(attempts: Iterable[Attempt], now_ns: int) -> Iterator[Attempt]:
    """Yield the attempts unanswered for the stall limit; `now_ns` is the kernel's monotonic clock."""
    return (attempt for attempt in attempts if now_ns - attempt.start_ns >= STALL_NS)
