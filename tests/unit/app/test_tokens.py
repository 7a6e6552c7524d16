"""Tokens are made once, closed to others, and a request without the right one learns nothing."""

import asyncio
import pathlib

import httpx
import pytest
from fastapi import Depends, FastAPI

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
