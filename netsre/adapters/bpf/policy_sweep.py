"""Connections of the policy datapath that are over, collected a piece at a time.

A hash map has no deletion on a condition, and the ports of a connection that is over may be used again at any
moment, under the same key. So a key is taken out together with the value that it had in that moment; where
this one is no longer over, it is put back. Meanwhile, for some microseconds, its packets find nothing.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from netsre.adapters.bpf import policy_reading
from netsre.adapters.bpf.syscalls import BpfMap, Cursor, split
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.conntrack import MARGIN_NS, State, over
from netsre.datapath.policy.programs import CONNECTIONS, TIMEOUTS


@dataclass(frozen=True, slots=True)
class Piece:
    """What one step did."""

    removed: int
    restored: int
    """Came to life between two looks, and were put back."""
    last: bool
    """Whether all of the table was looked at."""


class Sweep:
    """One walk through the table after the other."""

    def __init__(self) -> None:
        """Begin at the beginning."""
        self._table = 0
        self._cursor: Cursor | None = None

    def step(self, directory: Path, size: int, now_ns: int) -> Piece | None:
        """Look at about so many entries; None where there is no datapath. Raises `OSError`.

        `now_ns` is CLOCK_MONOTONIC.
        """
        with contextlib.ExitStack() as stack:
            try:
                table = stack.enter_context(policy_reading.opened_for_change(directory, CONNECTIONS))
                limits = stack.enter_context(policy_reading.opened(directory, TIMEOUTS))
            except FileNotFoundError:
                self._cursor = None
                return None
            timeouts = conntrack.timeouts(limits.entries())
            if (number := policy_reading.number_of(table)) != self._table:
                self._table, self._cursor = number, None
            keys, values, self._cursor = table.batch(self._cursor, size)
            entries = zip(split(keys, table.key_size), split(values, table.stride), strict=True)
            ended = over(entries, timeouts, now_ns - MARGIN_NS)
            removed = sum(_remove(table, key, timeouts, now_ns - MARGIN_NS) for key in ended)
        return Piece(removed, len(ended) - removed, self._cursor is None)


def _remove(table: BpfMap, key: bytes, timeouts: dict[State, int], now_ns: int) -> bool:
    """Remove a connection that is over still; return whether it was."""
    value = table.take(key)
    if value is None or over([(key, value)], timeouts, now_ns):
        return True
    # Where its next packet was faster, that one's entry is the better one.
    table.insert(key, value)
    return False
