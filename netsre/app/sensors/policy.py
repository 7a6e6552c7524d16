"""The policy datapath that `netsre policy apply` has put here: what it decides, and how changes went."""

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf import policy_reading, policy_refused, policy_retiring
from netsre.adapters.bpf.policy_reading import Said
from netsre.app.policing import followed
from netsre.app.policing.state import FILE, Place, State
from netsre.app.sensors.counting import Pace
from netsre.clock import boottime
from netsre.datapath.policy import verdicts
from netsre.datapath.policy.compiles import Kind, Took
from netsre.datapath.policy.conntrack import Event
from netsre.datapath.policy.gains import NOWHERE, Counts, Gains
from netsre.datapath.policy.modes import Mode
from netsre.datapath.policy.unexpected import RefusedTotals
from netsre.datapath.policy.verdicts import Names, VerdictTotals
from netsre.errors import EnvironmentUnfit
from netsre.metrics.policy import put_compiles, put_events, put_modes, put_refused, put_trial, put_verdicts
from netsre.metrics.readings import Readings

_REST: Final = 200
"""Of all time, no more than one part in so many is spent on counting between scrapes: it all stays there."""
_RETIRE_SECONDS: Final = 60.0
_EVENTS: Final = frozenset(map(int, Event))


class PolicySensor:
    """Reads counters where they are pinned, and names where they are remembered; either may come and go.

    Totals begin with the agent, as all of its counters do, and stay when the datapath goes.
    """

    name = "policy"

    def __init__(self, pins: Path, state: Path) -> None:
        """Look there; nothing there is no error."""
        self._pins = pins
        self._place = Place(state)
        self._stamp: tuple[int, ...] = ()
        self._state = State()
        self._names = Names()
        self._endpoints: dict[int, str] = {}
        self._said: Said | None = None
        self._verdicts = VerdictTotals()
        self._refused = RefusedTotals()
        self._events = Counter[Event]()
        self._event_gains = Gains[int]()
        self._compiles: dict[Kind, Took] = {}
        self._compile_gains = Gains[Kind]()
        self._pace = Pace(_REST)
        self._retired_at = float("-inf")
        self._idle: Mapping[bytes, Counts] = {}
        """What counters had that no revision or order has, when room was made last."""

    def scan(self, now: float) -> None:
        """Count while the datapath is there, and the names are known; make room of what is gone."""
        self._pace.turn(now, lambda: self._turn(now))

    def read(self, readings: Readings, now: float) -> None:
        """Add what there is; of a node without policies nothing."""
        del now
        try:
            self._look()
        finally:
            self._put(readings)

    def _put(self, readings: Readings) -> None:
        put_compiles(readings, self._compiles)
        self._put_following(readings)
        if (said := self._said) is None:
            return
        put_verdicts(readings, self._verdicts)
        put_refused(readings, self._refused)
        readings.put(c.POLICY_ORDERS, (), sum(one.holds(boottime()) for one in said.orders))
        put_events(readings, {event: self._events[event] for event in Event})
        put_modes(readings, said.everybody, said.endpoints, boottime())
        readings.put(c.POLICY_REVISION, (), said.revision)
        if (made := self._state.made.get(said.revision)) is not None:
            readings.put(c.POLICY_RULES, (), made.rules)
            staged = {Mode.MONITOR: made.monitored, Mode.OFF: made.off}
            left = said.until_ns - boottime() if said.until_ns else None
            put_trial(readings, staged, made.canary, left)

    def _put_following(self, readings: Readings) -> None:
        with contextlib.suppress(EnvironmentUnfit):  # nobody can tell; the command of status says why
            if (found := followed.read(self._place.directory)) is not None:
                readings.put(c.POLICY_FOLLOWING, (followed.state(*found),), 1)

    def _turn(self, now: float) -> None:
        self._look()
        if now - self._retired_at >= _RETIRE_SECONDS:
            self._retired_at = now
            self._retire(now)

    def _retire(self, now: float) -> None:
        """Have the kernel give up counters of what no revision or order has; not where names were lost.

        Only those that stand still since the last time: another agent of this node has read them by then, and
        does not lose what was counted last.
        """
        said, before = self._said, self._idle
        self._idle = {}
        if said is None or not said.kept <= self._state.made.keys():
            return
        numbers = self._state.numbers
        # The name of an order is kept for as long as something is counted under it, and so says nothing here.
        rules = {*numbers.rules.known.values(), *(one.rule for one in said.orders)}
        identities = {*numbers.identities.values()}
        self._idle = {key: said.counts[key] for key in verdicts.gone(said.counts, rules, identities)}
        keys = {key for key, counts in self._idle.items() if before.get(key) == counts}
        taken = policy_retiring.retire(self._pins, said.number, keys) if keys else {}
        self._verdicts.end(taken, now)

    def _look(self) -> None:
        self._said = None
        # Counters first: whoever puts a revision into force writes its names down before.
        said, refused = policy_reading.read(self._pins, boottime()), policy_refused.pinned(self._pins)
        try:
            self._remember()
        finally:
            self._count(said, refused)

    def _count(self, said: Said | None, refused: policy_refused.Said) -> None:
        number = said.number if said is not None else NOWHERE
        self._verdicts.take(number, said.counts if said is not None else {}, self._names)
        for event, (more,) in self._event_gains.take(number, said.events if said is not None else {}):
            if event in _EVENTS:
                self._events[Event(event)] += int(more)
        gone = refused.evicted + refused.lost
        self._refused.take(refused.number, refused.entries, gone, self._endpoints, boottime())
        self._said = said

    def _remember(self) -> None:
        """Read names and compiles again if the file is another one; raises `OSError`."""
        stamp = self._place.stamp(FILE)
        if stamp != self._stamp:
            try:
                self._state = self._place.read()
            except EnvironmentUnfit as error:
                raise OSError(str(error)) from error
            self._stamp = stamp
            numbers = self._state.numbers
            self._names = Names.of(self._state.rules, numbers.identities)
            self._endpoints = {number: name for name, number in numbers.endpoints.known.items()}
        counts = {kind: (*took.counts, took.seconds) for kind, took in self._state.compiles.items()}
        for kind, (*more, seconds) in self._compile_gains.take(1, counts):
            known = self._compiles.get(kind, Took())
            sums = tuple(one + int(other) for one, other in zip(known.counts, more, strict=True))
            self._compiles[kind] = Took(sums, known.seconds + seconds)
