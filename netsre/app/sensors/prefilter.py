"""The prefilter that `netsre prefilter` has put here: what it drops and limits, and by which rule."""

from collections import Counter
from pathlib import Path
from typing import Final

from netsre.adapters.bpf.prefilter_pins import Pins, Said
from netsre.adapters.bpf.xdp import Where
from netsre.app.sensors.counting import Pace
from netsre.clock import boottime
from netsre.datapath.policy.gains import NOWHERE, Gains
from netsre.datapath.prefilter import Event
from netsre.datapath.prefilter_totals import RuleTotals
from netsre.metrics.prefilter import put_events, put_interfaces, put_mode, put_rules, put_totals
from netsre.metrics.readings import Readings

_REST: Final = 200
"""Of all time, no more than one part in so many is spent on counting between scrapes: rules may be many."""


class PrefilterSensor:
    """Reads counters where they are pinned; the prefilter may come, go, and be another one at any time.

    Totals begin with the agent, as all of its counters do, and stay when the prefilter goes.
    """

    name = "prefilter"

    def __init__(self, pins: Path) -> None:
        """Look there; nothing there is no error."""
        self._pins = Pins(pins)
        self._said: Said | None = None
        self._totals = RuleTotals()
        self._events = Counter[Event]()
        self._event_gains = Gains[Event]()
        self._pace = Pace(_REST)

    def scan(self, now: float) -> None:
        """Count while the prefilter is there."""
        self._pace.turn(now, lambda: self._look(now))

    def read(self, readings: Readings, now: float) -> None:
        """Add what there is; of a node without a prefilter nothing."""
        try:
            self._look(now)
        finally:
            self._put(readings)

    def _look(self, now: float) -> None:
        before, self._said = self._said, None
        try:
            said = self._pins.read(waits=False)
        except BlockingIOError:
            self._said = before  # Somebody changes rules just now; the next look is soon.
            return
        number = said.number if said is not None else NOWHERE
        self._totals.take(number, said.rules if said is not None else (), now)
        counts = {event: (count,) for event, count in said.events.items()} if said is not None else {}
        for event, (more,) in self._event_gains.take(number, counts):
            self._events[event] += int(more)
        self._said = said

    def _put(self, readings: Readings) -> None:
        put_totals(readings, self._totals)
        if (said := self._said) is None:
            return
        now_ns = boottime()
        put_events(readings, self._events)
        put_rules(readings, (each.rule for each in said.rules), now_ns)
        put_mode(readings, said.state.mode, now_ns)
        on = Counter(said.interfaces.values())
        put_interfaces(readings, {where.value: on[where] for where in Where})
