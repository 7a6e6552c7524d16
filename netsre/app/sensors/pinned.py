"""Connection tables that another datapath keeps in BPF maps: Cilium's, where it pins them."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf import pinned
from netsre.adapters.namespaces import inventory
from netsre.datapath.growth import Growth
from netsre.metrics.allowance import CALM, Allowance
from netsre.metrics.conntrack import Table, put_table
from netsre.metrics.readings import Readings

CILIUM: Final = Path("/sys/fs/bpf/tc/globals")
"""Where Cilium pins its maps."""
_TABLES: Final = re.compile(r"cilium_(ct|ct_any)[46]_global|cilium_snat_v[46]_external")
_LIST_SECONDS: Final = 15.0
_COUNT_SECONDS: Final = 15.0
"""Between two counts of one table, however cheap."""
_LONGEST_COUNT: Final = 2.0
_TOO_OLD: Final = 600.0


@dataclass(slots=True)
class _Known:
    """One map, for as long as it is pinned."""

    entries: int = 0
    limit: int = 0
    growth: Growth = field(default_factory=Growth)
    counted_at: float = float("-inf")


class PinnedTableSensor:
    """Counts the entries of pinned maps, one map at a time and as often as that may cost."""

    name = "pinned_tables"

    def __init__(self, directory: Path = CILIUM) -> None:
        """Look for maps with Cilium's names there; a directory that is not there is no error."""
        self._directory = directory
        self._known: dict[str, _Known] = {}
        self._listed_at = float("-inf")
        self._allowance = Allowance()

    def scan(self, now: float) -> None:
        """Count a table if the turn of one has come."""
        if now - self._listed_at >= _LIST_SECONDS:
            self._listed_at = now
            self._known = {name: self._known.get(name, _Known()) for name in self._pinned()}
        waiting = [name for name, known in self._known.items() if now - known.counted_at >= _COUNT_SECONDS]
        if waiting and self._allowance.allows(now, CALM):
            self._count(min(waiting, key=lambda name: self._known[name].counted_at), now)

    def read(self, readings: Readings, now: float) -> None:
        """Add every table that was counted, and how long ago that was."""
        for name, known in sorted(self._known.items()):
            age = now - known.counted_at
            if age <= _TOO_OLD:
                table = Table(f"cilium:{name}", inventory.HOST, known.entries, known.limit, known.growth)
                put_table(readings, table)
                readings.put(c.CONNTRACK_COUNT_AGE, (table.table, table.netns), age)

    def _pinned(self) -> Iterator[str]:
        try:
            names = [entry.name for entry in self._directory.iterdir()]
        except FileNotFoundError:
            return
        yield from filter(_TABLES.fullmatch, names)

    def _count(self, name: str, now: float) -> None:
        known, before = self._known[name], time.thread_time()
        try:
            with pinned.opened(self._directory / name) as table:
                entries, limit = pinned.count(table, _LONGEST_COUNT), table.capacity
        except FileNotFoundError:
            del self._known[name]  # It was unpinned since it was listed.
            return
        except OSError:
            del self._known[name]  # What it held before is no answer; the next listing finds it again.
            raise
        finally:
            self._allowance.spend(now, time.thread_time() - before)
        if limit != known.limit:
            known.growth = Growth()  # Another map of the same name.
        known.entries, known.limit, known.counted_at = entries, limit, now
        known.growth.add(now, entries)
