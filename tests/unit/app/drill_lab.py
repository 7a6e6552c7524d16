"""A lab, a node and an automation that a test moves by the second, and an engine that can die anywhere."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from netsre import clock, conventions
from netsre.alerting.transitions import Reason, begin
from netsre.alerting.webhook import Notice
from netsre.app.control import tick
from netsre.app.control.drill_world import Ground, LabRefused, LabSilent
from netsre.app.control.drills import Drills
from netsre.app.control.snapshot import Sight
from netsre.clock import Timestamp
from netsre.errors import StoreUnusable
from netsre.gameday.decide import Gate
from netsre.gameday.progress import Seen
from netsre.model.alert_rules import AlertRule
from netsre.model.alerts import Alert, AlertSource
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    DatapathFacts,
    Effect,
    Enforcement,
    InForce,
    LimitFacts,
    ModeFacts,
    Route,
    Standing,
    Table,
)
from netsre.model.gamedays import Drill, Expectation, Flood, GameDay, Profile
from netsre.model.levels import Evaluation, Origin, Selector
from netsre.model.runbooks import Run, RunState
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook import journal as run_lines
from netsre.runbook.actions.contract import NodeUnreachable
from netsre.store.database import Store, Transaction
from tests.unit import burning
from tests.unit.app.fakes import SetClock

SERVER = "netsre-lab-7-1-srv"
ALERT = "ConntrackUtilization"
RUN = "answering"
LIMIT = 262_144
BLOCK = Block(SERVER, "cli-b", "198.18.2.2", 10 * clock.MINUTE)
GAMEDAY = GameDay(
    name="conntrack-flood",
    hypothesis="It heals.",
    fault=Flood("udp", 3 * clock.MINUTE),
    expect=Expectation(ALERT, "conntrack-exhaustion", "conntrack-headroom"),
    deadlines={"detected": 30_000, "paged": 35_000, "mitigated": 40_000, "verified": 60_000},
    abort_below=None,
    schedule=None,
    origin=Origin("gamedays/conntrack-flood.yaml", 1),
)
_RULE = AlertRule(
    name=ALERT,
    service="node-conntrack",
    description="The table is nearly full.",
    labels=(),
    selector=Selector(conventions.CONNTRACK_UTILIZATION),
    group_by=("node", "netns"),
    op=">",
    value=Decimal("0.8"),
    hold=0,
    clear_value=Decimal("0.7"),
    clear_hold=0,
    severity="page",
    runbook="conntrack-exhaustion",
    origin=Origin("slos/conntrack.yaml", 1),
)
_SLO = replace(
    burning.slo("conntrack-headroom"), objective=Fraction(99, 100), group_by=("node", "netns"), policy=None
)


class Killed(BaseException):
    """The process died here; nothing in it may catch that."""


class Fuse:
    """Counts the points at which a process can die, and lets it die at one of them."""

    def __init__(self, at: int | None = None) -> None:
        """Burn at the `at`-th point, counted from 0."""
        self.at = at
        self.passed = 0
        self.disk_full = False

    def point(self) -> None:
        """Be at a point."""
        here, self.passed = self.passed, self.passed + 1
        if here == self.at:
            raise Killed

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        """Be at one point before something is done, and at another after it."""
        self.point()
        yield
        self.point()


@dataclass
class FakeLab:
    """A noisy client that outlives those who command it."""

    clock: SetClock
    fuse: Fuse
    server: str = SERVER
    silent: bool = False
    deaf: bool = False
    """It hears, and does, what it never answers."""
    refuses: str = ""
    stubborn: bool = False
    """It does not stop."""
    begun: dict[str, Timestamp] = field(default_factory=dict)
    until: dict[str, Timestamp] = field(default_factory=dict)
    began: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)

    def runs(self, key: str) -> bool:
        """Tell whether a flood runs now."""
        return key in self.begun and key not in self.stopped and self.clock.at < self.until[key]

    def begin(self, key: str, profile: Profile, milliseconds: int) -> Timestamp:
        """Begin a flood once."""
        del profile
        with self.fuse.around():
            self._answer()
            if self.refuses:
                raise LabRefused(self.refuses, "the lab refuses")
            assert not any(self.runs(other) for other in self.begun), "two floods at once"
            if key in self.stopped:
                raise LabRefused("ended", "it was stopped before it began")
            self.begun[key] = self.clock.at
            self.until[key] = Timestamp(self.clock.at + milliseconds)
            self.began.append(key)
            if self.deaf:
                raise LabSilent("no answer")
        return self.clock.at

    def stop(self, key: str) -> None:
        """End a flood."""
        with self.fuse.around():
            self._answer()
            if not self.stubborn:
                self.stopped.add(key)

    def seen(self, key: str) -> Seen:
        """Return what became of a flood."""
        self._answer()
        return Seen(running=True, begun_at=self.begun[key]) if self.runs(key) else Seen(False, None)

    def figures(self, key: str) -> Document:
        """Return what was sent."""
        self._answer()
        return {"sent": 1000 if key in self.begun else 0, "failed": 0}

    def _answer(self) -> None:
        if self.silent:
            raise LabSilent("no answer")


@dataclass
class FakeNode:
    """A node with a limit and effects."""

    fuse: Fuse
    clock: SetClock
    now: int = LIMIT
    silent: bool = False
    standing: dict[str, Effect] = field(default_factory=dict)

    def limit(self) -> LimitFacts:
        """Return the limit."""
        self._answer()
        return LimitFacts(self.now, 4 * LIMIT)

    def effects(self) -> Sequence[InForce]:
        """Return what is in force."""
        self._answer()
        return [InForce(key, effect, self.clock.at) for key, effect in self.standing.items()]

    def undo(self, key: str, effect: Effect) -> Document:
        """Take an effect back."""
        with self.fuse.around():
            self._answer()
            assert self.standing.pop(key, effect) == effect
        return {}

    def table(self, netns: str) -> Table:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {netns}")

    def route(self, netns: str, source: str) -> Route:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {netns} {source}")

    def enforcement(self, endpoint: str) -> Enforcement:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {endpoint}")

    def prefilter(self) -> ModeFacts:
        """Is not asked by drills."""
        raise AssertionError("nobody is to ask for this")

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {netns}")

    def datapath(self) -> DatapathFacts:
        """Is not asked by drills."""
        raise AssertionError("nobody is to ask for this")

    def apply(self, key: str, effect: Effect) -> Document:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {key} {effect}")

    def look(self, key: str, effect: Effect) -> Standing:
        """Is not asked by drills."""
        raise AssertionError(f"nobody is to ask for this: {key} {effect}")

    def _answer(self) -> None:
        if self.silent:
            raise NodeUnreachable("no answer")


class FusedStore:
    """A store at which a process can die before and after every transaction that writes."""

    def __init__(self, store: Store, fuse: Fuse) -> None:
        """Stand before a store."""
        self._store = store
        self._fuse = fuse

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction that may write."""
        with self._fuse.around(), self._store.write() as transaction:
            yield transaction
            if self._fuse.disk_full:
                raise StoreUnusable("database: disk is full")

    def read(self) -> contextlib.AbstractContextManager[Transaction]:
        """Open a view."""
        return self._store.read()


class Range:
    """Everything that a drill meets; what answers the fault does so after so many seconds, None never."""

    def __init__(self, store: Store, *, alertmanagers: bool = True) -> None:
        """Begin with a quiet lab."""
        self.store = store
        self.clock = SetClock()
        self.fuse = Fuse()
        self.lab: FakeLab | None = FakeLab(self.clock, self.fuse)
        self.node = FakeNode(self.fuse, self.clock)
        self.sight = Sight(self.node)
        self.switch = Gate.ACCEPTED
        self.refusal = ""
        self.alertmanagers = alertmanagers
        self.gamedays = {GAMEDAY.name: GAMEDAY}
        self.beyond_after: int | None = 3
        self.paged_after: int | None = 1
        self.run_after: int | None = 1
        self.verified_after: int | None = 15
        self.received_after: int | None = 2
        self.run_ends = RunState.SUCCEEDED
        self.bad, self.total = 0, 100
        self._full_since: Timestamp | None = None
        self.scrape()

    def drills(self) -> Drills:
        """Return the engine as after a start."""
        fused: Store = FusedStore(self.store, self.fuse)  # type: ignore[assignment]  # what drills use of one
        ground = Ground(
            store=fused,
            gamedays=self.gamedays,
            lab=self.lab,
            sight=self.sight,
            slos={_SLO.name: _SLO},
            rules={ALERT: _RULE},
            switch=lambda: self.switch,
            refusal=lambda _gameday, _netns: self.refusal,
            alertmanagers=self.alertmanagers,
            interval=5 * clock.SECOND,
            clock=self.clock,
        )
        return Drills(ground, lambda: None)

    def second(self) -> None:
        """Let a second pass for everybody but the engine."""
        self.clock.at = Timestamp(self.clock.at + clock.SECOND)
        running = [key for key in (self.lab.begun if self.lab else {}) if self.lab and self.lab.runs(key)]
        if running and self.lab is not None and self.beyond_after is not None:
            since = self.lab.begun[running[0]]
            if abs(self.clock.at - since) >= self.beyond_after * clock.SECOND and self._full_since is None:
                self._full_since = self.clock.at
        self.scrape()
        if self._full_since is not None:
            self._answer((self.clock.at - self._full_since) // clock.SECOND)

    def set_clock(self, step: int) -> None:
        """Set the clock; what goes on in the lab and on the node goes by another, which nobody sets."""
        self.clock.at = Timestamp(self.clock.at + step)
        if self._full_since is not None:
            self._full_since = Timestamp(self._full_since + step)
        if self.lab is not None:
            self.lab.until = {key: Timestamp(until + step) for key, until in self.lab.until.items()}

    def scrape(self) -> None:
        """Have the readings say what the table is like."""
        full = self._full_since is not None
        self.total += 1
        self.bad += full
        where = labels({"table": "kernel", "netns": SERVER})
        values = {Series(conventions.CONNTRACK_UTILIZATION, where): Decimal("0.97" if full else "0.01")}
        self.sight.read(Scrape(self.clock.at, "a", burning.T0, values))
        self.sight.evaluated((self._evaluation(),))

    def drill(self, drill_id: str) -> Drill:
        """Return a drill as it is on record."""
        with self.store.read() as transaction:
            drill = transaction.drills.find(drill_id)
        assert drill is not None
        return drill

    def alert(self) -> Alert:
        """Return the alert as it began."""
        assert self._full_since is not None
        identity = labels({"alertname": ALERT, "node": "a", "netns": SERVER, "severity": "page"})
        return begin(identity, {}, self._full_since, Reason.CONDITION_STARTED, AlertSource.CONDITION).alert

    def fire(self) -> None:
        """Have the expected alert fire now."""
        self._full_since = self._full_since or self.clock.at
        with self.store.write() as transaction:
            began = begin(
                self.alert().labels, {}, self.clock.at, Reason.CONDITION_STARTED, AlertSource.CONDITION
            )
            tick.record(transaction, began, self.clock.at)

    def _evaluation(self) -> Evaluation:
        group = labels({"node": "a", "netns": SERVER})
        found = burning.evaluation({}, of=_SLO, group=group)
        return replace(found, at=self.clock.at, bad=Decimal(self.bad), total=Decimal(self.total))

    def _answer(self, seconds: int) -> None:
        alert = self.alert()
        with self.store.write() as transaction:
            if seconds == 0:
                tick.record(
                    transaction,
                    begin(alert.labels, {}, alert.fired_at, Reason.CONDITION_STARTED, AlertSource.CONDITION),
                    alert.fired_at,
                )
                for message in transaction.outbox.due("log", self.clock.at, 10, clock.MINUTE):
                    transaction.outbox.delivered(message, self.clock.at)
            if seconds == self.paged_after and self.alertmanagers:
                transaction.pages.accepted("http://am", [alert], self.clock.at)
            if seconds == self.received_after and self.alertmanagers:
                self._receive(transaction, alert)
            if seconds == self.run_after:
                self._run(transaction, alert)
            if seconds == self.verified_after and self.run_after is not None:
                run = transaction.runs.find(RUN)
                assert run is not None
                ended = replace(run, state=self.run_ends, reason="over", ended_at=self.clock.at)
                transaction.runs.change(ended)

    def _run(self, transaction: Transaction, alert: Alert) -> None:
        run = Run(
            RUN, "conntrack-exhaustion", alert.fingerprint, alert.fired_at, "conntrack/a",
            RunState.EXECUTING, "accepted", self.clock.at, None,
        )  # fmt: skip
        transaction.runs.add(run)
        key = f"{RUN}/1"
        self.node.standing[key] = BLOCK
        for line in (
            run_lines.observing(0, "evidence.collect", {}),
            run_lines.observed(0, "evidence.collect", {}),
            run_lines.applying(1, "datapath.block_source", key, BLOCK),
            run_lines.applied(1, "datapath.block_source", {}),
        ):
            transaction.runs.write(run.id, self.clock.at, line.kind, line.step, line.action, line.data)

    def _receive(self, transaction: Transaction, alert: Alert) -> None:
        notice = Notice(alert.fingerprint, alert.labels, {}, alert.state, alert.fired_at, None)
        transaction.received.keep([notice], self.clock.at)
