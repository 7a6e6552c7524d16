"""What TCP sends again, its resets and its round-trip times, by the name of this end."""

from netsre.adapters.bpf.tcp import TcpProbe
from netsre.app.sensors.counting import Counting, put_usage
from netsre.app.sensors.places import Places
from netsre.datapath.tcp import TcpKind
from netsre.metrics.node import put_tcp
from netsre.metrics.readings import Readings


class TcpSensor:
    """Reads the TCP probe."""

    name = "tcp"

    def __init__(self, probe: TcpProbe, places: Places) -> None:
        """Read a probe that is attached."""
        self._probe = probe
        self._counting = Counting[TcpKind](places, probe.retire)

    def scan(self, now: float) -> None:
        """Count while the names are known, and forget clients that are gone."""
        self._counting.count(self._probe.named(), now)
        self._counting.forget_gone(now)

    def read(self, readings: Readings, now: float) -> None:
        """Add what was sent again, resets, round-trip times, and how full the map is."""
        self._counting.count(self._probe.counts(), now)
        put_tcp(readings, self._counting.amounts())
        put_usage(readings, self._probe.usage())
