"""A secret is read when it is used, and only from a file that nobody else can read or change."""

import os
import pathlib

import pytest

from netsre.adapters.secrets import NONE, Secrets
from netsre.runbook.actions.contract import NodeRefused

VALUE = "s3cr3t-of-the-pager"


@pytest.fixture
def kept(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory with one secret."""
    directory = tmp_path / "secrets"
    directory.mkdir(0o700)
    keep(directory / "pager", VALUE)
    return directory


def keep(file: pathlib.Path, text: str | bytes) -> None:
    """Write a file that nobody else may read."""
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(0o600)


def refusal(directory: pathlib.Path | None, name: str = "pager") -> str:
    """Return why a secret is not read; its words never have it."""
    with pytest.raises(NodeRefused) as refused:
        Secrets(directory).read(name)
    assert VALUE not in str(refused.value)
    assert refused.value.__cause__ is None
    return refused.value.reason


def test_a_handle_is_filled_with_the_line_of_its_file(kept: pathlib.Path) -> None:
    """Each time anew, so that a secret can be changed while the controller runs."""
    secrets = Secrets(kept)
    keep(kept / "pager", f"{VALUE}\n")

    assert secrets.fill("Bearer ${secret.pager}") == f"Bearer {VALUE}"
    keep(kept / "pager", "another")
    assert secrets.fill("${secret.pager}${secret.pager}") == "anotheranother"
    assert secrets.fill("nothing") == "nothing"


def test_what_is_not_there_is_missing(kept: pathlib.Path) -> None:
    """No directory, no file, or a name that leads elsewhere."""
    assert refusal(None) == "secret_missing"
    assert refusal(kept, "other") == "secret_missing"
    assert refusal(kept / "none") == "secret_missing"
    assert refusal(kept, "../secrets/pager") == "secret_missing"
    with pytest.raises(NodeRefused):
        NONE.fill("${secret.pager}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_reach_is_unsafe(kept: pathlib.Path, mode: int) -> None:
    """Whoever could read it has it."""
    (kept / "pager").chmod(mode)

    assert refusal(kept) == "secret_unsafe"


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_directory_that_others_write_is_unsafe(kept: pathlib.Path, mode: int) -> None:
    """They could put another file there."""
    kept.chmod(mode)

    assert refusal(kept) == "secret_unsafe"


def test_a_link_is_not_followed(kept: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It would lead to what somebody else owns."""
    keep(tmp_path / "elsewhere", VALUE)
    (kept / "link").symlink_to(tmp_path / "elsewhere")

    assert refusal(kept, "link") == "secret_missing"


@pytest.mark.parametrize(
    "content", ["", "\n", f"{VALUE}\nX: y", f"{VALUE}\x00", VALUE.encode() + b"\xff", VALUE * 1000]
)
def test_what_is_not_one_line_is_unsafe(kept: pathlib.Path, content: str | bytes) -> None:
    """A line break in a header begins another header."""
    keep(kept / "pager", content)

    assert refusal(kept) == "secret_unsafe"


def test_what_is_no_file_is_unsafe(kept: pathlib.Path) -> None:
    """Nor does it keep anybody waiting."""
    os.mkfifo(kept / "pipe", 0o600)

    assert refusal(kept, "pipe") == "secret_unsafe"


@pytest.mark.requires("root")
def test_what_belongs_to_somebody_else_is_unsafe(kept: pathlib.Path) -> None:
    """Who owns it can change it at any time."""
    os.chown(kept / "pager", 12_345, -1)
    assert refusal(kept) == "secret_unsafe"

    os.chown(kept / "pager", 0, -1)
    os.chown(kept, 12_345, -1)
    assert refusal(kept) == "secret_unsafe"
