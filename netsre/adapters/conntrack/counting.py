"""The entries of a connection table, counted one by one: whose they are, and in which state."""

import ipaddress
import struct
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

from netsre.adapters.conntrack.entries import ATTRIBUTES_AT, NOTHING, Facts, Reader
from netsre.adapters.conntrack.netlink import NETFILTER, Channel, Opening, attributes, here
from netsre.adapters.conntrack.table import ANY_FAMILY, entries_of, whole
from netsre.datapath.conntrack import LargestSources, state_of
from netsre.model.effects import SourceCount, StateCount

_CHUNK: Final = 8_192
_ROOM: Final = 65_536
"""Different sources that are counted at once; about 10 MB."""
_DUMP_SECONDS: Final = 10.0
_GET_STATISTICS: Final = 0x0105
"""`NFNL_SUBSYS_CTNETLINK << 8` with `IPCTNL_MSG_CT_GET_STATS`."""
_GLOBAL_ENTRIES: Final = 1
_NUMBER: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Count:
    """What a table held when it was counted."""

    entries: int
    """The kernel's own number."""
    counted: int
    """Entries that were looked at."""
    sources: tuple[SourceCount, ...]
    """Those with the most of the entries that were looked at."""
    states: tuple[StateCount, ...]
    """Of the entries that were looked at; only states that are there, by name."""
    complete: bool
    """Whether every entry was looked at; else those that were are a fair sample."""


def count(
    most_sources: int,
    most_entries: int | None = None,
    seconds: float = _DUMP_SECONDS,
    opening: Opening = here,
    room: int = _ROOM,
) -> Count:
    """Count the table of the namespace that sockets are opened in: by default this thread's.

    A source is the address that opened the connection. Where there are more different ones than `room`, each
    is counted short by at most one in `room + 1` of all entries, and those that have no more may be missing.
    With `most_entries` no more are looked at. The kernel lists its entries in the order of a keyed hash of
    their addresses and ports, so that the first ones are chosen as if by lot.
    Raises `EnvironmentUnfit` when the kernel does not show the table, or not within `seconds`.
    """
    until = time.monotonic() + seconds
    tally = whole(lambda: _tally(_Tally(room), most_entries, until - time.monotonic(), opening))
    found = tally.sources.counts.items()
    largest = sorted(found, key=lambda item: (-item[1], item[0]))[:most_sources]
    return Count(
        whole(lambda: _entries(opening)),
        tally.counted,
        tuple(SourceCount(str(ipaddress.ip_address(source)), entries) for source, entries in largest),
        tuple(StateCount(state, entries) for state, entries in sorted(tally.states.items())),
        tally.complete,
    )


class _Tally:
    """Counts of one pass over the table."""

    def __init__(self, room: int) -> None:
        self.sources = LargestSources(room)
        self.states: Counter[str] = Counter()
        self.counted = 0
        self.complete = True

    def add(self, chunk: list[Facts]) -> None:
        """Count some entries; nothing that has no source."""
        found, sources = Counter(chunk), Counter[bytes]()
        del found[NOTHING]
        for (source, *state), entries in found.items():
            self.counted += entries
            sources[source] += entries
            self.states[state_of(*state)] += entries
        self.sources.add(sources)


def _tally(tally: _Tally, most: int | None, seconds: float, opening: Opening) -> _Tally:
    reader, chunk = Reader(), list[Facts]()
    with Channel(NETFILTER, opening) as channel:
        for message in entries_of(channel, seconds):
            if tally.counted + len(chunk) == most:
                tally.complete = False
                break
            chunk.append(reader.facts(message))
            if len(chunk) == _CHUNK:
                tally.add(chunk)
                chunk.clear()
    tally.add(chunk)
    return tally


def _entries(opening: Opening) -> int:
    """Return the kernel's own number of entries."""
    with Channel(NETFILTER, opening) as channel:
        data, at, end = channel.ask(_GET_STATISTICS, ANY_FAMILY)
        begin, stop = attributes(data, at + ATTRIBUTES_AT, end).get(_GLOBAL_ENTRIES, (end, end))
        return int(_NUMBER.unpack(data[begin:stop])[0]) if stop - begin == _NUMBER.size else 0
