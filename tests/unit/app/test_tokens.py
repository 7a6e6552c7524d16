"""Tokens are made once, closed to others, and a request without the right one learns nothing."""

import asyncio
import pathlib
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI

from netsre.app import tokens
from netsre.app.control import access
from netsre.errors import BadInput, EnvironmentUnfit


@pytest.fixture(autouse=True)
def _no_tokens_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in tokens.VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


def test_a_token_is_made_once_and_is_only_its_owners(tmp_path: pathlib.Path) -> None:
    """256 bits of text, mode 0600, the same after another start, and no draft beside it."""
    tokens.make(tmp_path)
    made = [tokens.read(tmp_path, name) for name in tokens.VARIABLES]
    tokens.make(tmp_path)

    assert [tokens.read(tmp_path, name) for name in tokens.VARIABLES] == made
    assert len(set(made)) == 2
    assert all(len(token) >= 43 for token in made)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(tokens.VARIABLES)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_the_environment_wins_over_the_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that comes from elsewhere needs no file."""
    monkeypatch.setenv("NETSRE_WEBHOOK_TOKEN", "from-the-environment")

    assert tokens.read(tmp_path, tokens.WEBHOOK) == "from-the-environment"


@pytest.mark.parametrize("text", ["short", "two words, long enough", "sixteen-or-so-\N{SNOWMAN}", "x" * 5000])
def test_a_token_that_protects_nothing_is_refused(tmp_path: pathlib.Path, text: str) -> None:
    """Too short, or with something in it that no header can carry."""
    (tmp_path / tokens.API).write_text(text)

    with pytest.raises(BadInput):
        tokens.read(tmp_path, tokens.API)


def test_without_a_token_the_line_says_what_to_do(tmp_path: pathlib.Path) -> None:
    """The file, the reason, the variable."""
    with pytest.raises(EnvironmentUnfit, match=r"api\.token: No such file.*NETSRE_API_TOKEN"):
        tokens.read(tmp_path, tokens.API)
    with pytest.raises(EnvironmentUnfit, match=r"nowhere/.*token"):
        tokens.make(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        (b"", 401),
        (b"Bearer", 401),
        (b"Bearer ", 401),
        (b"Bearer the-wrong-token", 401),
        (b"Bearer the-right-tokens", 401),
        (b"Basic the-right-token", 401),
        (b"the-right-token", 401),
        ("Bearer the-right-tökén".encode(), 401),
        (b"Bearer the-right-token", 200),
        (b"bearer the-right-token", 200),
    ],
)
def test_only_the_right_token_lets_a_request_through(header: bytes | None, status: int) -> None:
    """Whatever is wrong with it, the answer is the same."""
    app = FastAPI()

    @app.post("/change", dependencies=[Depends(access.requires_token("the-right-token"))])
    def change() -> str:
        return "done"

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            return await client.post(
                "/change", headers=None if header is None else [(b"authorization", header)]
            )

    answer = asyncio.run(ask())
    assert answer.status_code == status
    if status == 401:
        assert (answer.json(), answer.headers["www-authenticate"]) == (
            {"detail": "a token is needed"},
            "Bearer",
        )


class Poured:
    """A body without an end in sight that remembers how much of it was read."""

    def __init__(self, mebibytes: int) -> None:
        """Begin with nothing read."""
        self._left = mebibytes
        self.read = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Give a mebibyte at a time."""
        for _ in range(self._left):
            self.read += 1
            yield b"[" * 1024 * 1024


@pytest.mark.parametrize(
    ("token", "status", "most"), [("a-guessed-token", 401, 0), ("the-right-token", 413, 2)]
)
def test_a_stranger_cannot_fill_the_memory(token: str, status: int, most: int) -> None:
    """The token is looked at before the body, and then the body is read up to a bound."""
    router = APIRouter(route_class=access.behind("the-right-token"))

    @router.post("/change")
    def change(wish: dict[str, str]) -> str:
        return str(wish)

    app, poured = FastAPI(), Poured(64)
    app.include_router(router)

    async def ask() -> httpx.Response:
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            return await client.post("/change", content=poured, headers=headers)

    assert asyncio.run(ask()).status_code == status
    assert poured.read <= most
