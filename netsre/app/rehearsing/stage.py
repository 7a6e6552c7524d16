"""Where scenarios are played: one database in memory, and one controller after the other upon it.

The controllers are real: the same turns, gates, journal and settling as in production. Made up are what they
read, the node that they act upon, and the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from netsre import clock
from netsre.alerting.describe import Links
from netsre.app import kill_switch, resources
from netsre.app.control.snapshot import Board, Sight
from netsre.app.control.switch import SwitchWatch
from netsre.app.control.world import World
from netsre.app.rehearsing.outside import VirtualOthers
from netsre.app.rehearsing.points import PointedStore, WatchedStore
from netsre.app.service_levels import ServiceLevels
from netsre.clock import Timestamp
from netsre.model.alert_rules import AlertRule
from netsre.model.levels import SLO, PromqlIndicator
from netsre.model.runbooks import Runbook
from netsre.model.samples import Series
from netsre.model.scenarios import NODE, Curved, Scenario, SwitchWord, Told
from netsre.runbook.actions.catalogue import allowing
from netsre.runbook.actions.contract import Node
from netsre.slo.increments import key_of
from netsre.slo.recording import keys_of
from netsre.store.memory import MemoryDatabase
from netsre.store.migrations import Migrations

BEGIN: Final = clock.parse_rfc3339("2026-01-01T00:00:00Z")
"""When every scenario begins."""
_BY: Final = "scenario"


@dataclass
class VirtualClock:
    """A clock that goes when it is told."""

    at: Timestamp = BEGIN

    def now(self) -> Timestamp:
        """Return the time."""
        return self.at


@dataclass(frozen=True, slots=True)
class Watched:
    """What is evaluated in a scenario."""

    slos: tuple[SLO, ...]
    rules: tuple[AlertRule, ...]


class Stage:
    """Everything that scenarios share."""

    def __init__(self, books: Mapping[str, Runbook], levels: ServiceLevels, directory: Path) -> None:
        """Prepare a database, and a kill switch in a directory of its own."""
        self.books = books
        self.levels = levels
        self._directory = directory
        self._database = MemoryDatabase()
        self._migrations = Migrations.load(str(resources.directory("migrations")))
        self._database.upgrade(self._migrations)
        self._slos = tuple(slo for slo in levels.slos if not isinstance(slo.indicator, PromqlIndicator))
        self._keys = {slo.name: keys_of(slo) for slo in self._slos}
        self.switch("off")
        watch = SwitchWatch(self.store(), directory, Board(BEGIN), VirtualClock())
        watch.begin()
        self._off = (directory / kill_switch.FILE_NAME).read_bytes()
        self._database.keep()

    def store(self) -> PointedStore:
        """Return the store."""
        return WatchedStore(self._database, self._migrations)

    def clear(self) -> None:
        """Have everything as at the beginning."""
        self._database.restore()
        path = self._directory / kill_switch.FILE_NAME
        if path.read_bytes() != self._off:
            path.write_bytes(self._off)

    def switch(self, state: SwitchWord, now: Timestamp = BEGIN) -> None:
        """Set the kill switch."""
        path = self._directory / kill_switch.FILE_NAME
        if state == "unreadable":
            path.write_text("?", encoding="utf-8")
        else:
            said = kill_switch.switched(on=state == "on", by=_BY, reason=_BY, at=now)
            kill_switch.write(self._directory, said)

    def watched(self, scenario: Scenario) -> "Watched":
        """Return what is evaluated in a scenario: whatever its series say something about."""
        series = _all_series(scenario)
        keys = {key_of(one) for one in series}
        names = {one.name for one in series}
        told = {
            dict(event.deed.labels)["alertname"] for event in scenario.events if isinstance(event.deed, Told)
        }
        rules = tuple(
            rule for rule in self.levels.alerts if rule.selector.metric in names and rule.name not in told
        )
        return Watched(tuple(slo for slo in self._slos if self._keys[slo.name] <= keys), rules)

    def world(
        self, store: PointedStore, scenario: Scenario, others: VirtualOthers, the_clock: VirtualClock
    ) -> World:
        """Return what a controller knows after its start."""
        book = self.books[scenario.runbook]
        watch = SwitchWatch(store, self._directory, Board(the_clock.at), the_clock)
        return World(
            store=store,
            runbooks=MappingProxyType({book.name: book}),
            actions=allowing(others.allowed),
            sight=Sight(cast("Node", others.node), NODE),
            slos=MappingProxyType({slo.name: slo for slo in self.levels.slos}),
            rules=self.levels.alerts,
            switch=watch,
            node=NODE,
            interval=scenario.given.interval,
            clock=the_clock,
            links=Links("http://127.0.0.1:8600"),
            directory=scenario.given.directory,
            outside=others.outside(the_clock),
        )


def _all_series(scenario: Scenario) -> set[Series]:
    found = {*scenario.given.series}
    for one in scenario.during:
        found.update(one.series)
    for event in scenario.events:
        if isinstance(event.deed, Curved):
            found.update(event.deed.series)
    return found
