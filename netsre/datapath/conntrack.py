"""The kernel's connection tracking: its statistics per CPU, the states of its entries, and whose they are.

`/proc/net/stat/nf_conntrack` is one line of column names, then one line of hexadecimal numbers for each CPU
that could ever be online. The set of columns differs between kernels, so they are found by name. `entries` is
the total of the table, repeated on each line; every other column is a counter of 32 bits that wraps around.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ENTRIES: Final = "entries"
INSERT_FAILED: Final = "insert_failed"
DROP: Final = "drop"
EARLY_DROP: Final = "early_drop"
_NEEDED: Final = (ENTRIES, INSERT_FAILED, DROP, EARLY_DROP)
_RENAMED: Final = {"chainlength": "chaintoolong"}
"""Of the header, to what is counted there and what conntrack(8) calls it."""
_EVENT: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MOST_EVENTS: Final = 32
_WRAP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Statistics:
    """One table, as the kernel prints it."""

    entries: int
    cpus: tuple[Mapping[str, int], ...]
    """Events by name, for each CPU, since the namespace was made."""

    @property
    def in_use(self) -> bool:
        """Say whether the table ever did anything that its numbers still show."""
        return self.entries > 0 or any(any(cpu.values()) for cpu in self.cpus)


def parse_statistics(text: str, uncounted: frozenset[str] = frozenset()) -> Statistics:
    """Read a table's statistics, without columns that this kernel prints and does not count.

    Raises `ValueError` naming what is not as expected.
    """
    lines = text.splitlines()
    if len(lines) < 2:  # a header and at least one CPU
        message = "conntrack statistics have no line for any CPU"
        raise ValueError(message)
    columns = lines[0].split()
    for column in _NEEDED:
        if column not in columns:
            message = f"conntrack statistics have no column {column!r} on this kernel"
            raise ValueError(message)
    rows = [_numbers(columns, line) for line in lines[1:]]
    wanted = [
        (column, name)
        for column in columns
        if (name := _RENAMED.get(column, column)) != ENTRIES
        and name not in uncounted
        and _EVENT.fullmatch(name)
    ][:_MOST_EVENTS]
    return Statistics(rows[0][ENTRIES], tuple({name: row[column] for column, name in wanted} for row in rows))


def _numbers(columns: Sequence[str], line: str) -> dict[str, int]:
    values = line.split()
    if len(values) != len(columns):
        message = f"conntrack statistics have {len(columns)} columns and a line of {len(values)}"
        raise ValueError(message)
    return {column: int(value, 16) for column, value in zip(columns, values, strict=True)}


class EventTotals:
    """What happened to one table while it was watched, by event; only ever grows.

    The kernel's numbers are older than whoever watches: what happened before counts nowhere, unless the table
    itself began later.
    """

    def __init__(self, *, born: bool) -> None:
        """Begin with nothing; a table that was `born` since watching began counts from its own beginning."""
        self._born = born
        self._last: tuple[Mapping[str, int], ...] | None = None
        self._totals: dict[str, int] = {}

    @property
    def totals(self) -> Mapping[str, int]:
        """Return the totals of all CPUs by event."""
        return self._totals

    def add(self, cpus: tuple[Mapping[str, int], ...]) -> None:
        """Count on from the last reading.

        A number that fell has wrapped around if what it gained is less than half of what it can hold; else
        another namespace has taken the place of this one, and its events count from the beginning. Where
        there are more or fewer CPUs than before, nobody knows whose line is whose: this one reading counts
        nothing.
        """
        if self._last is None:
            self._totals = {event: 0 for cpu in cpus for event in cpu}
            if self._born:
                self._begin_anew(cpus)
        elif len(cpus) == len(self._last):
            steps = [_step(now, was) for now, was in zip(cpus, self._last, strict=True)]
            if any(step >= _WRAP // 2 for each in steps for step in each.values()):
                self._begin_anew(cpus)
            else:
                for each in steps:
                    self._add(each)
        self._last = cpus

    def _begin_anew(self, cpus: tuple[Mapping[str, int], ...]) -> None:
        self._totals = dict.fromkeys(self._totals, 0)
        for cpu in cpus:
            self._add(cpu)

    def _add(self, events: Mapping[str, int]) -> None:
        for event, count in events.items():
            self._totals[event] = self._totals.get(event, 0) + count


def _step(now: Mapping[str, int], was: Mapping[str, int]) -> dict[str, int]:
    return {event: (value - was.get(event, 0)) % _WRAP for event, value in now.items()}


_TCP, _UDP = 6, 17
_ICMP: Final = frozenset({1, 58})
_SEEN_REPLY: Final = 0x2
_ASSURED: Final = 0x4
"""Of `enum ip_conntrack_status`."""
_TCP_STATES: Final = (
    "tcp_none",
    "tcp_syn_sent",
    "tcp_syn_recv",
    "tcp_established",
    "tcp_fin_wait",
    "tcp_close_wait",
    "tcp_last_ack",
    "tcp_time_wait",
    "tcp_close",
    "tcp_syn_sent2",
)
"""Of `enum tcp_conntrack`, in its order."""
_OTHER_STATE: Final = "other"
STATES: Final = (*_TCP_STATES, "udp_unreplied", "udp_replied", "udp_assured", "icmp", _OTHER_STATE)
"""Every state that is told apart."""


def state_of(protocol: int, status: int, tcp_state: int) -> str:
    """Return the state of an entry from its IP protocol, the low bits of its status, and its TCP state."""
    if protocol == _TCP:
        return _TCP_STATES[tcp_state] if tcp_state < len(_TCP_STATES) else _OTHER_STATE
    if protocol == _UDP:
        if status & _ASSURED:
            return "udp_assured"
        return "udp_replied" if status & _SEEN_REPLY else "udp_unreplied"
    return "icmp" if protocol in _ICMP else _OTHER_STATE


class LargestSources:
    """How many entries each source has; with more of them than there is room for, each that has most.

    With room for n a source is counted short by at most one in n + 1 of all entries, in whatever order they
    come, and one that has more is always there (Misra and Gries, Finding repeated elements, 1982).
    """

    def __init__(self, room: int) -> None:
        """Begin with nothing."""
        self._room = room
        self._counts: Counter[bytes] = Counter()

    @property
    def counts(self) -> Mapping[bytes, int]:
        """Return the entries of each source that there is room for, never more than it has."""
        return self._counts

    def add(self, entries: Mapping[bytes, int]) -> None:
        """Count some more."""
        self._counts.update(entries)
        if len(self._counts) <= self._room:
            return
        # Takes the same from each of one more than there is room for: so often can it be taken, and no more.
        share = sorted(self._counts.values(), reverse=True)[self._room]
        kept = {source: count - share for source, count in self._counts.items() if count > share}
        self._counts = Counter(kept)
