"""Whether this controller was there all the time that a run waited for a no: else silence means nothing."""

from collections.abc import Collection
from typing import Final

from netsre import clock
from netsre.clock import Timestamp

LONGEST_GAP: Final = 30 * clock.SECOND
"""Between two looks at a run. A process that was stopped, a host that slept and a clock that was set leave a
longer one, or one that goes backwards."""


class Vigil:
    """Remembers, in this process alone, when each run was last looked at."""

    def __init__(self) -> None:
        """Begin without having seen anything."""
        self._seen: dict[str, Timestamp] = {}

    def look(self, run: str, now: Timestamp) -> bool:
        """Look at a run, and tell whether it was watched since the last look."""
        last = self._seen.get(run)
        self._seen[run] = now
        return last is not None and 0 <= now - last <= LONGEST_GAP

    def keep(self, runs: Collection[str]) -> None:
        """Forget every run but these."""
        self._seen = {run: at for run, at in self._seen.items() if run in runs}
