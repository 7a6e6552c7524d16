"""What the console's router promises, without a browser."""

import asyncio
import re
from typing import Final

import fastapi
import httpx
import pytest

from netsre.app.control import console

APP: Final = fastapi.FastAPI()
APP.include_router(console.router)


def get(path: str, **headers: str) -> httpx.Response:
    """Ask an application that has only the console."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=APP)
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_every_answer_forbids_inline_and_foreign_code() -> None:
    """The page and each of its files carry the policy: nothing but the page's own files may load or run."""
    for path in ("/", *(f"/console/{name}" for name in console.ASSETS)):
        answer = get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_scripts_are_served_as_scripts() -> None:
    """A browser that obeys nosniff runs the modules and applies the style."""
    assert get("/").headers["content-type"] == "text/html; charset=utf-8"
    assert get("/console/main.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert get("/console/console.css").headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize("name", ["absent.js", "__init__.py", "..%2F__init__.py", "%2Fetc%2Fpasswd"])
def test_only_the_files_of_the_page_are_served(name: str) -> None:
    """A name is looked up in a table, so that no path leads outside of the page."""
    assert get(f"/console/{name}").status_code == 404


def test_an_unchanged_file_is_not_sent_again() -> None:
    """A browser revalidates each time and gets 304 while the file is the same."""
    first = get("/console/main.js")
    again = get("/console/main.js", **{"If-None-Match": first.headers["etag"]})
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert get("/console/main.js", **{"If-None-Match": '"other"'}).status_code == 200


def test_the_console_is_no_part_of_the_published_api() -> None:
    """OpenAPI describes the JSON API; the page is not in it."""
    assert APP.openapi()["paths"] == {}


@pytest.mark.parametrize("name", sorted(console.ASSETS))
def test_a_file_needs_nothing_from_elsewhere(name: str) -> None:
    """No file names another host, apart from XML namespaces, which are never fetched."""
    text = console.ASSETS[name].content.decode()
    assert set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", text)) <= {"http://www.w3.org"}


@pytest.mark.parametrize("name", sorted(name for name in console.ASSETS if name.endswith(".js")))
def test_scripts_never_turn_text_into_markup(name: str) -> None:
    """No script uses a sink that parses markup or code, and none grows past a screen-friendly size."""
    text = console.ASSETS[name].content.decode()
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    assert not re.search(sinks, text)
    assert len(text.splitlines()) <= 400


def test_every_import_and_reference_exists() -> None:
    """Each module that a module imports, and each file that the page names, is in the package."""
    for name, asset in console.ASSETS.items():
        text = asset.content.decode()
        wanted = re.findall(r'from "\./([\w.]+)"', text) + re.findall(r'"console/([\w.]+)"', text)
        assert set(wanted) <= set(console.ASSETS), name
    assert 'src="console/main.js"' in console.ASSETS["index.html"].content.decode()


def test_the_page_has_no_inline_code() -> None:
    """No inline script, handler or style: the policy would block them and the page would be half dead."""
    text = console.ASSETS["index.html"].content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", text)
