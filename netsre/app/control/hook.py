"""`POST /api/v1/alerts`: what Alertmanager sends, with its token. Read whole, on disk, and then answered."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from netsre.alerting import webhook
from netsre.alerting.webhook import Notification
from netsre.app.control import access, wire
from netsre.app.control.intake import Busy, Intake, Refusal
from netsre.app.control.pager import Pager
from netsre.errors import BadInput, StoreUnusable

PATH: Final = "/api/v1/alerts"
MOST_BYTES: Final = 8 * 1024 * 1024
_AT_ONCE: Final = 64 * 1024
"""A body up to this size is read within a few milliseconds, a longer one beside whatever else is served."""
_SCHEMA: Final = {"requestBody": {"required": True, "content": {"application/json": {"schema": {
    "type": "object", "required": ["version", "alerts"],
    "properties": {"version": {"const": webhook.VERSION}, "alerts": {"type": "array"}},
}}}}}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """Where alerts come in."""

    token: str
    """What Alertmanager must show."""
    intake: Intake
    pager: Pager
    """Asks for what a webhook left out."""


def add(app: FastAPI, door: Door) -> None:
    """Serve the route."""
    check = access.requires_token(door.token)
    refused: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Problem} for code in (400, 401, 413, 503)
    }

    made = APIRouter(route_class=_Direct)

    @made.post(PATH, openapi_extra=_SCHEMA, responses=refused, response_model=wire.Received)
    async def receive_alerts(request: Request) -> Response:
        """Keep what Alertmanager sends (webhook version 4); every other answer than 200 kept nothing."""
        try:
            await check(request)
            notification = await _read(request)
            kept = await asyncio.wrap_future(door.intake.offer(notification.notices))
        except (HTTPException, BadInput, Busy, StoreUnusable) as error:
            status, why = _refusal(error)
            door.intake.refused(why)
            if isinstance(error, HTTPException):
                raise
            raise HTTPException(status, str(error)) from error
        if notification.truncated:
            door.pager.fetch(notification.receiver)
        said = wire.Received(kept={disposition.value: count for disposition, count in kept.items()})
        return Response(said.model_dump_json(), media_type="application/json")

    app.include_router(made)


class _Direct(APIRoute):
    """A route whose function reads the request and writes the answer: the usual way costs more than it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request: the function itself."""
        return cast("Callable[[Request], Coroutine[Any, Any, Response]]", self.endpoint)


async def _read(request: Request) -> Notification:
    """Return what a request says; raises `BadInput`, or `HTTPException` when it is too large."""
    try:
        body = await access.whole_body(request, MOST_BYTES, "; set max_alerts of the receiver")
    except ClientDisconnect as error:
        raise BadInput("body ended before it was whole") from error
    if len(body) <= _AT_ONCE:
        return webhook.read(body)
    return await run_in_threadpool(webhook.read, body)


def _refusal(error: Exception) -> tuple[HTTPStatus, Refusal]:
    match error:
        case HTTPException(status_code=HTTPStatus.UNAUTHORIZED):
            return HTTPStatus.UNAUTHORIZED, Refusal.UNAUTHENTICATED
        case HTTPException():
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Refusal.TOO_LARGE
        case BadInput():
            return HTTPStatus.BAD_REQUEST, Refusal.MALFORMED
        case Busy():
            return HTTPStatus.SERVICE_UNAVAILABLE, Refusal.BUSY
        case _:
            return HTTPStatus.SERVICE_UNAVAILABLE, Refusal.UNUSABLE
