"""Who holds a lock of a file or directory, as the kernel lists it."""

import os
from pathlib import Path
from typing import NamedTuple


class Holder(NamedTuple):
    """A process."""

    pid: int
    command: str
    """Its command line; empty where that cannot be read."""


def holder(descriptor: int) -> Holder | None:
    """Return who holds the lock (`flock`) of what a descriptor is of; None where nobody can tell.

    A process of another PID namespace has no number here.
    """
    about = os.fstat(descriptor)
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
        # Of those who wait the second word is an arrow.
        _, kind, _, _, pid, where, *_ = line.split()
        if (kind, where) == ("FLOCK", place) and int(pid) > 0:
            return Holder(int(pid), _command(int(pid)))
    return None


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace")
