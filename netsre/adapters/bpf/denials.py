"""Which sources are blocked, as the flow probe knows it: their failures are denials and not failures.

Times are the clock of attempts, CLOCK_MONOTONIC. Addresses are compared alone: where a source is blocked, and
where its attempts went, is not known when an attempt fails.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf.syscalls import BpfMap, MapFull
from netsre.datapath.flows import DENIAL, LAST_DENIAL, STALL_NS

_LINGER_NS: Final = 3 * STALL_NS
"""What began while a source was blocked may still fail for a while after, and is counted even later."""


@dataclass(frozen=True, slots=True)
class _Denial:
    since_ns: int
    until_ns: int


class Denials:
    """The blocked sources, here and in the kernel's maps. One thread changes it, another may ask.

    Every probe that asks has both maps. They are the same, unless those probes were compiled apart.
    """

    def __init__(self, table: BpfMap, last: BpfMap) -> None:
        """Keep both maps in step: the sources, and the latest end of them all."""
        self._tables = [(table, last)]
        self.refused = 0
        """How often the map had no room for one more."""
        self._denials: dict[bytes, _Denial] = {}

    def also(self, table: BpfMap, last: BpfMap) -> "Denials":
        """Keep the maps of another probe in step from now on; asked before any source is blocked."""
        self._tables.append((table, last))
        return self

    def begin(self, source: bytes, now_ns: int, until_ns: int) -> None:
        """Note that a source is blocked from now on, or longer than it was; raises `MapFull`."""
        known = self._denials.get(source)
        self._set(source, _Denial(known.since_ns if known else now_ns, until_ns))

    def end(self, source: bytes, now_ns: int) -> None:
        """Note that a source is blocked no more; what began before still counts as denied."""
        known = self._denials.get(source)
        if known is not None and known.until_ns > now_ns:
            self._set(source, dataclasses.replace(known, until_ns=now_ns))

    def expire(self, now_ns: int) -> None:
        """Forget the sources of which nothing can fail any more that began while they were blocked."""
        for source, denial in list(self._denials.items()):
            if denial.until_ns + _LINGER_NS <= now_ns:
                for table, _ in self._tables:
                    table.delete(source)
                del self._denials[source]

    def covers(self, source: bytes, start_ns: int) -> bool:
        """Say whether an attempt began while its source was blocked."""
        denial = self._denials.get(source)
        return denial is not None and denial.since_ns <= start_ns < denial.until_ns

    def __len__(self) -> int:
        """Return how many sources the map holds."""
        return len(self._denials)

    def _set(self, source: bytes, denial: _Denial) -> None:
        try:
            for table, _ in self._tables:
                table.put(source, DENIAL.pack(denial.since_ns, denial.until_ns))
        except MapFull:
            self.refused += 1
            raise
        self._denials[source] = denial
        latest = max(each.until_ns for each in self._denials.values())
        for _, last in self._tables:
            last.put(bytes(4), LAST_DENIAL.pack(latest))
