"""Asks a running controller."""

from typing import Final

import httpx

from netsre.errors import EnvironmentUnfit

_SECONDS: Final = 10.0


def ask(base: str, path: str, **parameters: str | int) -> object:
    """Return the JSON that a controller answers; raises `EnvironmentUnfit` when there is none."""
    url = f"{base}{path}"
    try:
        response = httpx.get(url, params=parameters, timeout=_SECONDS, trust_env=False)
        response.raise_for_status()
        document: object = response.json()
    except httpx.HTTPStatusError as error:
        raise EnvironmentUnfit(
            f"controller {url} answered {error.response.status_code}{_detail(error)}"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        hint = "start `netsre up`, or name another with --controller URL"
        raise EnvironmentUnfit(f"controller {url} does not answer ({error}); {hint}") from error
    except ValueError as error:
        raise EnvironmentUnfit(
            f"controller {url} answered what is no JSON; is it a netsre controller?"
        ) from error
    return document


def _detail(error: httpx.HTTPStatusError) -> str:
    try:
        return f": {error.response.json()['detail']}"
    except (ValueError, KeyError, TypeError):
        return "; is it a netsre controller?"
