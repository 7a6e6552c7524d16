"""Packets that the kernel drops, by the name of the namespace where it does."""

from netsre.adapters.bpf.drops import DropsProbe
from netsre.app.sensors.counting import Counting, put_usage
from netsre.app.sensors.places import Places
from netsre.datapath.drops import DropKind
from netsre.datapath.workloads import Names
from netsre.metrics.node import put_drops
from netsre.metrics.readings import Readings


class DropsSensor:
    """Reads the drops probe."""

    name = "drops"

    def __init__(self, probe: DropsProbe, places: Places) -> None:
        """Read a probe that is attached."""
        self._probe = probe
        self._counting = Counting[DropKind](places, probe.retire, Names.of_places)

    def scan(self, now: float) -> None:
        """Count while the names are known, and forget those that are gone."""
        self._counting.count(self._probe.named(), now)
        self._counting.forget_gone(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add what was dropped, and how full the map is."""
        self._counting.count(self._probe.counts(), now)
        put_drops(readings, self._counting.amounts())
        put_usage(readings, self._probe.usage())
