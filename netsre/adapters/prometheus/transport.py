"""Requests to a Prometheus, within bounds: what is sent once, again, or not at all, and what is an answer.

The client library says what is sent, this session how. It sends to the address that it was given and nowhere
else: no redirect, no proxy or password of the environment. An answer is whole JSON with `status: success`, or
one line of error. What may pass by itself (refused, reset, cut off, 429, 5xx) is tried again, with a pause.
"""

import json
import math
import queue
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn

import requests

from netsre.errors import SourceUnreachable
from netsre.model import literals

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_TOO_MUCH: Final = frozenset({413, 422})
"""The server would have to read or send more than it may; of a shorter span it does not."""
_LONGEST_PAUSE: Final = 5.0
_SHOWN: Final = 160
_PIECE: Final = 65_536
_SYSTEM_REASON: Final = re.compile(r"\[Errno -?\d+\] ([^'\")(]+)")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how large one answer may be, and how often it is asked for."""

    connect_seconds: float = 5.0
    total_seconds: float = 60.0
    body_bytes: int = 64 * 1024 * 1024
    attempts: int = 3
    pause_seconds: float = 0.5
    """Before the second attempt; twice as long before each further one."""


class TooMuch(Exception):  # for whoever asks for less then; people never see it
    """An answer that is more than the server or we can take; the text says which."""


class _Passing(Exception):
    """Something that may be gone at the next attempt, at the earliest after so many seconds."""

    def __init__(self, what: str, pause: float = 0.0) -> None:
        self.what = what
        self.pause = pause
        super().__init__(what)


class Reply(requests.Response):
    """An answer that was read to its end and understood, for the client library to take apart."""

    def __init__(self, document: Mapping[str, Any], size: int) -> None:
        """Hold one document, and how many bytes it was."""
        super().__init__()
        self.status_code = HTTPStatus.OK
        self.document = document
        self.bytes = size

    def json(self, **_options: Any) -> Mapping[str, Any]:
        """Return the document."""
        return self.document


class Session(requests.Session):
    """Sends the requests of the client library."""

    def __init__(self, url: str, token: str | None, bounds: Bounds) -> None:
        """Prepare for requests to one address; nothing is sent yet."""
        super().__init__()
        # Proxies and passwords of the environment are for other servers than the one that was named.
        self.trust_env = False
        trusted = ssl.get_default_verify_paths()
        self.verify = trusted.cafile or trusted.capath or True
        self._token = token
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"
        self._url = url
        self._bounds = bounds
        self.sent = 0
        """Requests, each attempt counted."""
        self.last: Mapping[str, Any] = {}
        """The document of the last answer, because the client library keeps only its result."""
        self.bytes = 0
        """Of the last answer, as they were unpacked."""

    def request(self, method: str, url: str | bytes, *_: Any, **options: Any) -> requests.Response:
        """Return a whole answer.

        Raises `TooMuch` when it would be too large, `SourceUnreachable` when there is none.
        """
        options |= {"allow_redirects": False, "stream": True}
        options["timeout"] = (self._bounds.connect_seconds, self._bounds.total_seconds)
        send = super().request
        for attempt in range(1, self._bounds.attempts + 1):
            self.sent += 1
            try:
                reply = self._within_time(lambda: self._read(send(method, url, **options)))
            except _Passing as passing:
                if attempt == self._bounds.attempts:
                    tries = f", {attempt} times" if attempt > 1 else ""
                    self.refuse(f"{passing.what}{tries}")
                pause = max(passing.pause, self._bounds.pause_seconds * 2 ** (attempt - 1))
                time.sleep(min(pause, _LONGEST_PAUSE))
            else:
                self.last, self.bytes = reply.document, reply.bytes
                return reply
        raise AssertionError("a session without attempts")

    def refuse(self, what: str) -> NoReturn:
        """Raise `SourceUnreachable` with one line that shows no secret."""
        raise SourceUnreachable(f"Prometheus {self._url} {self.shown(what)}")

    def shown(self, said: str) -> str:
        """Return what a server said as one line that shows no secret."""
        return literals.printable(said.replace(self._token, "[token]") if self._token else said)

    def _within_time(self, work: Callable[[], Reply]) -> Reply:
        """Return what a thread brings in time; a server that sends a byte a second cannot hold us longer."""
        done: queue.SimpleQueue[Reply | Exception] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put(work())
            except Exception as error:  # noqa: BLE001  # raised again by whoever waits
                done.put(error)

        # A daemon: whoever hangs there is not waited for when the process ends.
        threading.Thread(target=run, name="prometheus", daemon=True).start()
        try:
            found = done.get(timeout=self._bounds.total_seconds)
        except queue.Empty:
            self.refuse(f"did not finish its answer within {self._bounds.total_seconds:g} s; is it busy?")
        if isinstance(found, Exception):
            self._explain(found)
        return found

    def _explain(self, error: Exception) -> NoReturn:
        if isinstance(error, requests.Timeout):
            self.refuse("did not answer in time; is it busy, or is the address another's?")
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            raise _Passing("cut its answer off") from error
        if isinstance(error, requests.exceptions.ContentDecodingError):
            self.refuse("answered what cannot be unpacked; is it a Prometheus?")
        if isinstance(error, requests.ConnectionError):
            raise _Passing(f"does not answer ({_short(error)})") from error
        if isinstance(error, requests.RequestException):
            self.refuse(f"cannot be asked ({_short(error)}); check the address")
        raise error

    def _read(self, response: requests.Response) -> Reply:
        with response:
            body = self._body(response)
        status = response.status_code
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            elsewhere = literals.shown(response.headers.get("Location", ""))
            self.refuse(f"redirects to {elsewhere}; nothing is sent there: name that address if it is meant")
        if status != HTTPStatus.OK:
            self._refused(response, body)
        document = self._document(body)
        if document.get("status") != "success":
            self.refuse(f"answered without success{_reason(body)}")
        return Reply(document, len(body))

    def _refused(self, response: requests.Response, body: bytes) -> NoReturn:
        status = response.status_code
        what = f"answered {status}{_reason(body)}"
        if status in _TOO_MUCH:
            raise TooMuch(what)
        if status in _PASSING:
            raise _Passing(what, _seconds(response.headers.get("Retry-After", "")))
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            what += "; set NETSRE_PROMETHEUS_TOKEN, or name a file with --token-file"
        self.refuse(what)

    def _body(self, response: requests.Response) -> bytes:
        body = bytearray()
        for piece in response.iter_content(_PIECE):
            body += piece
            if len(body) > self._bounds.body_bytes:
                raise TooMuch(f"answered more than {self._bounds.body_bytes} bytes")
        return bytes(body)

    def _document(self, body: bytes) -> Mapping[str, Any]:
        try:
            document = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            self.refuse("answered what is no JSON; is it a Prometheus?")
        if not isinstance(document, dict):
            self.refuse("answered JSON of another shape; is it a Prometheus?")
        return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _reason(body: bytes) -> str:
    """Return what the server says about a failure, as the end of a sentence."""
    try:
        document = json.loads(body)
        said = str(document["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return f": {said[:_SHOWN]}"


def _short(error: Exception) -> str:
    text = str(error)
    found = _SYSTEM_REASON.search(text)
    return found[1].strip() if found else (text.splitlines() or [type(error).__name__])[0][-_SHOWN:]


def _seconds(text: str) -> float:
    """Return the seconds of a `Retry-After`; a date, or nonsense, is no reason to wait longer."""
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0
