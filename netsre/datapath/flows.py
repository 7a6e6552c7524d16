"""The flow probe's maps: their sizes, the bytes they hold, and what the bytes mean.

The layouts repeat `bpf/include/flows.h`; a test compiles that file and compares.
"""

import errno
import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Final, NamedTuple, TypeVar

from netsre.conventions import OTHER
from netsre.datapath.attribution import Client, Counted, Counter
from netsre.datapath.buckets import STALL_SECONDS
from netsre.datapath.workloads import Names

MAX_ATTEMPTS: Final = 65_536
MAX_FLOWS: Final = 16_384
MAX_DENIED: Final = 1_024
"""Sources that are blocked, or were a moment ago."""
MAX_REFUSALS: Final = 8_192
"""Refused SYNs of a second."""
CONNECTION_SETS: Final = 8_192
"""Times seven connections that are remembered; a power of two."""
UNKNOWN_BUCKET: Final = 255
"""The bucket of an answered attempt whose beginning was not seen: counted, without a latency."""
STALL_NS: Final = STALL_SECONDS * 1_000_000_000

EARLY_TICKS: Final = 250
"""Ticks of the kernel in which no attempt can have stalled: 0.25 to 2.5 s, at 1,000 to 100 a second."""

DEFINES: Final = {
    "MAX_ATTEMPTS": MAX_ATTEMPTS,
    "MAX_FLOWS": MAX_FLOWS,
    "MAX_DENIED": MAX_DENIED,
    "MAX_REFUSALS": MAX_REFUSALS,
    "CONNECTION_SETS": CONNECTION_SETS,
    "STALL_NS": f"{STALL_NS}ULL",
    "EARLY_TICKS": EARLY_TICKS,
    "UNKNOWN_BUCKET": UNKNOWN_BUCKET,
    "EEXIST_CODE": errno.EEXIST,
}
"""Preprocessor names that the probe's source needs, beside the member offsets."""

ATTEMPT: Final = struct.Struct("<QQII4xBxH16s")
STALL_CLAIM: Final = struct.Struct("<QQ")
FLOW_KEY: Final = struct.Struct("<QIIBBBBBxH")
FLOW_VALUE: Final = struct.Struct("<QQ")
DENIAL: Final = struct.Struct("<QQ")
LAST_DENIAL: Final = struct.Struct("<Q")
REFUSAL: Final = struct.Struct("<Q16s16sIIHHB3x")
REFUSAL_NS: Final = 1_000_000_000
"""How long a refused SYN waits for its client to turn out to be here."""

End = TypeVar("End")


class Role(NamedTuple):
    """Whose attempt it is: which end of it is here, and by what protocol."""

    direction: str
    protocol: str

    def from_to(self, here: End, there: End) -> tuple[End, End]:
        """Return the source and the destination: the client is the source, wherever it is."""
        return (there, here) if self.direction == "ingress" else (here, there)


TCP_CLIENT: Final = Role("egress", "tcp")
UDP_CLIENT: Final = Role("egress", "udp")
TCP_SERVER: Final = Role("ingress", "tcp")
ROLES: Final = (TCP_CLIENT, UDP_CLIENT, TCP_SERVER)
DIRECTIONS: Final = tuple(sorted({role.direction for role in ROLES}))
PROTOCOLS: Final = tuple(sorted({role.protocol for role in ROLES}))
"""Every value of the label `direction`."""

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
"""Values of the label `reason`, beside the marker for counts without detail, and those of drops."""
DROPPED: Final = "dropped:"
"""What the reason of an attempt begins with whose packets this node drops; then comes the kernel's word."""


class FlowKind(NamedTuple):
    """What is kept apart of one client."""

    outcome: str
    reason: str
    destination: str
    """The name of the other end."""
    bucket: int
    role: Role = TCP_CLIENT


@dataclass(frozen=True, slots=True)
class FlowCount:
    """One counter of the probe, summed over CPUs."""

    netns: int
    """Inode number of the network namespace of the end that is here; 0 when it is not known."""
    outcome: str
    reason: str
    destination: str
    bucket: int
    """Number of a cell (`datapath.buckets`), `UNKNOWN_BUCKET` without a latency."""
    count: int
    sum_ns: int
    cgroup: int = 0
    """Id of the cgroup of the end that is here; 0 when it is not known."""
    workload: int = 0
    """Number of the other end's name; 0 when it has none."""
    role: Role = TCP_CLIENT

    @property
    def client(self) -> Client:
        """Return the end that is here."""
        return Client(self.netns, self.cgroup)

    def counted(self, names: Names) -> Counted[FlowKind]:
        """Return it as totals by name want it, with the name of the other end."""
        return Counted(self.client, self._kind(names), self.count, self.sum_ns)

    def counter(self, names: Names) -> Counter[FlowKind]:
        """Return it as a counter of which nothing was read yet."""
        return Counter(self.client, self._kind(names))

    def _kind(self, names: Names) -> FlowKind:
        goal = names.destination(self.workload, self.destination)
        return FlowKind(self.outcome, self.reason, goal, self.bucket, self.role)


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
    drop: int = 0
    """The kernel's number for why the last packet of it was dropped here; 0 when none was."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A SYN that was refused, as nobody here listens for it."""

    at_ns: int
    """By CLOCK_MONOTONIC."""
    local: bytes
    """16 bytes as in an IPv6 header; an IPv4 address is `::ffff:a.b.c.d`."""
    remote: bytes
    netns: int
    workload: int
    local_port: int
    remote_port: int
    destination: str
    """The class of the client's address."""

    @property
    def kind(self) -> FlowCount:
        """Return how it is counted, none of them yet."""
        ends = 0, self.workload, TCP_SERVER
        return FlowCount(self.netns, _OUTCOMES[1], "refused", self.destination, UNKNOWN_BUCKET, 0, 0, *ends)


def reason_of(outcome: int, error: int, role: Role, drop: int, words: Mapping[int, str]) -> str:
    """Return the word for why an attempt ended, from the probe's outcome and the socket's errno.

    One that stalled because this node drops its packets has the kernel's own reason for that, whose number
    `words` tells.
    """
    if outcome == OUTCOME_STALLED and drop in words:
        return DROPPED + words[drop]
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


def sums_per_cpu(values: bytes, entries: int, words: int) -> list[Iterable[int]]:
    """Return each of the words of so many values in a row, summed over the CPUs' slots: a column for each."""
    found = array("Q", values)
    stride = len(found) // entries if entries else words
    columns = [found[at::stride] for at in range(stride)]
    # Column by column: what is done for each value is done in C.
    return [_rows(columns[at::words]) for at in range(words)]


def _rows(columns: Sequence[Iterable[int]]) -> Iterable[int]:
    return reduce(partial(map, add), columns)


def decode_flows(entries: Iterable[tuple[bytes, bytes]], words: Mapping[int, str]) -> Iterator[FlowCount]:
    """Turn the entries of the map `flows` into counters; `words` are the kernel's reasons for drops."""
    return (decode_flow(key, words, *sum_per_cpu(value)) for key, value in entries)


def decode_flow(key: bytes, words: Mapping[int, str], count: int = 0, sum_ns: int = 0) -> FlowCount:
    """Turn one entry of the map `flows` into a counter."""
    cgroup, netns, workload, outcome, error, destination, bucket, role, drop = FLOW_KEY.unpack(key)
    return FlowCount(
        netns,
        _OUTCOMES[outcome],
        reason_of(outcome, error, ROLES[role], drop, words),
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
    reason = reason_of(outcome, 0, ROLES[role], 0, {}) if outcome in _FIXED_REASONS else OTHER
    return FlowCount(0, _OUTCOMES[outcome], reason, OTHER, UNKNOWN_BUCKET, count, 0, role=ROLES[role])


def decode_attempts(entries: Iterable[tuple[bytes, bytes]]) -> tuple[list[Attempt], list[bytes], int]:
    """Return (attempts in flight, keys of idle entries, entries in use) of the map `attempts`."""
    waiting, idle, total = [], [], 0
    for key, value in entries:
        total += 1
        start_ns, cgroup, netns, workload, destination, drop, source = ATTEMPT.unpack(value)
        if start_ns:
            (sock,) = struct.unpack("<Q", key)
            goal = destination_of(destination)
            waiting.append(Attempt(sock, start_ns, netns, goal, source, cgroup, workload, drop))
        else:
            idle.append(key)
    return waiting, idle, total


def unanswered(attempt: Attempt, words: Mapping[int, str], *, denied: bool) -> FlowCount:
    """Return how an attempt without an answer is counted, none of them yet."""
    outcome = OUTCOME_DENIED if denied else OUTCOME_STALLED
    return FlowCount(
        attempt.netns,
        _OUTCOMES[outcome],
        reason_of(outcome, 0, TCP_CLIENT, attempt.drop, words),
        attempt.destination,
        UNKNOWN_BUCKET,
        0,
        0,
        attempt.cgroup,
        attempt.workload,
    )


def refused(entries: Iterable[tuple[bytes, bytes]], now_ns: int) -> Iterator[tuple[bytes, Refusal]]:
    """Yield the entries of the map `refusals` that nobody here took away in time, with their keys."""
    for key, value in entries:
        at_ns, local, remote, netns, workload, local_port, remote_port, destination = REFUSAL.unpack(value)
        if now_ns - at_ns >= REFUSAL_NS:
            ends = local, remote, netns, workload, local_port, remote_port
            yield key, Refusal(at_ns, *ends, destination_of(destination))


def stalled(attempts: Iterable[Attempt], now_ns: int) -> Iterator[Attempt]:
    """Yield the attempts unanswered for the stall limit; `now_ns` is the kernel's monotonic clock."""
    return (attempt for attempt in attempts if now_ns - attempt.start_ns >= STALL_NS)
