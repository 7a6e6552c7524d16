"""Asks a running controller."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import httpx

from netsre.errors import BadInput, EnvironmentUnfit, NetsreError
from netsre.model import literals
from netsre.model.documents import Document

_SECONDS: Final = 10.0
_ASKED_WRONG: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Answers to what should not have been asked like that, in the controller's own words."""
_NO_ROUTE: Final = "Not Found"
"""What a server of another kind or version says of a path that it does not have."""


class Refused(NetsreError):
    """The controller understood, and said no; `document` is all that it said."""

    def __init__(self, message: str, document: Mapping[str, object]) -> None:
        """Keep what was said beside the sentence."""
        self.document = document
        super().__init__(message)


def part(name: str) -> str:
    """Return a name as one part of a path, so that nothing in it leads elsewhere; none raises `BadInput`.

    What was typed that is no UTF-8 is sent as it was typed.
    """
    if name in ("", ".", ".."):
        raise BadInput(f"{literals.shown(name)} is no name; write out what is meant")
    return quote(name, safe="", errors="surrogateescape")


def ask(base: str, path: str, **parameters: str | int) -> object:
    """Return the JSON that a controller answers.

    Raises `BadInput` for a name or a value that it does not know, `EnvironmentUnfit` when there is no answer.
    """
    return _asked("GET", f"{base}{path}", params=parameters)


def text(base: str, path: str, **parameters: str | int) -> str:
    """Return the text that a controller answers; raises as `ask` does."""
    return _answer("GET", f"{base}{path}", params=parameters).text


def post(base: str, path: str, token: str, document: Document) -> object:
    """Have a controller do something and return the JSON that it answers.

    Raises `Refused` when it will not (409), `BadInput` for a name or a value that it does not know,
    `EnvironmentUnfit` for everything else.
    """
    headers = {"Authorization": f"Bearer {token}"}
    return _asked("POST", f"{base}{path}", headers=headers, document=document)


def _asked(
    method: str,
    url: str,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
    document: Document | None = None,
) -> object:
    try:
        answered: object = _answer(method, url, params=params, headers=headers, document=document).json()
    except ValueError as error:
        raise EnvironmentUnfit(
            f"controller {url} answered what is no JSON; is it a netsre controller?"
        ) from error
    return answered


def _answer(
    method: str,
    url: str,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
    document: Document | None = None,
) -> httpx.Response:
    try:
        response = httpx.request(
            method, url, params=params, headers=headers, json=document, timeout=_SECONDS, trust_env=False
        )
        response.raise_for_status()
    except httpx.HTTPStatusError as error:
        if error.response.status_code == HTTPStatus.CONFLICT:
            raise _refused(error) from error
        status, said = error.response.status_code, _detail(error)
        if status in _ASKED_WRONG and said not in (None, _NO_ROUTE):
            raise BadInput(said) from error
        raise EnvironmentUnfit(f"controller {url} answered {status}{_ending(said)}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "start `netsre up`, or name another with --controller URL"
        raise EnvironmentUnfit(f"controller {url} does not answer ({error}); {hint}") from error
    except UnicodeEncodeError as error:
        raise BadInput(f"{literals.shown(str(error.object))} is no UTF-8 text; write it in UTF-8") from error
    return response


def _refused(error: httpx.HTTPStatusError) -> Refused:
    try:
        said = error.response.json()
    except ValueError:
        said = {}
    return Refused(f"the controller refuses{_ending(_detail(error))}", said if isinstance(said, dict) else {})


def _detail(error: httpx.HTTPStatusError) -> str | None:
    """Return what a controller says about its answer; None where it is no controller's."""
    try:
        return str(error.response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return None


def _ending(said: str | None) -> str:
    return "; is it a netsre controller?" if said is None else f": {said}"
