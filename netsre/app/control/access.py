"""Who may do more than look: a request that changes something shows a token; a wrong one learns nothing."""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from netsre.model import literals
from netsre.model.directory import OPERATOR, Directory

_SCHEME: Final = "bearer"
_NUL: Final = re.compile(rb"\0|(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; a backslash before a `u` may be one of a pair. What is UTF-16 or UTF-32 has a zero."""

MOST_BYTES: Final = 1024 * 1024
"""Of what a person's command sends."""


def requires_token(token: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that lets a request through which shows `Authorization: Bearer <token>`.

    Every other one is answered with 401 and the same words, whatever was wrong: no token, another scheme,
    another token. The comparison takes the same time for each.
    """
    expected = token.encode("ascii")

    async def check(request: Request) -> None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        # Headers are Latin-1: what is not ASCII becomes bytes that no token has.
        right = hmac.compare_digest(shown.strip().encode("latin-1"), expected)
        if scheme.lower() != _SCHEME or not right:
            raise _unknown()

    return check


def _unknown() -> HTTPException:
    return HTTPException(HTTPStatus.UNAUTHORIZED, "a token is needed", headers={"WWW-Authenticate": "Bearer"})


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def requires_person(token: str, directory: Directory) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that lets people through, and leaves who it is in `request.state.person`.

    The token of the controller is the operator's; each of the others is known by its hash alone. As with one
    token, a wrong one learns nothing.
    """
    known = {OPERATOR: _digest(token.encode("ascii"))}
    known |= {person.name: person.token_hash for person in directory.people if person.token_hash}

    async def check(request: Request) -> None:
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        digest = _digest(shown.strip().encode("latin-1"))
        found = [name for name, expected in known.items() if hmac.compare_digest(digest, expected)]
        # A file can have the hash of no token at all.
        if scheme.lower() != _SCHEME or not shown.strip() or not found:
            raise _unknown()
        request.state.person = found[0]

    return check


def no_runbook(name: str, known: Iterable[str]) -> HTTPException:
    """Return what to raise for the name of a runbook that does not exist: 404, with the nearest known."""
    hint = literals.nearest(name, known)
    return HTTPException(HTTPStatus.NOT_FOUND, f"runbook {literals.shown(name)} does not exist{hint}")


def behind(token: str) -> type[APIRoute]:
    """Return a kind of route for which the token is looked at before the first byte of a body is read.

    A dependency would be asked when the body is in memory already, however large a stranger makes it.
    """
    return _guarded(requires_token(token))


def behind_people(token: str, directory: Directory) -> type[APIRoute]:
    """Return such a kind of route for people, each with a token of their own (`requires_person`)."""
    return _guarded(requires_person(token, directory))


def _guarded(check: Callable[[Request], Awaitable[None]]) -> type[APIRoute]:
    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """Return what answers a request."""
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                await check(request)
                return await answer(_Bounded(request.scope, request.receive))

            return guarded

    return Guarded


class _Bounded(Request):
    """A request that is read up to a bound."""

    async def body(self) -> bytes:
        """Return the body; raises `HTTPException` when it is too large, or has what no database can keep."""
        self._body = await whole_body(self, MOST_BYTES)
        if _NUL.search(self._body):
            raise HTTPException(
                HTTPStatus.BAD_REQUEST, "the body has a NUL in it; leave it out, and send UTF-8"
            )
        return self._body


async def whole_body(request: Request, most: int, advice: str = "") -> bytes:
    """Return the body of a request; raises `HTTPException` as soon as it has more than `most` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body has more than {most} bytes{advice}"
            )
    return bytes(body)


async def not_understood(request: Request, error: Exception) -> Response:
    """Answer a request whose parts are not what they must be with one sentence about the first of them.

    What was sent is not sent back: not every value of a request can be written as JSON.
    """
    del request
    (first, *_) = error.errors() if isinstance(error, RequestValidationError) else ({},)
    return JSONResponse({"detail": _sentence(first)}, HTTPStatus.UNPROCESSABLE_ENTITY)


def _sentence(error: Mapping[str, Any]) -> str:
    """Return what is wrong in our words: where by the name that was written, and no word of the framework."""
    if error.get("type") == "json_invalid":
        return "the body is no JSON"
    message = str(error.get("msg", "is not understood")).removeprefix("Value error, ")
    first, *rest = error.get("loc", ("request",))
    # What is wrong with the whole says so itself.
    return f"{literals.shown('.'.join(map(str, rest)))}: {message}" if rest else f"{first}: {message}"
