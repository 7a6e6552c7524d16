"""Connection tables as readings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from netsre import conventions as c
from netsre.datapath.conntrack import DROP, EARLY_DROP, INSERT_FAILED, STATES
from netsre.datapath.growth import Growth
from netsre.metrics.readings import Readings

KERNEL: Final = "kernel"
DATAPATH: Final = "datapath"
SHOW_SOURCES: Final = 0.5
"""Utilisation from which the largest sources are series; below, a source is nobody's business."""
HIDE_SOURCES: Final = 0.4
TOP_SOURCES: Final = 5
LEAST_OF_A_HUNDRED: Final = 100
"""A source with less than one entry of so many explains nothing, and another takes its place every time."""


@dataclass(frozen=True, slots=True)
class Table:
    """One connection table, by the labels of its series."""

    table: str
    netns: str
    entries: int
    limit: int
    """0 where the kernel sets none."""
    growth: Growth

    @property
    def utilization(self) -> float | None:
        """Return the share in use; None without a limit."""
        return self.entries / self.limit if self.limit else None

    @property
    def full_seconds(self) -> float | None:
        """Return how long until it is full."""
        return self.growth.full_seconds(self.entries, self.limit)


def put_table(readings: Readings, table: Table) -> None:
    """Add how full a table is, and where it goes; what cannot be said is left out."""
    labels = (table.table, table.netns)
    readings.put(c.CONNTRACK_ENTRIES, labels, table.entries)
    readings.put(c.CONNTRACK_LIMIT, labels, table.limit)
    for name, value in (
        (c.CONNTRACK_UTILIZATION, table.utilization),
        (c.CONNTRACK_GROWTH, table.growth.per_second),
        (c.CONNTRACK_FULL_SECONDS, table.full_seconds),
    ):
        if value is not None:
            readings.put(name, labels, value)


def put_events(readings: Readings, table: Table, events: Mapping[str, int]) -> None:
    """Add what happened to a table of the kernel."""
    labels = (table.table, table.netns)
    readings.put(c.CONNTRACK_INSERT_FAILED, labels, events[INSERT_FAILED])
    readings.put(c.CONNTRACK_DROPS, labels, events[DROP])
    readings.put(c.CONNTRACK_EARLY_DROPS, labels, events[EARLY_DROP])
    for event, count in events.items():
        readings.put(c.CONNTRACK_EVENTS, (*labels, event), count)


@dataclass(frozen=True, slots=True)
class Shares:
    """What the entries of a table were when it was last counted."""

    age_seconds: float
    counted: int
    """Entries that were looked at."""
    whole: int
    """All that were there; those that were not looked at are taken to be like the others."""
    states: Mapping[str, int]
    """Of those that were looked at."""
    sources: Mapping[str, int]
    """Likewise; the largest ones, and only while they are to be shown."""


def put_shares(readings: Readings, table: Table, shares: Shares) -> None:
    """Add the entries by state, every state, and the largest sources."""
    labels = (table.table, table.netns)
    readings.put(c.CONNTRACK_COUNT_AGE, labels, shares.age_seconds)
    readings.put(c.CONNTRACK_COUNTED, labels, shares.counted / shares.whole if shares.whole else 1)
    for state in STATES:
        readings.put(
            c.CONNTRACK_STATE_ENTRIES, (*labels, state), _scaled(shares.states.get(state, 0), shares)
        )
    for source, seen in shares.sources.items():
        if seen * LEAST_OF_A_HUNDRED >= shares.counted:
            entries = _scaled(seen, shares)
            readings.put(c.CONNTRACK_TOP_SOURCE, (*labels, source), entries)
            if table.limit:
                readings.put(c.CONNTRACK_TOP_SOURCE_SHARE, (*labels, source), entries / table.limit)


def _scaled(seen: int, shares: Shares) -> int:
    return round(seen * shares.whole / shares.counted) if shares.counted else 0
