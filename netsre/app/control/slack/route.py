"""`POST /api/v1/slack/interactions`: what Slack sends when a button is pressed, signed over the raw body.

Whatever is not Slack's is answered with 401 and the same words. A click is on disk before its 200.
"""

import urllib.parse
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from netsre import clock
from netsre.adapters.slack import signatures
from netsre.app.control import access, wire
from netsre.app.control.slack import clicks
from netsre.app.control.slack.desk import Desk
from netsre.clock import Clock
from netsre.errors import BadInput, StoreUnusable

PATH: Final = "/api/v1/slack/interactions"
MOST_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 10


def add(app: FastAPI, desk: Desk, secret: str, the_clock: Clock) -> None:
    """Serve the route; without a secret nothing is Slack's."""
    refused: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Problem} for code in (400, 401, 413, 503)
    }

    @app.post(PATH, responses=refused, response_class=Response)
    async def interact(request: Request) -> Response:
        """Hear a click; the answer is empty, and what became of it is shown in Slack."""
        try:
            body = await access.whole_body(request, MOST_BYTES)
        except ClientDisconnect as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, "body ended before it was whole") from error
        now = the_clock.now() // clock.SECOND
        sent = request.headers.get
        at, signature = sent("x-slack-request-timestamp", ""), sent("x-slack-signature", "")
        if not secret or not signatures.genuine(secret, at, signature, body, now):
            desk.refused("not_signed")
            raise HTTPException(HTTPStatus.UNAUTHORIZED, "a signature of Slack is needed")
        try:
            click = clicks.parse(_payload(body))
            await run_in_threadpool(desk.hear, click)
        except BadInput as error:
            desk.refused("malformed")
            raise HTTPException(HTTPStatus.BAD_REQUEST, str(error)) from error
        except StoreUnusable:
            desk.refused("unusable")
            raise
        return Response()


def _payload(body: bytes) -> str:
    """Return the field `payload` of a form; raises `BadInput` where there is none."""
    try:
        fields = urllib.parse.parse_qs(body.decode(), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise BadInput("body is no form") from error
    found = fields.get("payload", [])
    if len(found) != 1:
        raise BadInput("body has not exactly one payload")
    return found[0]
