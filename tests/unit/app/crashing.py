"""A controller that is killed at will, over a real store and a node that goes on without it.

Every commit and every call of the node has a point before and one after it. A `Fate` counts them and kills
the process at those it was told, and a lab brings the next one up on what is on disk: nothing else survives.
"""

import contextlib
import functools
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

import sqlalchemy

from netsre import clock
from netsre.alerting import conditions, describe, transitions
from netsre.alerting.describe import NO_LINKS
from netsre.app import kill_switch, runbooks, service_levels
from netsre.app.control import tick
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import Dispatcher
from netsre.app.control.reach import NOTHING
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model.alerts import Alert, AlertSource
from netsre.model.directory import ALONE
from netsre.model.documents import Document
from netsre.model.effects import (
    Block,
    DatapathFacts,
    DoneAtOnce,
    Effect,
    Enforcement,
    Flush,
    InForce,
    Limit,
    LimitFacts,
    ModeFacts,
    Route,
    SourceCount,
    Standing,
    Table,
)
from netsre.model.runbooks import JournalEntry, Run, Runbook
from netsre.model.samples import Scrape, Series, labels
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import Action, NodeRefused, NodeUnreachable
from netsre.store.database import Store, Transaction
from netsre.store.sqlite import FILE_NAME
from tests.unit import burning
from tests.unit.app.fakes import SetClock, world

ASKED = service_levels.load()
BOOK = next(book for book in runbooks.read(()) if book.name == "conntrack-exhaustion")
NETNS = "lab"
NOISY = "10.0.0.9"
INTERVAL = 5 * clock.SECOND
DOWN = 2 * clock.SECOND
"""How long a controller stays dead."""
Answer = TypeVar("Answer")
_METRIC = "netsre_conntrack_utilization_ratio"
_PATIENCE = 600
_NEVER = Timestamp(0)


class Killed(BaseException):
    """The process is gone, with everything that was only in its memory."""


@dataclass
class Fate:
    """Counts the points at which a process can die, over all its lives, and ends it at some of them."""

    dies_at: frozenset[int] = frozenset()
    points: list[str] = field(default_factory=list)
    died_at: set[int] = field(default_factory=set)
    reached: Callable[[], None] = lambda: None
    """Called at every point."""

    def point(self, what: str) -> None:
        """Pass a point, or die there."""
        self.points.append(what)
        self.reached()
        if len(self.points) in self.dies_at:
            self.died_at.add(len(self.points))
            raise Killed(what)


class DyingStore(Store):
    """A store whose process may die right before and right after every commit."""

    fate = Fate()
    before_write: Callable[[], None] = staticmethod(lambda: None)
    """What a test does right before somebody writes."""

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a transaction; a death before the commit undoes it."""
        self.before_write()
        with super().write() as transaction:
            yield transaction
            lines = " ".join(kind.value for kind, _ in transaction.runs.written)
            self.fate.point(f"before commit {lines}")
        self.fate.point(f"after commit {lines}")


@dataclass
class Host:
    """A node that keeps its effects by key over every death of a controller, and ends each in time."""

    clock: SetClock
    noisy: int = 900
    """Entries that the noisy source holds as long as it is not blocked."""
    others: tuple[int, ...] = (20,)
    """Entries of each other source; they stay, whatever is done."""
    limit_now: int = 1000
    most: int = 1_000_000
    held: int = 0
    """Entries that the noisy source holds now."""
    effects_by_key: dict[str, tuple[Effect, Timestamp]] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    """Keys in the order in which something was done for them."""
    asked_again: list[str] = field(default_factory=list)
    """Keys that were to be applied although they had been."""

    def __post_init__(self) -> None:
        """Begin flooded."""
        self.held = self.noisy

    def pass_time(self) -> None:
        """End what is past its deadline, and let the source do what it can."""
        for key, (effect, until) in self.effects_by_key.items():
            if self.standings[key] is Standing.APPLIED and self.clock.at >= until:
                self._end(key, effect)
        if not self.blocked:
            self.held = self.noisy

    @property
    def blocked(self) -> bool:
        """Tell whether the noisy source is blocked."""
        return any(isinstance(held.effect, Block) and held.effect.source == NOISY for held in self.effects())

    def reading(self) -> Scrape:
        """Return what the agent tells of the table now."""
        share = Decimal(self.held + sum(self.others)) / Decimal(self.limit_now)
        series = Series(_METRIC, labels({"table": "kernel", "netns": NETNS}))
        return Scrape(self.clock.at, "a", Timestamp(burning.T0 - clock.HOUR), {series: share})

    def table(self, netns: str) -> Table:
        """Return who fills the table."""
        rows = [(NOISY, self.held), *((f"10.0.1.{n}", count) for n, count in enumerate(self.others))]
        sources = tuple(SourceCount(*row) for row in sorted(rows, key=lambda row: -row[1]) if row[1])
        return Table(netns, sum(count for _, count in rows), self.limit_now, sources)

    def route(self, netns: str, source: str) -> Route:
        """Return where a source comes in."""
        del netns, source
        return Route("eth0", "")

    def limit(self) -> LimitFacts:
        """Return the limit."""
        return LimitFacts(self.limit_now, self.most)

    def enforcement(self, endpoint: str) -> Enforcement:
        """Refuse: nothing is policed here."""
        raise NodeRefused("no_policies", endpoint)

    def prefilter(self) -> ModeFacts:
        """Refuse: nothing is filtered here."""
        raise NodeRefused("no_prefilter", "none")

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Is not asked."""
        raise AssertionError(f"nobody is to ask for this: {netns}")

    def datapath(self) -> DatapathFacts:
        """Is not asked."""
        raise AssertionError("nobody is to ask for this")

    def apply(self, key: str, effect: Effect) -> Document:
        """Apply once per key."""
        if key in self.standings:
            self.asked_again.append(key)
            return {}
        if isinstance(effect, Limit) and effect.before != self.limit_now:
            raise NodeRefused("changed_meanwhile", f"the limit is {self.limit_now}, not {effect.before}")
        self.applied.append(key)
        ttl = 0 if isinstance(effect, DoneAtOnce) else effect.ttl
        self.effects_by_key[key] = effect, Timestamp(self.clock.at + ttl)
        self.standings[key] = Standing.APPLIED
        if isinstance(effect, Flush):
            self.standings[key], deleted, self.held = Standing.APPLIED, self.held, 0
            return {"deleted": deleted}
        if isinstance(effect, Limit):
            self.limit_now = effect.after
        return {"until": clock.rfc3339(self.effects_by_key[key][1])}

    def look(self, key: str, effect: Effect) -> Standing:
        """Return what became of a key."""
        del effect
        return self.standings.get(key, Standing.ABSENT)

    def undo(self, key: str, effect: Effect) -> Document:
        """Take back what is in force."""
        if self.standings.get(key) is Standing.APPLIED and not isinstance(effect, Flush):
            self._end(key, effect)
        return {}

    def effects(self) -> Sequence[InForce]:
        """Return what is in force."""
        return tuple(
            InForce(key, effect, until)
            for key, (effect, until) in self.effects_by_key.items()
            if self.standings[key] is Standing.APPLIED and not isinstance(effect, Flush)
        )

    def _end(self, key: str, effect: Effect) -> None:
        if isinstance(effect, Flush):
            return  # done is done: it has no duration
        self.standings[key] = Standing.ENDED
        if isinstance(effect, Limit):
            self.limit_now = effect.before


LOST_BEFORE, LOST_AFTER, RESTARTED = "not done, no answer", "done, no answer", "agent started again"
FAULTS = (LOST_BEFORE, LOST_AFTER, RESTARTED)


@dataclass
class Wire:
    """The way from a controller to the host: calls are counted, and some are lost."""

    host: Host
    fate: Fate
    faults: dict[int, str] = field(default_factory=dict)
    """What befalls a call, by its number from 1."""
    down_until: Timestamp = _NEVER
    silent: bool = False
    calls: list[str] = field(default_factory=list)
    befallen: list[str] = field(default_factory=list)
    """The faults that happened."""
    before_call: Callable[[str], None] = lambda _name: None
    """What a test does to the world right before a call."""

    def table(self, netns: str) -> Table:
        """Ask for the table."""
        return self._call("table", lambda: self.host.table(netns))

    def route(self, netns: str, source: str) -> Route:
        """Ask for a route."""
        return self._call("route", lambda: self.host.route(netns, source))

    def limit(self) -> LimitFacts:
        """Ask for the limit."""
        return self._call("limit", self.host.limit)

    def enforcement(self, endpoint: str) -> Enforcement:
        """Ask how strictly an endpoint is treated."""
        return self._call("enforcement", lambda: self.host.enforcement(endpoint))

    def prefilter(self) -> ModeFacts:
        """Ask how strictly rules are taken."""
        return self._call("prefilter", self.host.prefilter)

    def timeouts(self, netns: str) -> Mapping[str, int]:
        """Ask for timeouts."""
        return self._call("timeouts", lambda: self.host.timeouts(netns))

    def datapath(self) -> DatapathFacts:
        """Ask for what is known of the policy datapath."""
        return self._call("datapath", self.host.datapath)

    def apply(self, key: str, effect: Effect) -> Document:
        """Have an effect applied."""
        return self._call("apply", lambda: self.host.apply(key, effect))

    def look(self, key: str, effect: Effect) -> Standing:
        """Ask what became of a key."""
        return self._call("look", lambda: self.host.look(key, effect))

    def undo(self, key: str, effect: Effect) -> Document:
        """Have an effect taken back."""
        return self._call("undo", lambda: self.host.undo(key, effect))

    def effects(self) -> Sequence[InForce]:
        """Ask what is in force."""
        return self._call("effects", self.host.effects)

    def _call(self, name: str, do: Callable[[], Answer]) -> Answer:
        self.calls.append(name)
        self.before_call(name)
        self.fate.point(f"before {name}")
        fault = self.faults.get(len(self.calls))
        if fault is not None:
            self.befallen.append(fault)
        if self.silent or self.host.clock.at < self.down_until or fault == LOST_BEFORE:
            raise NodeUnreachable("no answer")
        answer = do()
        if fault is not None:
            self.down_until = Timestamp(self.host.clock.at + (DOWN if fault == RESTARTED else 0))
            raise NodeUnreachable("no answer")
        self.fate.point(f"after {name}")
        return answer


@dataclass(frozen=True)
class End:
    """How everything stands in the end; names of runs are left out, as they tell when an alert fired."""

    runs: tuple[tuple[str, str], ...]
    calls: tuple[str, ...]
    """States of the alerts that called people."""
    applied: tuple[str, ...]
    """Steps, in the order in which the node did them."""
    standings: tuple[tuple[str, str], ...]
    limit: int
    audited: tuple[tuple[str, str], ...]
    """What the audit says was done to the node, and for which step."""


class Lab:
    """A host, and one controller after the other."""

    def __init__(self, directory: pathlib.Path, host: Host, fate: Fate | None = None) -> None:
        """Begin with an empty store."""
        self.directory = directory
        self.host = host
        self.clock = host.clock
        self.fate = fate or Fate()
        self.wire = Wire(host, self.fate)
        self.books: tuple[Runbook, ...] = (BOOK,)
        self.afterwards = 2 * INTERVAL
        """How long it is watched after its run ended: nothing more may happen."""
        self.current: Controller | None = None
        self.people: Callable[[World], None] = lambda _world: None
        """What people do after every turn."""
        self.directory_of = ALONE
        self.outside = NOTHING
        """What others than the node do."""
        self.actions: Mapping[str, Action] = ACTIONS
        self.on_death: Callable[[], None] = lambda: None
        """What a test does to the world while no controller lives."""
        shutil.copy(_empty_database(directory.parent), directory / FILE_NAME)
        store = DyingStore.at(directory, burning.MIGRATIONS)
        assert isinstance(store, DyingStore)
        store.fate = self.fate
        self.store = store
        # A process that dies loses nothing that it committed; only a machine that loses power would.
        sqlalchemy.event.listen(store._engine, "connect", do_not_wait_for_the_disk)
        store.close()

    def begin(self) -> None:
        """Start a controller that reads once and does nothing else."""
        self.current = Controller(self)
        self.current.read()

    def live(self) -> End:
        """Let controllers run until a run has ended and nothing more happens, over every death."""
        while True:
            try:
                self._life()
            except Killed:
                self.on_death()
                self.pass_time(DOWN)
            else:
                return self.end()

    def switch(self, *, on: bool) -> None:
        """Set the kill switch, as a person would."""
        state = kill_switch.switched(on=on, by="test", reason="", at=self.clock.at)
        kill_switch.write(self.directory, state)

    def dawdle(self, length: int) -> None:
        """Let time pass while automation waits for the node: turns read on meanwhile, in their own thread."""
        self.pass_time(length)
        assert self.current is not None
        self.current.read()

    def resolve(self) -> None:
        """End every alert that fires, as a turn beside the run would."""
        with Store.write(self.store) as transaction:
            for alert in transaction.alerts.active(AlertSource.CONDITION).values():
                ended = transitions.end(alert, self.clock.at, transitions.Reason.CONDITION_ENDED)
                tick.record(transaction, ended, self.clock.at)

    def runs(self) -> list[tuple[Run, tuple[JournalEntry, ...]]]:
        """Return every run with its journal, oldest first."""
        with self.store.read() as transaction:
            found = transaction.runs.newest(100)[::-1]
            journals = transaction.runs.journal([run.id for run in found])
            assert not [number for run in found for number in transaction.runs.lines(run.id)[1]]
        return [(run, journals[run.id]) for run in found]

    def alerts(self, name: str) -> list[Alert]:
        """Return every firing of the alerts of a name, newest first."""
        with self.store.read() as transaction:
            found = transaction.alerts.newest(100)
        return [alert for alert in found if dict(alert.labels)["alertname"] == name]

    def calls(self) -> list[Alert]:
        """Return every call for people, newest first."""
        return self.alerts(describe.NEEDS_HUMAN)

    def end(self) -> End:
        """Return how everything stands now."""
        with self.store.read() as transaction:
            rows = [row for row in transaction.audit.rows() if row.verb.startswith("effect.")]
            assert transaction.audit.first_broken() is None
        return End(
            runs=tuple((run.state.value, run.reason) for run, _ in self.runs()),
            calls=tuple(call.state.value for call in self.calls()),
            applied=tuple(_step(key) for key in self.host.applied),
            standings=tuple(sorted((_step(key), held.value) for key, held in self.host.standings.items())),
            limit=self.host.limit_now,
            audited=tuple(sorted((row.verb, _step(row.subject)) for row in rows)),
        )

    def _life(self) -> None:
        controller = self.current = Controller(self)
        quiet = 0
        for _ in range(_PATIENCE):
            controller.turn()
            runs = self.runs()
            quiet = quiet + INTERVAL if runs and all(run.ended for run, _ in runs) else 0
            if quiet > self.afterwards:
                return
            self.pass_time(INTERVAL)
        raise AssertionError("the run does not end")

    def pass_time(self, length: int) -> None:
        """Let time pass."""
        self.clock.at = Timestamp(self.clock.at + length)
        self.host.pass_time()


class Controller:
    """What one process has in its memory."""

    def __init__(self, lab: Lab) -> None:
        """Begin, as after a start."""
        self._lab = lab
        made = world(lab.store, lab.directory, lab.clock, runbooks=lab.books, node=lab.wire)
        self.world = replace(
            made,
            slos={slo.name: slo for slo in ASKED.slos},
            rules=ASKED.alerts,
            interval=INTERVAL,
            directory=lab.directory_of,
            actions=lab.actions,
            outside=lab.outside,
        )
        self._memory = conditions.Memory()
        self._dispatcher = Dispatcher(lab.store, [RunbookChannel(self.world)])

    def read(self) -> Scrape:
        """Take a reading."""
        scrape = self._lab.host.reading()
        self.world.sight.read(scrape)
        return scrape

    def turn(self) -> None:
        """Read, judge, tell, act."""
        scrape, now = self.read(), self._lab.clock.at
        with self._lab.store.write() as transaction:
            active = transaction.alerts.active(AlertSource.CONDITION)
            decision = conditions.decide(ASKED.alerts, [scrape], active, self._memory, now, NO_LINKS)
            for transition in decision.transitions:
                tick.record(transaction, transition, now)
        self._memory = decision.memory
        self.world.switch.watch()
        self._dispatcher.deliver(now)
        Automation(self.world).advance()
        self._lab.people(self.world)


@functools.cache
def _empty_database(directory: pathlib.Path) -> pathlib.Path:
    """Return a database at this version's schema, made once."""
    made = directory / "empty"
    made.mkdir()
    burning.store(made).close()
    return made / FILE_NAME


def do_not_wait_for_the_disk(connection: sqlite3.Connection, _record: object) -> None:
    """Have a connection keep what it commits from the death of its process, and no more."""
    connection.execute("PRAGMA synchronous=OFF")


def _step(key: str) -> str:
    return key.rpartition("/")[2]


@contextlib.contextmanager
def begun_lab(place: pathlib.Path) -> Iterator[Lab]:
    """Yield a lab with a controller that took one reading."""
    directory = place / "data"
    directory.mkdir()
    made = Lab(directory, Host(SetClock()))
    made.begin()
    yield made
    made.store.close()
