"""How much of a core something used lately."""

from typing import Final

LEAST_SECONDS: Final = 10.0
"""A shorter span says more about who reads than about what is read: a reading itself takes time."""


class CpuShare:
    """CPU time over time, from one reading to the next that is long enough after it."""

    def __init__(self) -> None:
        """Begin without a reading."""
        self._at: float | None = None
        self._used = 0.0
        self.value: float | None = None
        """Between 0 and the number of cores; None before there was a span."""

    def read(self, at: float, used: float) -> None:
        """Take a reading: seconds of a clock that is never set, and seconds of CPU time until then."""
        if self._at is not None and at - self._at < LEAST_SECONDS:
            return
        if self._at is not None:
            self.value = max(used - self._used, 0.0) / (at - self._at)
        self._at, self._used = at, used
