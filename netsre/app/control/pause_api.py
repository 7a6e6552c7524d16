"""The API: what automation is kept from, by whom and until when; with the token it is asked for and ended."""

import secrets
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Header, HTTPException, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from netsre import clock
from netsre.app.control import access, pausing, wire
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.errors import BadInput
from netsre.model import literals
from netsre.model.directory import OPERATOR
from netsre.model.holds import LONGEST_PAUSE, Pause, Released, Scope
from netsre.model.runbooks import Runbook
from netsre.runbook import targets

PATH: Final = "/api/v1/pauses"


def _length(text: str) -> int:
    length = literals.parse_duration(text)
    if length > LONGEST_PAUSE:
        raise ValueError(f"is longer than {clock.duration_text(LONGEST_PAUSE)}; ask again then")
    return length


def _on_one_line(text: str) -> str:
    return literals.printable(text)


Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_on_one_line)]
Name = Annotated[str, Field(min_length=1, max_length=300)]


class About(BaseModel):
    """What a request is about: all, or one runbook, or one target."""

    model_config = ConfigDict(extra="forbid")

    all: bool = False
    runbook: Name | None = None
    target: Name | None = None
    by: wire.Who | None = None
    """Who asks by the token of the controller; whoever has one of their own is known by it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum((self.all, self.runbook is not None, self.target is not None)) != 1:
            raise ValueError("name one of all, runbook and target")
        return self

    @property
    def scope(self) -> Scope:
        """Return what kind of thing it is about."""
        if self.all:
            return Scope.ALL
        return Scope.TARGET if self.runbook is None else Scope.RUNBOOK

    @property
    def name(self) -> str:
        """Return which one; empty for all."""
        return self.runbook or self.target or ""


class Wish(About):
    """A request for a pause."""

    length: Annotated[str, Field(alias="for"), AfterValidator(_length)]
    reason: Reason
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The same id again is the same request; the header `Idempotency-Key` does the same."""


class PauseView(BaseModel):
    """A pause."""

    id: str
    scope: str
    name: str
    owner: str
    reason: str
    created_at: str
    until: str


class Resumed(BaseModel):
    """The pauses that a request ended."""

    resumed: list[PauseView]


class CircuitView(BaseModel):
    """A runbook that did not help several times in a row."""

    runbook: str
    failures: int
    last_at: str
    retry_at: str | None
    """When one run may try again; null where only a person can close it."""


class QuarantinedView(BaseModel):
    """A value that did not help, or that a run which helped went away from."""

    key: str
    run: str
    since: str
    until: str


class MaintenanceView(BaseModel):
    """A window of a calendar that is open."""

    name: str
    reason: str
    until: str


class StopView(BaseModel):
    """What stops every change of every runbook."""

    gate: str
    """As a refused run has it: kill_switch_on, kill_switch_unreadable, storm or global_limited."""
    detail: str


class HoldsView(BaseModel):
    """All that automation is kept from now."""

    stops: list[StopView]
    pauses: list[PauseView]
    circuits: list[CircuitView]
    quarantined: list[QuarantinedView]
    maintenance: list[MaintenanceView]


class Release(BaseModel):
    """A request to set something free again."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason
    by: wire.Who | None = None
    """As of a pause."""


class ReleaseValue(Release):
    """A request to take a value out of quarantine."""

    key: Name


class ReleasedView(BaseModel):
    """What was set free."""

    kind: str
    key: str


def router(world: World, token: str) -> APIRouter:
    """Return the routes; those that change something ask for the token."""
    reading, doing = APIRouter(), APIRouter(route_class=access.behind_people(token, world.directory))
    unusable: dict[int | str, dict[str, Any]] = {503: {"model": wire.Problem}}

    @reading.get(PATH, responses=unusable)
    def list_holds() -> HoldsView:
        """Return what stops all, pauses, open circuits, values in quarantine, and maintenance."""
        return _holds(pausing.held(world))

    _add_pauses(doing, world)
    _add_releases(doing, world)
    reading.include_router(doing)
    return reading


def _add_pauses(made: APIRouter, world: World) -> None:
    refusals = _refusals(401, 404, 409, 413, 422, 503)

    @made.post(PATH, status_code=201, responses=refusals)
    def pause(
        wish: Wish,
        request: Request,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> PauseView:
        """Keep automation from acting, for a while and for a reason."""
        _known(wish.runbook, world.runbooks)
        _known_target(wish.target, world.runbooks)
        now = world.clock.now()
        asked = Pause(
            id=wish.id or idempotency_key or secrets.token_hex(8),
            scope=wish.scope,
            name=wish.name,
            owner=_asker(request, wish.by),
            reason=wish.reason,
            created_at=now,
            until=Timestamp(now + int(wish.length)),
        )
        kept = pausing.pause(world, asked)
        _same(kept, asked)
        return view(kept)

    @made.post(f"{PATH}/resume", responses=refusals)
    def resume(about: About, request: Request) -> Resumed:
        """End the pauses of all, of a runbook or of a target."""
        ended = pausing.resume(world, about.scope, about.name, _asker(request, about.by))
        return Resumed(resumed=[view(one) for one in ended])


def _add_releases(made: APIRouter, world: World) -> None:
    refusals = _refusals(401, 404, 409, 413, 422, 503)

    @made.post("/api/v1/runbooks/{name}/close", responses=refusals)
    def close(name: str, wish: Release, request: Request) -> ReleasedView:
        """Close the circuit of a runbook, so that it may act again."""
        _known(name, world.runbooks)
        return _released(world, Released.BREAKER, name, wish.reason, _asker(request, wish.by))

    @made.post("/api/v1/quarantine/release", responses=refusals)
    def release(wish: ReleaseValue, request: Request) -> ReleasedView:
        """Let a value be chosen again."""
        return _released(world, Released.QUARANTINE, wish.key, wish.reason, _asker(request, wish.by))


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": wire.Problem} for code in codes}


def _asker(request: Request, said: str | None) -> str:
    """Return whose token it is; with that of the controller, who they say that they are, which they must."""
    person = str(request.state.person)
    if person != OPERATOR:
        return person
    if said is None:
        message = "'by' is missing: the token of the controller is nobody's own, write who asks"
        raise HTTPException(HTTPStatus.BAD_REQUEST, message)
    return said


def _released(world: World, kind: Released, key: str, reason: str, by: str) -> ReleasedView:
    try:
        pausing.release(world, kind, key, by, reason)
    except BadInput as error:
        raise HTTPException(HTTPStatus.CONFLICT, str(error)) from error
    return ReleasedView(kind=kind.value, key=key)


def _same(kept: Pause, asked: Pause) -> None:
    """Raise `HTTPException` where the pause of an id does not keep away what was asked to be kept away."""
    said = f"the id {literals.shown(asked.id)} stands for"
    if (kept.scope, kept.name) != (asked.scope, asked.name):
        raise HTTPException(HTTPStatus.CONFLICT, f"{said} another pause already; choose a new one")
    if not kept.stands(asked.created_at):
        raise HTTPException(HTTPStatus.CONFLICT, f"{said} a pause that ended already; choose a new one")


def _known(name: str | None, runbooks: Collection[str]) -> None:
    if name is not None and name not in runbooks:
        raise access.no_runbook(name, runbooks)


def _known_target(target: str | None, runbooks: Mapping[str, Runbook]) -> None:
    # Of which node or service is not asked: other controllers may have the same database.
    locks = {book.lock for book in runbooks.values()}
    if target is not None and not any(targets.fits(lock, target) for lock in locks):
        hint = literals.nearest(target, locks)
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no runbook has a target {literals.shown(target)}{hint}")


def view(pause: Pause) -> PauseView:
    """Return a pause as JSON."""
    return PauseView(
        id=pause.id,
        scope=pause.scope.value,
        name=pause.name,
        owner=pause.owner,
        reason=pause.reason,
        created_at=clock.rfc3339(pause.created_at),
        until=clock.rfc3339(pause.until),
    )


def _holds(held: pausing.Held) -> HoldsView:
    return HoldsView(
        stops=[StopView(gate=one.gate.value, detail=one.detail) for one in held.stops],
        pauses=[view(one) for one in held.pauses],
        circuits=[
            CircuitView(
                runbook=one.runbook,
                failures=one.failures,
                last_at=clock.rfc3339(one.last_at),
                retry_at=None if one.retry_at is None else clock.rfc3339(one.retry_at),
            )
            for one in held.circuits
        ],
        quarantined=[
            QuarantinedView(
                key=one.key, run=one.run, since=clock.rfc3339(one.since), until=clock.rfc3339(one.until)
            )
            for one in held.quarantined
        ],
        maintenance=[
            MaintenanceView(name=one.name, reason=one.reason, until=clock.rfc3339(until))
            for one, until in held.maintenance
        ],
    )
