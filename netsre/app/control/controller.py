"""The controller's life: read what it needs, give privileges away, take the database and the port, then turn.

read specs, migrations and pages      as whoever started it
become an unprivileged user           before a byte from outside is read
lock and open the database, bind      from here on nothing is imported and no file of the checkout is read
turn until told to stop               one thread evaluates, one acts, another one serves

Of several controllers on one database one turns (`leading`), and the others stand by (`shift`).
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
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from netsre import clock
from netsre.adapters import processes
from netsre.adapters.alertmanager import Alertmanager
from netsre.adapters.http_calls import HttpCaller
from netsre.adapters.http_protocol import BoundedProtocol
from netsre.alerting import noisy, routing
from netsre.alerting.routing import ClientMute
from netsre.app import (
    datadir,
    gamedays,
    maintenance,
    privileges,
    resources,
    runbooks,
    service_levels,
    slack_settings,
    tokens,
)
from netsre.app.control import leading
from netsre.app.control.intake import Intake
from netsre.app.control.leading import Office, Only, Shared, Term
from netsre.app.control.reading import place, prometheus
from netsre.app.control.shift import STOP_SECONDS, Front, House, Loaded, Shift, thread_of
from netsre.app.control.tick import Loop
from netsre.app.database import opened
from netsre.app.logs import pairs
from netsre.app.service_levels import ServiceLevels
from netsre.app.settings import Settings
from netsre.clock import SystemClock
from netsre.errors import EnvironmentUnfit, StoreUnusable
from netsre.store.database import Store
from netsre.store.migrations import Migrations

_log: Final = logging.getLogger("netsre.controller")

LOCK: Final = "controller.lock"
_AGAIN_SECONDS: Final = 2.0
_GLANCE: Final = 1.0
"""Seconds after which the end of a term is noticed between two turns."""
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
_LATE_POSTGRESQL: Final = ("sqlalchemy.dialects.postgresql.psycopg", "psycopg")


def run(settings: Settings) -> None:
    """Be the controller until SIGTERM or SIGINT; raises `NetsreError` when it cannot begin."""
    if settings.parent_pid is not None:
        privileges.die_with_parent(settings.parent_pid)
    loaded = load(settings)
    preload(postgresql=settings.database is not None)
    # Before the privileges are dropped: certificates may be readable for root alone.
    clients = [Alertmanager(url) for url in dict.fromkeys(settings.alertmanagers)]
    caller = HttpCaller() if settings.bounds.http_allow else None
    recorded = prometheus(settings)
    slack = _slack(settings)
    _drop(settings)
    stop = _stop_on_signals()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        store = opened(settings.data_dir, settings.database, loaded.migrations)
        stack.callback(store.close)
        stack.enter_context(_alone(settings.data_dir))
        tokens.make(settings.data_dir)
        if store.upgrade():
            _log.info("database %s", pairs(path=store.where, schema=loaded.migrations.head))
        front = Front()
        triggers = {trigger for book in loaded.runbooks for trigger in book.triggers}
        intake = Intake(store, SystemClock(), triggers, front.wake)
        stack.enter_context(thread_of(intake))
        office = stack.enter_context(_office(settings, loaded.migrations))
        name = leading.name_of(settings.data_dir) if settings.database else ""
        started_at = SystemClock().now()
        house = House(
            settings, loaded, clients, recorded, slack, store, intake, office, name, started_at, caller
        )
        _work(house, front, stop, lambda: stack.enter_context(_serving(listener, front)))
    _log.info("controller stopped")


def load(settings: Settings) -> Loaded:
    """Read specs, migrations and pages; raises `SpecErrors` with every finding."""
    # What has a page can be named: that is where an alert's link leads.
    asked = service_levels.required(settings.slos, runbooks.known(settings.runbooks))
    directory = runbooks.people(settings.people)
    books = runbooks.read(settings.runbooks, settings.slos, directory)
    return Loaded(
        slos=asked.slos,
        alerts=asked.alerts,
        runbooks=books,
        gamedays=gamedays.read(settings.runbooks, settings.slos),
        calendars=maintenance.read(settings.runbooks),
        directory=directory,
        noisy=_noisy(settings, asked),
        migrations=Migrations.load(str(resources.directory("migrations"))),
        pages=runbooks.pages(books),
    )


def _slack(settings: Settings) -> slack_settings.Slack | None:
    for said in () if settings.slack is None else slack_settings.exposed(settings.slack):
        _log.warning("slack secret %s", said)
    return slack_settings.load(settings.slack)


def _noisy(settings: Settings, levels: ServiceLevels) -> tuple[ClientMute, ...]:
    # One whose day is over is heard again, and keeps no controller from its start.
    today = noisy.day_of(SystemClock().now())
    clients = noisy.parse(resources.texts(list(settings.noisy), ".yaml", ".yml"), today, over=True)
    return routing.client_mutes(levels.alerts, clients)


def preload(*, postgresql: bool) -> None:
    """Import what libraries would import later."""
    for module in _LATE:
        importlib.import_module(module)
    # One that is not installed is told of by the store.
    with contextlib.suppress(ImportError):
        for module in _LATE_POSTGRESQL if postgresql else ():
            importlib.import_module(module)


@contextlib.contextmanager
def _office(settings: Settings, migrations: Migrations) -> Iterator[Office]:
    """Return how this one comes to lead; raises `EnvironmentUnfit` where its database is of others."""
    if settings.database is None:
        yield Only(settings.node, clock.boottime)
        return
    # Connections of its own: no other use of the database keeps the lease waiting.
    store = Store.served(settings.database, migrations)
    with contextlib.closing(store):
        office = Shared(store, settings.node, leading.name_of(settings.data_dir), clock.boottime)
        office.begin()
        yield office


def _work(house: House, front: Front, stop: threading.Event, serve: Callable[[], None]) -> None:
    """Be one shift after the other; serve from the first one on."""
    term = house.office.first()
    while not stop.is_set():
        first = front.shift is None
        try:
            term = _shift(house, front, stop, term, serve if first else _nothing)
        except StoreUnusable as error:
            if first:
                raise
            _log.warning("controller %s", pairs(note="waits for its database", error=error))
            term = None
            stop.wait(_AGAIN_SECONDS)


def _shift(
    house: House, front: Front, stop: threading.Event, term: Term | None, serve: Callable[[], None]
) -> Term | None:
    """Lead for a term, or stand by until one begins; return the next one."""
    settings = house.settings
    with contextlib.ExitStack() as stack:
        if term is not None:
            stack.enter_context(house.office.keeping(term))
        shift = Shift(house, term)
        loop = stack.enter_context(shift.working())
        front.shift = shift
        serve()
        said = pairs(listen=f"{settings.host}:{settings.port}", source=place(settings))
        _log.info("controller %s%s", "" if term is not None else "stands by ", said)
        if term is None or loop is None:
            return house.office.wait(stop)
        _turn(loop, settings.interval, stop, term)
    return None


def _nothing() -> None:
    pass


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
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
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


@contextlib.contextmanager
def _serving(listener: socket.socket, application: Front) -> Iterator[None]:
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
        thread.join(STOP_SECONDS)


def _turn(loop: Loop, interval: int, stop: threading.Event, term: Term) -> None:
    """Take a turn at once and then one per interval; after a turn that took longer, the next is on time."""
    seconds = interval / clock.SECOND
    due = time.monotonic()
    while not (stop.is_set() or term.over()):
        loop.tick()
        due += seconds
        behind = time.monotonic() - due
        if behind > 0:
            due += (behind // seconds) * seconds
        while (left := due - time.monotonic()) > 0 and not term.over() and not stop.wait(min(left, _GLANCE)):
            pass
