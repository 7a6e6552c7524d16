"""Files of people are read whole, or one line says which was not; nothing is left out in silence."""

import os
import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from netsre.app import resources, service_levels
from netsre.errors import BadInput


def names(directory: pathlib.Path) -> list[str]:
    """Return the files that are read under a directory, by their place in it."""
    return [
        str(pathlib.Path(name).relative_to(directory))
        for name in resources.texts([directory], ".yaml", ".yml")
    ]


def test_every_file_is_found_in_order(tmp_path: pathlib.Path) -> None:
    """In directories below, with either suffix, also where somebody shouts it; and no other file."""
    (tmp_path / "b" / "deep.yaml").mkdir(parents=True)
    for name in ("z.yaml", "a.YAML", "b/c.yml", "b/deep.yaml/d.yaml", "notes.md", "yaml"):
        (tmp_path / name).write_text("x")

    assert names(tmp_path) == ["a.YAML", "b/c.yml", "b/deep.yaml/d.yaml", "z.yaml"]


def test_what_is_hidden_is_left_out(tmp_path: pathlib.Path) -> None:
    """Editors keep copies there, and a mounted ConfigMap shows each file a second time."""
    (tmp_path / "..2026_01_01").mkdir()
    (tmp_path / "..2026_01_01" / "a.yaml").write_text("x")
    (tmp_path / "..data").symlink_to("..2026_01_01")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    (tmp_path / ".#a.yaml").symlink_to("somebody@somewhere:1")

    assert names(tmp_path) == ["a.yaml"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("gone"), r"a.yaml: No such file or directory; check the path"),
        (lambda path: path.symlink_to(path), r"a.yaml: Too many levels of symbolic links; check the path"),
        (lambda path: path.write_bytes(b"\xff\x00"), r"a.yaml is not UTF-8 text; save it as UTF-8"),
        (
            lambda path: path.write_bytes(b"a" * 1_048_577),
            r"a.yaml is larger than 1 MiB; is it the one you mean",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: pathlib.Path, make: object, message: str) -> None:
    """Beside others that can: leaving one out would be leaving a service level out."""
    assert callable(make)
    (tmp_path / "b.yaml").write_text("x")
    make(tmp_path / "a.yaml")

    with pytest.raises(BadInput, match=message):
        resources.texts([tmp_path], ".yaml")


def test_an_endless_file_is_too_large() -> None:
    """It is not read to its end."""
    with pytest.raises(BadInput, match="/dev/zero is larger than 1 MiB"):
        resources.texts([pathlib.Path("/dev/zero")], ".yaml")


def test_a_directory_without_files_is_bad_input(tmp_path: pathlib.Path) -> None:
    """A mount that failed must not look like nothing to do; the other path does not help it."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "a.yaml").write_text("x")

    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"no .yaml file in .*/empty; name a file"):
        resources.texts([full, tmp_path / "empty"], ".yaml")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Be nobody for a while: root enters everything."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65_534)
    yield
    os.seteuid(mine)


@pytest.fixture
def open_to_all() -> Iterator[pathlib.Path]:
    """Return a directory in which there is another one, closed to everybody."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        (path / "a.yaml").write_text("x")
        (path / "closed").mkdir()
        (path / "closed" / "b.yaml").write_text("x")
        (path / "closed").chmod(0)
        yield path
        (path / "closed").chmod(0o700)


@pytest.mark.usefixtures("open_to_all", "nobody")
@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", r"closed: Permission denied; check its permissions"),
        ("closed", r"closed: Permission denied; check its permissions"),
        ("closed/b.yaml", r"b.yaml: Permission denied; check the path"),
    ],
)
def test_what_cannot_be_entered_is_bad_input(open_to_all: pathlib.Path, place: str, message: str) -> None:
    """Wherever the door is."""
    with pytest.raises(BadInput, match=message):
        resources.texts([open_to_all / place], ".yaml")


def test_a_controller_without_any_slo_does_not_begin(tmp_path: pathlib.Path) -> None:
    """Every alert would end, and nobody asked for that."""
    policy = (resources.directory("slos") / "policies").glob("*.yaml")
    (tmp_path / "policy.yaml").write_text(next(policy).read_text())

    with pytest.raises(BadInput, match=r"no SLO and no alert in .*; name a file with one"):
        service_levels.required((tmp_path,))
