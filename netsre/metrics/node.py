"""What was counted on a node, as readings."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from netsre import conventions as c
from netsre.datapath.attribution import FlowKind
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.datapath.conntrack import ConntrackCounters
from netsre.datapath.flows import UNKNOWN_BUCKET
from netsre.metrics.readings import Histogram, Readings

_DIRECTION: Final = "egress"
_PROTOCOL: Final = "tcp"


def put_flows(readings: Readings, amounts: Iterable[tuple[FlowKind, int, int]]) -> None:
    """Add outcomes and connect latency from totals by name."""
    outcomes: dict[tuple[str, ...], int] = defaultdict(int)
    buckets: dict[tuple[str, ...], list[int]] = {}
    sums: dict[tuple[str, ...], int] = defaultdict(int)
    for kind, count, sum_ns in amounts:
        end = (_DIRECTION, kind.src, kind.destination, _PROTOCOL)
        outcomes[(kind.outcome, kind.reason, *end)] += count
        if kind.outcome == "delivered" and kind.bucket != UNKNOWN_BUCKET:
            buckets.setdefault(end, [0] * (len(CONNECT_BOUNDS) + 1))[kind.bucket] += count
            sums[end] += sum_ns
    for labels, total in sorted(outcomes.items()):
        readings.put(c.FLOWS, labels, total)
    for ends, by_bucket in sorted(buckets.items()):
        readings.put_histogram(c.FLOW_CONNECT_SECONDS, ends, _cumulate(by_bucket, sums[ends]))


def _cumulate(counts: list[int], sum_ns: int) -> Histogram:
    running, cumulative = 0, []
    for count in counts:
        running += count
        cumulative.append(running)
    bounds = (*(f"{float(bound)!r}" for bound in CONNECT_BOUNDS), "+Inf")
    return Histogram(bounds, tuple(cumulative), sum_ns / 1e9)


def put_conntrack(readings: Readings, netns: str, counters: ConntrackCounters, limit: int) -> None:
    """Add one namespace's kernel table; utilisation is left out when the kernel sets no limit (0)."""
    labels = ("kernel", netns)
    readings.put(c.CONNTRACK_ENTRIES, labels, counters.entries)
    readings.put(c.CONNTRACK_INSERT_FAILED, labels, counters.insert_failed)
    readings.put(c.CONNTRACK_DROPS, labels, counters.drops)
    readings.put(c.CONNTRACK_EARLY_DROPS, labels, counters.early_drops)
    readings.put(c.CONNTRACK_LIMIT, labels, limit)
    if limit:
        readings.put(c.CONNTRACK_UTILIZATION, labels, counters.entries / limit)
