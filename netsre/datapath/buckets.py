"""How times are counted: the bounds that people ask for, and the cells of the kernel that add up to them.

The classic bounds are what people put into objectives (250 ms, 1 s), closer together where local networks
live. An answered attempt is never slower than the stall limit, so nothing above it needs a bucket of its own.

A native histogram of Prometheus has its bounds at the powers of 2^(1/4) instead (schema 2). Where it is asked
for, the kernel counts in cells that end at the bounds of both, so that the buckets of both are whole cells.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Final, NamedTuple

CONNECT_BOUNDS: Final[tuple[Decimal, ...]] = tuple(
    Decimal(text)
    for text in (
        "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005",
        "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5",
    )
)  # fmt: skip
"""Upper bounds in seconds, inclusive, ascending; the bucket after the last is +Inf."""

COMPILE_BOUNDS: Final[tuple[Decimal, ...]] = tuple(
    Decimal(text) for text in ("0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "30")
)
"""The same for a change of the policy, from when it is asked for until it is active."""

STALL_SECONDS: Final = 3
"""An attempt unanswered for this long is `stalled`: it is counted then, once, whatever comes later."""

NATIVE_SCHEMA: Final = 2
"""Bucket number n of a native histogram ends at 2^(n/4) seconds, inclusive; 2^schema of them double."""
_PER_DOUBLING: Final = 1 << NATIVE_SCHEMA
_FIRST: Final = -16 * _PER_DOUBLING
ZERO_THRESHOLD: Final = 2.0**-16
"""Seconds, about 15 us: what took no longer is in the zero bucket."""
_LAST: Final = 37
"""Ends at 608 s. The kernel keeps a round-trip time in 32 bits of eighths of a microsecond: at most 537 s."""
_BEYOND: Final = 1024 * _PER_DOUBLING + 1
"""The bucket that ends at +Inf: after the last whose end a float can hold."""


class Native(NamedTuple):
    """The buckets of a native histogram."""

    zero: int
    """How many took no longer than the zero threshold."""
    buckets: Mapping[int, int]
    """How many are in each bucket by its number, ascending; empty ones are left out."""
    schema: int = NATIVE_SCHEMA
    zero_threshold: float = ZERO_THRESHOLD


@dataclass(frozen=True, slots=True)
class Cells:
    """What the kernel counts times in: a cell up to each end, and one more for what is beyond the last."""

    ends_ns: tuple[int, ...]
    """Inclusive, ascending."""
    is_native: bool
    """Whether native histograms can be made of them, beside classic ones."""

    @property
    def number(self) -> int:
        """How many there are."""
        return len(self.ends_ns) + 1

    def defines(self) -> Mapping[str, str]:
        """Return what C takes for the number of the cell of `ns`: as many comparisons as a tree is deep."""
        return {"CONNECT_BUCKET": _tree(self.ends_ns, 0)}

    def cumulative(self, counts: Sequence[int]) -> tuple[int, ...]:
        """Return how many took no longer than each of the classic bounds, and how many there are at all."""
        sums = list(accumulate(counts))
        return (*(sums[bisect_left(self.ends_ns, _ns(bound))] for bound in CONNECT_BOUNDS), sums[-1])

    def native(self, counts: Sequence[int]) -> Native | None:
        """Return the buckets of a native histogram; None where the cells do not end at its bounds."""
        if not self.is_native:
            return None
        buckets: dict[int, int] = {}
        zero = 0
        for end_ns, count in zip((*self.ends_ns, None), counts, strict=True):
            at = len(_NATIVE_NS) if end_ns is None else bisect_left(_NATIVE_NS, end_ns)
            if not at:
                zero += count
            elif count:
                number = _FIRST + at if at < len(_NATIVE_NS) else _BEYOND
                buckets[number] = buckets.get(number, 0) + count
        return Native(zero, buckets)


def _ns(seconds: Decimal) -> int:
    return int(seconds * 10**9)


def _native_ns(number: int) -> int:
    """Return the end of a native bucket in whole nanoseconds: 2^(n/4) * 10^9, rounded down, exactly.

    For whole ns, `ns <= end` and `ns <= floor(end)` are the same. The end is the fourth root of 2^n * 10^36;
    to round down before or after each square root makes no difference to a result that is rounded down.
    """
    fourth_power = 10**36 << number if number >= 0 else 10**36 >> -number
    return math.isqrt(math.isqrt(fourth_power))


def _tree(ends_ns: Sequence[int], first: int) -> str:
    """Return a C expression that halves what is left with each comparison; its first cell has this number."""
    if not ends_ns:
        return str(first)
    middle = len(ends_ns) // 2
    below = _tree(ends_ns[:middle], first)
    above = _tree(ends_ns[middle + 1 :], first + middle + 1)
    return f"(ns <= {ends_ns[middle]}ULL ? {below} : {above})"


_CLASSIC_NS: Final = tuple(map(_ns, CONNECT_BOUNDS))
_NATIVE_NS: Final = tuple(map(_native_ns, range(_FIRST, _LAST + 1)))

CLASSIC: Final = Cells(_CLASSIC_NS, is_native=False)
CLASSIC_AND_NATIVE: Final = Cells(tuple(sorted({*_CLASSIC_NS, *_NATIVE_NS})), is_native=True)
