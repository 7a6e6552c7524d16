"""Who follows files of policies on this node, and how that goes: for whoever asks, and for nobody twice."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from netsre.adapters import file_locks
from netsre.app import remembering
from netsre.errors import EnvironmentUnfit

_FILE: Final = "following.json"
_LOCK: Final = "following.lock"
"""Its times tell what takes no room on a disk that is full: that of access when somebody began, that of
change whether what he says of himself is up to date. Then it is that of the file."""
_ASIDE: Final = "following.json.damaged"
_MS: Final = 1_000_000
"""Nanoseconds."""


class How(StrEnum):
    """How it goes."""

    FOLLOWING = "following"
    """What the files say is in force."""
    WRONG = "wrong"
    """The files cannot be read."""
    REFUSED = "refused"
    """The machine could not put them into force, or police an interface."""
    ON_TRIAL = "on_trial"
    """They come into force when the canary of another command has ended."""
    STAGGERED = "staggered"
    """They have changed, and come into force in a moment, because changes are staggered."""
    ELSEWHERE = "elsewhere"
    """Another command has put something else into force, and the files have not changed since."""
    UNKNOWN = "unknown"
    """Somebody follows, and could not write down how it goes."""


@dataclass(frozen=True, slots=True)
class Following:
    """What somebody who follows says of himself; times are milliseconds since the Unix epoch."""

    process: int
    began: int
    how: How
    since: int
    """When it came to be so."""
    detail: str = ""
    """In one line, where there is something to be done."""
    revision: int | None = None
    """What was put into force last."""
    files: str = ""
    """What these were known by of which it was made."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what a document says; raises one of `remembering.WRONG`."""
        times = int(found["process"]), int(found["began"]), How(found["how"]), int(found["since"])
        revision = found["revision"]
        number = None if revision is None else int(revision)
        return cls(*times, str(found["detail"]), number, str(found["files"]))


def write(directory: Path, following: Following) -> None:
    """Put it on disk; raises `EnvironmentUnfit`, and whoever reads then is told that it is not up to date."""
    file, lock = directory / _FILE, directory / _LOCK
    try:
        remembering.write(file, json.dumps(asdict(following)))
        changed = file.stat().st_mtime_ns
    except EnvironmentUnfit:
        with contextlib.suppress(OSError):
            _stamp(lock, 0)
        raise
    with contextlib.suppress(OSError):
        _stamp(lock, changed)


def _stamp(lock: Path, changed: int) -> None:
    there = lock.stat()
    # The kernel notes when this was done, and that is since when it is so.
    if there.st_mtime_ns != changed:
        os.utime(lock, ns=(there.st_atime_ns, changed))


def read(directory: Path) -> tuple[Following, bool] | None:
    """Return who follows, and whether he is still there; raises `EnvironmentUnfit`.

    None where nobody does.
    """
    found = remembering.read(directory / _FILE, Following.of, "what is in force does not rest on it")
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return (found, False) if found is not None else None
    try:
        if _is_held(descriptor):
            return _up_to_date(directory, found, descriptor), True
    finally:
        os.close(descriptor)
    return (found, False) if found is not None else None


def _up_to_date(directory: Path, found: Following | None, lock: int) -> Following:
    """Return what is known of who follows now, be it that he could not write it down."""
    there = os.fstat(lock)
    with contextlib.suppress(OSError):
        if found is not None and (directory / _FILE).stat().st_mtime_ns == there.st_mtime_ns:
            return found
    holder = file_locks.holder(lock)
    known = found or Following(0, 0, How.UNKNOWN, 0)
    return replace(
        known,
        process=holder.pid if holder is not None else 0,
        began=there.st_atime_ns // _MS,
        how=How.UNKNOWN,
        since=there.st_ctime_ns // _MS,
        detail=f"it has not written down how it goes; it has just begun, or there is no room in {directory}",
    )


def left(directory: Path, tells: Callable[[str], None]) -> Following | None:
    """Return what one who followed before and was killed has said of himself, None where nobody was.

    What nobody can read is told once and set aside: nothing rests on it but what others took back since.
    """
    try:
        found = read(directory)
    except EnvironmentUnfit as error:
        aside = directory / _ASIDE
        with contextlib.suppress(OSError):
            (directory / _FILE).rename(aside)
        tells(f"{directory / _FILE} cannot be read ({error.__cause__}); set aside as {aside.name}")
        return None
    return found[0] if found is not None else None


def state(found: Following, is_there: bool) -> str:  # noqa: FBT001  as `read` has them
    """Return how it goes in one word, the same wherever it is told."""
    return found.how.value if is_there else "gone"


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Be the only one who follows; raises `EnvironmentUnfit` where somebody else does."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EnvironmentUnfit(f"{directory / _LOCK}: {error.strerror}; run it as root") from error
    try:
        if (holder := remembering.take(descriptor)) is not None:
            raise EnvironmentUnfit(
                f"{holder} follows files for {directory} already; "
                "end it first, or let it follow these as well"
            )
        os.utime(descriptor)
        yield
        # Nobody follows any more; of whoever is killed this stays, and says so.
        (directory / _FILE).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_held(descriptor: int) -> bool:
    try:
        # Shared, and for a moment alone: whoever wants to follow waits for as long.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
