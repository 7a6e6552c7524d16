"""Connection attempts: counts of the flow probe, by the names of both ends."""

import time
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf.probe import FlowProbe
from netsre.app.sensors.places import Places
from netsre.datapath.attribution import FlowTotals
from netsre.datapath.flows import Client
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings

_RETIRE_SECONDS: Final = 300.0
"""A client unseen for this long is gone: its counters were read many times by then."""


class FlowSensor:
    """Reads the flow probe."""

    name = "flows"

    def __init__(self, probe: FlowProbe, places: Places) -> None:
        """Read a probe that is attached."""
        probe.name_destinations(places.names.workloads)
        self._probe = probe
        self._places = places
        self._seen: dict[Client, float] = {}
        self._totals = FlowTotals()

    def scan(self, now: float) -> None:
        """Look for stalled attempts, and forget clients that are gone."""
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
        strangers = self._totals.strangers(counts, self._places.names)
        if not self._places.refresh(now, unknown=bool(strangers)):
            # Counted under another name they would stay there: the next look is half a second away.
            counts = [count for count in counts if count.client not in strangers]
        names = self._places.names
        active = self._totals.add(counts, names)
        living = [client for client in self._seen if names.knows(*client)]
        self._seen |= dict.fromkeys((*living, *active), now)

    def _forget_gone(self, now: float) -> None:
        gone = frozenset(client for client, at in self._seen.items() if now - at > _RETIRE_SECONDS)
        if gone:
            self._probe.retire(gone)
            for client in gone:
                del self._seen[client]
            self._totals.forget(gone, {self._places.names.source(*client) for client in self._seen})
