"""The console: one page for the engineer on call, served from memory, with every asset local.

The files are read when this module is imported, because the controller drops its privileges afterwards
and may then not be able to read its own checkout. The page itself only reads the JSON API.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import APIRouter, Header, HTTPException, Response

from netsre.app.control import headers

_MEDIA_TYPES: Final = MappingProxyType(
    {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
)

# Label values reach this page from the network: nothing inline runs and nothing foreign loads.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS: Final = MappingProxyType(
    {
        **headers.SAFE,
        "content-security-policy": CONTENT_SECURITY_POLICY,
        # Revalidate each time: a page of yesterday's version against today's API helps nobody.
        "cache-control": "no-cache",
    }
)
"""What is sent with every page and file."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page, ready to send."""

    content: bytes
    media_type: str
    etag: str


def _load() -> Mapping[str, Asset]:
    """Read every file of the page from the package."""
    assets = {}
    for entry in resources.files(__name__).joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            assets[entry.name] = Asset(content, media_type, etag)
    return MappingProxyType(assets)


ASSETS: Final = _load()
"""Every file of the page by name; a name that is not here is a 404, so no path ever reaches a disk."""

router: Final = APIRouter(include_in_schema=False)


@router.get("/")
def page(if_none_match: Annotated[str, Header()] = "") -> Response:
    """Answer with the page."""
    return _answer("index.html", if_none_match)


@router.get("/console/{name}")
def asset(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Answer with one file of the page."""
    return _answer(name, if_none_match)


def _answer(name: str, if_none_match: str) -> Response:
    found = ASSETS.get(name)
    if found is None:
        raise HTTPException(404, f"the console has no file {name!r}")
    told = {**HEADERS, "etag": found.etag}
    if found.etag in if_none_match:
        return Response(status_code=304, headers=told)
    return Response(found.content, media_type=found.media_type, headers=told)
