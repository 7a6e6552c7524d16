"""What happens to files: told once, of those that matter, and whether somebody is still writing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from netsre.adapters.file_changes import FileChanges, Told

_NOTHING: Final = Told(matters=False, directories=False)
_FILES: Final = Told(matters=True, directories=False)


@pytest.fixture
def changes() -> Iterator[FileChanges]:
    """Watch for files of YAML."""
    with FileChanges(lambda name: name.endswith(".yaml")) as made:
        yield made


def test_a_file_that_comes_in_the_place_of_another_one_is_told_once(
    tmp_path: Path, changes: FileChanges
) -> None:
    """As editors do it; nothing happens after that."""
    (tmp_path / "new").write_text("x", encoding="utf-8")
    changes.watch({tmp_path: None})
    before = changes.take()
    (tmp_path / "new").rename(tmp_path / "a.yaml")

    assert (before, changes.take(), changes.take()) == (_NOTHING, _FILES, _NOTHING)


def test_whoever_writes_is_known_until_he_closes_the_file(tmp_path: Path, changes: FileChanges) -> None:
    """Also after what he wrote was told."""
    changes.watch({tmp_path: None})
    with (tmp_path / "a.yaml").open("w", encoding="utf-8") as file:
        file.write("x")
        file.flush()
        told = changes.take()
        written = changes.is_written
    closed = changes.take()

    assert (told, written, closed, changes.is_written) == (_FILES, True, _FILES, False)


def test_what_is_of_another_kind_is_not_told(tmp_path: Path, changes: FileChanges) -> None:
    """A log that somebody writes beside the files; of a directory with names, all but these."""
    log, other = tmp_path / "log", tmp_path / "of-names"
    other.mkdir()
    for path in (log, other / "b.yaml", other / "a.yaml"):
        path.write_text("x", encoding="utf-8")
    changes.watch({tmp_path: None, other: frozenset({"a.yaml"})})
    with log.open("a", encoding="utf-8") as one, (other / "b.yaml").open("a", encoding="utf-8") as two:
        for each in (one, two):
            each.write("x")
            each.flush()
        told = changes.take(), changes.is_written
    (other / "a.yaml").unlink()

    assert told == (_NOTHING, False)
    assert changes.take() == _FILES


def test_a_directory_that_is_made_anew_is_watched_anew(tmp_path: Path, changes: FileChanges) -> None:
    """That it went is told; what is not there is left out until it comes."""
    below = tmp_path / "below"
    below.mkdir()
    known = changes.watch({below: None}), changes.watch({below: None})
    below.rmdir()
    told = changes.take()
    gone = changes.watch({below: None})
    below.mkdir()
    again = changes.watch({below: None})

    assert (known, told, gone, again) == ((True, False), Told(matters=True, directories=True), False, True)
