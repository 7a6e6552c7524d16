"""HTTP calls of runs: each is made once, below an address that the settings allow, or looked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

from netsre import clock
from netsre.adapters.http_calls import Heard, Outcome
from netsre.adapters.secrets import NONE, UNSAFE, Secrets
from netsre.model import urls
from netsre.model.deeds import Call, Request
from netsre.model.documents import Document
from netsre.model.effects import Standing
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from netsre.runbook.actions.http_call import NOT_ALLOWED, TEXT

_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Client(Protocol):
    """Who sends requests."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Heard:
        """Send one request, and return how it ended."""
        ...


class Nobody:
    """Stands where nothing may be called."""

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Heard:
        """Send nothing."""
        del method, url, headers, body, seconds
        return Heard(Outcome.UNSENT, reason="nothing may be called")


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes the calls of steps."""

    client: Client
    allow: tuple[str, ...] = ()
    """What addresses may begin with."""
    secrets: Secrets = NONE
    """What stands in headers for the handles of secrets: known to nobody but the server that hears it."""

    def apply(self, key: str, call: Call) -> Document:
        """Make a call; raises `NodeRefused` when nothing was done, `NodeUnreachable` when nobody knows."""
        heard = self._send(call, call.request, key)
        if expected(call.request, heard.status):
            return {"status": heard.status}
        said = f"{call.request.url} answered {heard.status}"
        if HTTPStatus.BAD_REQUEST <= heard.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NodeRefused("peer_refused", said)
        raise NodeUnreachable(f"{said}, which does not say whether it was done")

    def look(self, key: str, call: Call) -> Standing:
        """Ask what became of a call; raises `NodeUnreachable` or `NodeRefused` where nobody can say."""
        if call.look is None:
            raise NodeRefused("no_look", f"{call.request.url} cannot be asked what became of a call")
        heard = self._send(call, call.look, key)
        if expected(call.look, heard.status):
            return Standing.APPLIED
        if heard.status == HTTPStatus.GONE:
            # It was there: to make the call again would do it twice.
            return Standing.ENDED
        if heard.status == HTTPStatus.NOT_FOUND:
            return Standing.ABSENT
        raise NodeUnreachable(
            f"{call.look.url} answered {heard.status}, which does not say whether it was done"
        )

    def undo(self, key: str, call: Call) -> Document:
        """Make the call that takes one back; what is gone already is none to take back."""
        if call.undo is None:
            raise NodeRefused("irreversible", f"{call.request.url} cannot be taken back")
        heard = self._send(call, call.undo, f"{key}/undo")
        if expected(call.undo, heard.status) or heard.status in _GONE:
            return {"status": heard.status}
        said = f"{call.undo.url} answered {heard.status}"
        if HTTPStatus.BAD_REQUEST <= heard.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise NodeRefused("peer_refused", said)
        raise NodeUnreachable(f"{said}, which does not say whether it was taken back")

    def _send(self, call: Call, request: Request, key: str) -> Heard:
        if not urls.allowed(request.url, self.allow):
            raise NodeRefused(
                NOT_ALLOWED, f"{request.url} is not below automation.http.allow in the settings"
            )
        headers = {name: self._header(name, value) for name, value in request.headers}
        headers["Idempotency-Key"] = key
        body = request.body.encode()
        if body:
            headers["Content-Type"] = "application/json"
        heard = self.client.send(request.method, request.url, headers, body, call.timeout / clock.SECOND)
        match heard.outcome:
            case Outcome.UNSENT:
                raise NodeRefused("unreachable", f"{request.url} cannot be reached: {heard.reason}")
            case Outcome.UNKNOWN:
                raise NodeUnreachable(f"{request.url} gave no answer: {heard.reason}")
            case Outcome.ANSWERED:
                return heard

    def _header(self, name: str, value: str) -> str:
        filled = self.secrets.fill(value)
        if TEXT.fullmatch(filled) is None:
            raise NodeRefused(UNSAFE, f"header {name}: with its secret it is no line of ASCII characters")
        return filled


def expected(request: Request, status: int) -> bool:
    """Tell whether a status is success: one that is named, or where none is, any of 200 to 299."""
    return (
        status in request.expect if request.expect else HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    )
