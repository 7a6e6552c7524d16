"""When each row of a history was read last, and when something happened in it last."""

from collections.abc import Callable
from typing import Final

import numpy as np

from netsre.clock import Timestamp
from netsre.slo.grid import Integers

_NEVER: Final = -1
_MORE_ROWS: Final = 64

Seen = tuple[Timestamp | None, Timestamp | None]
"""The last minute with a reading, and the last with an event; of what is long past, where its slot begins."""


class Moments:
    """By row, the last minute of each kind."""

    def __init__(self) -> None:
        """Begin without rows."""
        self._read, self._event = (np.full(_MORE_ROWS, _NEVER, np.int64) for _ in range(2))

    def begin(self, row: int) -> None:
        """Have a row of which nothing is known."""
        if row >= len(self._read):
            more = np.full(row, _NEVER, np.int64)
            self._read, self._event = np.append(self._read, more), np.append(self._event, more)
        self._read[row] = self._event[row] = _NEVER

    def read(self, rows: Integers, minute: int) -> None:
        """Note that rows were read in a minute."""
        self._read[rows] = np.maximum(self._read[rows], minute)

    def happened(self, rows: Integers, minute: int) -> None:
        """Note that something happened in a minute of rows."""
        self._event[rows] = np.maximum(self._event[rows], minute)

    def remember(self, row: int, seen: Seen) -> None:
        """Note what was known of a row elsewhere."""
        read, event = (_NEVER if at is None else at for at in seen)
        self._read[row], self._event[row] = max(self._read[row], read), max(self._event[row], event)

    def last_read(self, row: int) -> Timestamp | None:
        """Return the last minute in which a row was read; None when it never was."""
        return _moment(self._read[row])

    def now(self) -> Callable[[int], Seen]:
        """Return what says of a row when it was read, and had an event, last, as it is now."""
        read, event = self._read.copy(), self._event.copy()
        return lambda row: (_moment(read[row]), _moment(event[row]))


def _moment(at: np.int64) -> Timestamp | None:
    return None if at == _NEVER else Timestamp(int(at))
