"""The kernel's connection tables, one for each network namespace that tracks connections."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from netsre.adapters import conntrack
from netsre.adapters.conntrack import Count
from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.adapters.part.client import PartAway
from netsre.app import neighbours
from netsre.app.inventory.client import Inventory
from netsre.app.sensors.places import Places
from netsre.datapath.conntrack import EventTotals, parse_statistics
from netsre.datapath.growth import Growth
from netsre.errors import EnvironmentUnfit
from netsre.metrics.allowance import BUSY, CALM, Allowance
from netsre.metrics.conntrack import (
    HIDE_SOURCES,
    KERNEL,
    SHOW_SOURCES,
    TOP_SOURCES,
    Shares,
    Table,
    put_events,
    put_shares,
    put_table,
)
from netsre.metrics.readings import Readings

_MOST_TABLES: Final = 256
"""Tables exposed at most, the fullest first; a bound on series, not on what exists."""
_MOST_COUNTED: Final = 16
"""Tables counted entry by entry at most, the fullest first."""
_LOOK_SECONDS: Final = 5.0
"""How often tables are looked at where nobody reads the metrics: growth needs to see every minute."""
_IDLE_SECONDS: Final = 60.0
"""The same for namespaces that never tracked a connection, because there may be hundreds."""
_COUNT_SECONDS: Final = 15.0
"""Between two counts of one table, however cheap."""
_MOST_ENTRIES: Final = 65_536
"""Entries that one count looks at: 0.15 s of a core. Of a larger table it is a sample, off by 0.2 % or so."""
_LONGEST_COUNT: Final = 2.0
_TOO_OLD: Final = 600.0
"""A count of that age says nothing of now."""
_PRESSING: Final = 4
"""So much sooner comes the turn of a table that is about to be full."""
_REFUSED_SECONDS: Final = 60.0
"""How long not to count again what the kernel does not show."""


@dataclass(slots=True)
class _Watched:
    """One namespace, for as long as it exists."""

    namespace: inventory.Namespace
    events: EventTotals
    growth: Growth = field(default_factory=Growth)
    entries: int = 0
    limit: int = 0
    readable: bool = False
    """Whether it could be read when it was looked at last."""
    looked_at: float = float("-inf")
    tracking: bool = False
    """Most namespaces never track a connection; one that did is shown for as long as it exists."""
    crowded: bool = False
    """Whether its largest sources are shown."""
    count: Count | None = None
    counted_at: float = float("-inf")

    @property
    def table(self) -> Table:
        return Table(KERNEL, self.namespace.name, self.entries, self.limit, self.growth)

    @property
    def pressing(self) -> bool:
        return self.crowded or self.table.full_seconds is not None

    def shares(self, now: float) -> Shares | None:
        """Return what is known of the entries; None when they were not counted, or too long ago."""
        if self.count is None or now - self.counted_at > _TOO_OLD:
            return None
        if not self.entries:  # That is known without another count.
            return Shares(0.0, 0, 0, {}, {})
        found = self.count
        sources = {each.source: each.entries for each in found.sources} if self.crowded else {}
        return Shares(
            now - self.counted_at,
            found.counted,
            found.counted if found.complete else max(found.entries, found.counted),
            {each.state: each.entries for each in found.states},
            sources,
        )


class ConntrackSensor:
    """Reads the tables' own statistics, and counts their entries one by one as often as that may cost."""

    name = "conntrack"

    def __init__(self, places: Places, inventory: Inventory, top_sources: int = TOP_SOURCES) -> None:
        """Look into every namespace that there is, as far as `inventory` reaches."""
        self._inventory = inventory
        self._places = places
        self._top_sources = top_sources
        self._uncounted = conntrack.uncounted()
        self._watched: dict[int, _Watched] = {}
        self._looked_at = float("-inf")
        self._began = False
        self._allowance = Allowance()

    def scan(self, now: float) -> None:
        """Look at every table if nobody did for a while, and count one if its turn has come."""
        failures = self._look(now, _IDLE_SECONDS) if now - self._looked_at >= _LOOK_SECONDS else []
        self._count_next(now)
        if failures:
            raise failures[0]

    def read(self, readings: Readings, now: float) -> None:
        """Add every table that is in use; raise the first failure when all that can be read is added."""
        failures = self._look(now, 0)
        for watched in sorted(self._fullest(_MOST_TABLES), key=lambda each: each.namespace.name):
            table = watched.table
            put_table(readings, table)
            put_events(readings, table, watched.events.totals)
            if (shares := watched.shares(now)) is not None:
                put_shares(readings, table, shares)
        if failures:
            raise failures[0]

    def _look(self, now: float, idle: float) -> list[Exception]:
        """Read the statistics of every namespace, of idle ones after so many seconds; return what failed."""
        self._looked_at = now
        self._places.refresh(now)
        there = self._places.namespaces
        self._watched = {inode: each for inode, each in self._watched.items() if inode in there}
        limit = inventory.conntrack_limit()
        failures: list[Exception] = []
        for inode, namespace in there.items():
            if neighbours.foreign(namespace.name):
                continue
            watched = self._watched.get(inode)
            if watched is None or watched.namespace.name != namespace.name:
                watched = self._watched[inode] = _Watched(namespace, EventTotals(born=self._began))
            if not watched.tracking and now - watched.looked_at < idle:
                continue
            watched.namespace, watched.limit, watched.readable = namespace, limit, False
            watched.looked_at = now
            try:
                self._read_statistics(watched, now)
            except (NamespaceGone, PartAway):
                continue  # Of the part there is a reading of its own.
            except (OSError, ValueError) as error:
                failures.append(error)
            else:
                watched.readable = True
        self._began = True
        return failures

    def _read_statistics(self, watched: _Watched, now: float) -> None:
        found = parse_statistics(self._inventory.statistics(watched.namespace), self._uncounted)
        watched.entries = found.entries
        watched.events.add(found.cpus)
        watched.tracking |= watched.namespace.name == inventory.HOST or found.in_use
        if watched.tracking:
            watched.growth.add(now, found.entries)
        used = watched.table.utilization or 0
        watched.crowded = used > (HIDE_SOURCES if watched.crowded else SHOW_SOURCES)

    def _fullest(self, most: int) -> list[_Watched]:
        tables = [each for each in self._watched.values() if each.tracking and each.readable]
        return sorted(tables, key=lambda each: (-each.entries, each.namespace.name))[:most]

    def _due(self, now: float) -> Iterator[tuple[float, _Watched]]:
        """Yield the tables that may be counted now, and how much they wait for it."""
        for watched in self._fullest(_MOST_COUNTED):
            age = min(now - watched.counted_at, _TOO_OLD)
            if not watched.entries or age < _COUNT_SECONDS:
                continue
            if self._allowance.allows(now, BUSY if watched.pressing else CALM):
                yield age * (_PRESSING if watched.pressing else 1), watched

    def _count_next(self, now: float) -> None:
        due = max(self._due(now), key=lambda each: each[0], default=None)
        if due is None:
            return
        watched = due[1]
        before = time.thread_time()
        opening = self._inventory.site(watched.namespace.inode).open_socket
        try:
            watched.count = conntrack.count(self._top_sources, _MOST_ENTRIES, _LONGEST_COUNT, opening)
        except (NamespaceGone, PartAway):
            return
        except EnvironmentUnfit as error:
            self._allowance.spend(now, _REFUSED_SECONDS * BUSY)
            raise OSError(str(error)) from error
        watched.counted_at = now
        self._allowance.spend(now, time.thread_time() - before)
