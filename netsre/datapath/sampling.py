"""How many of the delivered attempts are logged: more of them for a while, where failures are above usual.

Failures are logged anyway. What failed is understood by what was delivered beside it, and a sample that is
right for quiet days is too thin just then.
"""

from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

USUAL: Final = "usual"
MORE: Final = "failures_above_usual"
LONG_ENOUGH: Final = "failures_are_the_usual_now"

_RECENT_SECONDS: Final = 10.0
_USUAL_SECONDS: Final = 600.0
_KNOWN_SECONDS: Final = 60.0
"""Nobody knows what is usual before so long was counted."""
_STEP_SECONDS: Final = 1.0
"""Between two totals that are remembered."""
_LEAST_FAILURES: Final = 5
_LEAST_RATIO: Final = Fraction(1, 100)
_ABOVE: Final = 3
"""Times the usual ratio."""
_HOLD_SECONDS: Final = 60.0
_LONGEST_SECONDS: Final = 300.0
_MORE: Final = 10
"""Times the usual share."""


class Totals(NamedTuple):
    """What was counted until a moment; it only grows."""

    at: float
    delivered: int
    failed: int


@dataclass(slots=True)
class Sampling:
    """The share that is logged, as it follows from what was counted. Times are of a monotonic clock."""

    usual: int
    """One in so many, where nothing is wrong; 0 is none, whatever happens."""
    reason: str = USUAL
    """Why it is what it is."""
    _seen: deque[Totals] = field(default_factory=deque)
    _since: float | None = None
    _until: float = float("-inf")

    @property
    def one_in(self) -> int:
        """Return of how many delivered attempts one is logged now; 0 is none."""
        return max(1, self.usual // _MORE) if self.usual and self.reason == MORE else self.usual

    def turn(self, now: Totals) -> bool:
        """Take account of what was counted until now; return whether the share changed."""
        self._remember(now)
        before, high = self.reason, self._high(now)
        if high and self._since is None:
            self._since = now.at
        if high and before != LONG_ENOUGH:
            self._until = now.at + _HOLD_SECONDS
        if self._since is not None and now.at - self._since >= _LONGEST_SECONDS:
            self._until = now.at
        if now.at < self._until:
            self.reason = MORE
        elif high:
            self.reason = LONG_ENOUGH
        else:
            self.reason, self._since = USUAL, None
        return self.reason != before

    def _remember(self, now: Totals) -> None:
        if not self._seen or now.at - self._seen[-1].at >= _STEP_SECONDS:
            self._seen.append(now)
        while now.at - self._seen[0].at > _USUAL_SECONDS:
            self._seen.popleft()

    def _high(self, now: Totals) -> bool:
        """Say whether failures of the last seconds are well above what they were before."""
        oldest = self._seen[0]
        middle = next((each for each in reversed(self._seen) if now.at - each.at >= _RECENT_SECONDS), oldest)
        if middle.at - oldest.at < _KNOWN_SECONDS:
            return False
        failed, usual_failed = now.failed - middle.failed, middle.failed - oldest.failed
        ratio = _ratio(failed, now.delivered - middle.delivered)
        usual = _ratio(usual_failed, middle.delivered - oldest.delivered)
        return failed >= _LEAST_FAILURES and ratio >= _LEAST_RATIO and ratio > _ABOVE * usual


def _ratio(failed: int, delivered: int) -> Fraction:
    together = failed + delivered
    return Fraction(failed, together) if together else Fraction(0)
