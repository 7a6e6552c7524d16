"""Who no rule allows, by the names of endpoints and by address: totals, and how many lately."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.policy.gains import Gains
from netsre.datapath.policy.refused import Refused, Service
from netsre.datapath.policy.verdicts import WORDS
from netsre.model.policies.values import Direction

WINDOW_NS: Final = 300 * 10**9
"""A destination counts as one of now for so long after its last packet."""
MOST: Final = 256
"""Pairs kept apart at most, and endpoints; of all others both ends are `~other`."""
IDLE_NS: Final = 3600 * 10**9
"""A pair without a packet for so long gives its place away where somebody else wants it."""

_, DENIED, AUDITED = WORDS
_Key = tuple[int, Direction, Service]


class Pair(NamedTuple):
    """What is told apart, in the order of the labels."""

    verdict: str
    direction: str
    source: str
    destination: str


class Unexpected(NamedTuple):
    """Of whom destinations are counted, in the order of the labels."""

    source: str
    verdict: str


@dataclass(slots=True)
class RefusedTotals:
    """What was refused since somebody looks, and who was asked for lately."""

    packets: Counter[Pair] = field(default_factory=Counter)
    gone: int = 0
    """Entries that made room for others, and packets that there was no room for."""
    _seen: dict[Pair, int] = field(default_factory=dict)
    _gains: Gains[_Key] = field(default_factory=Gains)
    _sources: set[str] = field(default_factory=set)
    _lately: Counter[Unexpected] = field(default_factory=Counter)
    _table: int | None = None
    _before: int = 0

    def take(
        self, table: int, entries: Iterable[Refused], gone: int, names: Mapping[int, str], now_ns: int
    ) -> None:
        """Add what was seen since the last look; `now_ns` is CLOCK_BOOTTIME, `table` 0 for none."""
        entries = tuple(entries)
        self._miss(table, gone)
        known = {(one.endpoint, one.direction, one.service): one for one in entries}
        counts = {key: (one.denied, one.passed) for key, one in known.items()}
        for key, gained in self._gains.take(table, counts):
            for verdict, more in zip((DENIED, AUDITED), gained, strict=True):
                if more:
                    pair = self._admitted(_pair(known[key], names, verdict), now_ns)
                    self.packets[pair] += int(more)
        self._count(entries, names, now_ns)

    def destinations(self) -> Mapping[Unexpected, int]:
        """Return how many destinations each endpoint asked for lately without a rule: 0 where it once did."""
        return self._lately

    def _miss(self, table: int, gone: int) -> None:
        """Count what has gone since the last look; the kernel's own sum can be a little late."""
        if table != self._table:
            self._before = gone if self._table is None else 0
            self._table = table
        self.gone += max(gone - self._before, 0)
        self._before = max(gone, self._before)

    def _admitted(self, pair: Pair, now_ns: int) -> Pair:
        if pair not in self._seen and len(self._seen) >= MOST:
            for idle in [one for one, at in self._seen.items() if now_ns - at > IDLE_NS]:
                del self._seen[idle], self.packets[idle]
            if len(self._seen) >= MOST:
                return pair._replace(source=OTHER, destination=OTHER)
        self._seen[pair] = now_ns
        return pair

    def _count(self, entries: Iterable[Refused], names: Mapping[int, str], now_ns: int) -> None:
        self._lately = Counter()
        for one in entries:
            if one.direction is Direction.EGRESS:
                source = self._source(names.get(one.endpoint, OTHER))
                for verdict, last_ns in ((DENIED, one.denied_ns), (AUDITED, one.passed_ns)):
                    recent = bool(last_ns) and now_ns - last_ns <= WINDOW_NS
                    self._lately[Unexpected(source, verdict)] += recent

    def _source(self, name: str) -> str:
        if name not in self._sources and len(self._sources) >= MOST:
            return OTHER
        self._sources.add(name)
        return name


def _pair(one: Refused, names: Mapping[int, str], verdict: str) -> Pair:
    name = names.get(one.endpoint, OTHER)
    if one.direction is Direction.EGRESS:
        return Pair(verdict, one.direction.value, name, str(one.service))
    return Pair(verdict, one.direction.value, str(one.service.address), f"{name} {one.service.what}")
