"""Loads of BPF programs by everybody but ourselves: counts by owner, and the words about failures."""

import dataclasses
import time
from typing import Any, Final

from netsre import conventions as c
from netsre.adapters.bpf.loads import LoadProbe
from netsre.datapath.loads import MAX_LOADS, LoadKind, LoadTotals
from netsre.metrics.readings import Readings

_ROOM: Final = 0.75
"""What had nothing new is removed when the table is fuller than this share."""
_WITHOUT_DETAIL: Final = tuple(LoadKind(c.OTHER, c.OTHER, result, c.OTHER) for result in ("ok", "error"))


class LoadSensor:
    """Reads the probe of program loads."""

    name = "loads"

    def __init__(self, probe: LoadProbe) -> None:
        """Read a probe that is attached."""
        self._probe = probe
        self._totals = LoadTotals()

    def scan(self, now: float) -> None:
        """Keep room in the table: a command name costs whoever wants to fill it nothing."""
        counts = self._probe.counts()
        idle = self._totals.add(counts, now)
        self._totals.retire(now)
        if len(counts) > MAX_LOADS * _ROOM:
            self._probe.remove(idle)
            for key in idle:
                self._totals.removed(key)

    def read(self, readings: Readings, now: float) -> None:
        """Add what was loaded and what failed."""
        self.scan(now)
        for kind, amount in self._totals.amounts():
            readings.put(c.BPF_PROGRAM_LOADS, kind, amount.count)
            readings.put(c.BPF_VERIFIER_SECONDS, kind, amount.last_ns / 1e9)
            if amount.last_instructions:
                readings.put(c.BPF_VERIFIER_INSTRUCTIONS, kind, amount.last_instructions)
        for kind, failing in self._totals.failing():
            readings.put(c.BPF_LOADS_FAILING, (kind.owner, kind.type, kind.reason), failing)
        overflowed = self._probe.overflowed()
        for kind, count in zip(_WITHOUT_DETAIL, overflowed, strict=True):
            readings.put(c.BPF_PROGRAM_LOADS, kind, count)
        readings.put(c.BPF_MAP_OVERFLOWS, ("loads",), sum(overflowed))
        readings.put(c.BPF_MAP_OVERFLOWS, ("load_calls",), self._probe.unknown())

    def failures(self) -> list[dict[str, Any]]:
        """Return the last failed loads as a document, the newest first; all text in it is printable."""
        now_ns = time.monotonic_ns()
        return [
            {
                "seconds_ago": round((now_ns - failure.at_ns) / 1e9, 3),
                **{
                    key: value
                    for key, value in dataclasses.asdict(failure).items()
                    if key not in {"at_ns", "duration_ns"}
                },
                "seconds": failure.duration_ns / 1e9,
                "missing": self._probe.missing(failure),
            }
            for failure in self._probe.failures()
        ]
