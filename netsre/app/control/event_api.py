"""The API of events: what people, or their deploys, say that they did."""

import secrets
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, HTTPException, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from netsre import clock
from netsre.app.control import access, wire
from netsre.clock import Clock, Timestamp
from netsre.model import literals
from netsre.model.directory import Directory
from netsre.model.documents import Document
from netsre.model.events import AHEAD, KIND, LONGEST_TEXT, PAST, Event
from netsre.store.database import Store

PATH: Final = "/api/v1/events"
_MOST_ROWS: Final = 1000
_Key = Annotated[str, Field(min_length=1, max_length=200)]
_Node = Annotated[str, Field(max_length=300), AfterValidator(literals.printable)]
_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(literals.printable)]


class Wish(BaseModel):
    """Something that happened."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(pattern=KIND)]
    text: _Text
    node: _Node = ""
    """Which node it is about; empty: all."""
    at: str | None = None
    """RFC 3339; null: now."""
    id: _Key | None = None
    """The same id again is the same event; the header `Idempotency-Key` does the same."""


class EventView(BaseModel):
    """Something that happened, and who said so."""

    id: str
    kind: str
    node: str
    text: str
    at: str
    said_at: str
    person: str


class Events(BaseModel):
    """Events, newest first."""

    events: list[EventView]


def router(store: Store, clock_: Clock, token: str, directory: Directory) -> APIRouter:
    """Return the routes; who adds something shows a token, and is named with it."""
    reading, doing = APIRouter(), APIRouter(route_class=access.behind_people(token, directory))

    @reading.get(PATH, responses=_problems(503))
    def list_events(limit: Annotated[int, Query(ge=1, le=_MOST_ROWS)] = 50) -> Events:
        """Return the latest events, newest first."""
        with store.read() as transaction:
            return Events(events=[_view(one) for one in transaction.events.newest(limit)])

    @doing.post(PATH, status_code=201, responses=_problems(401, 409, 413, 422, 503))
    def add_event(
        wish: Wish,
        request: Request,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
    ) -> EventView:
        """Say that something happened; the same id with the same words changes nothing."""
        now = clock_.now()
        name = wish.id or idempotency_key or secrets.token_hex(8)
        event = Event(name, wish.kind, wish.node, wish.text, _moment(wish.at, now), now, request.state.person)
        return _view(_kept(store, event, given=wish.at is not None))

    reading.include_router(doing)
    return reading


def _kept(store: Store, event: Event, *, given: bool) -> Event:
    """Keep an event once, with a row in the audit; `given`: its time was said, and is compared."""
    with store.write() as transaction:
        if transaction.events.add(event):
            details: Document = {"kind": event.kind, "node": event.node, "text": event.text, "at": event.at}
            transaction.audit.append(event.said_at, event.person, "event.added", event.id, details)
            return event
        kept = transaction.events.find(event.id)
    same = kept is not None and (kept.kind, kept.node, kept.text) == (event.kind, event.node, event.text)
    if kept is None or not same or (given and kept.at != event.at):
        raise HTTPException(HTTPStatus.CONFLICT, "this id stands for another event already; choose a new one")
    return kept


def _moment(text: str | None, now: Timestamp) -> Timestamp:
    if text is None:
        return now
    try:
        at = clock.parse_rfc3339(text)
    except ValueError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"at: {error}") from error
    if not now - PAST <= at <= now + AHEAD:
        detail = f"at: {literals.shown(text)} is not within {clock.duration_text(PAST)} before now"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    return at


def _view(event: Event) -> EventView:
    return EventView(
        id=event.id,
        kind=event.kind,
        node=event.node,
        text=event.text,
        at=clock.rfc3339(event.at),
        said_at=clock.rfc3339(event.said_at),
        person=event.person,
    )


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": wire.Problem} for code in codes}
