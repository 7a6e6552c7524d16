"""Panels of a node: its traffic, and what netsre itself costs there."""

from typing import Final

from netsre import conventions as c
from netsre.dashboards import objects, panels, promql
from netsre.dashboards.panels import Panel, Query, Section, Step
from netsre.model.levels import Matcher

_CALM: Final = (Step(0, panels.BLUE),)
_OURS: Final = Matcher("owner", "=", c.OWNER)
_EGRESS: Final = Matcher("direction", "=", "egress")
_INGRESS: Final = Matcher("direction", "=", "ingress")
_NONE_IS_GOOD: Final = (Step(0, panels.GREEN), Step(1, panels.VERMILION))

_TCP: Final = Matcher("protocol", "=", "tcp")
_UDP: Final = Matcher("protocol", "=", "udp")
_CLIENTS: Final = (_EGRESS, _TCP)
"""Connections that clients on the node open."""

AGENT_CPU_LIMIT: Final = 0.05
"""Share of a core that an agent may use for long."""


def flows() -> Section:
    """Return the row of connection attempts."""
    clients = (_attempts(), _failures(), _failing_peers(), _connect_time())
    row = (*clients, _from_elsewhere(), _servers(), _datagrams())
    return Section("flows", "Connections", row)


def _attempts() -> Panel:
    by_outcome = promql.aggregate("sum", ("outcome",), promql.rate(promql.agent(c.FLOWS, *_CLIENTS)))
    return Panel(
        "flows/attempts",
        "timeseries",
        "Connection attempts by outcome",
        "Of clients on the node. Every attempt ends in one outcome. Failures that grow while the total stays "
        "are a fault; a total that falls means that clients cannot even try.",
        (Query(by_outcome, "{{outcome}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
        names=(("delivered", panels.BLUE), ("failed", panels.VERMILION), ("denied", panels.ORANGE)),
        stacked=True,
    )


def _failures() -> Panel:
    failed = promql.agent(c.FLOWS, *_CLIENTS, Matcher("outcome", "=", "failed"))
    by_reason = promql.aggregate("sum", ("reason",), promql.rate(failed))
    return Panel(
        "flows/failures",
        "timeseries",
        "Failures by reason",
        "refused: nobody listens there. stalled or timed out: packets vanish (policy, conntrack, route). "
        "reset: a peer or a middlebox hung up.",
        (Query(by_reason, "{{reason}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
        stacked=True,
    )


def _failing_peers() -> Panel:
    failed = promql.agent(c.FLOWS, *_CLIENTS, Matcher("outcome", "=", "failed"))
    by_peer = promql.aggregate("sum", ("src", "dst"), promql.rate(failed))
    return Panel(
        "flows/peers",
        "timeseries",
        "Failures by source and destination",
        "The five largest pairs. One destination: look at that service. One source: look at that client "
        "or its node. All of them: look at this node.",
        (Query(promql.top(5, by_peer), "{{src}} to {{dst}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _connect_time() -> Panel:
    buckets = promql.agent(f"{c.FLOW_CONNECT_SECONDS}_bucket", _TCP)
    return Panel(
        "flows/latency",
        "timeseries",
        "Time to connect",
        "Median and slowest hundredth. A step by about 1 s is a lost SYN that was sent again.",
        tuple(Query(promql.quantile(q, (), buckets), name) for q, name in (("0.5", "p50"), ("0.99", "p99"))),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _from_elsewhere() -> Panel:
    taken = promql.aggregate("sum", ("outcome", "reason"), promql.rate(promql.agent(c.FLOWS, _INGRESS)))
    return Panel(
        "flows/ingress",
        "timeseries",
        "Connections from other nodes",
        "Of clients elsewhere. failed refused: they ask for a port where nobody listens, be it that a server "
        "is down or that somebody scans ports. A fall of delivered: they no longer get here, or do not come.",
        (Query(taken, "{{outcome}} {{reason}}"),),
        width=12,
        steps=_CALM,
        lowest=0,
        names=(("delivered none", panels.BLUE), ("failed refused", panels.VERMILION)),
        stacked=True,
    )


def _servers() -> Panel:
    by_server = promql.aggregate("sum", ("dst",), promql.rate(promql.agent(c.FLOWS, _INGRESS)))
    return Panel(
        "flows/servers",
        "timeseries",
        "Connections from other nodes by server",
        "The five workloads of the node that most is asked of. Refused ones have no process: they are those "
        "of the network namespace.",
        (Query(promql.top(5, by_server), "{{dst}}"),),
        width=12,
        steps=_CALM,
        lowest=0,
    )


def _datagrams() -> Panel:
    by_end = promql.aggregate("sum", ("outcome", "reason"), promql.rate(promql.agent(c.FLOWS, _UDP)))
    return Panel(
        "flows/udp",
        "timeseries",
        "UDP: what was asked, by how it ended",
        "unanswered: silence for 3 s, which is right for syslog or statsd and wrong for DNS. refused: nobody "
        "listens there. abandoned: the client closed its socket first.",
        (Query(by_end, "{{outcome}} {{reason}}"),),
        width=24,
        height=6,
        steps=_CALM,
        lowest=0,
        stacked=True,
    )


def agents() -> Section:
    """Return the row of the agent's own health and cost."""
    row = (_probes_down(), _load_failures(), _cpu(), _memory(), _bpf_cost(), _collect(), _map_fill())
    return Section("agent", "Agent", (*row, _overflows()))


def _probes_down() -> Panel:
    probes = promql.agent(c.AGENT_PROBE_UP)
    down = promql.minus(promql.aggregate("count", (), probes), promql.aggregate("sum", (), probes))
    return Panel(
        "agent/probes",
        "stat",
        "Probes down",
        "A probe that is down measures nothing: its service levels go blind, not bad. `netsre doctor` on "
        "the node says why. No number means that no agent answers.",
        (Query(down, "down"),),
        width=4,
        height=7,
        steps=_NONE_IS_GOOD,
        lowest=0,
        words=(("0", "none"),),
    )


def _load_failures() -> Panel:
    failed = promql.agent(c.BPF_PROGRAM_LOADS, Matcher("result", "=", "error"), _OURS)
    by = (c.NODE, "type", "reason")
    return Panel(
        "agent/loads",
        "bargauge",
        "Failed loads of the agent since it started",
        "Loads happen at the start, so this is the count itself and not its rate. Empty is good. The reason "
        "names what the kernel lacks.",
        (Query(promql.aggregate("sum", by, failed), "{{node}} {{type}} {{reason}}"),),
        width=8,
        height=7,
        steps=_NONE_IS_GOOD,
        lowest=0,
    )


def _cpu() -> Panel:
    used = promql.of_agents(promql.rate(promql.agent(c.PROCESS_CPU)))
    return Panel(
        "agent/cpu",
        "timeseries",
        "Agent CPU",
        "Share of one core. Above the line for long: look for a table that became very large, or lower the "
        "rate of readings.",
        (Query(promql.aggregate("sum", (c.NODE,), used), "{{node}}"),),
        width=6,
        height=7,
        steps=(Step(0, panels.GREEN), Step(AGENT_CPU_LIMIT, panels.VERMILION)),
        lowest=0,
    )


def _memory() -> Panel:
    resident = promql.of_agents(promql.agent(c.PROCESS_RSS))
    locked = promql.aggregate("sum", (c.NODE,), promql.agent(c.BPF_MAP_MEMORY, _OURS))
    return Panel(
        "agent/memory",
        "timeseries",
        "Agent memory",
        "The process, and the kernel memory of its BPF maps, which is bounded when they are made. A process "
        "that only grows leaks: restart it and report it.",
        (
            Query(promql.aggregate("sum", (c.NODE,), resident), "{{node}} process"),
            Query(locked, "{{node}} maps"),
        ),
        width=6,
        height=7,
        steps=_CALM,
        lowest=0,
    )


def _bpf_cost() -> Panel:
    busy = promql.rate(promql.agent(c.BPF_RUN_SECONDS))
    return Panel(
        "agent/bpf",
        "timeseries",
        "CPU in BPF programs",
        "Share of one core that the probes take in the kernel. Only while run-time statistics are on; they "
        "cost a little themselves.",
        (Query(promql.aggregate("sum", (c.NODE, "program"), busy), "{{node}} {{program}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _collect() -> Panel:
    took = promql.aggregate("max", (c.NODE,), promql.agent(c.AGENT_COLLECT_SECONDS))
    return Panel(
        "agent/collect",
        "timeseries",
        "Time to read the kernel",
        "Grows with the size of maps and tables. Near the scrape interval, readings begin to be lost.",
        (Query(took, "{{node}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
    )


def _map_fill() -> Panel:
    by = (c.NODE, "map")
    used = promql.aggregate("max", by, promql.agent(c.BPF_MAP_PRESSURE, _OURS))
    return Panel(
        "agent/fill",
        "timeseries",
        "BPF maps of the agent in use",
        "A full map loses detail, never counts: see the overflows beside it. Above the first line plan a "
        "larger map; above the second detail is about to go.",
        (Query(used, "{{node}} {{map}}"),),
        width=6,
        steps=objects.PRESSURE_STEPS,
        lowest=0,
        highest=1,
    )


def _overflows() -> Panel:
    lost = promql.rate(promql.agent(c.BPF_MAP_OVERFLOWS))
    return Panel(
        "agent/overflows",
        "timeseries",
        "Updates that found a map full",
        "Above zero, events are still counted but under `~other`. Resize the map.",
        (Query(promql.aggregate("sum", (c.NODE, "map"), lost), "{{node}} {{map}}"),),
        width=6,
        steps=_CALM,
        lowest=0,
    )
