"""Finds the data that ships with netsre: in the wheel beside the package, in a checkout at its top level."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, Literal

import netsre
from netsre.errors import BadInput, EnvironmentUnfit

Shipped = Literal["bpf", "slos", "runbooks", "dashboards", "migrations"]

LARGEST_FILE: Final = 1024 * 1024
_USUAL_FILE: Final = 64 * 1024
"""Bytes; a file that people write has a few thousand."""

_PACKAGE = Path(netsre.__file__).parent


def directory(name: Shipped) -> Path:
    """Return the directory of one kind of shipped data."""
    for candidate in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if candidate.is_dir():
            return candidate
    message = f"shipped directory {name!r} is missing beside {_PACKAGE}; install netsre again"
    raise EnvironmentUnfit(message)


def runbook_pages() -> dict[str, str]:
    """Return the shipped page of every runbook by name; a person reads it when the pager goes off."""
    candidates = (_PACKAGE / "_data" / "pages", _PACKAGE.parent / "docs" / "runbooks")
    pages = (page for candidate in candidates for page in candidate.glob("*.md"))
    return {page.stem: page.read_text(encoding="utf-8") for page in sorted(pages)}


def texts(paths: Sequence[Path], *suffixes: str, read: Callable[[Path], str] | None = None) -> dict[str, str]:
    """Return the text of every file, and of every file with one of the suffixes under every directory.

    Keys are the paths as given, so that a finding names a file the way its reader knows it. What is hidden is
    left out: editors keep their copies there, and Kubernetes the generations of a mounted volume. A path
    under which there is nothing to read raises `BadInput`, and so does a file that cannot be read. `read` is
    for who knows what most files say; by default it is `text`.
    """
    read = read or text
    found: dict[str, str] = {}
    for path in paths:
        files = _files(path, suffixes) if _is_directory(path) else [path]
        if not files:
            raise BadInput(f"no {suffixes[0]} file in {path}; name a file, or another directory")
        for file in files:
            found[str(file)] = read(file)
    return found


def digest(programs: Path, sources: Iterable[str]) -> str:
    """Return what C sources of a directory are known by, all of its headers with them."""
    whole = hashlib.blake2b(digest_size=16)
    headers = sorted(one.name for one in (programs / "include").iterdir())
    for name in (*sources, *(f"include/{header}" for header in headers)):
        whole.update((programs / name).read_bytes())
    return whole.hexdigest()


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # whoever reads it learns why not


def _files(directory: Path, suffixes: tuple[str, ...]) -> list[Path]:
    def refuse(error: OSError) -> None:
        # Left out in silence, a directory that cannot be read would take its service levels with it.
        raise BadInput(f"directory {error.filename}: {error.strerror}; check its permissions") from error

    found: list[str] = []
    for here, below, names in os.walk(directory, onerror=refuse):
        below[:] = [name for name in below if not name.startswith(".")]
        shown = (name for name in names if not name.startswith("."))
        found += (f"{here}/{name}" for name in shown if name.lower().endswith(suffixes))
    # As paths are in order, but of a thousand of them in a tenth of the time.
    return [Path(path) for path in sorted(found, key=_parts)]


def _parts(path: str) -> list[str]:
    return path.split("/")


def text(path: Path) -> str:
    """Return what a file says; raises `BadInput`."""
    try:
        with path.open("rb") as file:
            # Asked for all at once, room for the largest would be made for each of a thousand small ones.
            content = file.read(_USUAL_FILE)
            if len(content) == _USUAL_FILE:
                content += file.read(LARGEST_FILE + 1 - _USUAL_FILE)
    except OSError as error:
        message = f"file {path}: {error.strerror}; check the path"
        raise BadInput(message) from error
    if len(content) > LARGEST_FILE:
        raise BadInput(f"file {path} is larger than {LARGEST_FILE >> 20} MiB; is it the one you mean?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"file {path} is not UTF-8 text; save it as UTF-8"
        raise BadInput(message) from error
