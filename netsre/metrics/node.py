"""What was counted on a node, as readings."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from netsre import conventions as c
from netsre.datapath.attribution import Amount
from netsre.datapath.buckets import CLASSIC, CONNECT_BOUNDS, Cells
from netsre.datapath.drops import DropKind
from netsre.datapath.flows import UNKNOWN_BUCKET, FlowKind
from netsre.datapath.tcp import TcpKind
from netsre.metrics.readings import Histogram, Readings

_PROTOCOL: Final = "tcp"
_KERNEL: Final = "kernel"
"""The hook of what no program of ours dropped."""

_BOUNDS: Final = (*(f"{float(bound)!r}" for bound in CONNECT_BOUNDS), "+Inf")

_Timed = Iterable[tuple[tuple[str, ...], int, int, int]]
"""(labels, number of a cell, how many, their sum in nanoseconds)"""


def put_flows(readings: Readings, amounts: Sequence[Amount[FlowKind]], cells: Cells = CLASSIC) -> None:
    """Add outcomes and connect latency, counted in these cells, from totals by name."""

    def ends(amount: Amount[FlowKind]) -> tuple[str, ...]:
        role = amount.kind.role
        return role.direction, *role.from_to(amount.name, amount.kind.destination), role.protocol

    _put_sums(readings, c.FLOWS, (((a.kind.outcome, a.kind.reason, *ends(a)), a.count) for a in amounts))
    timed = (
        (ends(a), a.kind.bucket, a.count, a.sum_ns)
        for a in amounts
        if a.kind.outcome == "delivered" and a.kind.bucket != UNKNOWN_BUCKET
    )
    _put_histograms(readings, c.FLOW_CONNECT_SECONDS, timed, cells)


def put_tcp(readings: Readings, amounts: Sequence[Amount[TcpKind]], cells: Cells = CLASSIC) -> None:
    """Add what was sent again, resets and round-trip times, counted in these cells, from totals by name."""
    by = {"reset_sent": "us", "reset_received": "peer"}
    timed = []
    for amount in amounts:
        kind = amount.kind
        ends = (kind.direction, amount.name, kind.destination, _PROTOCOL)
        if kind.event == "rtt":
            timed.append((ends, kind.bucket, amount.count, amount.sum_ns))
        elif kind.event == "retransmit":
            readings.put(c.TCP_RETRANSMITS, (kind.detail, *ends), amount.count)
        else:
            readings.put(c.TCP_RESETS, (by[kind.event], kind.detail, *ends), amount.count)
    _put_histograms(readings, c.FLOW_RTT_SECONDS, timed, cells)


def put_drops(readings: Readings, amounts: Sequence[Amount[DropKind]]) -> None:
    """Add what the kernel dropped from totals by name, apart from what nobody misses."""
    for amount in amounts:
        reason = amount.kind.reason
        if amount.kind.benign:
            readings.put(c.BENIGN_DROPS, (reason, amount.name), amount.count)
        else:
            readings.put(c.DROPS, (_KERNEL, reason, "", amount.name), amount.count)


def _put_sums(readings: Readings, metric: str, counts: Iterable[tuple[tuple[str, ...], int]]) -> None:
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    for labels, count in counts:
        sums[labels] += count
    for labels, total in sorted(sums.items()):
        readings.put(metric, labels, total)


def _put_histograms(readings: Readings, metric: str, timed: _Timed, cells: Cells) -> None:
    counts: dict[tuple[str, ...], list[int]] = {}
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    for labels, cell, count, sum_ns in timed:
        counts.setdefault(labels, [0] * cells.number)[cell] += count
        sums[labels] += sum_ns
    for labels, by_cell in sorted(counts.items()):
        shape = Histogram(_BOUNDS, cells.cumulative(by_cell), sums[labels] / 1e9, cells.native(by_cell))
        readings.put_histogram(metric, labels, shape)
