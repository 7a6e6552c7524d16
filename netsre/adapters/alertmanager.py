"""One Alertmanager over its API v2: tell it of alerts, ask for those it has, ask whether it is there.

It may be gone, hang, send one byte a second, or answer with a film: whatever it does, a request ends within
its deadline, and its answer is a value.
"""

import asyncio
import json
import math
import ssl
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

import httpx

from netsre.adapters import in_time
from netsre.model.documents import Document, canonical

_ALERTS: Final = "/api/v2/alerts"
_SILENCES: Final = "/api/v2/silences"
_SILENCE: Final = "/api/v2/silence/"
_READY: Final = "/-/ready"
_LONGEST_REASON: Final = 300
_WHILE_SOMEBODY_WAITS: Final = 5.0
"""Seconds; a command gives up on the controller after twice as many."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class Result(StrEnum):
    """What became of a request: the word in the metric."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Alertmanager calls what it got wrong; of several alerts it has kept those that it liked."""
    FAILED = "failed"
    """It answered, and can or may not do it: an error of its own, another server, a password."""
    UNREACHABLE = "unreachable"
    """No answer in time, or none that is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended."""

    result: Result
    reason: str = ""
    """One line; empty when there is nothing to say."""
    alerts: tuple[object, ...] = ()
    """The alerts, or silences, that it has, as JSON values, where that was the question."""


_Judge = Callable[[int, bytes], Answer]
"""Makes an answer of status and body."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a request and how large an answer may be."""

    connect_seconds: float = 2.0
    total_seconds: float = 10.0
    body_bytes: int = 16 * 1024 * 1024


class Alertmanager:
    """A client of one Alertmanager; every request is over within `bounds.total_seconds`."""

    def __init__(self, url: str, bounds: Bounds = Bounds()) -> None:
        """Prepare for requests to `url` (such as `http://127.0.0.1:9093`); nothing is sent yet."""
        self._url = url.rstrip("/")
        self._bounds = bounds
        # Made here, because a process that gave up its privileges may not read the trust store any more.
        secure = url.startswith("https:")
        self._tls = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    @property
    def name(self) -> str:
        """Return host and port, and the path where there is one: what tells one peer from another."""
        parts = urllib.parse.urlsplit(self._url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{host}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 80)}{parts.path}"

    @property
    def url(self) -> str:
        """Return the address."""
        return self._url

    def post(self, alerts: Sequence[Document]) -> Answer:
        """Tell of alerts, each in the form of API v2."""
        return in_time.run(self._bounded("POST", _ALERTS, _taken, body=canonical(alerts).encode()))

    def silence(self, silence: Document) -> Answer:
        """Ask for a silence, in the form of API v2; a person waits for the answer."""
        body = canonical(silence).encode()
        return self._at_once("POST", _SILENCES, _taken, body)

    def silences(self) -> Answer:
        """Ask for the silences that it has, those that are over as well."""
        return self._at_once("GET", _SILENCES, _listed)

    def expire(self, silence_id: str) -> Answer:
        """Have a silence end now."""
        return self._at_once("DELETE", _SILENCE + urllib.parse.quote(silence_id, safe=""), _judged)

    def alerts(self, receiver: str) -> Answer:
        """Ask for the alerts that fire and are neither silenced nor inhibited.

        `receiver` is a regular expression for the receivers that they go to, as a webhook names its own.
        """
        flags = dict.fromkeys(("silenced", "inhibited", "unprocessed"), "false")
        asked = {"active": "true", **flags, **({"receiver": receiver} if receiver else {})}
        return in_time.run(self._bounded("GET", _ALERTS, _listed, asked))

    def ready(self) -> Answer:
        """Ask whether it is there."""
        return in_time.run(self._bounded("GET", _READY, _judged))

    def _at_once(self, method: str, path: str, judge: _Judge, body: bytes = b"") -> Answer:
        """Ask for what somebody waits for."""
        return in_time.run(self._bounded(method, path, judge, body=body, most=_WHILE_SOMEBODY_WAITS))

    async def _bounded(
        self,
        method: str,
        path: str,
        judge: _Judge,
        asked: Mapping[str, str] = _NOTHING,
        *,
        body: bytes = b"",
        most: float = math.inf,
    ) -> Answer:
        seconds = min(self._bounds.total_seconds, most)
        try:
            async with asyncio.timeout(seconds):
                status, answered = await self._request(method, path, asked, body)
        except TimeoutError:
            return Answer(Result.UNREACHABLE, f"no whole answer within {seconds:g} s")
        except httpx.TimeoutException as error:
            return Answer(Result.UNREACHABLE, f"no answer in time ({type(error).__name__})")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(Result.UNREACHABLE, _line(str(error) or type(error).__name__))
        if len(answered) > self._bounds.body_bytes:
            return Answer(Result.FAILED, f"answered more than {self._bounds.body_bytes} bytes")
        return judge(status, answered)

    async def _request(
        self, method: str, path: str, asked: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """Return status and body, which is cut off where it is larger than it may be."""
        timeout = httpx.Timeout(self._bounds.total_seconds, connect=self._bounds.connect_seconds)
        headers = {"Content-Type": "application/json"} if body else {}
        async with (
            httpx.AsyncClient(timeout=timeout, verify=self._tls, trust_env=False) as client,
            client.stream(
                method, f"{self._url}{path}", params=asked, content=body, headers=headers
            ) as response,
        ):
            answered = bytearray()
            async for chunk in response.aiter_bytes():
                answered += chunk
                if len(answered) > self._bounds.body_bytes:
                    break
        return response.status_code, bytes(answered)


def _taken(status: int, body: bytes) -> Answer:
    """Judge the answer to alerts: Alertmanager says nothing, another of its kind an object.

    A page for a person, from a proxy or from whatever else listens there, has told nobody.
    """
    answer = _judged(status, body)
    if answer.result is Result.ACCEPTED and body.strip() and _json(body) is None:
        said = _line(f"answered {status}, with what no Alertmanager says: {_said(body)}")
        return Answer(Result.FAILED, said)
    return answer


def _listed(status: int, body: bytes) -> Answer:
    answer, found = _judged(status, body), _json(body)
    if answer.result is not Result.ACCEPTED:
        return answer
    if not isinstance(found, list):
        return Answer(Result.FAILED, "answered what is no list")
    return Answer(Result.ACCEPTED, alerts=tuple(found))


def _judged(status: int, body: bytes) -> Answer:
    if status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
        return Answer(Result.REJECTED, _said(body))
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Answer(Result.FAILED, f"answered {status} {_said(body)}".strip())
    return Answer(Result.ACCEPTED)


def _said(body: bytes) -> str:
    """Return what an error says: a JSON text, an object with a message, or a line of plain text."""
    text, found = body[: 2 * _LONGEST_REASON].decode(errors="replace"), _json(body)
    if isinstance(found, dict):
        found = found.get("message", text)
    return _line(found if isinstance(found, str) else text)


def _json(body: bytes) -> object:
    """Return what a body says as JSON; None when it says nothing."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
