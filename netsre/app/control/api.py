"""The controller over HTTP: metrics, health, the JSON API, the page. Whoever changes something shows a token.

Every other answer comes from the newest snapshot, or from a view of the database that waits for no writer.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from netsre import __version__, clock
from netsre.app.control import (
    access,
    console,
    deploy_api,
    drill_api,
    event_api,
    headers,
    hook,
    metrics,
    pause_api,
    pausing,
    plan_api,
    run_api,
    wire,
)
from netsre.app.control.drill_api import Gamedays
from netsre.app.control.hook import Door
from netsre.app.control.incidents import api as incident_api
from netsre.app.control.leading import Office
from netsre.app.control.postmortem import api as postmortem_api
from netsre.app.control.slack import route as slack_route
from netsre.app.control.slack.desk import Desk
from netsre.app.control.slack.part import SlackPart
from netsre.app.control.snapshot import Board
from netsre.app.control.world import World
from netsre.app.numbers import number
from netsre.clock import SECOND, Clock
from netsre.errors import StoreUnusable
from netsre.model import literals
from netsre.runbook.gates import people
from netsre.store.database import Store

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_ROWS: Final = 1000
_STALE_TURNS: Final = 4
"""Turns that may be missed before the controller stops calling itself ready."""

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Served:
    """What the API tells of."""

    board: Board
    store: Store
    clock: Clock
    node: str
    interval: int
    """Milliseconds."""
    runbooks: int
    pages: Mapping[str, str]
    """The page of every runbook, by name."""
    hosts: frozenset[str]
    """Names under which this server may be called."""
    data_dir: Path
    api_token: str
    """What a request must show that changes something."""
    world: World
    """What a runbook is rehearsed with."""
    door: Door
    """Where alerts come in."""
    gamedays: Gamedays
    office: Office
    """Who leads."""
    stands_by: bool
    """Whether this controller only tells, and takes alerts, while another one leads."""
    wake: Callable[[], None]
    """Called when there is something to do about runs; returns at once."""
    slack: SlackPart | None = None
    """Where incidents are told in Slack, if they are."""


def create(served: Served) -> Asgi:
    """Return the application."""
    app = FastAPI(
        title="netsre controller",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    # First of all: it is asked most often, and by many at once.
    hook.add(app, served.door)
    _add_operations(app, served)
    _add_lists(app, served)
    _add_status(app, served)
    _add_pages(app, served)
    slack = served.slack
    # Where there is none, nothing is signed right.
    desk, secret = (
        (Desk(served.world, served.wake), "") if slack is None else (slack.desk, slack.signing_secret)
    )
    slack_route.add(app, desk, secret, served.clock)
    app.include_router(plan_api.router(served.world, served.api_token))
    app.include_router(pause_api.router(served.world, served.api_token))
    app.include_router(deploy_api.router(served.world, served.api_token))
    app.include_router(run_api.router(served.world, served.api_token, served.wake))
    app.include_router(drill_api.router(served.gamedays, served.api_token))
    people = served.world.directory
    app.include_router(event_api.router(served.store, served.clock, served.api_token, people))
    app.include_router(incident_api.router(served.world))
    app.include_router(postmortem_api.router(served.store, served.board, served.clock))
    app.include_router(console.router)

    app.add_exception_handler(StoreUnusable, not_kept)
    app.add_exception_handler(RequestValidationError, access.not_understood)
    return Guard(StandBy(app, served.office) if served.stands_by else app, served.hosts)


def not_kept(_request: Request, error: Exception) -> JSONResponse:
    """Answer a request for which the database was needed and did not answer."""
    return JSONResponse({"detail": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)


def allowed_hosts(listen: str, external_url: str) -> frozenset[str]:
    """Return the names that a request may use for this server."""
    outside = external_url.partition("://")[2].partition("/")[0]
    return _LOOPBACK | {listen.lower(), host_of(outside)}


def host_of(header: str) -> str:
    """Return the host of a `Host` header without its port and brackets, in lower case."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


class Guard:
    """Refuses requests that were sent to another name, and tells browsers how little they may do.

    A page of a stranger can have its own name point to 127.0.0.1 and then read what is there (DNS rebinding);
    the `Host` header gives it away. An address cannot be rebound, so that it is accepted where more than
    loopback is served.
    """

    def __init__(self, app: Asgi, hosts: frozenset[str]) -> None:
        """Stand before an application."""
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 421; one for a name that no database can keep with 400."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = {name.lower() for name, _ in message["headers"]}
                safe = ((name.encode(), value.encode()) for name, value in headers.SAFE.items())
                message["headers"] += [(name, value) for name, value in safe if name not in sent]
            await send(message)

        host = host_of(dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1"))
        if scope["type"] == "http" and not self._accepts(host):
            detail = "this server is not called that; use its address, or set --external-url"
            await JSONResponse({"detail": detail}, HTTPStatus.MISDIRECTED_REQUEST)(scope, receive, guarded)
            return
        if scope["type"] == "http" and _has_nul(scope):
            detail = "the address has a NUL in it, which is in no name; leave it out"
            await JSONResponse({"detail": detail}, HTTPStatus.BAD_REQUEST)(scope, receive, guarded)
            return
        if scope.get("method") == "HEAD":
            # Load balancers ask like that; the server leaves the body out by itself.
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, guarded)

    def _accepts(self, host: str) -> bool:
        if host in self._hosts:
            return True
        # Loopback only: nothing else can be meant.
        if all(_is_loopback(name) for name in self._hosts):
            return False
        return literals.is_address(host)


def _has_nul(scope: Scope) -> bool:
    return "\0" in scope["path"] or b"%00" in scope.get("query_string", b"")


class StandBy:
    """Refuses what only the leader can do; alerts and words are taken: they are on disk for it then."""

    def __init__(self, app: Asgi, office: Office) -> None:
        """Stand before an application."""
        self._app = app
        self._office = office

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 503."""
        if scope.get("method", "GET") == "GET" or scope.get("path") in (hook.PATH, slack_route.PATH):
            await self._app(scope, receive, send)
            return
        detail = f"this controller stands by; ask the one that leads: {self._office.leader() or 'none does'}"
        await JSONResponse({"detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)


def _is_loopback(name: str) -> bool:
    return name in _LOOPBACK or (literals.is_address(name) and ipaddress.ip_address(name).is_loopback)


def _add_operations(app: FastAPI, served: Served) -> None:
    @app.get("/metrics", response_class=Response)
    def read_metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Return the controller's metrics as text or OpenMetrics."""
        door, gamedays = served.door, served.gamedays
        live = (served.office.readings, door.intake.readings, door.pager.readings, gamedays.readings)
        slack = () if served.slack is None else (served.slack.readings,)
        held = partial(pausing.readings, served.world)
        body, content_type = metrics.render(served.board.current, accept, *live, held, *slack)
        return Response(body, media_type=content_type)

    @app.get("/healthz")
    def healthy() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"model": wire.Readiness}})
    def ready(response: Response) -> wire.Readiness:
        """Say whether evaluations happen, or would when the leader ends; 503 with the reasons otherwise."""
        reasons = _unready(served)
        if reasons:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return wire.Readiness(ready=not reasons, reasons=reasons, role=_role(served))


def _role(served: Served) -> wire.Role:
    return "standby" if served.stands_by else "leader"


def _unready(served: Served) -> list[str]:
    reasons = served.office.problems()
    reasons += [f"{duty}: {problem}" for duty, problem in served.board.problems.items()]
    if served.stands_by:
        return reasons
    snapshot = served.board.current
    if snapshot is None:
        return [*reasons, "no evaluation yet"]
    reasons += [] if snapshot.problem is None else [snapshot.problem]
    age = served.clock.now() - snapshot.at
    if age > _STALE_TURNS * served.interval + 30 * SECOND:
        reasons.append(f"last evaluation was {clock.duration_text(age)} ago")
    return reasons


def _add_lists(app: FastAPI, served: Served) -> None:
    limit = Annotated[int, Query(ge=1, le=_MOST_ROWS)]

    @app.get("/api/v1/slos")
    def list_slos() -> wire.Slos:
        """Return where every SLO stands."""
        return wire.slos(served.board.current)

    @app.get("/api/v1/alerts", responses={503: {"model": wire.Problem}})
    def list_alerts(limit: limit = 100) -> wire.Alerts:
        """Return every alert of ours that fires, whatever the limit, then others, then those that ended."""
        with served.store.read() as transaction:
            found = transaction.alerts.newest(limit)
        return wire.Alerts(alerts=[wire.alert(value) for value in found])

    @app.get("/api/v1/runs", responses={code: {"model": wire.Problem} for code in (404, 503)})
    def list_runs(
        limit: limit = 50, runbook: str | None = None, run: str | None = None, *, waiting: bool = False
    ) -> wire.Runs:
        """Return the latest runs, or those that wait for people, newest first, each with its journal.

        `run` is the id of the one that is wanted; an unknown one is an empty list.
        """
        runbooks = served.world.runbooks
        with served.store.read() as transaction:
            found = transaction.runs.newest(limit, runbook, waiting=waiting, run=run)
            # A runbook that is no more keeps the runs that it had.
            known = found or runbook is None or runbook in runbooks or transaction.runs.newest(1, runbook)
            journals = transaction.runs.journal([run.id for run in found])
        if runbook is not None and not known:
            raise access.no_runbook(runbook, runbooks)
        return wire.Runs(runs=[wire.run(run, journals[run.id]) for run in found])


def _add_status(app: FastAPI, served: Served) -> None:
    @app.get("/api/v1/status")
    def status() -> wire.Status:
        """Return how the controller itself fares."""
        snapshot = served.board.current
        return wire.Status(
            version=__version__,
            node=served.node,
            data_dir=str(served.data_dir),
            database=served.store.where,
            role=_role(served),
            leader=served.office.leader(),
            started_at=clock.rfc3339(served.board.started_at),
            interval_seconds=number(Fraction(served.interval, SECOND)),
            last_tick_at=clock.rfc3339(snapshot.at) if snapshot else None,
            tick_seconds=round(snapshot.seconds, 6) if snapshot else None,
            tick_failures=snapshot.failures if snapshot else 0,
            problem=snapshot.problem if snapshot else None,
            problems=dict(served.board.problems),
            kill_switch=wire.switch(served.board.switch),
            pauses=_pauses(served),
            sources=wire.sources(snapshot),
            past=wire.past(snapshot),
            alertmanagers=wire.peers(served.door.pager.states()),
            slack=None if served.slack is None else served.slack.status(),
            outbox=dict(snapshot.counts.pending) if snapshot else {},
            specs=wire.Specs(slos=len(snapshot.slos) if snapshot else 0, runbooks=served.runbooks),
        )


def _pauses(served: Served) -> list[str] | None:
    try:
        with served.store.read() as transaction:
            found = transaction.holds.pauses(served.clock.now())
    except StoreUnusable:
        return None
    return [people.pause_text(pause) for pause in found]


def _add_pages(app: FastAPI, served: Served) -> None:
    @app.get("/runbooks", include_in_schema=False)
    def runbook_pages() -> Response:
        """Return the names of the runbooks that have a page."""
        return Response("".join(f"/runbooks/{name}\n" for name in served.pages), media_type="text/plain")

    @app.get("/runbooks/{name}", include_in_schema=False)
    def runbook_page(name: str) -> Response:
        """Return the page of a runbook as it was written."""
        page = served.pages.get(name)
        if page is None:
            known = ", ".join(served.pages) or "none"
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no page for runbook {name!r}; there is: {known}")
        return Response(page, media_type="text/plain; charset=utf-8")
