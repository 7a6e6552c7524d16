"""The events of the flow log as the kernel hands them over: their bytes, and what the bytes mean.

The layouts repeat `bpf/include/flow_log.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from netsre.datapath import flows
from netsre.datapath.flows import TCP_CLIENT, Attempt, Refusal, Role

PAGE_BYTES: Final = 4_096
RING_BYTES: Final = 1 << 20
"""Room for 11,915 events. It also bounds what a storm of failures costs whoever reads them."""

DEFINES: Final = {"FLOW_LOG_PAGES": RING_BYTES // PAGE_BYTES}
"""Preprocessor names that the flow probe's source needs for its log."""

SWITCH: Final = struct.Struct("<II")
EVENT: Final = struct.Struct("<QQQ16s16sIIIHHBBBBBxH")
STALL: Final = struct.Struct("<QQQQQQQQ16sQ")

KINDS: Final = ("delivered", "failed", "denied")
"""Every value of the label `kind`."""
UNKNOWN_ADDRESS: Final = bytes(16)


class Switch(NamedTuple):
    """What the kernel emits."""

    on: bool
    one_in: int
    """Of the delivered attempts; 0 is none of them."""

    def packed(self) -> bytes:
        """Return the bytes that the kernel reads."""
        return SWITCH.pack(self.on, self.one_in)


class FlowEvent(NamedTuple):
    """An attempt that came to its outcome. Times are nanoseconds of CLOCK_MONOTONIC."""

    end_ns: int
    start_ns: int
    """0 when the beginning was not seen."""
    netns: int
    """Inode number of the network namespace of the end that is here; 0 when it is not known."""
    outcome: str
    reason: str
    destination: str
    local: bytes
    """16 bytes as in an IPv6 header; an IPv4 address is `::ffff:a.b.c.d`."""
    local_port: int
    """0 when it is not known."""
    remote: bytes
    """Zero, with port 0, when it is not known."""
    remote_port: int
    one_in: int
    """It stands for so many of its kind."""
    cgroup: int = 0
    """Id of the cgroup of the end that is here; 0 when it is not known."""
    workload: int = 0
    """Number of the other end's name; 0 when it has none."""
    role: Role = TCP_CLIENT


Codes = tuple[int, int, int, int, int]
"""Outcome, errno, destination, role and reason for a drop, as the kernel numbers them."""


class Words(NamedTuple):
    """What the codes of an event say."""

    outcome: str
    reason: str
    destination: str
    role: Role


class Vocabulary(dict[Codes, Words]):
    """What codes say, worked out once for all events that have the same: a storm repeats itself."""

    def __init__(self, drops: Mapping[int, str]) -> None:
        """Begin with none; `drops` are the kernel's reasons for drops."""
        super().__init__()
        self._drops = drops

    def __missing__(self, codes: Codes) -> Words:
        """Work out one."""
        outcome, error, destination, number, drop = codes
        role = flows.role_of(number)
        reason = flows.reason_of(outcome, error, role, drop, self._drops)
        words = self[codes] = Words(
            flows.outcome_of(outcome), reason, flows.destination_of(destination), role
        )
        return words


def decode(raw: bytes | memoryview, vocabulary: Vocabulary) -> FlowEvent:
    """Return the event of one record of the ring."""
    end_ns, start_ns, cgroup, local, remote, netns, workload, one_in, *rest = EVENT.unpack_from(raw)
    local_port, remote_port, outcome, error, destination, remote_known, role, drop = rest
    if not remote_known:
        local_port, remote, remote_port = 0, UNKNOWN_ADDRESS, 0
    said = vocabulary[outcome, error, destination, role, drop]
    ends, whose = (local, local_port, remote, remote_port), (cgroup, workload, said.role)
    return FlowEvent(end_ns, start_ns, netns, *said[:3], *ends, one_in, *whose)


def stall_arguments(attempt: Attempt, end_ns: int, *, denied: bool) -> bytes:
    """Return how the kernel is asked for the event of an attempt that was found stalled."""
    outcome = flows.OUTCOME_DENIED if denied else flows.OUTCOME_STALLED
    destination = flows.code_of(attempt.destination)
    times, ends = (attempt.start_ns, end_ns), (attempt.cgroup, attempt.netns, attempt.workload)
    return STALL.pack(attempt.sock, *times, *ends, outcome, destination, attempt.source, attempt.drop)


def stall_event(attempt: Attempt, end_ns: int, words: Mapping[int, str], *, denied: bool) -> FlowEvent:
    """Return the same event as far as it is known without the kernel: not where the attempt went."""
    outcome = flows.OUTCOME_DENIED if denied else flows.OUTCOME_STALLED
    return FlowEvent(
        end_ns,
        attempt.start_ns,
        attempt.netns,
        flows.outcome_of(outcome),
        flows.reason_of(outcome, 0, TCP_CLIENT, attempt.drop, words),
        attempt.destination,
        attempt.source,
        0,
        UNKNOWN_ADDRESS,
        0,
        1,
        attempt.cgroup,
        attempt.workload,
    )


def refused_event(refusal: Refusal) -> FlowEvent:
    """Return the event of an attempt that was refused here; it had its answer at once."""
    kind = refusal.kind
    return FlowEvent(
        refusal.at_ns,
        0,
        kind.netns,
        kind.outcome,
        kind.reason,
        kind.destination,
        refusal.local,
        refusal.local_port,
        refusal.remote,
        refusal.remote_port,
        1,
        workload=kind.workload,
        role=kind.role,
    )
