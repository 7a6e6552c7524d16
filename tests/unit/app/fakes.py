"""A clock that is set, a source that says what it is told to, and a controller's turns on both."""

import pathlib
from collections.abc import Sequence
from decimal import Decimal

from netsre import clock
from netsre.adapters.alert_log import AlertLog
from netsre.alerting.describe import Links
from netsre.app import resources, runbooks, service_levels
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import Dispatcher, LogChannel
from netsre.app.control.snapshot import Board, Recent, Sight
from netsre.app.control.tick import Loop, Parts
from netsre.clock import Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.runbooks import Runbook
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.slo.engine import Engine
from netsre.store.database import Store
from tests.unit import burning

SLOS = tuple(
    slo for slo in service_levels.required((resources.directory("slos"),)) if slo.name == "flow-success"
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

    def scrape(self) -> Scrape:
        """Return the counters, or raise."""
        if self.down is not None:
            raise SourceUnreachable(self.down)
        base = {"direction": "out", "src": "a", "dst": "b", "protocol": "tcp"}
        ok = Series("netsre_flows_total", labels({**base, "outcome": "delivered", "reason": "none"}))
        bad = Series("netsre_flows_total", labels({**base, "outcome": "failed", "reason": "refused"}))
        values = {ok: Decimal(self.delivered), bad: Decimal(self.failed)}
        return Scrape(self._clock.now(), "a", Timestamp(burning.T0 - clock.HOUR), values)


class Machine:
    """A controller without threads, sockets and signals: a test takes its turns."""

    def __init__(
        self,
        store: Store,
        directory: pathlib.Path,
        the_clock: SetClock | None = None,
        source: Source | None = None,
        runbooks: Sequence[Runbook] = RUNBOOKS,
    ) -> None:
        """Begin from what the store holds, as after a start."""
        self.clock = the_clock or SetClock()
        self.source = source or Source(self.clock)
        self.store = store
        self.board = Board(self.clock.now())
        with store.read() as transaction:
            engine = Engine(SLOS, transaction.history.buckets(Timestamp(0)), transaction.history.cursors())
        self.sight = sight = Sight()
        channels = (LogChannel(AlertLog(directory / "alerts.jsonl")), RunbookChannel(runbooks))
        self.loop = Loop(
            Parts(
                client=self.source,
                engine=engine,
                store=store,
                dispatcher=Dispatcher(store, channels),
                automation=Automation(
                    store, {book.name: book for book in runbooks}, ACTIONS, sight, self.clock
                ),
                board=self.board,
                sight=sight,
                recent=Recent(),
                clock=self.clock,
                links=Links("http://localhost:8600"),
                hold=HOLD,
            )
        )

    def turn(self, delivered: int = 100, failed: int = 0) -> None:
        """Let fifteen seconds pass with so many attempts, and take a turn."""
        self.clock.at = Timestamp(self.clock.at + 15 * clock.SECOND)
        self.source.delivered += delivered
        self.source.failed += failed
        self.loop.tick()

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
