"""Attempts of clients: counts of the probe of TCP or of that of UDP, by the names of both ends."""

import time
from collections import Counter

from netsre import conventions as c
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.udp import UdpProbe
from netsre.app.sensors.counting import Counting, Pace, put_usage
from netsre.app.sensors.places import Places
from netsre.datapath.buckets import CLASSIC, Cells
from netsre.datapath.flows import FlowKind
from netsre.datapath.sampling import Totals
from netsre.metrics.node import put_flows
from netsre.metrics.readings import Readings


class FlowSensor:
    """Reads a probe of attempts. The two have no series in common, and each its own bound on names."""

    def __init__(self, probe: FlowProbe | UdpProbe, places: Places, cells: Cells = CLASSIC) -> None:
        """Read a probe that is attached, and counts times in these cells."""
        self.name = probe.session.probe.name
        self._cells = cells
        probe.name_destinations(places.names.workloads)
        self._protocol = probe.protocol
        self._probe = probe
        self._places = places
        self._counting = Counting[FlowKind](places, probe.retire)
        self._looking = Pace(probe.rest)
        self._pace = Pace()
        self._counted = Counter[str]()
        self._ended = Counter[str]()

    def scan(self, now: float) -> None:
        """Look for stalled attempts, and forget clients that are gone."""
        self._looking.turn(now, lambda: self._probe.scan(time.monotonic_ns()))
        self._pace.turn(now, lambda: self._count(now))
        self._counting.forget_gone(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add outcomes and latencies, and how full the maps are."""
        self._count(now)
        put_flows(readings, self._counting.amounts(), self._cells)
        readings.put(c.FLOW_ATTEMPTS_IN_FLIGHT, (self._protocol,), self._probe.in_flight)
        put_usage(readings, self._probe.usage())

    def ended(self, now: float) -> Totals:
        """Return how many attempts of clients here were delivered, and failed, until the last count."""
        return Totals(now, self._ended["delivered"], self._ended["failed"])

    def _count(self, now: float) -> None:
        self._counting.take(self._probe.reading(), now)
        # A scan of closed ports is no failure of anybody here.
        outcomes = self._counting.sums(_word)
        # Only what is more than before: the totals of clients that are gone leave.
        self._ended += outcomes - self._counted
        self._counted = outcomes


def _word(kind: FlowKind) -> str:
    return kind.outcome if kind.role.direction == "egress" else kind.role.direction
