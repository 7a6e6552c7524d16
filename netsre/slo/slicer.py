"""Makes slices of time of the events of a history (`slices`)."""

from netsre.clock import Timestamp
from netsre.model.levels import Slices
from netsre.slo import slices
from netsre.slo.buckets import Bucket
from netsre.slo.history import History
from netsre.slo.tiers import MINUTES


class Slicer:
    """Makes slices of the events of a history, each once, when it is over."""

    def __init__(self, history: History) -> None:
        """Work on a history that holds both."""
        self._history = history
        self._next: dict[int, int] = {}
        self._generation = history.generation

    def close(self, sliced: Slices, rows: tuple[int, int], now: Timestamp) -> list[Bucket]:
        """Count the slices that are over, from the row of the events into the other; return what to keep."""
        events, row = rows
        if self._generation != self._history.generation:
            # A row may be another's now; where each had come to, the history knows itself.
            self._next.clear()
            self._generation = self._history.generation
        present = now - now % sliced.length
        last = self._history.last_reading(row)
        first = self._next.get(row, 0 if last is None else last + sliced.length)
        found: list[Bucket] = []
        for begin in range(max(first, present - MINUTES.span), present, sliced.length):
            sums = self._history.minutes(events, Timestamp(begin), Timestamp(begin + sliced.length))
            if sums.total or sums.measured:
                found += self._history.count([row], [slices.judge(sliced, sums)], None, Timestamp(begin))
        self._next[row] = max(first, present)
        return found
