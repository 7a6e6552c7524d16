"""Bounds of the connect latency histogram, the one list that the kernel side and the user side share.

The bounds are what people put into objectives (250 ms, 1 s), closer together where local networks live. An
answered attempt is never slower than the stall limit, so nothing above it needs a bucket of its own.
"""

from decimal import Decimal
from typing import Final

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


def bucket_defines() -> str:
    """Return the bounds as a C list macro: `X(index, nanoseconds)` for each, in ascending order."""
    entries = (f"X({index}, {int(bound * 10**9)}ULL)" for index, bound in enumerate(CONNECT_BOUNDS))
    return " ".join(entries)
