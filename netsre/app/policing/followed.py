"""Who follows files of policies on this node, and how that goes: for whoever asks, and for nobody twice."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from netsre.app import remembering
from netsre.errors import EnvironmentUnfit

_FILE: Final = "following.json"
_LOCK: Final = "following.lock"


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
    """Put it on disk; raises `EnvironmentUnfit`."""
    remembering.write(directory / _FILE, json.dumps(asdict(following)))


def read(directory: Path) -> tuple[Following, bool] | None:
    """Return who follows, and whether he is still there; raises `EnvironmentUnfit`.

    None where nobody does.
    """
    found = remembering.read(directory / _FILE, Following.of, "what is in force does not rest on it")
    return (found, _is_held(directory / _LOCK)) if found is not None else None


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
        yield
        # Nobody follows any more; of whoever is killed this stays, and says so.
        (directory / _FILE).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, and for a moment alone: whoever wants to follow waits for as long.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
