"""The kernel's connection tables, one for each network namespace that tracks connections."""

from typing import Final

from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.app import neighbours
from netsre.app.sensors.places import Places
from netsre.datapath.conntrack import ConntrackCounters, parse_statistics
from netsre.metrics.node import put_conntrack
from netsre.metrics.readings import Readings

_MOST_TABLES: Final = 256
"""Tables exposed at most, the fullest first; a bound on series, not on what exists."""


class ConntrackSensor:
    """Reads the tables' own statistics."""

    name = "conntrack"

    def __init__(self, places: Places) -> None:
        """Look into every namespace that there is."""
        self._places = places
        # Most namespaces never track a connection; one that did is shown for as long as it exists.
        self._tracking: set[int] = set()

    def scan(self, now: float) -> None:
        """Do nothing: the kernel counts."""

    def read(self, readings: Readings, now: float) -> None:
        """Add every table that is in use; raise the first failure when all that can be read is added."""
        self._places.refresh(now)
        limit = inventory.conntrack_limit()
        self._tracking &= set(self._places.namespaces)
        tables: list[tuple[str, ConntrackCounters]] = []
        failures: list[Exception] = []
        for namespace in list(self._places.namespaces.values()):
            if neighbours.foreign(namespace.name):
                continue
            try:
                counters = parse_statistics(inventory.statistics_text(namespace))
            except NamespaceGone:
                continue
            except (OSError, ValueError) as error:
                failures.append(error)
                continue
            if namespace.name == inventory.HOST or counters.in_use:
                self._tracking.add(namespace.inode)
            if namespace.inode in self._tracking:
                tables.append((namespace.name, counters))
        tables.sort(key=lambda table: (-table[1].entries, table[0]))
        for name, counters in sorted(tables[:_MOST_TABLES], key=lambda table: table[0]):
            put_conntrack(readings, name, counters, limit)
        if failures:
            raise failures[0]
