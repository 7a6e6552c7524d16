"""What the datapath needs of a node, and what each thing that is missing costs.

`audit` decides from facts alone; `netsre.adapters.node_facts` gathers them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

OLDEST_KERNEL: Final = (5, 9)
"""The first with all of CAP_BPF, batch reads of per-CPU maps, and the cast from a socket to a TCP socket."""
AGENT_CAPABILITIES: Final = ("BPF", "NET_ADMIN", "PERFMON")
"""BPF and PERFMON read maps; NET_ADMIN reads and changes connection tracking, and attaches a block."""
INVENTORY: Final = "inventory"
"""The part of the agent that looks where these three do not reach; a process of its own."""
INVENTORY_LOSS: Final = (
    "connection tables and blocks of the agent's own network namespace alone, no BPF maps of others"
)
"""What it costs to be without it."""
INVENTORY_CAPABILITIES: Final = ("SYS_ADMIN", "SYS_PTRACE")
"""Other network namespaces, BPF maps of others, and what processes of other users hold."""
LAB_CAPABILITIES: Final = ("CHOWN", "KILL", "NET_ADMIN", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN")

_FLOWS: Final = "flows"
_TESTED_MACHINES: Final = ("x86_64",)
_KNOWN_MACHINES: Final = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x")


class Status(StrEnum):
    """How far a feature is there."""

    OK = "ok"
    DEGRADED = "degraded"
    """Something is lost without it, and the rest works; or it could not be tried."""
    NO = "no"


@dataclass(frozen=True, slots=True)
class Feature:
    """The verdict on one thing a node has or lacks."""

    name: str
    status: Status
    reason: str
    """What was found, and what it costs when it is not `ok`."""
    fix: str
    """The command that mends it; empty when nothing is to be done."""
    required: bool
    """Without it the agent cannot do its work."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a trial failed: a short word, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What was found on a node. None means: could not be found out."""

    kernel: str
    """Release, like `6.1.0-18-amd64`."""
    machine: str
    uid: int
    capabilities: frozenset[str]
    """Effective ones, without the prefix `CAP_`."""
    bpf_error: str
    """Name of the errno when a BPF map could not be made; empty when it could."""
    unprivileged_bpf_disabled: str | None
    btf_bytes: int
    """Size of the kernel's own type information; 0 when there is none."""
    bcc_binding: bool
    foreign_bcc: str | None
    """Where an unrelated package of the same name lies."""
    uapi_headers: bool
    tracefs: str | None
    """Mount point."""
    bpffs: str | None
    cgroup2: str | None
    probes: Mapping[str, Refusal | None]
    """Why each probe could not be loaded and attached; None when it could. Empty when none was tried."""
    conntrack_statistics: bool
    conntrack_limit: int | None
    netem: bool | None
    kprobes: bool
    tools: Mapping[str, bool]
    """Programs that something of netsre calls, and whether they are there."""
    taken_ports: Mapping[int, str]
    """Our default ports that are in use, and by whom."""

    @property
    def may_use_bpf(self) -> bool:
        """Whether this process has what the agent needs."""
        return self.capabilities.issuperset(AGENT_CAPABILITIES)


def audit(facts: NodeFacts) -> tuple[Feature, ...]:
    """Judge everything, the required things first."""
    judged = (
        *(_kernel(facts), _machine(facts), _privileges(facts), _bpf(facts), _btf(facts)),
        *(_bcc(facts), _headers(facts), _attach(facts), _flow_log(facts), _conntrack(facts), _lab(facts)),
        *_optional_probes(facts),
        _inventory(facts),
        *_mounts(facts),
        *_tools(facts),
        *_ports(facts),
        *_not_needed(facts),
    )
    return tuple(sorted(judged, key=lambda feature: not feature.required))


def overall(features: tuple[Feature, ...]) -> Status:
    """Return `no` when something required is missing, `degraded` when anything is, else `ok`."""
    if any(feature.required and feature.status is Status.NO for feature in features):
        return Status.NO
    if any(feature.status is Status.DEGRADED for feature in features):
        return Status.DEGRADED
    return Status.OK


def _kernel(facts: NodeFacts) -> Feature:
    oldest = ".".join(map(str, OLDEST_KERNEL))
    found = re.match(r"(\d+)\.(\d+)", facts.kernel)
    if found is None:
        reason = f"release {facts.kernel!r} is not understood; {oldest} or newer is needed"
        return Feature("kernel", Status.DEGRADED, reason, "", required=True)
    if (int(found[1]), int(found[2])) < OLDEST_KERNEL:
        reason = f"{facts.kernel} lacks batch reads and CAP_BPF"
        return Feature("kernel", Status.NO, reason, f"boot a kernel of {oldest} or newer", required=True)
    return Feature("kernel", Status.OK, f"{facts.kernel} ({oldest} or newer is needed)", "", required=True)


def _machine(facts: NodeFacts) -> Feature:
    if facts.machine in _TESTED_MACHINES:
        return Feature("architecture", Status.OK, facts.machine, "", required=True)
    if facts.machine in _KNOWN_MACHINES:
        reason = f"{facts.machine} should work and is not tested"
        return Feature("architecture", Status.DEGRADED, reason, "", required=True)
    reason = f"{facts.machine}: the number of its bpf system call is not known"
    fix = f"run on one of {', '.join(_KNOWN_MACHINES)}"
    return Feature("architecture", Status.NO, reason, fix, required=True)


def _privileges(facts: NodeFacts) -> Feature:
    agent = [name for name in AGENT_CAPABILITIES if name not in facts.capabilities]
    lab = [name for name in LAB_CAPABILITIES if name not in facts.capabilities]
    if agent:
        reason = f"uid {facts.uid} lacks {_capabilities(agent)} for the agent"
        return Feature("privileges", Status.NO, reason, "sudo netsre doctor", required=True)
    if lab:
        reason = f"uid {facts.uid} lacks {_capabilities(lab)}: no lab, no dropping to a service user"
        return Feature("privileges", Status.DEGRADED, reason, "sudo netsre doctor", required=True)
    return Feature("privileges", Status.OK, f"uid {facts.uid} has every capability", "", required=True)


def _bpf(facts: NodeFacts) -> Feature:
    if not facts.bpf_error:
        closed = facts.unprivileged_bpf_disabled in {"1", "2"}
        reason = f"maps can be made; {'closed' if closed else 'open'} to unprivileged users"
        fix = "" if closed else "sysctl -w kernel.unprivileged_bpf_disabled=1"
        return Feature("bpf system call", Status.OK, reason, fix, required=True)
    if facts.bpf_error == "EPERM" and not facts.may_use_bpf:
        reason = f"refused to uid {facts.uid}, as it should be; not tried with privileges"
        return Feature("bpf system call", Status.DEGRADED, reason, "sudo netsre doctor", required=True)
    reason = f"the kernel refuses a map: {facts.bpf_error}"
    fix = (
        "allow bpf(2) in the container's seccomp profile, or leave lockdown"
        if facts.bpf_error == "EPERM"
        else "boot a kernel with CONFIG_BPF_SYSCALL=y"
    )
    return Feature("bpf system call", Status.NO, reason, fix, required=True)


def _btf(facts: NodeFacts) -> Feature:
    if facts.btf_bytes:
        reason = f"{facts.btf_bytes / 1_000_000:.1f} MB of the kernel's own types"
        return Feature("btf", Status.OK, reason, "", required=True)
    reason = "no /sys/kernel/btf/vmlinux: offsets in kernel structures are unknown"
    return Feature("btf", Status.NO, reason, "boot a kernel with CONFIG_DEBUG_INFO_BTF=y", required=True)


def _bcc(facts: NodeFacts) -> Feature:
    foreign = f"; {facts.foreign_bcc} is an unrelated package" if facts.foreign_bcc else ""
    if facts.bcc_binding:
        fix = "pip uninstall bcc" if foreign else ""
        return Feature("bcc", Status.OK, f"the distribution's binding{foreign}", fix, required=True)
    reason = f"the binding is missing, so nothing can be loaded{foreign}"
    return Feature("bcc", Status.NO, reason, "apt-get install python3-bpfcc", required=True)


def _headers(facts: NodeFacts) -> Feature:
    if facts.uapi_headers:
        return Feature("libc headers", Status.OK, "linux/*.h for compiling programs", "", required=True)
    reason = "linux/*.h are missing: programs cannot be compiled"
    return Feature("libc headers", Status.NO, reason, "apt-get install linux-libc-dev", required=True)


def _attach(facts: NodeFacts) -> Feature:
    if _FLOWS not in facts.probes:
        reason = "not tried without the privileges for it"
        return Feature("flow probe", Status.DEGRADED, reason, "sudo netsre doctor", required=True)
    refusal = facts.probes[_FLOWS]
    if refusal is None:
        reason = "compiled, loaded, attached to inet_sock_set_state, and removed"
        return Feature("flow probe", Status.OK, reason, "", required=True)
    reason = f"{refusal.reason}: {refusal.message}"
    return Feature("flow probe", Status.NO, reason, "mend the lines above first", required=True)


def _optional_probes(facts: NodeFacts) -> Iterator[Feature]:
    """Judge the probes that the agent can do without: each measures one kind of thing."""
    for probe, refusal in facts.probes.items():
        name = f"probe {probe}"
        if probe == _FLOWS:
            continue
        if refusal is None:
            yield Feature(name, Status.OK, "compiled, loaded, attached, and removed", "", required=False)
        else:
            reason = f"{refusal.reason}: {refusal.message}"
            fix = f"netsre agent --without {probe}"
            yield Feature(name, Status.DEGRADED, reason, fix, required=False)


def _inventory(facts: NodeFacts) -> Feature:
    missing = [name for name in INVENTORY_CAPABILITIES if name not in facts.capabilities]
    if not missing:
        needs = _capabilities(list(INVENTORY_CAPABILITIES))
        reason = f"a process with {needs} looks into other network namespaces and at BPF maps of others"
        return Feature(INVENTORY, Status.OK, reason, "", required=False)
    reason = f"uid {facts.uid} lacks {_capabilities(missing)}: {INVENTORY_LOSS}"
    return Feature(INVENTORY, Status.DEGRADED, reason, "sudo netsre doctor", required=False)


def _flow_log(facts: NodeFacts) -> Feature:
    if _FLOWS in facts.probes and facts.probes[_FLOWS] is None:
        reason = "its ring was made with the probe; netsre flows shows what netsre up keeps"
        return Feature("flow log", Status.OK, reason, "", required=False)
    reason = "comes with the flow probe"
    return Feature("flow log", Status.DEGRADED, reason, "mend the flow probe first", required=False)


def _conntrack(facts: NodeFacts) -> Feature:
    if facts.conntrack_statistics and facts.conntrack_limit is not None:
        reason = f"at most {facts.conntrack_limit} entries"
        return Feature("conntrack", Status.OK, reason, "", required=False)
    reason = "no statistics in /proc: headroom of the table is not measured"
    return Feature("conntrack", Status.DEGRADED, reason, "modprobe nf_conntrack", required=False)


def _lab(facts: NodeFacts) -> Feature:
    if facts.tools.get("nft", False):
        return Feature(
            "lab", Status.OK, "nft is there: the lab's connections are tracked", "", required=False
        )
    reason = "nft is missing: the lab works, its connections are not tracked"
    return Feature("lab", Status.DEGRADED, reason, "apt-get install nftables", required=False)


def _mounts(facts: NodeFacts) -> Iterator[Feature]:
    found = (
        (
            *("tracefs", facts.tracefs, "the loader mounts one for itself"),
            "mount -t tracefs nodev /sys/kernel/tracing",
        ),
        ("bpffs", facts.bpffs, "no map can be pinned", "mount -t bpf bpffs /sys/fs/bpf"),
        (
            *("cgroup v2", facts.cgroup2, "no names of cgroups, no attempts over UDP, no services"),
            "mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
    )
    for name, place, without, fix in found:
        if place is not None:
            yield Feature(name, Status.OK, f"at {place}", "", required=False)
        else:
            yield Feature(name, Status.NO, f"not mounted; {without}", fix, required=False)


def _tools(facts: NodeFacts) -> Iterator[Feature]:
    uses = (
        (
            "prometheus-alertmanager",
            "prometheus-alertmanager",
            "for --with-alertmanager, and drills that page",
        ),
        ("conntrack", "conntrack", "to look at the table by hand"),
        ("ip", "iproute2", "to look into the lab by hand"),
        ("promtool", "prometheus", "to check generated expressions"),
    )
    for program, package, use in uses:
        name, fix = program.removeprefix("prometheus-"), f"apt-get install {package}"
        if facts.tools.get(program, False):
            yield Feature(f"tool {name}", Status.OK, use, "", required=False)
        else:
            yield Feature(f"tool {name}", Status.NO, f"missing; optional, {use}", fix, required=False)


def _ports(facts: NodeFacts) -> Iterator[Feature]:
    if not facts.taken_ports:
        yield Feature("ports", Status.OK, "our defaults are free", "", required=False)
    for port, holder in sorted(facts.taken_ports.items()):
        flags = "netsre up --listen HOST:PORT --agent-listen HOST:PORT"
        yield Feature(f"port {port}", Status.DEGRADED, f"taken by {holder}", flags, required=False)


def _not_needed(facts: NodeFacts) -> Iterator[Feature]:
    netem = Status.OK if facts.netem else Status.NO
    known = {True: "there", False: "absent", None: "not found"}[facts.netem]
    yield Feature("netem", netem, f"{known}; not needed", "", required=False)
    kprobes = Status.OK if facts.kprobes else Status.NO
    known = "there" if facts.kprobes else "absent"
    reason = f"{known}; not needed: netsre uses none of them"
    yield Feature("kprobes, fentry", kprobes, reason, "", required=False)


def _capabilities(names: list[str]) -> str:
    return ", ".join(f"CAP_{name}" for name in names)
