"""The balancer that `netsre balance apply` has put here: who is given what, and what is wrong with it."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre import conventions as c
from netsre.adapters.bpf import balance_reading
from netsre.adapters.bpf.balance_reading import InForce, Said
from netsre.app.balancing.state import FILE, Place, State
from netsre.app.sensors.counting import Pace, put_usage
from netsre.clock import boottime
from netsre.datapath.balance import contents, layouts
from netsre.datapath.balance.contents import Member, Numbering, Numbers
from netsre.datapath.balance.totals import BalanceTotals, Pair
from netsre.datapath.policy.gains import NOWHERE, Gains
from netsre.datapath.services import Service
from netsre.errors import EnvironmentUnfit
from netsre.metrics.balance import put_events, put_given, put_members
from netsre.metrics.readings import Readings

_REST: Final = 200
"""Of all time, no more than one part in so many is spent on counting between scrapes: it all stays there."""


class BalanceSensor:
    """Reads counters where they are pinned, and names where they are remembered; either may come and go.

    Totals begin with the agent, as all of its counters do; those of services that are gone go.
    """

    name = "balance"

    def __init__(self, pins: Path, state: Path) -> None:
        """Look there; nothing there is no error."""
        self.services: Mapping[Service, str] = MappingProxyType({})
        """What is balanced now, and what it is called."""
        self._pins = pins
        self._place = Place(state)
        self._stamp: tuple[int, ...] = ()
        self._state = State()
        self._known: InForce | None = None
        self._said: Said | None = None
        self._names: Mapping[bytes, Pair] = {}
        self._members: list[Member] = []
        self._totals = BalanceTotals()
        self._events = Counter[str]()
        self._event_gains = Gains[str]()
        self._pace = Pace(_REST)

    def scan(self, now: float) -> None:
        """Count while the balancer is there, and the names are known."""
        self._pace.turn(now, self._look)

    def read(self, readings: Readings, now: float) -> None:
        """Add what there is; of a node without a balancer nothing."""
        del now
        try:
            self._look()
        finally:
            self._put(readings)

    def _put(self, readings: Readings) -> None:
        if (said := self._said) is None:
            return
        put_given(readings, self._totals)
        put_members(readings, self._members, self.services.values())
        put_events(readings, {event: self._events[event] for event in layouts.EVENTS})
        put_usage(readings, balance_reading.usage(self._pins, self._events))
        readings.put(c.BALANCE_REVISION, (), said.now.revision)
        readings.put(c.BALANCE_ATTACHED, (), int(balance_reading.is_attached(self._pins)))

    def _look(self) -> None:
        self._said = None
        # Counters first: whoever puts a revision into force writes its names down before.
        said = balance_reading.read(self._pins, self._known, boottime())
        try:
            self._remember(said.now if said is not None else None)
        finally:
            self._count(said)

    def _count(self, said: Said | None) -> None:
        balancer = said.now.balancer if said is not None else NOWHERE
        self._totals.take(balancer, said.counts if said is not None else {}, self._names)
        events = {event: (count,) for event, count in said.events.items()} if said is not None else {}
        for event, (more,) in self._event_gains.take(balancer, events):
            self._events[event] += int(more)
        self._said = said

    def _remember(self, now: InForce | None) -> None:
        """Name what there is anew where it, or the file with its names, is another one; raises `OSError`."""
        stamp = self._place.stamp(FILE)
        if stamp == self._stamp and now is self._known:
            return
        if stamp != self._stamp:
            try:
                self._state = self._place.read()
            except EnvironmentUnfit as error:
                raise OSError(str(error)) from error
            self._stamp = stamp
        self._known = now
        self._name(now)

    def _name(self, now: InForce | None) -> None:
        self._names, self._members, self.services = {}, [], {}
        if now is None:
            return
        numbers = Numbers(backends=Numbering(now.backends))
        if self._state.balancer == now.balancer:
            numbers.names.update(self._state.numbers.names)
            numbers.tables.update(self._state.numbers.tables)
        called = contents.named(now.every, numbers)
        self._names = {key: (service, backend) for key, (service, _, backend) in called.items()}
        self._members = contents.members(now.content, numbers)
        self.services = {
            Service(*layouts.address_of(end), protocol): called[layouts.COUNT_KEY.pack(number, 0)][0]
            for place, value in now.content.services.items()
            for end, protocol in [layouts.PLACE.unpack(place)]
            for number, _ in [layouts.SERVICE.unpack(value)]
        }
