"""Where this host keeps what must not outlive its boot: effects, and the sockets of each `netsre up`."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netsre.adapters.privileges import ServiceUser
from netsre.errors import EnvironmentUnfit
from netsre.gameday.ownership import Owner

RUN: Final = Path("/run/netsre")

_WALKABLE: Final = 0o755
_PRIVATE: Final = 0o700


def make_walkable(directory: Path) -> None:
    """Make a directory that every user can walk through and only its owner can write to; raises `OSError`."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(parents=True)
        directory.chmod(_WALKABLE)


@contextlib.contextmanager
def made(owner: Owner, kind: str, user: ServiceUser) -> Iterator[Path]:
    """Make a directory named after its owner for the sockets of a user, and remove it again.

    Its path is short enough for the address of a socket. Raises `EnvironmentUnfit` where it cannot be made.
    """
    path = RUN / owner.name(kind, "run")
    try:
        make_walkable(RUN)
        path.mkdir(mode=_PRIVATE)
        os.chown(path, user.uid, user.gid)
    except OSError as error:
        raise EnvironmentUnfit(f"run directory {path}: {error.strerror}; it is where sockets live") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
