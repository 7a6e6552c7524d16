"""The flow log: from the kernel's ring to lines on disk, and how much of it was meant and lost."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.flow_log.background import FlowLogWriter, Line
from netsre.app.sensors.places import Places
from netsre.clock import monotonic_epoch_ns
from netsre.datapath import flow_lines
from netsre.datapath.flow_log import KINDS, FlowEvent, Switch
from netsre.datapath.sampling import Sampling, Totals
from netsre.datapath.workloads import Names
from netsre.metrics.readings import Readings

_CLOSE_SECONDS: Final = 2.0
"""For what waits for the disk when the agent ends."""


class FlowLogSensor:
    """Reads the events of the probes of attempts, as many as are wanted now, and has them written."""

    name = "flow_log"

    def __init__(
        self,
        logs: Sequence[FlowLog],
        writer: FlowLogWriter,
        places: Places,
        *,
        one_in: int,
        ended: Callable[[float], Totals],
        say: Callable[[str], None],
    ) -> None:
        """Log one in so many delivered attempts as a rule, more of them by what `ended` counts."""
        self._logs = logs
        self._writer = writer
        self._places = places
        self._ended = ended
        self._say = say
        self._sampling = Sampling(one_in)
        self._taken: Counter[str] = Counter()
        self._switch(Switch(on=True, one_in=one_in))

    def scan(self, now: float) -> None:
        """Take out the events, and see whether more of them are wanted."""
        self._take()
        before = self._sampling.one_in
        if self._sampling.turn(self._ended(now)) and self._sampling.one_in != before:
            self._switch(Switch(on=True, one_in=self._sampling.one_in))
            self._say(
                f"flow log: 1 in {self._sampling.one_in} delivered attempts from now on, "
                f"before 1 in {before}: {self._sampling.reason}"
            )

    def read(self, readings: Readings, now: float) -> None:
        """Add what was meant for the log, what of it was lost, and the share that is meant for it."""
        del now
        # What is lost first: it must never be more than what there was.
        full, unwritten = sum((log.lost() for log in self._logs), Counter[str]()), self._writer.lost()
        self._take()
        one_in = self._sampling.one_in
        for kind in KINDS:
            readings.put(c.FLOW_LOG_EVENTS, (kind,), self._taken[kind] + full[kind])
            readings.put(c.FLOW_LOG_LOST, (kind,), full[kind] + unwritten[kind])
            share = 1 if kind != "delivered" else 1 / one_in if one_in else 0
            readings.put(c.FLOW_LOG_SAMPLING, (kind,), share)

    def close(self) -> None:
        """Write what there is, and end."""
        self._switch(Switch(on=False, one_in=0))
        self._take()
        self._writer.close(_CLOSE_SECONDS)
        for log in self._logs:
            log.close()

    def _switch(self, wanted: Switch) -> None:
        for log in self._logs:
            log.switch(wanted)

    def _take(self) -> None:
        events = [event for log in self._logs for event in log.drain()]
        if not events:
            return
        names = self._places.names
        # The wall clock as it stands now: after it was set, lines say what everybody else says.
        epoch_ns = monotonic_epoch_ns()
        self._taken.update(event.outcome for event in events)
        self._writer.offer(
            [Line(event.outcome, flow_lines.line(event, *_ends(event, names), epoch_ns)) for event in events]
        )


def _ends(event: FlowEvent, names: Names) -> tuple[str, str]:
    """Return the names of the source and the destination."""
    here = names.source(event.netns, event.cgroup)
    return event.role.from_to(here, names.destination(event.workload, event.destination))
