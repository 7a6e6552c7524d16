"""Loads of BPF programs: the maps of their probe, what the bytes mean, and totals by owner.

The layouts repeat `bpf/include/loads.h`; a test compiles that file and compares.
"""

import errno
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath import btf
from netsre.datapath.commands import owner_of, printable

MAX_LOADS: Final = 1_024
MAX_CALLS: Final = 1_024
"""Loads that are under way at the same time."""
FAILURES: Final = 16
"""How many of the last failed loads are kept, of programs with a name, and as many of those without."""

MOST_OWNERS: Final = 64
"""Owners kept apart at most, first come, first served; all others are `~other`. A bound on series."""
MOST_FAILING: Final = 32
"""Owners among them that never loaded anything: everybody may fail, and so use up the names of others."""
IDLE_SECONDS: Final = 3600.0
"""An owner that loads nothing for this long gives its place away, and its series end."""

READER: Final = struct.Struct("<QQI4x")
KEY: Final = struct.Struct("<16sII")
VALUE: Final = struct.Struct("<QQQQ")
FAILURE: Final = struct.Struct("<QQQIIII16s16sII4096sQ")

_ERRORS: Final = frozenset(
    {"EPERM", "EINVAL", "EACCES", "E2BIG", "ENOSPC", "ENOMEM", "EAGAIN", "EFAULT", "EBADF"}
)
OTHER_TYPE: Final = "other"
"""A type of program that has no name here."""
TYPES: Final = (
    *("unspec", "socket_filter", "kprobe", "sched_cls", "sched_act", "tracepoint", "xdp", "perf_event"),
    *("cgroup_skb", "cgroup_sock", "lwt_in", "lwt_out", "lwt_xmit", "sock_ops", "sk_skb", "cgroup_device"),
    *("sk_msg", "raw_tracepoint", "cgroup_sock_addr", "lwt_seg6local", "lirc_mode2", "sk_reuseport"),
    *("flow_dissector", "cgroup_sysctl", "raw_tracepoint_writable", "cgroup_sockopt", "tracing"),
    *("struct_ops", "ext", "lsm", "sk_lookup", "syscall", "netfilter"),
)
"""By the numbers of `enum bpf_prog_type`, which never change."""
_WALK: Final = {
    "OFF_TASK_FILES": ("task_struct", "files"),
    "OFF_FILES_FDT": ("files_struct", "fdt"),
    "OFF_FDTABLE_FD": ("fdtable", "fd"),
    "OFF_FILE_PRIVATE_DATA": ("file", "private_data"),
    "OFF_PROG_AUX": ("bpf_prog", "aux"),
    "OFF_VERIFIED_INSNS": ("bpf_prog_aux", "verified_insns"),
}


def defines(types: btf.TypeTable) -> Mapping[str, object]:
    """Return the preprocessor names of the probe's source.

    Where this kernel lacks a member on the way to a program, the way is left out.
    """
    sizes = {"MAX_LOADS": MAX_LOADS, "MAX_LOAD_CALLS": MAX_CALLS, "LOAD_FAILURES": FAILURES}
    try:
        return {**sizes, **{name: types.offset(*member) for name, member in _WALK.items()}}
    except btf.BtfError:
        return sizes


class LoadKind(NamedTuple):
    """What is kept apart; the labels of the metric, in their order."""

    owner: str
    type: str
    result: str
    reason: str


@dataclass(frozen=True, slots=True)
class LoadCount:
    """One counter of the probe, summed over CPUs."""

    key: bytes
    kind: LoadKind
    count: int
    last_at_ns: int
    last_ns: int
    """How long the last of these calls took."""
    last_instructions: int
    """That the verifier walked in it; 0 where the kernel does not say."""


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A load that failed, and the end of what the verifier said about it."""

    number: int
    """Of all failures since the probe was attached, with and without a name apart, from 1 on."""
    at_ns: int
    """Of the monotonic clock."""
    duration_ns: int
    process: int
    user: int
    command: str
    name: str
    """Of the program."""
    type: str
    error: str
    log: str
    """Empty where the kernel refused before it came to write one, or nobody had asked for one."""
    log_skipped_bytes: int
    """How much of the log stands before that, and was not kept."""


def type_of(number: int) -> str:
    """Return the kernel's name of a type of program."""
    return TYPES[number] if number < len(TYPES) else OTHER_TYPE


def reason_of(error: int) -> str:
    """Return the word for why a load failed."""
    if not error:
        return "none"
    name = errno.errorcode.get(error, "")
    return name if name in _ERRORS else "other"


def decode(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[LoadCount]:
    """Turn the entries of the map `loads` into counters."""
    for key, value in entries:
        command, number, error = KEY.unpack(key)
        slots = list(VALUE.iter_unpack(value))
        _, *last = max(slots, key=lambda slot: slot[1])
        kind = LoadKind(owner_of(command), type_of(number), "error" if error else "ok", reason_of(error))
        yield LoadCount(key, kind, sum(slot[0] for slot in slots), *last)


def decode_failure(value: bytes) -> LoadFailure | None:
    """Turn one slot into a failure; None for one that is empty, or was written while it was read."""
    number, at, took, kind, error, process, user, command, name, size, skipped, text, again = FAILURE.unpack(
        value
    )
    if not number or number != again:
        return None
    lines = text[:size].partition(b"\0")[0].split(b"\n")
    return LoadFailure(
        number,
        at,
        took,
        process,
        user,
        printable(command.partition(b"\0")[0]),
        printable(name.partition(b"\0")[0]),
        type_of(kind),
        errno.errorcode.get(error, str(error)),
        "\n".join(printable(line) for line in lines),
        skipped,
    )


@dataclass(slots=True)
class LoadAmount:
    """What is told of one kind."""

    count: int = 0
    last_at_ns: int = 0
    last_ns: int = 0
    last_instructions: int = 0


@dataclass(slots=True)
class LoadTotals:
    """Totals by owner that only ever grow, until the owner has been idle for long."""

    _read: dict[bytes, int] = field(default_factory=dict)
    """What the kernel counted when it was read last."""
    _totals: dict[LoadKind, LoadAmount] = field(default_factory=dict)
    _seen: dict[str, float] = field(default_factory=dict)
    """When each owner that has a name loaded something."""

    def add(self, counts: Iterable[LoadCount], now: float) -> list[bytes]:
        """Add what is new since the last reading; return the keys of what had nothing new."""
        idle = []
        for one in counts:
            new = one.count - self._read.get(one.key, 0)
            self._read[one.key] = one.count
            if not new:
                idle.append(one.key)
                continue
            owner = self._admitted(one.kind, now)
            total = self._totals.setdefault(one.kind._replace(owner=owner), LoadAmount())
            total.count += new
            if one.last_at_ns >= total.last_at_ns:
                total.last_at_ns, total.last_ns = one.last_at_ns, one.last_ns
                total.last_instructions = one.last_instructions
        return idle

    def removed(self, key: bytes) -> None:
        """Take note that the kernel counts a key from zero again."""
        self._read.pop(key, None)

    def retire(self, now: float) -> None:
        """Drop the series of owners that were idle for long; `~other` stays, because it is nobody's."""
        gone = {owner for owner, at in self._seen.items() if now - at > IDLE_SECONDS}
        for owner in gone:
            del self._seen[owner]
        for kind in [kind for kind in self._totals if kind.owner in gone]:
            del self._totals[kind]

    def _admitted(self, kind: LoadKind, now: float) -> str:
        most = MOST_OWNERS if kind.result == "ok" else MOST_FAILING
        if kind.owner not in self._seen and len(self._seen) >= most:
            return OTHER
        self._seen[kind.owner] = now
        return kind.owner

    def failing(self) -> list[tuple[LoadKind, bool]]:
        """Return how each owner has failed, and whether that is how its newest load of all ended.

        Whoever probes what a kernel can do fails on purpose, and goes on to what it can. `~other` is many.
        """
        newest: dict[str, int] = {}
        for kind, amount in self._totals.items():
            newest[kind.owner] = max(newest.get(kind.owner, 0), amount.last_at_ns)
        return [
            (kind, amount.last_at_ns == newest[kind.owner])
            for kind, amount in self.amounts()
            if kind.result == "error" and kind.owner != OTHER
        ]

    def amounts(self) -> list[tuple[LoadKind, LoadAmount]]:
        """Return every total, in order."""
        return sorted(self._totals.items(), key=lambda item: item[0])
