"""What the agent may cost, and what it gives up where it costs more.

Cost is the CPU time of the agent and of its programs in the kernel, as a share of one core. Where it stays
above the budget, the probe that is worth least goes first, and the next one only when that did not help. It
comes back when there has been room for long enough. What it will cost then nobody knows: where it has to go
again at once, the next try is twice as far away.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

EVERY_SECONDS: Final = 5.0
"""From one look to the next at least: a shorter span says more about a scrape than about the cost."""
_OVER: Final = 2
"""Looks in a row that must be above the budget: one alone is a scrape, or a node that was listed."""
_ROOM: Final = 0.8
"""Of the budget, what the cost may be for there to be room."""
_REST_SECONDS: Final = 600.0
_LONGEST_REST_SECONDS: Final = 86_400.0


class Reason(StrEnum):
    """Why a probe goes or comes."""

    OVER_BUDGET = "over_budget"
    ROOM_AGAIN = "room_again"


class Decision(NamedTuple):
    """One probe that goes, or comes back."""

    probe: str
    reason: Reason
    share: float
    """Of one core, as it was in the last look."""


class Budget:
    """Looks, and decides."""

    def __init__(self, share: float, order: Sequence[str]) -> None:
        """Keep to a share of one core by giving up these probes, in this order."""
        self.limit = share
        self.share: float | None = None
        """What everything cost between the last two looks."""
        self.sheds: Counter[str] = Counter()
        self._left = list(order)
        self._shed: list[str] = []
        self._at: float | None = None
        self._used = 0.0
        self._over = 0
        self._room_since: float | None = None

    def look(self, at: float, used: float) -> Decision | None:
        """Take a look: seconds of a clock that is never set, and of CPU time until then."""
        if self._at is not None and at - self._at < EVERY_SECONDS:
            return None
        before, self._at = self._at, at
        spent, self._used = used - self._used, used
        if before is None:
            return None
        self.share = share = max(spent, 0.0) / (at - before)
        if share > self.limit:
            self._room_since = None
            self._over += 1
            return self._give_up(share) if self._over >= _OVER else None
        self._over = 0
        return self._take_back(share, at)

    def _give_up(self, share: float) -> Decision | None:
        if not self._left:
            return None
        probe = self._left.pop(0)
        self._shed.append(probe)
        self.sheds[probe] += 1
        self._over = 0
        return Decision(probe, Reason.OVER_BUDGET, share)

    def _take_back(self, share: float, at: float) -> Decision | None:
        if not self._shed or share > _ROOM * self.limit:
            self._room_since = None
            return None
        if self._room_since is None:
            self._room_since = at
        probe = self._shed[-1]
        rest = min(_REST_SECONDS * 2.0 ** (self.sheds[probe] - 1), _LONGEST_REST_SECONDS)
        if at - self._room_since < rest:
            return None
        self._shed.pop()
        self._left.insert(0, probe)
        self._room_since = None
        return Decision(probe, Reason.ROOM_AGAIN, share)
