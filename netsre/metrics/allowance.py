"""How often something expensive may be done, so that it never takes more than a share of a core."""

from typing import Final

BUSY: Final = 0.005
"""Share of a core while somebody waits for the answer."""
CALM: Final = 0.0025


class Allowance:
    """Remembers when something was done last and what it cost: the dearer, the longer until the next time."""

    def __init__(self) -> None:
        """Begin with everything to spend."""
        self._free_at: dict[float, float] = {}

    def allows(self, now: float, share: float) -> bool:
        """Say whether it may be done again; `now` is seconds of a clock that is never set."""
        return now >= self._free_at.get(share, now)

    def spend(self, now: float, cpu_seconds: float) -> None:
        """Take what was done just now into account, for every share that may be asked for."""
        self._free_at = {share: now + cpu_seconds / share for share in (BUSY, CALM)}
