"""Connection attempts: counts of the flow probe, by the name of the client's namespace."""

import time
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf.probe import FlowProbe
from netsre.app.sensors.places import Places
from netsre.datapath.attribution import FlowTotals
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings

_RETIRE_SECONDS: Final = 300.0
"""A namespace unseen for this long is gone: its counters were read many times by then."""


class FlowSensor:
    """Reads the flow probe."""

    name = "flows"

    def __init__(self, probe: FlowProbe, places: Places) -> None:
        """Read a probe that is attached."""
        self._probe = probe
        self._places = places
        self._seen: dict[int, float] = {}
        self._totals = FlowTotals()

    def scan(self, now: float) -> None:
        """Look for stalled attempts, and forget namespaces that are gone."""
        self._probe.scan(time.monotonic_ns())
        self._count(now)
        self._forget_gone(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add outcomes and latencies, and how full the maps are."""
        self._count(now)
        put_flows(readings, self._totals.amounts())
        readings.put(c.FLOW_ATTEMPTS_IN_FLIGHT, (), self._probe.in_flight)
        for usage in self._probe.usage():
            readings.put(c.BPF_MAP_ENTRIES, (usage.name, c.OWNER), usage.entries)
            readings.put(c.BPF_MAP_CAPACITY, (usage.name, c.OWNER), usage.capacity)
            readings.put(c.BPF_MAP_MEMORY, (usage.name, c.OWNER), usage.memory_bytes)
            readings.put(c.BPF_MAP_OVERFLOWS, (usage.name,), usage.overflows)

    def _count(self, now: float) -> None:
        """Add what the probe counted since the last time to the totals by name."""
        counts = self._probe.counts()
        unknown = self._totals.unknown(counts, self._places.names)
        self._places.refresh(now, unknown=unknown)
        active = self._totals.add(counts, self._places.names)
        self._seen |= dict.fromkeys((*self._places.namespaces, *active), now)

    def _forget_gone(self, now: float) -> None:
        gone = frozenset(inode for inode, at in self._seen.items() if now - at > _RETIRE_SECONDS)
        if gone:
            self._probe.retire(gone)
            self._totals.forget(gone, self._places.names.values())
            for inode in gone:
                del self._seen[inode]
