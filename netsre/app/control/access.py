"""Who may do more than look: a request that changes something shows a token; a wrong one learns nothing."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from fastapi import HTTPException, Request

_SCHEME: Final = "bearer"


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
            raise HTTPException(
                HTTPStatus.UNAUTHORIZED, "a token is needed", headers={"WWW-Authenticate": "Bearer"}
            )

    return check
