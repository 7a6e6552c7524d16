"""`make bench`: measure what is budgeted and write docs/benchmarks.md, with the machine named.

A figure is a median over rounds. A budget that is missed is written down as missed; the exit code is 0
all the same, because the speed of a shared machine is not a test.
"""

import datetime
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import Final

from bench import (
    agent_limits,
    agent_process,
    agent_soak_page,
    balance_cost,
    datagram_cost,
    engine_scale,
    kernel_cost,
    load_cost,
    loop,
    packet_cost,
    policy_change,
    policy_cost,
    policy_link,
    policy_packet,
    prefilter_cost,
    prometheus_scale,
    scenario_rate,
    service_cost,
    slo_baseline,
    table_cost,
    tracepoint_cost,
    webhook,
)
from bench.lines import Line
from bench.machine import machine
from bench.page import BENCHMARKS
from netsre import __version__


def kernel_lines(costs: Sequence[kernel_cost.Cost]) -> list[Line]:
    """Return the rows on what the probe adds in the kernel."""
    return [
        Line(
            f"probe in the kernel, per state change: {cost.what} ({cost.changes_per_connection:.0f} changes)",
            f"{cost.added_ns:.0f} ns added ({cost.probe_ns:.0f} ns as the kernel counts)",
            f"empty program {cost.empty_ns:.0f} ns",
            "<= 100 ns",
            cost.added_ns <= 100,
        )
        for cost in costs
    ]


def tracepoint_lines(costs: Sequence[tracepoint_cost.ProgramCost]) -> list[Line]:
    """Return the rows on the programs of the TCP and drops probes."""
    return [
        Line(
            f"{cost.program} in the kernel, per event: {cost.what}",
            f"{cost.added_ns:.0f} ns added ({cost.program_ns:.0f} ns as the kernel counts)",
            f"empty program {cost.empty_ns:.0f} ns",
            "",
            None,
        )
        for cost in costs
    ]


def datagram_lines(costs: Sequence[tracepoint_cost.ProgramCost], send: datagram_cost.SendCost) -> list[Line]:
    """Return the rows on the UDP probe."""
    return [
        *tracepoint_lines(costs),
        Line(
            "probe of UDP: a send of one byte over TCP, by any process",
            f"{send.added_ns:.0f} ns added ({send.added_ns / send.send_ns:.1%})",
            f"without it {send.send_ns:.0f} ns",
            "",
            None,
        ),
    ]


def service_lines(costs: Sequence[service_cost.ServiceCost]) -> list[Line]:
    """Return the rows on the probe of connections to services."""
    return [
        Line(
            f"probe of connections to services, per connect(): {cost.what}",
            f"{cost.added_ns:.0f} ns added ({cost.probe_ns:.0f} ns as the kernel counts)",
            f"empty programs {cost.empty_ns:.0f} ns",
            "",
            None,
        )
        for cost in costs
    ]


def balance_lines(costs: Sequence[balance_cost.BalanceCost], connect: balance_cost.ConnectCost) -> list[Line]:
    """Return the rows on the balancer of services."""
    return [
        *(
            Line(
                f"balancer of services in the kernel, per connect() of UDP: {cost.what}",
                f"{cost.added_ns:.0f} ns added ({cost.program_ns:.0f} ns as the kernel counts)",
                f"empty program {cost.empty_ns:.0f} ns",
                "",
                None,
            )
            for cost in costs
        ),
        Line(
            "balancer of services: a connect() of TCP over loopback, as its client sees it",
            f"{connect.balanced_ns / 1000:.1f} us added to {connect.direct_ns / 1000:.1f} us",
            f"a rule of nftables adds {connect.translated_ns / 1000:.1f} us",
            "",
            None,
        ),
    ]


def load_lines(cost: load_cost.LoadCost) -> list[Line]:
    """Return the rows on the probe of program loads."""
    return [
        Line(
            "probe of program loads: any system call of any process",
            f"{cost.added_ns:.0f} ns added ({cost.added_ns / cost.call_ns:.0%})",
            f"without it {cost.call_ns:.0f} ns, the call that does least",
            "",
            None,
        ),
        Line(
            "probe of program loads: one load of a program",
            f"{cost.load_ns / 1000:.1f} us as the kernel counts",
            "",
            "",
            None,
        ),
    ]


def agent_lines(figures: agent_process.AgentFigures) -> list[Line]:
    """Return the rows on the agent's process."""
    return [
        Line(
            "agent ready: process start to all probes attached",
            f"{figures.ready_seconds:.2f} s",
            "",
            "<= 1 s",
            figures.ready_seconds <= 1,
        ),
        Line(
            f"agent CPU at {figures.rate:.0f} refused connections a second, all of them in its flow log",
            f"{figures.cpu_share:.2%} of a core",
            "",
            "<= 1 %",
            figures.cpu_share <= 0.01,
        ),
        Line(
            "agent memory, loader gone, its inventory part included",
            f"{figures.resident_mib:.0f} MiB, of which the part {figures.part_mib:.0f} MiB",
            "",
            "<= 80 MB",
            figures.resident_mib * 1.048576 <= 80,
        ),
        Line("one scrape of the agent", f"{figures.scrape_milliseconds:.1f} ms", "", "", None),
    ]


def packet_lines(costs: Sequence[packet_cost.PacketCost]) -> list[Line]:
    """Return the rows on the programs that drop blocked sources."""
    budgets = {"tc_ingress": 250, "xdp": 120}
    return [
        Line(
            f"blocked source at {cost.hook}, per packet",
            f"{cost.dropped_ns:.0f} ns dropped",
            f"{cost.passed_ns:.0f} ns another source, passed",
            f"<= {budgets[cost.hook]} ns",
            cost.dropped_ns <= budgets[cost.hook],
        )
        for cost in costs
    ]


def policy_packet_lines(costs: Sequence[policy_packet.PolicyCost]) -> list[Line]:
    """Return the rows on the policy programs of TC."""
    return [
        Line(
            f"policy program, per packet: {cost.what}",
            f"{cost.program_ns:.0f} ns ({cost.counted_ns:.0f} ns as the kernel counts)",
            f"empty program {cost.empty_ns:.0f} ns ({cost.empty_counted_ns:.0f} ns)",
            "<= 250 ns" if cost.has_budget else "",
            cost.program_ns <= 250 if cost.has_budget else None,
        )
        for cost in costs
    ]


def prefilter_lines(costs: Sequence[prefilter_cost.PrefilterCost]) -> list[Line]:
    """Return the rows on the prefilter."""
    return [
        Line(
            f"prefilter at XDP, per packet: {cost.what}",
            f"{cost.ns:.0f} ns",
            f"empty program {cost.empty_ns:.0f} ns",
            "<= 120 ns" if cost.has_budget else "",
            cost.ns <= 120 if cost.has_budget else None,
        )
        for cost in costs
    ]


def table_lines(cost: table_cost.TableCost) -> list[Line]:
    """Return the rows on reading connection tables."""
    listed = f"`conntrack -L` {cost.listed:.2f} s" if cost.listed is not None else ""
    figures = (
        (f"every one of {cost.entries} entries, by source and state", f"{cost.whole:.2f} s", listed),
        ("a sample of 65536 of them", f"{cost.sample:.2f} s", ""),
        ("an empty namespace beside it", f"{cost.empty * 1000:.0f} ms", ""),
        ("the counters of a namespace", f"{cost.statistics * 1e6:.0f} us", ""),
        (f"{cost.map_entries} entries of a pinned map", f"{cost.map:.2f} s", ""),
    )
    return [
        Line(f"connection table, CPU: {what}", figure, beside, "", None) for what, figure, beside in figures
    ]


def webhook_lines(figures: Sequence[webhook.WebhookFigures]) -> list[Line]:
    """Return the rows on alerts that are sent to the controller."""
    return [
        Line(
            f"webhook: new alerts accepted and on disk, {figure.batch} in a post, "
            f"{figure.connections} connections",
            f"{figure.alerts_per_second:.0f}/s (slowest post {figure.slowest_milliseconds:.0f} ms, "
            f"slowest evaluation beside it {figure.tick_milliseconds:.0f} ms)",
            "",
            ">= 2000/s" if figure.in_storm else "",
            figure.alerts_per_second >= 2000 if figure.in_storm else None,
        )
        for figure in figures
    ]


def engine_lines(figures: engine_scale.EngineFigures, reports: slo_baseline.Reports) -> list[Line]:
    """Return the rows on the SLO engine at its budgeted size, and what the same reports take elsewhere."""
    size = f"{figures.slos} SLOs x {figures.windows} windows"
    whole = figures.observe_milliseconds + figures.burning_milliseconds
    calm, burning = figures.evaluate_milliseconds, figures.burning_milliseconds
    other = f"slo-generator {reports.version}: {reports.seconds * 1000:.0f} ms in memory"
    return [
        Line(
            f"SLO engine, {size}: evaluate and decide",
            f"{calm:.1f} ms, with one in a hundred burning {burning:.1f} ms",
            other,
            "<= 100 ms",
            burning <= 100,
        ),
        Line(
            f"SLO engine, {size}: the same after counting a scrape of {2 * figures.slos} series",
            f"{whole:.0f} ms",
            "",
            "<= 100 ms",
            whole <= 100,
        ),
        Line(
            f"SLO engine, {size}: every number of every level",
            f"{figures.whole_milliseconds:.0f} ms",
            other,
            "",
            None,
        ),
        Line(
            f"SLO engine, {size}: memory with thirty days of history, at its peak",
            f"{figures.resident_mib:.0f} MiB",
            "",
            "<= 500 MB",
            figures.resident_mib * 1.048576 <= 500,
        ),
    ]


def prometheus_lines(figures: prometheus_scale.PrometheusFigures) -> list[Line]:
    """Return the rows on a Prometheus as the source of the controller."""
    settled, reports = figures.settled, figures.baseline
    size = f"{figures.slos} SLOs x {reports.windows} windows on a Prometheus"
    other, each = f"slo-generator {reports.version}", reports.seconds / reports.slos
    kinds = (
        (
            f"one evaluation, {figures.days} days ({figures.samples / 1e6:.0f} million samples) behind it",
            settled,
        ),
        ("one evaluation after a first start, while these days are being read", figures.fresh),
    )
    lines = [
        Line(
            f"{size}: {what}",
            f"{median(ticks.seconds):.2f} s, the slowest of {len(ticks.seconds)} {max(ticks.seconds):.2f} s",
            f"{other}: {each * figures.slos:.0f} s, reckoned from {each * 1000:.0f} ms for each of "
            f"{reports.slos}",
            "<= 2 s",
            max(ticks.seconds) <= 2,
        )
        for what, ticks in kinds
    ]
    asked = figures.baseline_queries
    rows = (
        (
            "queries of one evaluation",
            f"{settled.queries:.1f}",
            f"{other}: {asked * figures.slos:.0f}, reckoned from {asked:.0f} for each",
        ),
        (
            "process start to the first evaluation, its days on its disk",
            f"{settled.start_seconds:.1f} s",
            f"with nothing on its disk {figures.fresh.start_seconds:.1f} s",
        ),
        (
            "memory of the controller",
            f"{settled.resident_mib:.0f} MiB, at its start {settled.peak_mib:.0f} MiB",
            "",
        ),
    )
    return lines + [Line(f"{size}: {what}", figure, baseline, "", None) for what, figure, baseline in rows]


def loop_lines(figures: Sequence[loop.LoopFigures]) -> list[Line]:
    """Return the rows on drills; the lab is read every 5 s, and its table takes a while to fill."""
    lines = []
    for figure in figures:
        rows = (
            (
                "the table read beyond the alert's value, to the page accepted by Alertmanager",
                figure.told,
                10.0,
            ),
            ("alert to first effect in force", figure.acted, 1.0),
            ("fault to verified recovery", figure.verified, 60.0),
        )
        for what, seconds, budget in rows:
            name = f"drill {figure.profile}, {figure.rounds} rounds: {what}"
            lines.append(Line(name, f"{seconds:.2f} s", "", f"<= {budget:.0f} s", seconds <= budget))
        lines.append(
            Line(f"drill {figure.profile}: fault to alert", f"{figure.detected:.2f} s", "", "", None)
        )
    return lines


HEAD: Final = """# Benchmarks

Written by `make bench` and `make soak`. Do not edit.

Medians over rounds. The kernel's run-time statistics charge every run of a program with two readings of the
kernel's clock; an empty program on the same tracepoint, measured at the same moment on the same state
changes, shows that floor, and the probe's own share is the difference.

What an agent adds to a load is its process and its programs, as the kernel counts, without the readings of
the kernel's clock; bcc's tools are measured with them, and so is the agent beside them. They print to
nowhere.

Traffic through a node that polices it goes from a client through a forwarding node to a server, over veth
pairs as they come (GSO and GRO are on), in IPv4; the server is the endpoint. Each figure is the median of
the ratios to the run without anything in the same round, with the half of all rounds that is around it;
"nothing again" is that run against itself, the noise; where half of it differs by more than a tenth,
there is no verdict. The time of processors is that of client and server, packets that the kernel takes
meanwhile included, and of its threads for packets: what others do on the machine is hardly in it. nftables
has the same rules in two sets, and passes what belongs to a known connection first.

A change of policies is measured from the start of the command to the first packet on a link that is decided
anew; the time on a processor is that of the command itself until then.

slo-generator computes the same service levels over the same eight windows. In memory it is given the events
of each window, which netsre sums itself, and makes every report; to decide, netsre works out those levels
that are near a factor, and the others when somebody asks. The Prometheus is a real server with the counters
of twenty nodes: one sample every 5 minutes for thirty days, every 15 s in the last hour, and then a live
one every 5 s. There slo-generator asks for each window anew, one query after the other; netsre's controller
keeps sums, asks for what is new and brings it to its disk. Measured are its evaluations as it reports them,
the first left out. Queries are those that the Prometheus itself counted.
"""


def section(lines: Sequence[Line], machine: str, day: datetime.date) -> str:
    """Return what was measured of one part."""
    rows = "\n".join(line.row() for line in lines)
    return f"""Measured on {day.isoformat()} with netsre {__version__}. Machine: {machine}.

| what | figure | baseline in the same run | budget | |
|---|---|---|---|---|
{rows}"""


def _say(what: str) -> None:
    print(what, file=sys.stderr)


def _service_level_lines() -> list[Line]:
    with slo_baseline.installed() as baseline:
        _say("measuring the SLO engine …")
        figures = engine_scale.measure()
        reports = baseline.compute(figures.slos, engine_scale.RULES, engine_scale.PERIOD)
        lines = engine_lines(figures, reports)
        _say("measuring service levels on a Prometheus …")
        return lines + prometheus_lines(prometheus_scale.measure(baseline, _say))


_PARTS: Final[Mapping[str, Callable[[], list[Line]]]] = MappingProxyType(
    {
        "the flow probe in the kernel": lambda: kernel_lines(kernel_cost.measure()),
        "the TCP and drops probes in the kernel": lambda: tracepoint_lines(tracepoint_cost.measure()),
        "the UDP probe in the kernel": lambda: datagram_lines(*datagram_cost.measure()),
        "the probe of connections to services": lambda: service_lines(service_cost.measure()),
        "the balancer": lambda: balance_lines(*balance_cost.measure()),
        "the probe of program loads": lambda: load_lines(load_cost.measure()),
        "the programs that drop blocked sources": lambda: packet_lines(packet_cost.measure()),
        "the policy programs": lambda: policy_packet_lines(policy_packet.measure()),
        "the policy datapath on the way of traffic": lambda: policy_link.lines(policy_link.measure()),
        "the prefilter": lambda: prefilter_lines(prefilter_cost.measure()),
        "the reading of connection tables": lambda: table_lines(table_cost.measure()),
        "the compiler of policies": lambda: policy_cost.lines(policy_cost.measure()),
        "the policy datapath, until a change is active": lambda: policy_change.lines(policy_change.measure()),
        "the process of the agent": lambda: agent_lines(agent_process.measure()),
        "the agent at its limits": lambda: agent_limits.lines(_say),
        "the webhook": lambda: webhook_lines(webhook.measure()),
        "service levels": _service_level_lines,
        "scenarios of runbooks": lambda: scenario_rate.lines(scenario_rate.measure()),
        "the loop, in drills": lambda: loop_lines(loop.measure()),
    }
)


def _title(what: str) -> str:
    return what[0].upper() + what[1:]


ORDER: Final = (*map(_title, _PARTS), agent_soak_page.TITLE)
"""Of the sections."""


def main(words: Sequence[str]) -> int:
    """Measure, print, and renew the sections of the page; with words only parts that have one of them.

    A part that fails costs its own section alone; return the exit code.
    """
    parts = {what: part for what, part in _PARTS.items() if not words or any(one in what for one in words)}
    failed = []
    for what, part in parts.items():
        _say(f"measuring {what} …")
        try:
            rows = part()
        except Exception:  # noqa: BLE001  it is told, and what the others took minutes for is not lost
            traceback.print_exc()
            failed.append(what)
            continue
        _say("\n".join(line.row() for line in rows))
        today = datetime.datetime.now(tz=datetime.UTC).date()
        BENCHMARKS.renew(HEAD, {_title(what): section(rows, machine(), today)}, ORDER)
    _say(f"failed: {', '.join(failed)}" if failed else f"wrote {BENCHMARKS.path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
