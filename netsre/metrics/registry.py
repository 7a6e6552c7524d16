"""The metric registry: one entry for every metric that netsre exposes.

Exposition, dashboards, `docs/metrics.md` and tests all read this table; nothing is exposed that is not in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from netsre import conventions as c

Kind = Literal["counter", "gauge", "histogram"]
Exporter = Literal["agent", "controller", "datapath"]
"""Who serves a metric; `datapath` is an agent whose node has a policy datapath, a flow log, or services."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family."""

    name: str
    kind: Kind
    help: str
    """What a reader at 3 a.m. needs to know, in one sentence."""
    labels: tuple[str, ...]
    exporter: Exporter
    unit: Literal["", "seconds", "bytes", "ratio"] = ""


_FLOW = ("direction", "src", "dst", "protocol")
_TABLE = ("table", "netns")

_METRICS: Final = (
    Metric(c.FLOWS, "counter",
           "Attempts by outcome, one each: egress by clients on the node, ingress by clients elsewhere.",
           ("outcome", "reason", *_FLOW), "agent"),
    Metric(c.FLOW_CONNECT_SECONDS, "histogram",
           "From the first SYN to an established connection; over UDP, from a datagram to its first answer.",
           _FLOW, "agent", "seconds"),
    Metric(c.FLOW_ATTEMPTS_IN_FLIGHT, "gauge", "Attempts that wait for an answer now.",
           ("protocol",), "agent"),
    Metric(c.TCP_RETRANSMITS, "counter",
           "TCP segments sent again (RetransSegs): data, SYNs of clients, SYN-ACKs of servers.",
           ("kind", *_FLOW), "agent"),
    Metric(c.TCP_RESETS, "counter",
           "TCP resets sent by us (OutRsts), with the kernel's reason, and by the peer to a socket of ours.",
           ("by", "reason", *_FLOW), "agent"),
    Metric(c.FLOW_RTT_SECONDS, "histogram",
           "Smoothed round-trip time of each connection as it was when it began to close.",
           _FLOW, "agent", "seconds"),
    Metric(c.BENIGN_DROPS, "counter",
           "Packets that the kernel freed unused without a loss to anybody, by its reason; not in the other.",
           ("reason", "netns"), "agent"),
    Metric(c.CONNTRACK_ENTRIES, "gauge", "Entries in the connection tracking table.", _TABLE, "agent"),
    Metric(c.CONNTRACK_LIMIT, "gauge", "Entries the connection tracking table may hold.", _TABLE, "agent"),
    Metric(c.CONNTRACK_UTILIZATION, "gauge", "Share of the connection tracking table in use.",
           _TABLE, "agent", "ratio"),
    Metric(c.CONNTRACK_INSERT_FAILED, "counter",
           "Entries that could not be inserted (a clash, or no room).", _TABLE, "agent"),
    Metric(c.CONNTRACK_DROPS, "counter", "Packets dropped because the table was full.", _TABLE, "agent"),
    Metric(c.CONNTRACK_EARLY_DROPS, "counter",
           "Unanswered entries evicted to make room: the first sign of exhaustion.", _TABLE, "agent"),
    Metric(c.CONNTRACK_EVENTS, "counter",
           "Everything that the kernel counts of a table; docs/probes.md says what each event is.",
           (*_TABLE, "event"), "agent"),
    Metric(c.CONNTRACK_GROWTH, "gauge",
           "Entries that a table gains each second, by its low-water marks of the last five minutes.",
           _TABLE, "agent"),
    Metric(c.CONNTRACK_FULL_SECONDS, "gauge",
           "Time until a table is full if it goes on as in the last five minutes; absent unless it grows.",
           _TABLE, "agent", "seconds"),
    Metric(c.CONNTRACK_STATE_ENTRIES, "gauge", "Entries of a table by the state of their connection.",
           (*_TABLE, "state"), "agent"),
    Metric(c.CONNTRACK_TOP_SOURCE, "gauge",
           "Entries of the few largest sources; there only while a table is about half full or more.",
           (*_TABLE, "source"), "agent"),
    Metric(c.CONNTRACK_COUNTED, "gauge",
           "Share of the entries that the last count looked at; states and sources are scaled up from them.",
           _TABLE, "agent", "ratio"),
    Metric(c.CONNTRACK_COUNT_AGE, "gauge",
           "Age of the last count of a table entry by entry; large tables are counted less often.",
           _TABLE, "agent", "seconds"),
    Metric(c.DROPS, "counter",
           "Packets dropped by netsre's own programs, by rule, and by the kernel, by its own reason.",
           ("hook", "reason", "rule", "netns"), "agent"),
    Metric(c.BLOCK_UNREAD, "counter",
           "Packets that passed a block because no source address could be read in them.",
           ("hook",), "agent"),
    Metric(c.EFFECTS, "gauge", "Temporary changes of this node that are in force now, by kind.",
           ("kind",), "agent"),
    Metric(c.AGENT_COMMANDS, "counter", "Commands that the agent was asked to carry out, by result.",
           ("command", "result"), "agent"),
    Metric(c.BPF_PROGRAM_LOADS, "counter", "Loads of BPF programs into the kernel by everybody, by result.",
           ("owner", "type", "result", "reason"), "agent"),
    Metric(c.BPF_VERIFIER_SECONDS, "gauge",

           "How long the verifier took over the last load; of others, how long the call took.",
           ("owner", "type", "result", "reason"), "agent", "seconds"),
    Metric(c.BPF_VERIFIER_INSTRUCTIONS, "gauge", "Instructions the verifier walked in the last load.",
           ("owner", "type", "result", "reason"), "agent"),
    Metric(c.BPF_RUNS, "counter", "Runs of the agent's BPF programs, while run-time statistics are on.",
           ("program",), "agent"),
    Metric(c.BPF_RUN_SECONDS, "counter",
           "Time spent in the agent's BPF programs, while run-time statistics are on.",
           ("program",), "agent", "seconds"),
    Metric(c.BPF_RUN_STATISTICS, "gauge",
           "1 while the kernel counts runs of BPF programs and their time; while 0, both stand still.",
           (), "agent"),
    Metric(c.BPF_MISSED_RUNS, "counter",
           "Runs the kernel left out because they would have interrupted the same program.",
           ("program",), "agent"),
    Metric(c.BPF_MAP_ENTRIES, "gauge",
           "Entries in use in the BPF maps of one name and owner; absent where they cannot be counted.",
           ("map", "owner"), "agent"),
    Metric(c.BPF_MAP_CAPACITY, "gauge", "Entries that the BPF maps of one name and owner can hold.",
           ("map", "owner"), "agent"),
    Metric(c.BPF_MAP_MEMORY, "gauge", "Kernel memory locked by the BPF maps of one name and owner.",
           ("map", "owner"), "agent", "bytes"),
    Metric(c.BPF_MAP_PRESSURE, "gauge",
           "Share of a BPF map in use, of the fullest one of its name and owner; arrays have none.",
           ("map", "owner"), "agent", "ratio"),
    Metric(c.BPF_MAPS, "gauge",
           "BPF maps of the kernel by whether their entries are counted, not yet, or never change (fixed).",
           ("entries",), "agent"),
    Metric(c.BPF_MAP_OVERFLOWS, "counter",
           "Updates that found a BPF map full; counted with less detail, of refusals not at all.",
           ("map",), "agent"),
    Metric(c.AGENT_PROBE_UP, "gauge",
           "1 while a probe is attached and read, or a part answers; 0 with the reason otherwise.",
           ("probe", "reason"), "agent"),
    Metric(c.AGENT_PROBE_LEFT_OUT, "gauge",
           "1 for a probe that was left out on request: it measures nothing, and that is no fault.",
           ("probe",), "agent"),
    Metric(c.AGENT_READ_ERRORS, "counter", "Readings of the kernel that failed, by source.",
           ("source",), "agent"),
    Metric(c.AGENT_COLLECT_SECONDS, "gauge", "Duration of the last reading of the kernel.",
           (), "agent", "seconds"),
    Metric(c.BUILD_INFO, "gauge", "Always 1; the version is in the label.", ("version",), "agent"),
    Metric(c.PROCESS_START_TIME, "gauge", "Start of the agent since the Unix epoch; its counters begin here.",
           (), "agent", "seconds"),
    Metric(c.PROCESS_CPU, "counter", "CPU time of the serving process.", (), "agent", "seconds"),
    Metric(c.AGENT_PART_CPU, "counter", "CPU time of a process that belongs to the agent.",
           ("part",), "agent", "seconds"),
    Metric(c.AGENT_PART_RSS, "gauge", "Resident memory of a process that belongs to the agent.",
           ("part",), "agent", "bytes"),
    Metric(c.AGENT_CPU, "gauge",
           "Share of one core that the agent and its parts used over the last ten seconds or more.",
           (), "agent", "ratio"),
    Metric(c.AGENT_BUDGET, "gauge",
           "Share of one core that the agent may take, with its programs in the kernel; where one is set.",
           (), "agent", "ratio"),
    Metric(c.AGENT_COST, "gauge",
           "Share of one core that it took lately, with its programs in the kernel; where a budget is set.",
           (), "agent", "ratio"),
    Metric(c.AGENT_SHEDS, "counter", "Times that a probe was given up to keep to the budget.",
           ("probe",), "agent"),
    Metric(c.PROCESS_RSS, "gauge", "Resident memory of the serving process.", (), "agent", "bytes"),
    Metric(c.POLICY_VERDICTS, "counter", "Packets of new connections by what the policy decided.",
           ("verdict", "rule", "expected", "direction", "src", "dst"), "datapath"),
    Metric(c.POLICY_COMPILE_SECONDS, "histogram", "From a change of the policy to being active, by stage.",
           ("stage", "result"), "datapath", "seconds"),
    Metric(c.FLOW_LOG_EVENTS, "counter", "Events meant for the flow log, those that were lost included.",
           ("kind",), "datapath"),
    Metric(c.FLOW_LOG_LOST, "counter", "Events of the flow log that were lost before they were written.",
           ("kind",), "datapath"),
    Metric(c.FLOW_LOG_SAMPLING, "gauge", "Share of attempts of a kind that are meant for the flow log now.",
           ("kind",), "datapath", "ratio"),
    Metric(c.LB_CONNECTIONS, "counter",
           "Connections to services (TCP, connected UDP), by whether a BPF program chose the backend.",
           ("service", "path"), "datapath"),
    Metric(c.SLO_OBJECTIVE, "gauge", "Share of events that must be good.",
           ("slo", "service"), "controller", "ratio"),
    Metric(c.SLO_BUDGET_REMAINING, "gauge",
           "Error budget left in the window: 1 untouched, 0 spent, negative beyond.",
           ("slo", "service"), "controller", "ratio"),
    Metric(c.SLO_BURN_RATE, "gauge", "Error ratio over the error budget, by window; absent without traffic.",
           ("slo", "service", "window"), "controller"),
    Metric(c.SLO_COVERAGE, "gauge", "Measured minutes over all minutes of the window.",
           ("slo", "service"), "controller", "ratio"),
    Metric(c.SLO_EVENTS, "gauge", "Events inside the SLO's window, by verdict.",
           ("slo", "service", "verdict"), "controller"),
    Metric(c.SOURCE_UP, "gauge", "1 while a source of measurements answers.", ("source",), "controller"),
    Metric(c.TICK_SECONDS, "gauge", "Duration of the last evaluation.", (), "controller", "seconds"),
    Metric(c.TICK_FAILURES, "counter", "Evaluations that ended in an error.", (), "controller"),
    Metric(c.ALERTS_ACTIVE, "gauge", "Alerts of netsre's own that fire now.", ("severity",), "controller"),
    Metric(c.ALERT_TRANSITIONS, "counter",
           "Alerts that began to fire or were resolved, and rows that could not be read.",
           ("alertname", "transition"), "controller"),
    Metric(c.OUTBOX_PENDING, "gauge", "Messages on disk that were not delivered yet.",
           ("channel",), "controller"),
    Metric(c.ALERTS_RECEIVED, "counter", "Alerts that Alertmanager sent us, by what became of them.",
           ("disposition",), "controller"),
    Metric(c.ALERTMANAGER_UP, "gauge", "1 while an Alertmanager takes our alerts.", ("peer",), "controller"),
    Metric(c.ALERTMANAGER_POSTS, "counter", "Posts of alerts to an Alertmanager, by result.",
           ("peer", "result"), "controller"),
    Metric(c.KILL_SWITCH, "gauge", "1 while the kill switch stops all automation.", (), "controller"),
    Metric(c.GAMEDAY_ACTIVE, "gauge", "1 while a game day has its fault in force or cleans up.",
           ("gameday",), "controller"),
    Metric(c.GAMEDAYS, "counter", "Game days that ended, by result and reason.",
           ("gameday", "result", "reason"), "controller"),
    Metric(c.RUNS, "counter", "Runbook runs that ended, by result.", ("runbook", "result"), "controller"),
    Metric(c.RUNS_REFUSED, "counter", "Runbook runs refused by a gate, by reason.",
           ("runbook", "reason"), "controller"),
)  # fmt: skip

REGISTRY: Final[Mapping[str, Metric]] = MappingProxyType({metric.name: metric for metric in _METRICS})
"""Every metric by name. SLO series also carry the labels that the SLO groups by."""


def of_datapath(metric: str) -> bool:
    """Tell whether a metric is there only on some nodes: with policy datapath, flow log or services."""
    return metric in REGISTRY and REGISTRY[metric].exporter == "datapath"
