"""The rows of `make bench` on an agent at its limits."""

from collections.abc import Callable

from bench import fold_cost
from bench.lines import Line


def lines(say: Callable[[str], None]) -> list[Line]:
    """Measure, and return the rows."""
    say("measuring a full table of flows …")
    return fold_lines(fold_cost.measure())


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
