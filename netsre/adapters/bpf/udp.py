"""The reader of the UDP probe: counts, unanswered attempts, and the care of its tables.

Not thread safe; the agent calls it under one lock.
"""

import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final

from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.denials import Denials
from netsre.adapters.bpf.flow_counts import FlowCounts
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import BpfMap, MapFull
from netsre.datapath import flows, udp
from netsre.datapath.udp import Conversation

_IDLE_SHARE: Final = 0.75
"""Idle entries are removed when a table is fuller than this."""
_GAP_NS: Final = 300_000_000_000
"""Who was not asked for so long was detached: what its tables say may long be over."""
_UNANSWERED: Final = ("failed", "unanswered")
_ABANDONED: Final = ("failed", "abandoned")
_DENIED: Final = ("denied", "blocked")
_CLAIMED: Final = struct.pack("<Q", 1)

_Entries = list[tuple[bytes, bytes]]


class UdpProbe(FlowCounts):
    """What the UDP probe has counted since it was attached."""

    protocol: Final = "udp"
    rest: Final = 100
    """Times as long as a look through the tables took, there is no other: 1 % of a core at most."""

    def __init__(self, session: Session, denials: Denials | None = None) -> None:
        """Read through an open session; `denials` are those of the flow probe, where there is one."""
        super().__init__(session, "udp_counts")
        ours = session.maps["denied_sources"], session.maps["last_denial_ns"]
        self.denials = Denials(*ours) if denials is None else denials.also(*ours)
        """The sources that are blocked: whoever blocks keeps them in step."""
        self.log: FlowLog | None = None
        """Where unanswered attempts are logged too; what the kernel counts it logs itself."""
        self.in_flight = 0
        self._entries = {"udp_sockets": 0, "udp_peers": 0, "udp_stalls": 0}
        self._unclaimed = 0
        self._scanned_ns = 0

    def scan(self, now_ns: int) -> None:
        """Count attempts that are unanswered, and those of sockets that are gone; about twice a second.

        The order matters. Claims are listed before attempts are read, and only listed claims are removed, as
        for TCP. Peers are read before sockets: a socket that is not there then has ended before.
        """
        maps = self.session.maps
        claims = [key for key, _ in maps["udp_stalls"].entries()]
        peers, sockets = list(maps["udp_peers"].entries()), list(maps["udp_sockets"].entries())
        if self._scanned_ns and now_ns - self._scanned_ns > _GAP_NS:
            self._forget_old(peers, sockets)
            peers, sockets = list(maps["udp_peers"].entries()), list(maps["udp_sockets"].entries())
        self._scanned_ns = now_ns
        # Most sockets wait for nothing, and are looked at no further.
        waiting = [
            udp.decode(key, raw) for key, raw in sockets if raw[:8] != udp.NOT_OPEN and udp.is_client(raw)
        ]
        clients = {key for key, raw in sockets if udp.is_client(raw)} if peers else frozenset[bytes]()
        for key, raw in peers:
            if key[:8] not in clients:
                self._settle_orphan(key, raw, now_ns)
            elif udp.is_open(raw):
                waiting.append(udp.decode(key, raw))
        self._settle(waiting, now_ns)
        alive = {each.claim for each in waiting}
        for claim in claims:
            if claim not in alive:
                maps["udp_stalls"].delete(claim)
        self._remove_idle(peers, sockets, now_ns)
        self.in_flight = len(waiting)
        self._entries = {"udp_sockets": len(sockets), "udp_peers": len(peers), "udp_stalls": len(claims)}

    def _settle(self, waiting: Iterable[Conversation], now_ns: int) -> None:
        """Count those that have waited for too long, each once."""
        stalls = self.session.maps["udp_stalls"]
        for each in waiting:
            if now_ns - each.start_ns < flows.STALL_NS:
                continue
            try:
                claimed = stalls.insert(each.claim, _CLAIMED)
            except MapFull:
                # Without a claim it would be counted twice. The kernel side counts it when it ends.
                self._unclaimed += 1
                return
            if claimed:
                self._count(each, *_UNANSWERED)

    def _settle_orphan(self, key: bytes, raw: bytes, now_ns: int) -> None:
        """Count the attempt of a socket that is gone, or turned out to answer: then it was none."""
        table, sockets = self.session.maps["udp_peers"], self.session.maps["udp_sockets"]
        table.delete(key)
        if not udp.is_open(raw) or sockets.lookup(key[:8]) is not None:
            return
        talk = udp.decode(key, raw)
        if now_ns - talk.start_ns >= flows.STALL_NS:
            self._settle([talk], now_ns)
        else:
            self._count(talk, *_ABANDONED)

    def _count(self, talk: Conversation, outcome: str, reason: str) -> None:
        if self.denials.covers(talk.local, talk.start_ns):
            outcome, reason = _DENIED
        self._notice(talk.ended(outcome, reason))
        if self.log is not None:
            self.log.add(talk.event(outcome, reason, time.monotonic_ns()))

    def _remove_idle(self, peers: _Entries, sockets: _Entries, now_ns: int) -> None:
        """Make room in a table that fills up. Who answers is known until it ends."""
        maps = self.session.maps
        if len(peers) > maps["udp_peers"].capacity * _IDLE_SHARE:
            _remove(maps["udp_peers"], peers, now_ns)
        if len(sockets) > maps["udp_sockets"].capacity * _IDLE_SHARE:
            alone = [(key, raw) for key, raw in sockets if udp.is_client(raw) and udp.has_one_peer(raw)]
            _remove(maps["udp_sockets"], alone, now_ns)

    def _forget_old(self, peers: _Entries, sockets: _Entries) -> None:
        """Forget what was there before the gap: of sockets that ended in it nobody was told."""
        for name, entries in (("udp_peers", peers), ("udp_sockets", sockets)):
            for key, raw in entries:
                if udp.latest(raw) <= self._scanned_ns:
                    self.session.maps[name].delete(key)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full each table was when it was last read."""
        sockets, peers = self._unseen()
        overflows = {"udp_sockets": sockets, "udp_peers": peers, "udp_stalls": self._unclaimed}
        yield from super().usage()
        for name, entries in self._entries.items():
            table = self.session.maps[name]
            yield MapUsage(name, entries, table.capacity, table.memory(), overflows[name])

    def _unseen(self) -> list[int]:
        """Return how many sockets, and how many further conversations, found no room."""
        table = self.session.maps["udp_unseen"]
        values = [table.lookup(struct.pack("<I", slot)) or b"" for slot in range(2)]
        return [sum(count for (count,) in struct.iter_unpack("<Q", value)) for value in values]


def _remove(table: BpfMap, entries: _Entries, now_ns: int) -> None:
    """Remove entries that are idle still: since they were read, an attempt may have begun."""
    for key, raw in entries:
        if udp.is_idle(raw, now_ns):
            value = table.lookup(key)
            if value is not None and udp.is_idle(value, now_ns):
                table.delete(key)
