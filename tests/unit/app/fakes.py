"""A clock that is set, a source that says what it is told to, and a controller's turns on both."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

from netsre import clock
from netsre.adapters.alert_log import AlertLog
from netsre.adapters.control.node import NoNode
from netsre.alerting.describe import Links
from netsre.app import resources, runbooks, service_levels
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import Dispatcher, LogChannel
from netsre.app.control.snapshot import Board, Recent, Sight
from netsre.app.control.sources import AgentSource
from netsre.app.control.switch import SwitchWatch
from netsre.app.control.tick import Loop, Parts
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.clock import Clock, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.alert_rules import AlertRule
from netsre.model.runbooks import Runbook
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import Action, Node
from netsre.slo.engine import Engine
from netsre.store.database import Store
from tests.unit import burning

SLOS = tuple(
    slo for slo in service_levels.required((resources.directory("slos"),)).slos if slo.name == "flow-success"
)
RUNBOOKS = runbooks.read((resources.directory("runbooks"),))
HOLD = clock.MINUTE


class SetClock:
    """A clock that only moves when told."""

    def __init__(self, at: Timestamp = burning.T0) -> None:
        """Begin at a time."""
        self.at = at

    def now(self) -> Timestamp:
        """Return the time."""
        return self.at


class Source:
    """A source whose counters a test moves; `down` makes it unreachable."""

    def __init__(self, the_clock: SetClock) -> None:
        """Begin with counters at zero."""
        self._clock = the_clock
        self.delivered = 0
        self.failed = 0
        self.down: str | None = None
        self.gauges: dict[Series, Decimal] = {}

    def scrape(self) -> Scrape:
        """Return the counters, or raise."""
        if self.down is not None:
            raise SourceUnreachable(self.down)
        base = {"direction": "egress", "src": "a", "dst": "b", "protocol": "tcp"}
        ok = Series("netsre_flows_total", labels({**base, "outcome": "delivered", "reason": "none"}))
        bad = Series("netsre_flows_total", labels({**base, "outcome": "failed", "reason": "refused"}))
        values = {ok: Decimal(self.delivered), bad: Decimal(self.failed), **self.gauges}
        return Scrape(self._clock.now(), "a", Timestamp(burning.T0 - clock.HOUR), values)


def world(
    store: Store,
    directory: pathlib.Path,
    the_clock: Clock | None = None,
    *,
    runbooks: Sequence[Runbook] = RUNBOOKS,
    actions: Mapping[str, Action] = ACTIONS,
    node: Node | None = None,
) -> World:
    """Return what automation works with, as after a start: the kill switch is off unless it was set."""
    asked = the_clock or SetClock()
    switch = SwitchWatch(store, directory, Board(asked.now()), asked)
    switch.begin()
    return World(
        store=store,
        runbooks={book.name: book for book in runbooks},
        actions=actions,
        sight=Sight(node or NoNode()),
        slos={slo.name: slo for slo in SLOS},
        rules=(),
        switch=switch,
        node="a",
        interval=15 * clock.SECOND,
        clock=asked,
        links=Links("http://localhost:8600"),
    )


class Machine:
    """A controller without threads, sockets and signals: a test takes its turns."""

    def __init__(
        self,
        store: Store,
        directory: pathlib.Path,
        the_clock: SetClock | None = None,
        source: Source | None = None,
        runbooks: Sequence[Runbook] = RUNBOOKS,
        rules: tuple[AlertRule, ...] = (),
    ) -> None:
        """Begin from what the store holds, as after a start."""
        self.clock = the_clock or SetClock()
        self.source = source or Source(self.clock)
        self.store = store
        self.board = Board(self.clock.now())
        with store.read() as transaction:
            engine = Engine(SLOS, transaction.history.buckets(), transaction.history.cursors())
        asked = world(store, directory, self.clock, runbooks=runbooks)
        watch = SwitchWatch(store, directory, self.board, self.clock)
        watch.watch()
        self.world = dataclasses.replace(asked, rules=rules, switch=watch)
        self.sight = self.world.sight
        channels = (LogChannel(AlertLog(directory / "alerts.jsonl")), RunbookChannel(self.world))
        dispatcher = Dispatcher(store, channels)
        self.worker = Worker(
            (
                Duty("delivery", lambda: dispatcher.deliver(self.clock.now())),
                Duty("runs", Automation(self.world).advance),
            ),
            self.board,
        )
        self.loop = Loop(
            Parts(
                source=AgentSource(self.source),
                past=None,
                expressions=None,
                engine=engine,
                rules=rules,
                store=store,
                wake=self.worker.wake,
                board=self.board,
                sight=self.sight,
                recent=Recent.of(engine.history, self.clock.now()),
                clock=self.clock,
                links=self.world.links,
                hold=HOLD,
            )
        )

    def turn(self, delivered: int = 100, failed: int = 0) -> None:
        """Let fifteen seconds pass with so many attempts, take a turn, and act on it."""
        self.clock.at = Timestamp(self.clock.at + 15 * clock.SECOND)
        self.source.delivered += delivered
        self.source.failed += failed
        self.loop.tick()
        self.worker.round()

    def held(self, severity: str) -> bool:
        """Tell whether an alert of a severity is being held before it ends."""
        with self.store.read() as transaction:
            active = transaction.alerts.active().values()
        return any(
            dict(alert.labels)["severity"] == severity and alert.clearing_since is not None
            for alert in active
        )

    def burn(self) -> None:
        """Take two turns after which page and ticket fire."""
        self.turn()
        self.turn(failed=100)
