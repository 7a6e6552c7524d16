"""Connections to services, by what balanced them: there only while somebody names services."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.services import ServiceProbe, in_cilium
from netsre.app.sensors.counting import put_usage
from netsre.app.sensors.probes import ProbeSensor
from netsre.datapath import services
from netsre.datapath.services import Service, ServiceTotals
from netsre.datapath.workloads import Workload
from netsre.metrics.allowance import CALM, Allowance
from netsre.metrics.readings import Readings

_LIST_SECONDS: Final = 15.0
"""Between two looks at which services there are, however cheap."""


class ServiceSensor:
    """Reads the probe of connections to services, and has it attached while there are any."""

    name = "services"

    def __init__(
        self,
        probe: ServiceProbe,
        probes: ProbeSensor,
        directory: Path,
        workloads: tuple[Workload, ...],
        balanced: Callable[[], Mapping[Service, str]],
    ) -> None:
        """Know the services that people wrote down, those in Cilium's maps in a directory, and ours."""
        self._probe = probe
        self._probes = probes
        self._directory = directory
        self._written = frozenset(services.of_rules(workloads))
        self._in_cilium: frozenset[Service] = frozenset()
        self._totals = ServiceTotals(workloads)
        self._balanced = balanced
        self._listed_at = float("-inf")
        self._allowance = Allowance()

    def scan(self, now: float) -> None:
        """Look which services there are, if that is due, and keep the programs where they belong."""
        if now - self._listed_at >= _LIST_SECONDS and self._allowance.allows(now, CALM):
            self._listed_at, before = now, time.thread_time()
            try:
                self._in_cilium = in_cilium(self._directory)
            finally:
                self._know()
                self._allowance.spend(now, time.thread_time() - before)
        elif self._totals.ours != self._balanced():
            self._know()
        if self._probe.session.attached:
            self._probe.keep_order()

    def read(self, readings: Readings, now: float) -> None:
        """Add connections by service and path, and how full the maps are."""
        del now
        if not self._probe.session.attached:
            return
        self._totals.add(self._probe.counts(), self._probe.overflowed())
        for called, path, count in self._totals.amounts():
            readings.put(c.LB_CONNECTIONS, (called, path), count)
        put_usage(readings, self._probe.usage())

    def _know(self) -> None:
        ours = self._balanced()
        wanted = self._written | self._in_cilium | ours.keys()
        if self._probe.known - wanted:
            self._totals.add(self._probe.counts(), self._probe.overflowed())
        self._totals.ours = ours
        self._probe.know(wanted)
        self._totals.keep(self._probe.known)
        if not wanted:
            self._probe.session.detach()
            self._probes.refused.pop(self.name, None)
        elif not self._probe.session.attached:
            self._attach()

    def _attach(self) -> None:
        try:
            self._probe.session.attach_on_demand()
        except ProbeUnfit as unfit:
            self._probes.refused[self.name] = unfit
        else:
            self._probes.refused.pop(self.name, None)
