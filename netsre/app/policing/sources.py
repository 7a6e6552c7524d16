"""Files of policies and endpoints that are read again and again: only those that are others than before."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.file_changes import Names
from netsre.app import policies, resources
from netsre.errors import BadInput, EnvironmentUnfit, NetsreError, SpecErrors

_MOST_LINKS: Final = 40
"""As many as the kernel follows one after the other."""


class Texts(NamedTuple):
    """What files say, by name."""

    policies: Mapping[str, str]
    endpoints: Mapping[str, str]

    def digest(self) -> str:
        """Return what they are known by after the end of a process."""
        found = hashlib.blake2b(digest_size=16)
        for each in self:
            for name, text in each.items():
                for part in (name, text):
                    found.update(f"{len(part)} {part}".encode())
        return found.hexdigest()


class Sources:
    """The files and directories that somebody named."""

    def __init__(self, paths: Sequence[Path], endpoints: Path) -> None:
        """Read nothing yet; raises `EnvironmentUnfit` where a relative path leads nowhere."""
        self._paths = paths
        self._endpoints = endpoints
        self._whole = {path: _whole(path) for path in (*paths, endpoints)}
        """Where they are, as long as that can be told."""
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def read(self) -> Texts:
        """Return what they say now; raises `BadInput` for what cannot be read.

        Raises `EnvironmentUnfit` where the directory is gone that relative paths begin in.
        """
        try:
            return self._read()
        except BadInput:
            for path in self._whole:
                _whole(path)
            raise

    def _read(self) -> Texts:
        found: dict[str, tuple[tuple[int, ...], str]] = {}

        def text(path: Path) -> str:
            name = str(path)
            stamp = _stamp(name)
            known = self._known.get(name)
            if known is None or known[0] != stamp:
                if stamp:
                    _refuse_endless(path)
                known = stamp, resources.text(path)
            found[name] = known
            return known[1]

        known = policies.texts(self._paths, self._endpoints, text)
        listed = resources.texts([self._endpoints], *policies.SUFFIXES, read=text)
        self._known = found
        return Texts(known, listed)

    def directories(self) -> Mapping[Path, Names]:
        """Return where to look for a change of any of them, with the names that matter there."""
        found: dict[Path, Names] = {}
        for path in {*self._whole.values()}:
            for directory, name in _on_the_way(path):
                _include(found, directory, name)
            for directory, links in _below(path):
                found[directory] = None
                for link in links:
                    for other, name in _on_the_way(link):
                        _include(found, other, name)
        return found


def matters(name: str) -> bool:
    """Return whether a file of this name is read where a directory was named."""
    return not name.startswith(".") and name.lower().endswith(policies.SUFFIXES)


def _whole(path: Path) -> Path:
    """Return a path from the root on; raises `EnvironmentUnfit` where nothing leads there any more."""
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100  links are not to be followed here
    except FileNotFoundError as error:
        raise EnvironmentUnfit(
            f"{path}: the directory in which this was started is gone; start it again in one that is there, "
            "or write paths from / on"
        ) from error


def _stamp(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)  # noqa: PTH116  a thousand of them at each change
    except OSError:
        return ()  # who reads it says why
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _refuse_endless(path: Path) -> None:
    """Raise `BadInput` for a pipe or a device: nobody knows when it ends."""
    if not path.is_file():
        raise BadInput(f"{path} is no regular file; move it away, or write its text into one")


def _include(found: dict[Path, Names], directory: Path, name: str) -> None:
    names = found.setdefault(directory, frozenset())
    if names is not None:
        found[directory] = names | {name}


def _on_the_way(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the directory and the name of a path, and those of all links that lead to it."""
    parts = [*path.parts]
    here, links = Path(parts.pop(0)), 0
    while parts:
        name = parts.pop(0)
        if name == os.pardir:
            here = here.parent
            continue
        there = here / name
        target = _target(there)
        if target is not None or not parts:
            yield here, name
        if target is None or links >= _MOST_LINKS:
            here = there
            continue
        links += 1
        if target.is_absolute():
            here = Path(target.anchor)
        parts = [*(part for part in target.parts if part != target.anchor), *parts]


def _target(path: Path) -> Path | None:
    try:
        return path.readlink()
    except OSError:
        return None  # it is no link, or not there


def _below(path: Path) -> Iterator[tuple[Path, Iterable[Path]]]:
    """Yield every directory that files are read from, with the files there that are links."""
    for here, below, names in os.walk(path):
        below[:] = [name for name in below if not name.startswith(".")]
        files = (Path(here) / name for name in names if matters(name))
        yield Path(here), [file for file in files if file.is_symlink()]


def is_of_files(error: BadInput | EnvironmentUnfit, texts: Texts | None) -> bool:
    """Return whether other files would do: what else the node cannot do may be possible in a moment."""
    return isinstance(error, SpecErrors) or (texts is None and isinstance(error, BadInput))


def one_line(error: NetsreError) -> str:
    """Return what is wrong in one line: the first of several findings, and how many there are."""
    if isinstance(error, SpecErrors) and len(error.findings) > 1:
        return f"{error.findings[0]} (and {len(error.findings) - 1} more: netsre policy lint)"
    return str(error)
