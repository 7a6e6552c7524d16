"""A directory in which commands remember what no kernel does; whoever changes anything holds its lock."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from netsre.adapters import file_locks
from netsre.adapters.bpf.pins import is_bpf_file_system
from netsre.errors import EnvironmentUnfit
from netsre.model import literals

_MOMENT: Final = 1.0
"""So many seconds anybody may wait without a word."""
_LOOK: Final = 0.02


WRONG: Final = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a document ends in that is of other types than ours."""

_Content = TypeVar("_Content")


def nobody(line: str) -> None:
    """Tell nobody."""
    del line


class Locked(EnvironmentUnfit):
    """Somebody else is changing something, and we do not wait; nothing was done."""


class Remembering:
    """The directory; files in it are there whole or not at all."""

    def __init__(
        self,
        directory: Path,
        waits: Callable[[str], None] = nobody,
        pins: Path | None = None,
        *,
        patient: bool = True,
    ) -> None:
        """Keep them there; `waits` is told for whom somebody has to wait for longer than a moment.

        `pins` is what is changed: whoever remembers elsewhere what he does to it is waited for, too. Who is
        not patient waits for a moment, and then `locked` raises `Locked`.
        """
        self.directory = directory
        self._waits = waits
        self._pins = pins
        self._patient = patient

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be alone, waiting until we are; the directory is made where there is none."""
        with contextlib.ExitStack() as stack:
            # In this order for everybody: who waits for what is pinned has what is remembered already.
            stack.enter_context(self._alone(self.directory))
            if self._pins is not None and (beside := _beside(self._pins)) is not None:
                stack.enter_context(self._alone(beside))
            yield

    @contextlib.contextmanager
    def _alone(self, directory: Path) -> Iterator[None]:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentUnfit(f"directory {directory}: {error.strerror}; run it as root") from error
        try:
            self._wait(descriptor, directory)
            yield
        finally:
            os.close(descriptor)

    def _wait(self, descriptor: int, directory: Path) -> None:
        if not self._patient:
            take_or_refuse(descriptor)
        elif (holder := take(descriptor)) is not None:
            self._waits(f"waiting for {holder}, which has the lock of {directory}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def stamp(self, name: str) -> tuple[int, ...]:
        """Return what a file is known again by, nothing without it; raises `OSError`."""
        return stamp(self.directory / name)

    def put(self, name: str, text: str) -> None:
        """Put a file on disk; raises `EnvironmentUnfit`."""
        write(self.directory / name, text)


def take(descriptor: int) -> str | None:
    """Take the lock of a file within a moment; return in words who has it where that cannot be."""
    until = time.monotonic() + _MOMENT
    while time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        time.sleep(_LOOK)
    if (holder := file_locks.holder(descriptor)) is None:
        return "another process"
    return f"process {holder.pid} ({literals.printable(holder.command) or 'of an unknown name'})"


def take_or_refuse(descriptor: int) -> None:
    """Take the lock of a file within a moment; raises `Locked`."""
    if (holder := take(descriptor)) is not None:
        raise Locked(f"{holder} is changing something here; nothing was done")


def stamp(path: Path) -> tuple[int, ...]:
    """Return what a file is known again by, nothing without it; raises `OSError`."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _beside(pins: Path) -> Path | None:
    """Return the directory that is locked for what is pinned; None where nothing can be."""
    there = next(one for one in pins.parents if one.exists())
    with contextlib.suppress(OSError):
        if "." not in pins.name and is_bpf_file_system(there):
            return pins.with_name(f"{pins.name}_lock")
    return None


def read(path: Path, of: Callable[[Any], _Content], safe: str) -> _Content | None:
    """Return what a file says, None without it; raises `EnvironmentUnfit` where nobody can tell.

    `of` makes it of a JSON document, and may raise one of `WRONG`; `safe` says what does not rest on it.
    """
    try:
        return of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, *WRONG) as error:
        raise EnvironmentUnfit(
            f"{path} cannot be read ({error}); {safe}: move it away and apply again"
        ) from error


def write(path: Path, text: str) -> None:
    """Put a file on disk, whole or not at all, for nobody else to read; raises `EnvironmentUnfit`."""
    try:
        _write(path, text)
    except OSError as error:
        reason = f"{error.strerror}; make room there and apply again"
        raise EnvironmentUnfit(f"{path} cannot be written: {reason}") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(fresh, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
