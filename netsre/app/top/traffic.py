"""The views of connections: how attempts ended, what TCP had to repeat, and which packets were lost."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import conventions as c
from netsre.app.top.measuring import Buckets, Interval, quantile
from netsre.app.top.sections import Row, Section
from netsre.app.top.values import ANY, Column, Kind, Value
from netsre.slo import exact

_MEDIAN: Final = Fraction(1, 2)
_P99: Final = Fraction(99, 100)
_TCP: Final = "tcp"
"""The protocol that goes without saying."""
_ARROWS: Final = {"egress": "→", "ingress": "←"}

_FLOW_COLUMNS: Final = (
    Column("name", "source → destination", Kind.NAME),
    Column("attempts", "att/s", Kind.RATE),
    Column("failed", "fail/s", Kind.RATE, spare=1, alarm=ANY),
    Column("denied", "deny/s", Kind.RATE, spare=4, alarm=ANY),
    Column("failed_share", "failed", Kind.SHARE, alarm=ANY),
    Column("connect_p50", "p50", Kind.WITHIN, spare=5),
    Column("connect_p99", "p99", Kind.WITHIN, spare=2),
    Column("reason", "reason", Kind.TEXT, spare=3),
)
_TCP_COLUMNS: Final = (
    Column("name", "this end → other end", Kind.NAME),
    Column("data", "data", Kind.RATE, alarm=ANY),
    Column("syn", "syn", Kind.RATE, spare=2, alarm=ANY),
    Column("syn_ack", "synack", Kind.RATE, spare=4, alarm=ANY),
    Column("reset_by_us", "rst-us", Kind.RATE, spare=3),
    Column("reset_by_peer", "rst-peer", Kind.RATE, spare=1),
    Column("rtt_p50", "rtt-p50", Kind.WITHIN, spare=5),
    Column("rtt_p99", "rtt-p99", Kind.WITHIN),
)
_TCP_NOTE: Final = (
    "per second: segments sent again (data, SYN, SYN-ACK) and resets (by us, by the peer); round trips of "
    "connections that closed; → opened by this end, ← by the other, ? not known"
)
_DROP_COLUMNS: Final = (
    Column("hook", "hook", Kind.TEXT),
    Column("reason", "reason", Kind.TEXT),
    Column("netns", "network namespace", Kind.TEXT, keep_end=True),
    Column("rule", "rule", Kind.TEXT, spare=1),
    Column("packets", "packets/s", Kind.RATE, alarm=ANY),
)
_BENIGN_COLUMNS: Final = (
    Column("reason", "benign: nobody misses it", Kind.TEXT),
    Column("netns", "network namespace", Kind.TEXT, keep_end=True),
    Column("packets", "packets/s", Kind.RATE),
)


@dataclass(slots=True)
class _Pair:
    """What happened between two ends."""

    counts: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    reasons: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    buckets: Buckets = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, key: str, count: Decimal) -> None:
        self.counts[key] = exact.add(self.counts[key], count)

    def timed(self, bound: Decimal, count: Decimal) -> None:
        self.buckets[bound] = exact.add(self.buckets[bound], count)

    def rates(self, interval: Interval, *keys: str) -> dict[str, Value]:
        return {key: interval.rate(self.counts[key]) for key in keys}

    @property
    def reason(self) -> str | None:
        """The most frequent one, None where nothing went wrong."""
        found = [(-count, reason) for reason, count in self.reasons.items() if count]
        return min(found)[1] if found else None


_Pairs = dict[tuple[str, ...], _Pair]


def flows(interval: Interval) -> tuple[Section, ...]:
    """Return one row for each source, destination and protocol: attempts, how they ended, latency."""
    pairs: _Pairs = defaultdict(_Pair)
    for labels, count in interval.increases(c.FLOWS):
        pair, outcome = pairs[_flow_ends(labels)], labels.get("outcome", "")
        pair.add("attempts", count)
        pair.add(outcome, count)
        if outcome != "delivered":
            pair.reasons[labels.get("reason", "")] += count
    for labels, bound, count in interval.buckets(c.FLOW_CONNECT_SECONDS):
        pairs[_flow_ends(labels)].timed(bound, count)
    rows = tuple(_flow_row(interval, ends, pair) for ends, pair in pairs.items())
    return (Section("flows", _FLOW_COLUMNS, rows, "attempts", together=("failed", "attempts")),)


def _flow_row(interval: Interval, ends: tuple[str, ...], pair: _Pair) -> Row:
    source, destination, protocol = ends
    answered = Fraction(exact.add(pair.counts["delivered"], pair.counts["failed"]))
    cells = pair.rates(interval, "attempts", "failed", "denied") | {
        "name": f"{source} → {destination}{'' if protocol == _TCP else f' {protocol}'}",
        "failed_share": Fraction(pair.counts["failed"]) / answered if answered else None,
        "connect_p50": quantile(pair.buckets, _MEDIAN),
        "connect_p99": quantile(pair.buckets, _P99),
        "reason": pair.reason,
    }
    return Row({"src": source, "dst": destination, "protocol": protocol}, cells)


def tcp(interval: Interval) -> tuple[Section, ...]:
    """Return one row for each two ends and who opened: what was sent again, resets, round trips."""
    pairs: _Pairs = defaultdict(_Pair)

    def pair(labels: Mapping[str, str]) -> _Pair:
        return pairs[(*_ends(labels), labels.get("direction", ""))]

    for labels, count in interval.increases(c.TCP_RETRANSMITS):
        pair(labels).add(labels.get("kind", ""), count)
    for labels, count in interval.increases(c.TCP_RESETS):
        pair(labels).add(f"reset_by_{labels.get('by', '')}", count)
    for labels, bound, count in interval.buckets(c.FLOW_RTT_SECONDS):
        pair(labels).timed(bound, count)
    rows = tuple(_tcp_row(interval, ends, pair) for ends, pair in pairs.items())
    note = _TCP_NOTE if rows else ""
    return (Section("tcp", _TCP_COLUMNS, rows, "data", note, ("syn", "reset_by_us", "rtt_p99")),)


def _tcp_row(interval: Interval, ends: tuple[str, ...], pair: _Pair) -> Row:
    this, other, direction = ends
    cells = pair.rates(interval, "data", "syn", "syn_ack", "reset_by_us", "reset_by_peer") | {
        "name": f"{this} {_ARROWS.get(direction, '?')} {other}",
        "rtt_p50": quantile(pair.buckets, _MEDIAN),
        "rtt_p99": quantile(pair.buckets, _P99),
    }
    return Row({"src": this, "dst": other, "direction": direction}, cells)


def drops(interval: Interval) -> tuple[Section, ...]:
    """Return what was dropped by place and reason, and apart what was freed without a loss to anybody."""
    return (
        Section(
            "drops", _DROP_COLUMNS, _lost(interval, c.DROPS, ("hook", "reason", "netns", "rule")), "packets"
        ),
        Section("benign", _BENIGN_COLUMNS, _lost(interval, c.BENIGN_DROPS, ("reason", "netns")), "packets"),
    )


def _lost(interval: Interval, metric: str, keys: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(
        Row({}, {**{key: labels.get(key, "") for key in keys}, "packets": interval.rate(count)})
        for labels, count in interval.increases(metric)
    )


def _flow_ends(labels: Mapping[str, str]) -> tuple[str, str, str]:
    return *_ends(labels), labels.get("protocol", _TCP)


def _ends(labels: Mapping[str, str]) -> tuple[str, str]:
    return labels.get("src", ""), labels.get("dst", "")
