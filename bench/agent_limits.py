"""The rows of `make bench` on an agent at its limits, and beside bcc's own tools."""

from collections.abc import Callable, Sequence

from bench import connection_cost, fold_cost, peers
from bench.connection_cost import AGENT, EMPTY, NOTHING, PROBE, ConnectionCost
from bench.lines import Line
from bench.peers import Absent, PeerCost


def lines(say: Callable[[str], None]) -> list[Line]:
    """Measure, and return the rows."""
    say("measuring what the agent does to connections …")
    rows = connection_lines(connection_cost.measure())
    say("measuring a full table of flows …")
    rows += fold_lines(fold_cost.measure())
    say("measuring bcc's tools on the same connections …")
    return rows + peer_lines(peers.measure())


def connection_lines(cost: ConnectionCost) -> list[Line]:
    """Return the rows on connections beside an agent."""
    kept = cost.with_agent >= 0.99 * cost.without
    ratios = {what: f"{rate:.0f}/s ({rate / cost.most[NOTHING]:.1%})" for what, rate in cost.most.items()}
    return [
        Line(
            f"{cost.rate} answered connections a second, whoever waits: the rate with the agent",
            f"{cost.with_agent:.0f}/s",
            f"without it {cost.without:.0f}/s",
            "unchanged",
            kept,
        ),
        Line(
            f"{cost.rate} answered connections a second: processor that the agent adds",
            f"{cost.added:.2%} of a core ({cost.process:.2%} its process)",
            f"empty programs, as many runs: {cost.readings:.2%}",
            "<= 2 %",
            cost.added <= 0.02,
        ),
        Line(
            "as many connections as can be, with the flow probe",
            ratios[PROBE],
            f"{NOTHING} {cost.most[NOTHING]:.0f}/s, {EMPTY} {ratios[EMPTY]}",
            "",
            None,
        ),
        Line(f"as many connections as can be, with {AGENT}", ratios[AGENT], "", "", None),
    ]


def fold_lines(cost: fold_cost.FoldCost) -> list[Line]:
    """Return the rows on a full table of flows."""
    what = f"{cost.entries} flow entries in the kernel, read, folded into {cost.series} series and exposed"
    return [
        Line(
            f"{what}: every entry has changed",
            f"{cost.changed * 1000:.0f} ms ({cost.body_bytes / 1e6:.1f} MB of OpenMetrics)",
            f"none has changed: {cost.standing * 1000:.0f} ms",
            "<= 100 ms",
            cost.changed <= 0.1,
        )
    ]


def peer_lines(costs: Sequence[PeerCost | Absent]) -> list[Line]:
    """Return the rows on bcc's tools, each beside the agent at the same rate."""
    ours = {cost.rate: cost for cost in costs if isinstance(cost, PeerCost) and cost.who == peers.AGENT}
    return [_peer_line(cost, ours) for cost in costs if cost.who != peers.AGENT]


def _peer_line(cost: PeerCost | Absent, ours: dict[int, PeerCost]) -> Line:
    if isinstance(cost, Absent):
        return Line(f"bcc's {cost.who}", f"does not run here: {cost.why}", "", "", None)
    lost = f", {cost.lost} events lost" if cost.lost else ""
    return Line(
        f"bcc's {cost.who} at {cost.rate} connections a second",
        f"{_figures(cost)}{lost}",
        f"the whole agent: {_figures(ours[cost.rate])}",
        "",
        None,
    )


def _figures(cost: PeerCost) -> str:
    return (
        f"{cost.event_ns:.0f} ns a run in the kernel, {cost.kernel:.1%} of a core there, "
        f"{cost.process:.1%} in its process"
    )
