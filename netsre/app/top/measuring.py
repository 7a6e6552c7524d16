"""Two readings of an agent become what happened between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from netsre import conventions as c
from netsre.app.top.values import Rate, Within
from netsre.clock import SECOND, Timestamp
from netsre.datapath.buckets import CONNECT_BOUNDS
from netsre.model.samples import Labels, Scrape, Series
from netsre.slo import increments
from netsre.slo.increments import Cursor

_COUNTERS: Final = (
    *(c.FLOWS, c.TCP_RETRANSMITS, c.TCP_RESETS, c.DROPS, c.BENIGN_DROPS),
    *(c.CONNTRACK_INSERT_FAILED, c.CONNTRACK_DROPS, c.CONNTRACK_EARLY_DROPS),
    *(c.BPF_RUNS, c.BPF_RUN_SECONDS, c.BPF_MISSED_RUNS, c.BPF_MAP_OVERFLOWS, c.PROCESS_CPU),
)
_HISTOGRAMS: Final = (c.FLOW_CONNECT_SECONDS, c.FLOW_RTT_SECONDS)
_FOLLOWED: Final = frozenset(_COUNTERS) | {
    increments.bucket_key(metric, bound)
    for metric in _HISTOGRAMS
    for bound in (*map(str, CONNECT_BOUNDS), "+Inf")
}

Buckets = dict[Decimal, Decimal]
"""Upper bound (infinite for the last), and how many were not above it."""


@dataclass(frozen=True, eq=False)
class Interval:
    """What an agent said last, and what its counters gained since the one before; equal only to itself."""

    at: Timestamp
    seconds: Fraction
    """How long the counters had to gain it."""
    restarted: bool
    """Whether the agent began anew since; what it counted before is not known."""
    gained: Mapping[Series, Decimal]
    values: Mapping[Series, Decimal]
    """All that it said, for what is no counter."""

    def rate(self, count: Decimal) -> Rate:
        """Return a count as a rate."""
        return Rate(count, self.seconds)

    def increases(self, metric: str) -> Iterator[tuple[dict[str, str], Decimal]]:
        """Yield the labels of every series of a counter, and what it gained."""
        return ((dict(s.labels), value) for s, value in self.gained.items() if s.name == metric)

    def gauges(self, metric: str) -> Iterator[tuple[dict[str, str], Decimal]]:
        """Yield the labels and value of every series of a gauge."""
        return ((dict(s.labels), value) for s, value in self.values.items() if s.name == metric)

    def buckets(self, metric: str) -> Iterator[tuple[dict[str, str], Decimal, Decimal]]:
        """Yield the labels, the bound and the gain of every bucket of a histogram."""
        for labels, value in self.increases(f"{metric}_bucket"):
            bound = increments.parse_bound(labels.pop("le", ""))
            if bound is not None:
                yield labels, bound, value

    def gain(self, metric: str, labels: Labels) -> Rate | None:
        """Return what one series gained; None where there is none."""
        value = self.gained.get(Series(metric, labels))
        return None if value is None else self.rate(value)

    def gauge(self, metric: str, labels: Labels) -> Fraction | None:
        """Return the value of one series; None where there is none."""
        value = self.values.get(Series(metric, labels))
        return None if value is None else Fraction(value)


class Meter:
    """Compares each reading of one agent with the one before."""

    def __init__(self) -> None:
        """Begin without any reading."""
        self._cursor: Cursor | None = None
        self._read_ns = 0

    def add(self, scrape: Scrape, read_ns: int) -> Interval | None:
        """Return what happened since the last reading; None after the first, which has nothing before it.

        `read_ns` is when it was read by a clock that nobody sets: the other one may jump meanwhile.
        """
        before, elapsed = self._cursor, Fraction(read_ns - self._read_ns, 1_000_000_000)
        found, self._cursor = increments.advance(before, scrape, _FOLLOWED)
        if found.reason is increments.Reason.DUPLICATE or (before is not None and elapsed <= 0):
            return None
        self._read_ns = read_ns
        if before is None:
            return None
        restarted = abs(self._cursor.started_at - before.started_at) > increments.JITTER
        age = Fraction(scrape.at - scrape.started_at, SECOND)
        # A new life may have begun a moment ago; a clock elsewhere may differ, and then it says nothing.
        seconds = age if restarted and 0 < age < elapsed else elapsed
        return Interval(scrape.at, seconds, restarted, found.values, scrape.values)


def quantile(buckets: Buckets, share: Fraction) -> Within | None:
    """Return the bucket of the smallest value that at least this share of all is not above; None of none."""
    total = max(buckets.values(), default=Decimal(0))
    if not total:
        return None
    largest = Decimal(0)
    for bound, count in sorted(buckets.items()):
        if not bound.is_finite():
            break
        if count >= share * Fraction(total):
            return Within(bound)
        largest = bound
    return Within(largest, beyond=True)
