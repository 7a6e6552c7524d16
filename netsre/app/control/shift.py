"""All parts of a controller for one term, or for as long as it stands by; a new term begins with new ones.

Who stands by reads and is read: its API tells what the database holds, its door takes alerts, which the
leader finds there, and it looks at the kill switch. Nothing of it evaluates, pages or acts.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from netsre import clock
from netsre.adapters.agent_client import AgentClient
from netsre.adapters.alert_log import FILE_NAME as ALERT_LOG
from netsre.adapters.alert_log import AlertLog
from netsre.adapters.alertmanager import Alertmanager, Bounds
from netsre.adapters.control.node import AgentNode, NoNode
from netsre.adapters.http_calls import HttpCaller
from netsre.adapters.secrets import Secrets
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.alerting.routing import ClientMute
from netsre.app import slack_settings, tokens
from netsre.app.control import api
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.calling import Caller, Nobody
from netsre.app.control.dispatch import BATCH, Dispatcher, LogChannel
from netsre.app.control.drill_parts import DrillPart
from netsre.app.control.hook import Door
from netsre.app.control.intake import Intake
from netsre.app.control.lapsing import Lapses
from netsre.app.control.leading import Office, Term, nobody
from netsre.app.control.leftovers import Leftovers
from netsre.app.control.pager import Pager, Telling
from netsre.app.control.reach import Outside
from netsre.app.control.reading import Clients, Turns, begin
from netsre.app.control.records import Kept
from netsre.app.control.silencing import Silencer
from netsre.app.control.slack.part import SlackPart
from netsre.app.control.snapshot import Board, Sight
from netsre.app.control.switch import SwitchWatch
from netsre.app.control.tick import Loop
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.app.settings import Settings
from netsre.clock import SystemClock, Timestamp, boottime
from netsre.model.alert_rules import AlertRule
from netsre.model.directory import Directory
from netsre.model.gamedays import GameDay
from netsre.model.levels import SLO
from netsre.model.maintenance import Maintenance
from netsre.model.runbooks import Runbook
from netsre.runbook.actions.catalogue import allowing
from netsre.store.database import Store
from netsre.store.migrations import Migrations

STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from files."""

    slos: tuple[SLO, ...]
    alerts: tuple[AlertRule, ...]
    runbooks: tuple[Runbook, ...]
    gamedays: tuple[GameDay, ...]
    calendars: tuple[Maintenance, ...]
    directory: Directory
    noisy: tuple[ClientMute, ...]
    migrations: Migrations
    pages: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class House:
    """What there is for as long as the process lives."""

    settings: Settings
    loaded: Loaded
    clients: Sequence[Alertmanager]
    recorded: Clients | None
    """Of a Prometheus, where one is read."""
    slack: slack_settings.Slack | None
    """With its secrets, where incidents are told there."""
    store: Store
    """Of no term."""
    intake: Intake
    office: Office
    name: str
    """What tells this controller from others of its database; empty where there are none."""
    started_at: Timestamp
    caller: HttpCaller | None
    """Who makes HTTP calls; None where the settings allow none."""


class Threaded(Protocol):
    """A part with threads of its own."""

    def start(self) -> None:
        """Begin."""

    def stop(self, seconds: float) -> None:
        """End, and wait for that so long."""


class Shift:
    """The parts; of a term, or of nobody's who stands by."""

    def __init__(self, house: House, term: Term | None) -> None:
        """Put them together; raises `StoreUnusable` where the database does not answer."""
        self._house = house
        self._term = term
        self._leads: Callable[[], bool] = nobody if term is None else term.leads
        self._board = Board(house.started_at)
        store = house.store if term is None else house.store.of_term(term.epoch)
        self._world = _world(house, store, self._board, term)
        self._worker = self._make_worker()
        self._leftovers = self._make_leftovers()
        self._drills = DrillPart(house.settings, self._world, house.loaded.gamedays, self._board, self._leads)
        self._pager = self._make_pager()
        self._slack = self._make_slack()
        self.wake = self._worker.wake
        self.application = self._application()

    @contextlib.contextmanager
    def working(self) -> Iterator[Loop | None]:
        """Have the threads work; the turns are the caller's, and there are none while it stands by.

        Raises `StoreUnusable` where the database does not answer.
        """
        with contextlib.ExitStack() as stack:
            turns = None if self._term is None else self._turns()
            stack.enter_context(thread_of(self._pager))
            stack.enter_context(thread_of(self._worker))
            stack.enter_context(thread_of(self._leftovers))
            if self._slack is not None:
                stack.enter_context(thread_of(self._slack))
            if turns is not None:
                stack.enter_context(thread_of(self._drills))
                stack.enter_context(thread_of(turns))
            yield None if turns is None else turns.loop

    def _turns(self) -> Turns:
        house = self._house
        return begin(
            house.settings, house.recorded, house.loaded.slos, self._world, self._board, self._wake_all
        )

    def _wake_all(self) -> None:
        self._pager.wake()
        self._worker.wake()

    def _make_worker(self) -> Worker:
        world = self._world
        duties = [Duty("kill_switch", world.switch.watch)]
        if self._term is not None:
            log_channel = LogChannel(AlertLog(self._house.settings.data_dir / ALERT_LOG))
            dispatcher = Dispatcher(world.store, (log_channel, RunbookChannel(world)))
            runs, lapses = Automation(world), Lapses(world)
            duties += [
                Duty("delivery", lambda: self._leads() and dispatcher.deliver(world.clock.now()) >= BATCH),
                Duty("runs", lambda: self._leads() and runs.advance()),
                Duty("lapses", lambda: lapses.look() if self._leads() else None),
            ]
        return Worker(duties, self._board)

    def _make_leftovers(self) -> Worker:
        leftovers = Leftovers(self._world)

        def end() -> None:
            if self._leads():
                leftovers.end()

        # Apart: an Alertmanager that does not answer keeps no run waiting.
        return Worker([Duty("silences", end)], self._board, "silences")

    def _make_pager(self) -> Pager:
        house, world = self._house, self._world
        pace = Pace(house.settings.interval, timeout=int(Bounds().total_seconds * clock.SECOND))
        telling = Telling(world.store, world.clock, pace, world.links, house.intake.offer, self._leads)
        return Pager(house.clients, telling)

    def _make_slack(self) -> SlackPart | None:
        found = self._house.slack
        if found is None:
            return None
        return SlackPart(found, self._world, self._leads, self._worker.wake)

    def _application(self) -> api.Asgi:
        house, settings = self._house, self._house.settings
        token = tokens.read(settings.data_dir, tokens.WEBHOOK)
        served = api.Served(
            board=self._board,
            store=self._world.store,
            clock=self._world.clock,
            node=settings.node,
            interval=settings.interval,
            runbooks=len(house.loaded.runbooks),
            pages=house.loaded.pages,
            hosts=api.allowed_hosts(settings.host, settings.external_url),
            data_dir=settings.data_dir.absolute(),
            api_token=tokens.read(settings.data_dir, tokens.API),
            world=self._world,
            door=Door(token, house.intake, self._pager),
            gamedays=self._drills.served,
            office=house.office,
            stands_by=self._term is None,
            wake=self._worker.wake,
            slack=self._slack,
        )
        return api.create(served)


class Front:
    """What is served and woken: the present shift, another one between two requests."""

    def __init__(self) -> None:
        """Begin before the first one; serve when it is there."""
        self.shift: Shift | None = None

    async def __call__(self, scope: api.Scope, receive: api.Receive, send: api.Send) -> None:
        """Pass a request on."""
        if self.shift is not None:
            await self.shift.application(scope, receive, send)

    def wake(self) -> None:
        """Have whoever acts look at once."""
        if self.shift is not None:
            self.shift.wake()


@contextlib.contextmanager
def thread_of(part: Threaded) -> Iterator[None]:
    """Have a part work in threads of its own, so that what it waits for keeps no evaluation waiting."""
    part.start()
    try:
        yield
    finally:
        part.stop(STOP_SECONDS)


def _world(house: House, store: Store, board: Board, term: Term | None) -> World:
    settings, loaded = house.settings, house.loaded
    # Who stands by is told of the kill switch too: its word is kept, whoever leads.
    watch = SwitchWatch(house.store, settings.data_dir, board, SystemClock(), house.name)
    watch.begin()
    # Who stands by has a term that never led.
    fence = term or Term(0, boottime)
    node = NoNode() if settings.control is None else AgentNode(settings.control, fence)
    agent = AgentClient(settings.agent_url, settings.node, SystemClock())
    records = Kept(store, SystemClock(), settings.node, agent)
    return World(
        store=store,
        runbooks=MappingProxyType({book.name: book for book in loaded.runbooks}),
        actions=allowing(settings.bounds.http_allow),
        sight=Sight(node, settings.node, records),
        slos=MappingProxyType({slo.name: slo for slo in loaded.slos}),
        rules=loaded.alerts,
        switch=watch,
        node=settings.node,
        interval=settings.interval,
        clock=SystemClock(),
        links=Links(settings.external_url),
        bounds=settings.bounds,
        calendars=loaded.calendars,
        directory=loaded.directory,
        noisy=loaded.noisy,
        outside=Outside(
            Silencer(tuple(house.clients), SystemClock()),
            Caller(house.caller or Nobody(), settings.bounds.http_allow, Secrets(settings.secrets)),
            fence.leads,
        ),
    )
