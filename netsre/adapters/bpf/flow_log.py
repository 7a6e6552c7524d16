"""The flow log's side of a probe of attempts: its switch, its ring, and the events of stalled attempts.

Not thread safe; the agent calls it under the lock of the probe.
"""

import struct
import time
from collections import Counter
from functools import partial
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.ring import Ring
from netsre.adapters.bpf.session import Session
from netsre.datapath import drops, flow_log, flows
from netsre.datapath.flow_log import FlowEvent, Switch, Vocabulary
from netsre.datapath.flows import Attempt, Refusal

_STALLED: Final = "netsre_flow_log"
_ONLY: Final = bytes(4)
_STALLS: Final = 4_096
"""After so many the ring is emptied, so that they alone never fill it."""


class FlowLog:
    """The events of attempts that came to an outcome, of one probe."""

    def __init__(self, session: Session, ring: str = "flow_log") -> None:
        """Read a ring of an open session; nothing is emitted before it is switched on."""
        self._switch = session.maps["flow_log_switch"]
        self._lost = session.maps[f"{ring}_lost"]
        self._stalled_fd = session.program_fds.get(_STALLED, -1)
        self._words = drops.words_of(session.enums)
        self._decode = partial(flow_log.decode, vocabulary=Vocabulary(self._words))
        self._ring = Ring(session.maps[ring])
        self._found: list[FlowEvent] = []
        self._stalls = 0
        self._on = False

    def switch(self, wanted: Switch) -> None:
        """Say what is emitted from now on."""
        self._on = wanted.on
        self._switch.put(_ONLY, wanted.packed())

    def stalled(self, attempt: Attempt, *, denied: bool) -> None:
        """Emit the event of an attempt that was counted as stalled."""
        now = time.monotonic_ns()
        try:
            syscalls.run_program(self._stalled_fd, flow_log.stall_arguments(attempt, now, denied=denied))
        except OSError:
            # Before Linux 5.10 a program cannot be called. Where the attempt went is then not known.
            self._found.append(flow_log.stall_event(attempt, now, self._words, denied=denied))
        self._stalls += 1
        if self._stalls % _STALLS == 0:
            # Whatever many were found at once: we are the ones who fill the ring, and who empty it.
            self._found += self._ring.drain(self._decode)

    def refused(self, refusal: Refusal) -> None:
        """Take down the event of an attempt that was refused here, and counted."""
        if self._on:
            self._found.append(flow_log.refused_event(refusal))

    def add(self, event: FlowEvent) -> None:
        """Add an event that nobody emits: of an attempt about which the reader knows everything."""
        if self._on:
            self._found.append(event)

    def drain(self) -> list[FlowEvent]:
        """Return the events since the last time."""
        found, self._found = self._found, []
        return [*found, *self._ring.drain(self._decode)]

    def lost(self) -> Counter[str]:
        """Return how many events found no room in the ring, by outcome, since the probe was attached."""
        found: Counter[str] = Counter()
        for outcome in range(self._lost.capacity):
            slots = self._lost.lookup(struct.pack("<I", outcome)) or b""
            found[flows.outcome_of(outcome)] += sum(count for (count,) in struct.iter_unpack("<Q", slots))
        return found

    def close(self) -> None:
        """Switch it off and let go of the ring."""
        self.switch(Switch(on=False, one_in=0))
        self._ring.close()
