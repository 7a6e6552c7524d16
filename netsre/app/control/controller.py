"""The controller's life: read what it needs, give privileges away, take the database and the port, then turn.

read specs, migrations and pages      as whoever started it
become an unprivileged user           before a byte from outside is read
lock and open the database, bind      from here on nothing is imported and no file of the checkout is read
turn until told to stop               one thread evaluates, one acts, another one serves
"""

import contextlib
import errno
import fcntl
import importlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final, Protocol

import uvicorn

from netsre import clock
from netsre.adapters import processes
from netsre.adapters.alert_log import FILE_NAME as ALERT_LOG
from netsre.adapters.alert_log import AlertLog
from netsre.adapters.alertmanager import Alertmanager, Bounds
from netsre.adapters.control.node import AgentNode, NoNode
from netsre.adapters.http_protocol import BoundedProtocol
from netsre.alerting.describe import Links
from netsre.alerting.notify import Pace
from netsre.app import datadir, gamedays, privileges, resources, runbooks, service_levels, tokens
from netsre.app.control import api
from netsre.app.control.automation import Automation, RunbookChannel
from netsre.app.control.dispatch import BATCH, Dispatcher, LogChannel
from netsre.app.control.drill_parts import DrillPart
from netsre.app.control.hook import Door
from netsre.app.control.intake import Intake
from netsre.app.control.pager import Pager, Telling
from netsre.app.control.reading import begin, place, prometheus
from netsre.app.control.snapshot import Board, Sight
from netsre.app.control.switch import SwitchWatch
from netsre.app.control.tick import Loop
from netsre.app.control.worker import Duty, Worker
from netsre.app.control.world import World
from netsre.app.logs import pairs
from netsre.app.settings import Settings
from netsre.clock import SystemClock
from netsre.errors import EnvironmentUnfit
from netsre.model.alert_rules import AlertRule
from netsre.model.gamedays import GameDay
from netsre.model.levels import SLO
from netsre.model.runbooks import Runbook
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.store.database import Store
from netsre.store.migrations import Migrations

_log: Final = logging.getLogger("netsre.controller")

LOCK: Final = "controller.lock"
_STOP_SECONDS: Final = 5.0
_LATE: Final = (
    # Libraries import these when they first need them, which is after this process may read its checkout.
    "anyio._backends._asyncio",
    "encodings.idna",
    "fastapi.openapi.utils",
    "httpcore._async.http11",
    "jinja2.debug",
    "prometheus_client.openmetrics.exposition",
    "pydantic._internal._dataclasses",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.h11_impl",
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything that was read from files."""

    slos: tuple[SLO, ...]
    alerts: tuple[AlertRule, ...]
    runbooks: tuple[Runbook, ...]
    gamedays: tuple[GameDay, ...]
    migrations: Migrations
    pages: Mapping[str, str]


def run(settings: Settings) -> None:
    """Be the controller until SIGTERM or SIGINT; raises `NetsreError` when it cannot begin."""
    if settings.parent_pid is not None:
        privileges.die_with_parent(settings.parent_pid)
    loaded = load(settings)
    preload()
    # Before the privileges are dropped: certificates may be readable for root alone.
    clients = [Alertmanager(url) for url in dict.fromkeys(settings.alertmanagers)]
    recorded = prometheus(settings)
    _drop(settings)
    stop = _stop_on_signals()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        store = Store.at(settings.data_dir, loaded.migrations)
        stack.callback(store.close)
        stack.enter_context(_alone(settings.data_dir))
        tokens.make(settings.data_dir)
        if store.upgrade():
            _log.info("database %s", pairs(path=store.where, schema=loaded.migrations.head))
        board = Board(SystemClock().now())
        world = _world(settings, loaded, store, board)
        worker = _worker(settings, world, board)
        drills = DrillPart(settings, world, loaded.gamedays, board)
        triggers = {trigger for book in loaded.runbooks for trigger in book.triggers}
        intake = Intake(store, world.clock, triggers, worker.wake)
        pager = _pager(settings, world, clients, intake)
        door = Door(tokens.read(settings.data_dir, tokens.WEBHOOK), intake, pager)
        turns = begin(settings, recorded, loaded.slos, world, board, lambda: _each(pager.wake, worker.wake))
        stack.enter_context(_thread_of(intake))
        stack.enter_context(_serving(listener, _application(settings, loaded, world, board, door, drills)))
        stack.enter_context(_thread_of(pager))
        stack.enter_context(_thread_of(worker))
        stack.enter_context(_thread_of(drills))
        stack.enter_context(_thread_of(turns))
        _log.info("controller %s", pairs(listen=f"{settings.host}:{settings.port}", source=place(settings)))
        _turn(turns.loop, settings.interval, stop)
    _log.info("controller stopped")


def load(settings: Settings) -> Loaded:
    """Read specs, migrations and pages; raises `SpecErrors` with every finding."""
    # What has a page can be named: that is where an alert's link leads.
    asked = service_levels.required(settings.slos, runbooks.known(settings.runbooks))
    books = runbooks.read(settings.runbooks, settings.slos)
    return Loaded(
        slos=asked.slos,
        alerts=asked.alerts,
        runbooks=books,
        gamedays=gamedays.read(settings.runbooks, settings.slos),
        migrations=Migrations.load(str(resources.directory("migrations"))),
        pages=runbooks.pages(books),
    )


def preload() -> None:
    """Import what libraries would import later."""
    for module in _LATE:
        importlib.import_module(module)


def _drop(settings: Settings) -> None:
    """Stop being root; make the data directory first, which only root may be able to do."""
    if os.geteuid() == 0:
        user = privileges.service_user(settings.user)
        owner = processes.this_process()
        datadir.prepare(settings.data_dir, user, owner)
        privileges.drop_to(user)
    elif settings.user is not None:
        privileges.drop_to(privileges.service_user(settings.user))


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        del number
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop


@contextlib.contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=128)
    except OSError as error:
        why = (
            "is taken" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror or error})"
        )
        message = f"controller address {settings.host}:{settings.port} {why}; choose another with --listen"
        raise EnvironmentUnfit(message) from error
    with listener:
        # As asyncio does with its own sockets: an answer in two pieces must not wait for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data directory against a second controller, which would tell everything twice."""
    try:
        descriptor = os.open(data_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = f"lock {data_dir / LOCK}: {error.strerror}; make it writable for uid {os.geteuid()}"
        raise EnvironmentUnfit(message) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = (
                f"data directory {data_dir} is in use by another controller; stop it, or choose --data-dir"
            )
            raise EnvironmentUnfit(message) from None
        yield
    finally:
        os.close(descriptor)


def _world(settings: Settings, loaded: Loaded, store: Store, board: Board) -> World:
    watch = SwitchWatch(store, settings.data_dir, board, SystemClock())
    watch.begin()
    return World(
        store=store,
        runbooks=MappingProxyType({book.name: book for book in loaded.runbooks}),
        actions=ACTIONS,
        sight=Sight(NoNode() if settings.control is None else AgentNode(settings.control), settings.node),
        slos=MappingProxyType({slo.name: slo for slo in loaded.slos}),
        rules=loaded.alerts,
        switch=watch,
        node=settings.node,
        interval=settings.interval,
        clock=SystemClock(),
        links=Links(settings.external_url),
    )


def _worker(settings: Settings, world: World, board: Board) -> Worker:
    log_channel = LogChannel(AlertLog(settings.data_dir / ALERT_LOG))
    dispatcher = Dispatcher(world.store, (log_channel, RunbookChannel(world)))
    duties = (
        Duty("kill_switch", world.switch.watch),
        Duty("delivery", lambda: dispatcher.deliver(world.clock.now()) >= BATCH),
        Duty("runs", Automation(world).advance),
    )
    return Worker(duties, board)


def _pager(settings: Settings, world: World, clients: Sequence[Alertmanager], intake: Intake) -> Pager:
    pace = Pace(settings.interval, timeout=int(Bounds().total_seconds * clock.SECOND))
    return Pager(clients, Telling(world.store, world.clock, pace, world.links, intake.offer))


def _application(
    settings: Settings, loaded: Loaded, world: World, board: Board, door: Door, drills: DrillPart
) -> api.Asgi:
    served = api.Served(
        board=board,
        store=world.store,
        clock=world.clock,
        node=settings.node,
        interval=settings.interval,
        runbooks=len(loaded.runbooks),
        pages=loaded.pages,
        hosts=api.allowed_hosts(settings.host, settings.external_url),
        data_dir=settings.data_dir.absolute(),
        api_token=tokens.read(settings.data_dir, tokens.API),
        world=world,
        door=door,
        gamedays=drills.served,
    )
    return api.create(served)


@contextlib.contextmanager
def _serving(listener: socket.socket, application: api.Asgi) -> Iterator[None]:
    """Serve in a thread of its own, so that a slow evaluation never keeps a person waiting."""
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=200,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(_STOP_SECONDS)


def _each(*calls: Callable[[], None]) -> None:
    for call in calls:
        call()


class _Threaded(Protocol):
    def start(self) -> None: ...

    def stop(self, seconds: float) -> None: ...


@contextlib.contextmanager
def _thread_of(part: _Threaded) -> Iterator[None]:
    """Have a part work in threads of its own, so that what it waits for keeps no evaluation waiting."""
    part.start()
    try:
        yield
    finally:
        part.stop(_STOP_SECONDS)


def _turn(loop: Loop, interval: int, stop: threading.Event) -> None:
    """Take a turn at once and then one per interval; after a turn that took longer, the next is on time."""
    seconds = interval / clock.SECOND
    due = time.monotonic()
    while not stop.is_set():
        loop.tick()
        due += seconds
        behind = time.monotonic() - due
        if behind > 0:
            due += (behind // seconds) * seconds
        stop.wait(max(0.0, due - time.monotonic()))
