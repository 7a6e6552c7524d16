"""Finds the data that ships with netsre: in the wheel beside the package, in a checkout at its top level."""

from pathlib import Path
from typing import Literal

import netsre
from netsre.errors import BadInput, EnvironmentUnfit

Shipped = Literal["bpf", "slos", "runbooks", "dashboards", "migrations"]

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


def texts(paths: list[Path], *suffixes: str) -> dict[str, str]:
    """Return the text of every file, and of every file with one of the suffixes under every directory.

    Keys are the paths as given, so that a finding names a file the way its reader knows it.
    """
    found: dict[str, str] = {}
    for path in paths:
        files = sorted(p for p in path.rglob("*") if p.suffix in suffixes) if path.is_dir() else [path]
        for file in files:
            found[str(file)] = _text(file)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"file {path}: {error.strerror}; check the path"
        raise BadInput(message) from error
    except UnicodeDecodeError as error:
        message = f"file {path} is not UTF-8 text; save it as UTF-8"
        raise BadInput(message) from error
