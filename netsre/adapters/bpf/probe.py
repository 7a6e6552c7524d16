"""The reader of the flow probe: counts, stalled and refused attempts, and the care of its tables.

Not thread safe; the agent calls it under one lock.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.denials import Denials
from netsre.adapters.bpf.flow_counts import FlowCounts
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import MapFull
from netsre.datapath import flows
from netsre.datapath.flows import Attempt

_IDLE_SHARE: Final = 0.75
"""Idle entries are removed when the table of attempts is fuller than this."""
_CLAIMED: Final = struct.pack("<Q", 1)


class FlowProbe(FlowCounts):
    """What the flow probe has counted since it was attached."""

    protocol: Final = "tcp"
    rest: Final = 0

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        super().__init__(session, "flows")
        self.denials = Denials(session.maps["denied_sources"], session.maps["last_denial_ns"])
        """The sources that are blocked: whoever blocks keeps them in step."""
        self.log: FlowLog | None = None
        """Where what is counted here is logged too; what the kernel counts it logs itself."""
        self.in_flight = 0
        self._entries = {"attempts": 0, "stalls": 0, "refusals": 0}
        self._unclaimed = 0

    def scan(self, now_ns: int) -> None:
        """Count attempts that became stalled, and those that were refused here; call it about twice a second.

        The order matters. Claims are listed before attempts are read, and only listed claims are removed:
        a claim that the kernel side made after our reading cannot be removed and made a second time by us.
        """
        # Most nodes never get here. Where packets interrupt state changes, exactness is worth a second run.
        if not self.session.reinforced and self.session.missed_runs():
            self.session.reinforce()
        stalls, attempts = self.session.maps["stalls"], self.session.maps["attempts"]
        claims = [key for key, _ in stalls.entries()]
        waiting, idle, used = flows.decode_attempts(attempts.entries())
        self._count_stalled(flows.stalled(waiting, now_ns))
        alive = {_claim(attempt) for attempt in waiting}
        for claim in claims:
            if claim not in alive:
                stalls.delete(claim)
        if used > attempts.capacity * _IDLE_SHARE:
            self._remove_idle(idle)
        self.in_flight = len(waiting)
        self._entries |= {"attempts": used, "stalls": len(claims)}
        self._count_refused(now_ns)

    def _count_refused(self, now_ns: int) -> None:
        refusals = self.session.maps["refusals"]
        waiting = list(refusals.entries())
        self._entries["refusals"] = len(waiting)
        for key, refusal in flows.refused(waiting, now_ns):
            # Whoever removes it counts it: its client may be here after all, and late.
            if refusals.delete(key):
                self._notice(refusal.kind)
                if self.log is not None:
                    self.log.refused(refusal)

    def _count_stalled(self, attempts: Iterable[Attempt]) -> None:
        stalls = self.session.maps["stalls"]
        for attempt in attempts:
            try:
                claimed = stalls.insert(_claim(attempt), _CLAIMED)
            except MapFull:
                # Without a claim it would be counted twice. The kernel side counts it when it ends.
                self._unclaimed += 1
                return
            if claimed:
                denied = self.denials.covers(attempt.source, attempt.start_ns)
                self._notice(flows.unanswered(attempt, self._words, denied=denied))
                if self.log is not None:
                    self.log.stalled(attempt, denied=denied)

    def _remove_idle(self, keys: Iterable[bytes]) -> None:
        """Remove entries that are idle still: since they were read, a socket may have begun again."""
        attempts = self.session.maps["attempts"]
        for key in keys:
            value = attempts.lookup(key)
            if value is not None and not flows.ATTEMPT.unpack(value)[0]:
                attempts.delete(key)

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full each table was when it was last read."""
        yield from super().usage()
        overflows = {
            "attempts": self._lost("attempts_overflow"),
            "refusals": self._lost("refusals_overflow"),
            "stalls": self._unclaimed,
            "denied_sources": self.denials.refused,
        }
        for name, entries in (self._entries | {"denied_sources": len(self.denials)}).items():
            table = self.session.maps[name]
            yield MapUsage(name, entries, table.capacity, table.memory(), overflows[name])

    def _lost(self, name: str) -> int:
        value = self.session.maps[name].lookup(struct.pack("<I", 0)) or b""
        return sum(count for (count,) in struct.iter_unpack("<Q", value))


def _claim(attempt: Attempt) -> bytes:
    return flows.STALL_CLAIM.pack(attempt.sock, attempt.start_ns)
