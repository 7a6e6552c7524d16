"""The probes: what each compiles, attaches and shares with its reader.

A probe is one C file with maps and programs of its own, that can be missing without harm to the others. They
are listed in the order of what they are worth: the last is the first to go where all cost too much.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from netsre.datapath import drops, flow_log, flows, loads, missing, offsets, services, tcp, udp, workloads
from netsre.datapath.btf import TypeTable


class Program(NamedTuple):
    """A program of a probe."""

    name: str
    """In the kernel: 15 characters at most."""
    function: str
    """In the source."""
    tracepoint: str
    """The typed raw tracepoint that it is attached to; with a category, the one of that name in tracefs."""
    spare: bool = False
    """Loaded with the others, and attached when it is needed."""
    category: str = ""
    """Of a tracepoint that is attached as perf does it, such as those of single system calls."""
    called: bool = False
    """A raw tracepoint's by its kind, attached to none: the reader runs it; with zeros it does nothing."""
    cgroup: str = ""
    """The hook of the root cgroup that it is attached to instead, such as `connect4`."""
    first: bool = False
    """Before the others at its hook, those of child cgroups too: it sees what the process asked for."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is attached together or not at all."""

    name: str
    """The value of the label `probe`."""
    source: str
    """The file below `bpf/`."""
    maps: tuple[str, ...]
    programs: tuple[Program, ...]
    """Attached, and so run, in this order."""
    defines: Callable[[TypeTable], Mapping[str, object]]
    """Preprocessor names of its source, beside those of `Cells`.

    Raises `BtfError` where this kernel lacks what it needs.
    """
    shared: tuple[str, ...] = ()
    """Files that it needs before its own, and that are there once for all probes that need them."""
    enums: tuple[str, ...] = ()
    """Enumerations of this kernel that its reader needs; one that the kernel lacks is empty."""
    loss: str = ""
    """What it costs to be without it, in half a sentence."""
    on_demand: bool = False
    """Loaded with the others, and attached by its reader while there is something to measure."""


FLOWS: Final = Probe(
    "flows",
    "flows.c",
    maps=(
        *("attempts", "stalls", "denied_sources", "last_denial_ns", "workloads", "workload_rules"),
        *("flows", "flows_overflow", "attempts_overflow"),
        *("connections", "refusals", "last_refusal_ns", "refusals_overflow"),
        *("flow_log_switch", "flow_log", "flow_log_lost"),
    ),
    programs=(
        Program("netsre_flows", "inet_sock_set_state", "inet_sock_set_state"),
        Program("netsre_flows_b", "inet_sock_set_state_again", "inet_sock_set_state", spare=True),
        Program("netsre_flows_in", "flow_refused", "tcp_send_reset"),
        Program("netsre_flow_log", "flow_log_stalled", "", called=True),
    ),
    loss="connections are neither counted nor timed, and blocks are not told from failures",
    defines=lambda types: {
        **flows.DEFINES,
        **workloads.DEFINES,
        **flow_log.DEFINES,
        **offsets.flow_defines(types),
    },
    enums=(drops.REASON_ENUM, drops.SUBSYSTEM_ENUM),
    shared=("attempts.c", "connections.c"),
)

TCP: Final = Probe(
    "tcp",
    "tcp.c",
    maps=("tcp_counts", "tcp_overflow"),
    programs=(
        Program("netsre_retrans", "tcp_retransmit_skb", "tcp_retransmit_skb"),
        Program("netsre_synack", "tcp_retransmit_synack", "tcp_retransmit_synack"),
        Program("netsre_rst_out", "tcp_send_reset", "tcp_send_reset"),
        Program("netsre_rst_in", "tcp_receive_reset", "tcp_receive_reset"),
        Program("netsre_rtt", "tcp_round_trip", "inet_sock_set_state"),
    ),
    defines=lambda types: {**tcp.DEFINES, **offsets.tcp_defines(types)},
    enums=(tcp.RESET_ENUM,),
    loss="segments sent again, resets and round-trip times are not counted",
)

UDP: Final = Probe(
    "udp",
    "udp.c",
    maps=(
        *("denied_sources", "last_denial_ns", "workloads", "workload_rules", "flow_log_switch"),
        *("udp_sockets", "udp_peers", "udp_stalls", "udp_counts", "udp_counts_overflow", "udp_unseen"),
        *("udp_log", "udp_log_lost"),
    ),
    programs=(
        # First what sees the end of a call: what a hook notes at its beginning is never left over.
        Program("netsre_udp_sent", "udp_sent", "sock_send_length"),
        Program("netsre_udp_got", "udp_received", "sock_recv_length"),
        Program("netsre_udp_err", "udp_told", "inet_sk_error_report"),
        *(Program(f"netsre_{hook}", f"udp_{hook}", "", cgroup=hook) for hook in ("sendmsg4", "sendmsg6")),
        *(Program(f"netsre_{hook}", f"udp_{hook}", "", cgroup=hook) for hook in ("recvmsg4", "recvmsg6")),
        Program("netsre_udp_end", "udp_released", "", cgroup="sock_release"),
    ),
    defines=lambda types: {
        **udp.DEFINES,
        **workloads.DEFINES,
        **offsets.udp_defines(types),
    },
    loss="attempts over UDP are not counted",
    shared=("attempts.c",),
)

DROPS: Final = Probe(
    "drops",
    "drops.c",
    maps=("drop_counts", "drop_overflow"),
    programs=(Program("netsre_drops", "kfree_skb", "kfree_skb"),),
    defines=lambda types: {**drops.DEFINES, **offsets.drop_defines(types)},
    enums=(drops.REASON_ENUM, drops.SUBSYSTEM_ENUM),
    loss="what the kernel drops is not counted",
)

SERVICES: Final = Probe(
    "services",
    "services.c",
    maps=("services", "service_calls", "service_counts", "service_overflow", "service_lost"),
    # Those behind the others stand first, so that nothing is begun that nobody ends.
    programs=(
        Program("netsre_svc_l4", "service_left_v4", "", cgroup="connect4"),
        Program("netsre_svc_l6", "service_left_v6", "", cgroup="connect6"),
        Program("netsre_svc_a4", "service_asked_v4", "", cgroup="connect4", first=True),
        Program("netsre_svc_a6", "service_asked_v6", "", cgroup="connect6", first=True),
    ),
    defines=lambda _: services.DEFINES,
    on_demand=True,
    loss="connections to services are not told by who balances them",
)

LOADS: Final = Probe(
    "loads",
    "loads.c",
    maps=(
        *("load_readers", "load_calls", "loads", "loads_overflow", "loads_unknown"),
        *("load_failures", "load_failures_total"),
    ),
    programs=(
        Program("netsre_loads", "load_begins", "sys_enter_bpf", category="syscalls"),
        Program("netsre_loads_b", "load_ends", "sys_exit_bpf", category="syscalls"),
    ),
    defines=loads.defines,
    enums=(missing.TYPES_ENUM,),
    loss="program loads of others are not counted, and what the verifier said is not kept",
)

# Last: that its tracepoints are on is paid for by every system call of the node.
PROBES: Final = (FLOWS, TCP, UDP, DROPS, SERVICES, LOADS)
"""Every probe of the agent."""

NATIVE_HISTOGRAMS: Final = "native-histograms"
"""What a loader is told beside their names, where times are to be counted for native histograms too."""
