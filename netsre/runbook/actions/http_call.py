"""`http.call`: something is done by a server that somebody else runs, at an address that the settings allow.

Its body is put together by structure: a reference is a whole value of it, and never a part of a text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from netsre import clock
from netsre.model import urls, values
from netsre.model.deeds import Call, Deed, Request
from netsre.model.documents import Document, Json, canonical
from netsre.model.samples import labels
from netsre.runbook import codes, handles
from netsre.runbook.actions.contract import ActionRefused, Subject, Views
from netsre.runbook.actions.labels import bound

NOT_ALLOWED: Final = "not_allowed"
METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")
USUAL_TIMEOUT: Final = 5 * clock.SECOND
LONGEST_TIMEOUT: Final = 15 * clock.SECOND
"""Other runs wait for as long."""
MOST_BODY: Final = 16_384
MOST_HEADERS: Final = 20
HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)
TEXT: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,498}[\x21-\x7e])?", re.ASCII)
_OURS: Final = frozenset(
    {
        *("host", "connection", "content-length", "content-type", "transfer-encoding", "idempotency-key"),
        *("expect", "te", "trailer", "upgrade", "proxy-authorization"),
    }
)


@dataclass(frozen=True, slots=True)
class HttpCall:
    """The action."""

    allow: tuple[str, ...] = ()
    """What addresses may begin with; nothing is called without."""
    name: str = "http.call"
    secrets: frozenset[str] = frozenset({"headers", "look", "undo"})
    """Where `${secret.NAME}` may stand: in the headers of each request."""
    tells: bool = True
    """It changes no node: a run may go on without it."""

    def read(self, parameters: values.Mapping) -> Document | None:
        """Take `url`, `method`, `headers`, `body`, `expect`, `timeout`, and the calls `look` and `undo`."""
        request, timeout = _request(parameters, METHODS), parameters.duration("timeout", required=False)
        look, undo = (
            None if part is None else _request(part, methods, whole=True)
            for part, methods in (
                (parameters.mapping("look", required=False), ()),
                (parameters.mapping("undo", required=False), METHODS),
            )
        )
        if timeout is not None and not clock.SECOND <= timeout <= LONGEST_TIMEOUT:
            longest = clock.duration_text(LONGEST_TIMEOUT)
            parameters.wrong(
                "timeout", codes.PARAMETER, f"is outside 1s to {longest}: other runs wait for it"
            )
        if request is None:
            return None
        asked = {"look": look, "undo": undo}
        beside = {key: found for key, found in asked.items() if found is not None}
        return {**request, "timeout": timeout or USUAL_TIMEOUT, **beside}

    def plan(self, subject: Subject, parameters: Document, views: Views) -> Deed:
        """Return the call; refuses `not_allowed`, `no_label` and `too_large`."""
        del views
        look, undo = (parameters.get(key) for key in ("look", "undo"))
        timeout = parameters["timeout"]
        return Call(
            self._made(parameters, subject),
            timeout if isinstance(timeout, int) else USUAL_TIMEOUT,
            self._made(look, subject) if isinstance(look, Mapping) else None,
            self._made(undo, subject) if isinstance(undo, Mapping) else None,
        )

    def _made(self, parameters: Document, subject: Subject) -> Request:
        url = str(parameters["url"])
        if not urls.allowed(url, self.allow):
            raise ActionRefused(NOT_ALLOWED, f"{url} is not below automation.http.allow in the settings")
        headers, expect = parameters.get("headers"), parameters.get("expect")
        pairs = headers if isinstance(headers, Mapping) else {}
        body = canonical(bound(parameters["body"], subject)) if "body" in parameters else ""
        if len(body.encode()) > MOST_BODY:
            raise ActionRefused("too_large", f"the body for {url} has more than {MOST_BODY} bytes")
        statuses = expect if isinstance(expect, Sequence) else ()
        return Request(
            str(parameters["method"]),
            url,
            labels({name: str(value) for name, value in pairs.items()}),
            body,
            tuple(status for status in statuses if isinstance(status, int)),
        )


def _request(part: values.Mapping, methods: Sequence[str], *, whole: bool = False) -> dict[str, Json] | None:
    """Take one request, a GET where no methods are given; `whole` where nothing else stands beside it."""
    before, url = len(part.findings), part.text("url")
    method = (part.choice("method", *methods, required=False) or methods[0]) if methods else "GET"
    found: dict[str, Json] = {"url": url, "method": method}
    if url is not None and (problem := urls.problem(url)) is not None:
        part.wrong("url", codes.ADDRESS, problem)
    if (headers := _headers(part)) is not None:
        found["headers"] = headers
    body = part.value("body", required=False) if methods else None
    if body is not None:
        found["body"] = _json(body)
    if (expect := _expect(part)) is not None:
        found["expect"] = expect
    if whole:
        part.end()
    return None if url is None or len(part.findings) > before else found


def _headers(part: values.Mapping) -> dict[str, str] | None:
    headers = part.mapping("headers", required=False)
    if headers is None:
        return None
    pairs = headers.pairs()
    for name, value in pairs.items():
        if HEADER.fullmatch(name) is None or name.lower() in _OURS:
            headers.wrong(name, codes.PARAMETER, "is no header that can be set")
        elif TEXT.fullmatch(value) is None or "${" in handles.HANDLE.sub("", value):
            headers.wrong(
                name,
                codes.PARAMETER,
                "has a value that is no line of at most 500 ASCII characters, or a reference",
            )
    if len(pairs) > MOST_HEADERS:
        part.wrong("headers", codes.PARAMETER, f"are more than {MOST_HEADERS}")
    return pairs


def _expect(part: values.Mapping) -> tuple[int, ...] | None:
    listed = part.sequence("expect", required=False)
    if listed is None:
        return None
    statuses = tuple(filter(None, (scalar.integer() for scalar in listed.scalars())))
    if not statuses or not all(200 <= status <= 499 for status in statuses):
        part.wrong(
            "expect", codes.PARAMETER, "is no list of statuses from 200 to 499; leave it out for any 2xx"
        )
    return statuses


def _json(value: values.Value) -> Json:
    """Return a value as JSON has it: what is written without quotes may be a number or a truth value."""
    match value:
        case values.Mapping():
            return {key: _json_of(value, key) for key in value.keys()}  # noqa: SIM118 - it is no dict
        case values.Sequence():
            return tuple(_json(item) for item in value)
        case values.Scalar():
            if handles.named(value.value):
                value.wrong(codes.HANDLE, "has a secret, which only a header takes")
            return value.json()


def _json_of(part: values.Mapping, key: str) -> Json:
    found = part.value(key)
    return None if found is None else _json(found)
