"""One track of exact decimals by slot: for amounts that are no whole events, or too many for 64 bits.

Sums over any span take two binary searches, because running sums are kept beside the slots.
"""

from bisect import bisect_left
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from netsre.slo import exact


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over a span."""

    bad: Decimal
    total: Decimal
    measured: int
    """Minutes with at least one reading."""

    def __add__(self, other: "Sums") -> "Sums":
        """Return the sums over both spans."""
        bad, total = exact.add(self.bad, other.bad), exact.add(self.total, other.total)
        return Sums(bad, total, self.measured + other.measured)


NOTHING: Final = Sums(exact.ZERO, exact.ZERO, 0)


class Track:
    """The slots of one SLO and group in one tier; `x[i + 1] - x[i]` is what slot `i` holds."""

    def __init__(self) -> None:
        """Begin empty."""
        self.slots: list[int] = []
        self._bad = [exact.ZERO]
        self._total = [exact.ZERO]
        self._measured = [0]

    def add(self, slot: int, bad: Decimal, total: Decimal, measured: int) -> None:
        """Add to one slot."""
        at = bisect_left(self.slots, slot)
        if at == len(self.slots) or self.slots[at] != slot:
            self.slots.insert(at, slot)
            self._bad.insert(at + 1, self._bad[at])
            self._total.insert(at + 1, self._total[at])
            self._measured.insert(at + 1, self._measured[at])
        # Nearly always the last slot, so that this is one step.
        for later in range(at + 1, len(self._bad)):
            self._bad[later] = exact.add(self._bad[later], bad)
            self._total[later] = exact.add(self._total[later], total)
            self._measured[later] += measured

    def sums(self, since: int, until: int) -> Sums:
        """Return the sums over the slots in `[since, until)`."""
        low, high = bisect_left(self.slots, since), bisect_left(self.slots, until)
        if low == high:
            return NOTHING
        return Sums(
            exact.subtract(self._bad[high], self._bad[low]),
            exact.subtract(self._total[high], self._total[low]),
            self._measured[high] - self._measured[low],
        )

    def prune(self, before: int) -> None:
        """Forget the slots before one."""
        count = bisect_left(self.slots, before)
        for values in (self.slots, self._bad, self._total, self._measured):
            del values[:count]
