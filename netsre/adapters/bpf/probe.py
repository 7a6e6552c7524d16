"""The reader of the flow probe: counts, stalled attempts, and the care of its tables.

Not thread safe; the agent calls it under one lock.
"""

import dataclasses
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.denials import Denials
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import MapFull
from netsre.datapath import flows
from netsre.datapath.attribution import Client
from netsre.datapath.flows import UNKNOWN_BUCKET, Attempt, FlowCount
from netsre.datapath.workloads import RULES, Workload, rules

_IDLE_SHARE: Final = 0.75
"""Idle entries are removed when the table of attempts is fuller than this."""
_STALLED: Final = ("failed", "stalled")
_DENIED: Final = ("denied", "blocked")
_CLAIMED: Final = struct.pack("<Q", 1)


class FlowProbe:
    """What the flow probe has counted since it was attached."""

    protocol: Final = "tcp"

    def __init__(self, session: Session) -> None:
        """Read through an open session."""
        self.session = session
        self.denials = Denials(session.maps["denied_sources"], session.maps["last_denial_ns"])
        """The sources that are blocked: whoever blocks keeps them in step."""
        self.log: FlowLog | None = None
        """Where stalled attempts are logged too; what the kernel counts it logs itself."""
        self.in_flight = 0
        self._entries = {"attempts": 0, "stalls": 0, "flows": 0}
        # Counted here and not in the kernel: nobody but us notices that nothing happens.
        self._stalled: Counter[FlowCount] = Counter()
        self._unclaimed = 0

    def scan(self, now_ns: int) -> None:
        """Count attempts that became stalled; call it about twice a second.

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
                self._stalled[_unanswered(attempt, *(_DENIED if denied else _STALLED))] += 1
                if self.log is not None:
                    self.log.stalled(attempt, denied=denied)

    def _remove_idle(self, keys: Iterable[bytes]) -> None:
        """Remove entries that are idle still: since they were read, a socket may have begun again."""
        attempts = self.session.maps["attempts"]
        for key in keys:
            value = attempts.lookup(key)
            if value is not None and not flows.ATTEMPT.unpack(value)[0]:
                attempts.delete(key)

    def counts(self) -> list[FlowCount]:
        """Return every counter: the kernel's, those without detail, and the stalled that we found."""
        found = list(flows.decode_flows(self.session.maps["flows"].entries()))
        self._entries["flows"] = len(found)
        found.extend(self._overflowed())
        found.extend(dataclasses.replace(kind, count=count) for kind, count in self._stalled.items())
        return found

    def retire(self, clients: Iterable[Client]) -> None:
        """Forget the counters of clients that are gone, so that they cannot fill the table."""
        gone = frozenset(clients)
        if not gone:
            return
        table = self.session.maps["flows"]
        for key, _ in list(table.entries()):
            if flows.client_of(key) in gone:
                table.delete(key)
        for kind in list(self._stalled):
            if kind.client in gone:
                del self._stalled[kind]

    def name_destinations(self, workloads: Iterable[Workload]) -> None:
        """Have destinations counted by these names from now on; asked once, before anything is counted."""
        entries = rules(workloads)
        for key, value in entries:
            self.session.maps["workloads"].put(key, value)
        self.session.maps["workload_rules"].put(bytes(4), RULES.pack(len(entries)))

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full each table was when it was last read."""
        overflows = {
            "flows": sum(count.count for count in self._overflowed()),
            "attempts": self._attempts_lost(),
            "stalls": self._unclaimed,
            "denied_sources": self.denials.refused,
        }
        for name, entries in (self._entries | {"denied_sources": len(self.denials)}).items():
            table = self.session.maps[name]
            yield MapUsage(name, entries, table.capacity, table.memory(), overflows[name])

    def _overflowed(self) -> list[FlowCount]:
        table = self.session.maps["flows_overflow"]
        found = []
        for slot in range(table.capacity):
            value = table.lookup(struct.pack("<I", slot))
            if value is not None:
                found.append(flows.decode_overflow(slot, value))
        return [count for count in found if count.count]

    def _attempts_lost(self) -> int:
        value = self.session.maps["attempts_overflow"].lookup(struct.pack("<I", 0)) or b""
        return sum(count for (count,) in struct.iter_unpack("<Q", value))


def _unanswered(attempt: Attempt, outcome: str, reason: str) -> FlowCount:
    """Return how an attempt without an answer is counted, none of them yet."""
    ends = attempt.cgroup, attempt.workload
    return FlowCount(attempt.netns, outcome, reason, attempt.destination, UNKNOWN_BUCKET, 0, 0, *ends)


def _claim(attempt: Attempt) -> bytes:
    return flows.STALL_CLAIM.pack(attempt.sock, attempt.start_ns)
