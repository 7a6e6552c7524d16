"""One HTTP request to a server that somebody else runs; whatever that does, it is over within its time.

No redirect is followed, no proxy is asked, certificates are verified, and of the answer only the status is
read: what else it says is nothing to act by.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import httpx

from netsre.adapters import in_time

_CONNECT_SECONDS: Final = 3.0
_LONGEST_REASON: Final = 300


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    UNSENT = "unsent"
    """There was no connection: the server heard nothing."""
    UNKNOWN = "unknown"
    """It may have been heard; there is no answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of a request."""

    outcome: Outcome
    status: int = 0
    reason: str = ""
    """One line; empty when there is nothing to say."""


class HttpCaller:
    """Sends requests."""

    def __init__(self) -> None:
        """Prepare; nothing is sent yet."""
        # Made here, because a process that gave up its privileges may not read the trust store any more.
        self._tls = ssl.create_default_context()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Heard:
        """Send one request, and return how it ended within so many seconds."""
        return in_time.run(self._bounded(method, url, headers, body, seconds))

    async def _bounded(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Heard:
        timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
        try:
            async with (
                asyncio.timeout(seconds + _CONNECT_SECONDS),
                httpx.AsyncClient(timeout=timeout, verify=self._tls, trust_env=False) as client,
                client.stream(method, url, content=body, headers=headers) as response,
            ):
                return Heard(Outcome.ANSWERED, response.status_code)
        except (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.UnsupportedProtocol,
            httpx.LocalProtocolError,
            httpx.InvalidURL,
        ) as error:
            return Heard(Outcome.UNSENT, reason=_line(error))
        except httpx.RemoteProtocolError:
            # Without its words, which have those of the server, who may repeat a secret that it was sent.
            return Heard(Outcome.UNKNOWN, reason="what it answered is no HTTP, or ended too early")
        except (httpx.HTTPError, OSError) as error:
            # TimeoutError is an OSError.
            return Heard(Outcome.UNKNOWN, reason=_line(error))


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:_LONGEST_REASON]
