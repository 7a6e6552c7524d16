"""The connection table of the policy datapath: how full, and emptied of what is over."""

import time
from collections import Counter
from pathlib import Path
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf import pinned, policy_reading
from netsre.adapters.bpf.policy_sweep import Sweep
from netsre.adapters.namespaces import inventory
from netsre.datapath.growth import Growth
from netsre.datapath.policy.programs import CONNECTIONS
from netsre.metrics.allowance import BUSY, CALM, Allowance
from netsre.metrics.conntrack import DATAPATH, Table, put_table
from netsre.metrics.readings import Readings

_COUNT_SECONDS: Final = 5.0
"""Between two counts, however cheap."""
_LONGEST_COUNT: Final = 2.0
_SWEEP_SECONDS: Final = 15.0
"""From the end of one walk through the table to the next."""
_PIECE: Final = 2_048
"""Entries that are looked at in one scan: 2 ms of a core, 10 ms where all of them are over."""
_HALF: Final = 0.5


class PolicyConnectionSensor:
    """Counts the entries, and removes those that no packet belongs to any more."""

    name = "policy_connections"

    def __init__(self, pins: Path) -> None:
        """Look there; nothing there is no error."""
        self._pins = pins
        self._sweep = Sweep()
        self._swept_at = self._counted_at = float("-inf")
        self._collected = Counter[str](removed=0, restored=0)
        self._number = 0
        self._table: Table | None = None
        self._count_allowance = Allowance()
        self._sweep_allowance = Allowance()

    def scan(self, now: float) -> None:
        """Count if that is due, and go on with the walk through the table."""
        table = self._table
        crowded = table is not None and (table.utilization or 0) > _HALF
        share = BUSY if crowded else CALM
        if now - self._counted_at >= _COUNT_SECONDS and self._count_allowance.allows(now, share):
            self._count(now)
        if now - self._swept_at >= _SWEEP_SECONDS and self._sweep_allowance.allows(now, share):
            self._step(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add what was counted last, and what was removed until now."""
        if self._table is None:
            return
        put_table(readings, self._table)
        labels = (self._table.table, self._table.netns)
        readings.put(c.CONNTRACK_COUNT_AGE, labels, now - self._counted_at)
        for result, count in self._collected.items():
            readings.put(c.POLICY_COLLECTED, (result,), count)

    def _count(self, now: float) -> None:
        before, known, self._table = time.thread_time(), self._table, None
        try:
            with policy_reading.opened(self._pins, CONNECTIONS) as found:
                entries, number = pinned.count(found, _LONGEST_COUNT), policy_reading.number_of(found)
                growth = known.growth if known is not None and number == self._number else Growth()
                self._table = Table(DATAPATH, inventory.HOST, entries, found.capacity, growth)
        except FileNotFoundError:
            return
        finally:
            self._counted_at = now
            self._count_allowance.spend(now, time.thread_time() - before)
        self._number = number
        growth.add(now, entries)

    def _step(self, now: float) -> None:
        before = time.thread_time()
        try:
            piece = self._sweep.step(self._pins, _PIECE, time.monotonic_ns())
        except OSError:
            self._swept_at = now
            raise
        finally:
            self._sweep_allowance.spend(now, time.thread_time() - before)
        if piece is not None:
            self._collected.update(removed=piece.removed, restored=piece.restored)
        if piece is None or piece.last:
            self._swept_at = now
