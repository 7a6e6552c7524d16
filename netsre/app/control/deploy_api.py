"""The API: deploys that people announce; their tickets are silenced for a while, and never a page."""

import secrets
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, HTTPException
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from netsre import clock
from netsre.alerting import silences
from netsre.alerting.silences import Matcher
from netsre.app.control import access, muting, silencing, wire
from netsre.app.control.pause_api import Reason
from netsre.app.control.world import World
from netsre.clock import Timestamp
from netsre.model import literals
from netsre.model.documents import Document
from netsre.model.events import LONGEST_TEXT, Event

PATH: Final = "/api/v1/deploys"
LONGEST: Final = 4 * clock.HOUR
"""A deploy that takes longer is announced again."""
MOST_SERVICES: Final = 20
MOST_ALERTS: Final = 1000
"""How many of the latest alerts are looked at for services that only others know."""


def _length(text: str) -> int:
    length = literals.parse_duration(text)
    if length > LONGEST:
        raise ValueError(f"is longer than {clock.duration_text(LONGEST)}; announce it again then")
    return length


Service = Annotated[str, AfterValidator(literals.parse_name)]


class Announcement(BaseModel):
    """A deploy of services, for a while."""

    model_config = ConfigDict(extra="forbid")

    services: Annotated[list[Service], Field(min_length=1, max_length=MOST_SERVICES)]
    length: Annotated[str, Field(alias="for"), AfterValidator(_length)]
    comment: Reason
    by: wire.Who


class Peer(BaseModel):
    """What one Alertmanager said."""

    peer: str
    result: str
    reason: str


class Announced(BaseModel):
    """A deploy whose tickets are silenced by at least one Alertmanager."""

    id: str
    services: list[str]
    by: str
    comment: str
    until: str
    peers: list[Peer]
    warnings: list[str]
    """Services that nothing here is about: alerts of others may be, or a name is misspelt."""


def router(world: World, token: str) -> APIRouter:
    """Return the route, which asks for the token."""
    made = APIRouter(route_class=access.behind(token))
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Problem} for code in (401, 409, 413, 422, 503)
    }

    @made.post(PATH, status_code=201, responses=refusals)
    def announce(wish: Announcement) -> Announced:
        """Silence the tickets of services for a while, at every Alertmanager that the controller tells."""
        return _announce(world, wish)

    return made


def _announce(world: World, wish: Announcement) -> Announced:
    now = world.clock.now()
    until = Timestamp(now + int(wish.length))
    name, services = secrets.token_hex(8), sorted(set(wish.services))
    silencer = world.outside.silences
    if not silencer.clients:
        raise HTTPException(
            HTTPStatus.CONFLICT, "the controller tells no Alertmanager; name one with --alertmanager"
        )
    details = {"services": services, "comment": wish.comment, "until": clock.rfc3339(until)}
    with world.store.write() as transaction:
        transaction.audit.append(now, wish.by, "deploy.announced", name, details)
        said = f"{', '.join(services)}: {wish.comment}"
        transaction.events.add(Event(name, "deploy", "", said[:LONGEST_TEXT], now, now, wish.by))
    # Names have no character of a regular expression but the dash, which means nothing here.
    matchers = (silences.TICKETS, Matcher("service", "|".join(services), regex=True))
    comment = f"{wish.comment} (deploy {name})"
    answers = silencer.make(silences.document(matchers, wish.by, comment, now, until))
    told = [
        Peer(peer=one.client.name, result=one.answer.result.value, reason=one.answer.reason)
        for one in answers
    ]
    with world.store.write() as transaction:
        heard: Document = {one.peer: one.result for one in told}
        transaction.audit.append(world.clock.now(), wish.by, "deploy.silenced", name, heard)
        if any(one.accepted for one in answers):
            muting.announce(transaction, name, services, now, until)
    if not any(one.accepted for one in answers):
        message = f"no Alertmanager took the silence: {silencing.said(answers)}"
        raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, message)
    return Announced(
        id=name,
        services=services,
        by=wish.by,
        comment=wish.comment,
        until=clock.rfc3339(until),
        peers=told,
        warnings=unknown(services, _known(world)),
    )


def _known(world: World) -> set[str]:
    """Return the services of service levels and alert rules, and of alerts lately, whoever sent them."""
    with world.store.read() as transaction:
        lately = [dict(alert.labels).get("service") for alert in transaction.alerts.newest(MOST_ALERTS)]
    promised = {slo.service for slo in world.slos.values()} | {rule.service for rule in world.rules}
    return promised | set(filter(None, lately))


def unknown(services: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a sentence about each service that is not known, with the nearest name that is."""
    return [
        f"no service level and no alert here is of the service {literals.shown(name)}"
        f"{literals.nearest(name, known)}"
        for name in services
        if name not in known
    ]
