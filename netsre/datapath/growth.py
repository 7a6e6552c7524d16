"""How fast a table grows, and when it is full if it goes on like that.

Short-lived connections make spikes, and a step of the load lets a table grow for as long as its entries live,
then no more. So what is followed is the low-water mark of each minute: a spike that ends within the minute
leaves none, and a step is over before five minutes have risen one after the other.
"""

import itertools
from collections import deque
from typing import Final

MINUTE: Final = 60.0
WINDOW_MINUTES: Final = 5
"""Growth is told over as many minutes."""
HORIZON_SECONDS: Final = 86_400.0
"""Five minutes say nothing about what is farther away."""
_LEAST_MARKS: Final = 3
"""Two minutes, from one low-water mark to the last."""
_LEAST_COVER: Final = 0.8 * WINDOW_MINUTES * MINUTE


class Growth:
    """The low-water marks of one table; times are seconds of a clock that is never set."""

    def __init__(self) -> None:
        """Begin without a mark."""
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW_MINUTES + 1)
        self._minute = float("-inf")
        self._lowest: tuple[float, int] | None = None
        self._growing = False

    def add(self, now: float, entries: int) -> None:
        """Take a reading; as often as one likes, at least once a minute for a growth to be told."""
        minute = now // MINUTE
        if minute != self._minute:
            if self._lowest is not None:
                self._marks.append(self._lowest)
                self._judge()
            self._minute, self._lowest = minute, None
        if self._lowest is None or entries < self._lowest[1]:
            self._lowest = (now, entries)
        while self._marks and now - self._marks[0][0] > (WINDOW_MINUTES + 2) * MINUTE:
            self._marks.popleft()

    @property
    def per_second(self) -> float | None:
        """Return entries per second over the last five whole minutes, or as many as there are.

        Negative where the table shrinks; None before there are two marks.
        """
        return self._pace(-len(self._marks)) if len(self._marks) >= 2 else None

    def full_seconds(self, entries: int, limit: int) -> float | None:
        """Return how long until the table is full at this growth, or that of the last two minutes if slower.

        None where there is no limit (0), where it would take more than a day, and where the table does not
        grow: it does when each of five minutes was higher than the one before, and until one is no higher
        than it was two minutes earlier.
        """
        if not self._growing or not limit or len(self._marks) < _LEAST_MARKS:
            return None
        # A load that stepped up settles ever more slowly: the last minutes know that first.
        pace = min(self._pace(-len(self._marks)), self._pace(-_LEAST_MARKS))
        seconds = max(limit - entries, 0) / pace if pace > 0 else HORIZON_SECONDS + 1
        return seconds if seconds <= HORIZON_SECONDS else None

    def _pace(self, first: int) -> float:
        """Return entries per second from one mark to the last."""
        (since, before), (until, after) = self._marks[first], self._marks[-1]
        return (after - before) / (until - since)

    def _judge(self) -> None:
        """Decide after a minute whether the table is one that grows."""
        marks = list(self._marks)
        if len(marks) < _LEAST_MARKS:
            self._growing = False
        elif self._growing:
            self._growing = marks[-1][1] > marks[-_LEAST_MARKS][1]
        else:
            rises = all(later[1] > earlier[1] for earlier, later in itertools.pairwise(marks))
            self._growing = rises and marks[-1][0] - marks[0][0] >= _LEAST_COVER
