"""That changes of policies are staggered for a while: in a file with its own end, for whoever follows files.

Nobody has to be alive for it to end, and nobody waits longer because the file cannot be read.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from netsre.adapters import clocks
from netsre.app import remembering
from netsre.clock import DAY, SECOND, SystemClock, Timestamp, boottime, duration_text, rfc3339
from netsre.errors import EnvironmentUnfit
from netsre.runbook.actions.stagger import LONGEST_PACE, SHORTEST_PACE

_FILE: Final = "staggered.json"
_MILLISECOND: Final = 10**6
_LONGEST: Final = DAY * _MILLISECOND
"""Nanoseconds for which anybody can have changes staggered."""


@dataclass(frozen=True, slots=True)
class Staggered:
    """How far changes are apart, and until when."""

    every: int
    """Milliseconds."""
    deadline: int
    """In nanoseconds of CLOCK_BOOTTIME, which nobody sets."""
    boot: str
    """Which start of the machine that is counted from."""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return what a document says; raises one of `remembering.WRONG`."""
        made = cls(int(found["every"]), int(found["deadline"]), str(found["boot"]))
        if not SHORTEST_PACE <= made.every <= LONGEST_PACE:
            raise ValueError("nobody is asked for such a pace")
        return made


def begin(directory: Path, every: int, deadline: int) -> None:
    """Have changes be `every` milliseconds apart until `deadline`; raises `EnvironmentUnfit`."""
    document = {"every": every, "deadline": deadline, "boot": clocks.boot()}
    remembering.write(directory / _FILE, json.dumps(document))


def on_file(directory: Path) -> Staggered | None:
    """Return what this start of the machine has on file, over or not; what makes no sense is nothing."""
    try:
        found = remembering.read(directory / _FILE, Staggered.of, "changes are not staggered")
    except EnvironmentUnfit:
        return None
    return found if found is not None and found.boot == clocks.boot() else None


def read(directory: Path, now_ns: int) -> Staggered | None:
    """Return how changes are staggered at a time of CLOCK_BOOTTIME; None where they are not."""
    found = on_file(directory)
    # What nobody is asked for is a mistake in the file: changes come into force as ever.
    return found if found is not None and now_ns < found.deadline <= now_ns + _LONGEST else None


def end(directory: Path) -> None:
    """Have them come into force at once again; raises `OSError`."""
    with contextlib.suppress(FileNotFoundError):
        (directory / _FILE).unlink()


def words(directory: Path) -> str | None:
    """Return in one line how changes are staggered now; None where they are not."""
    now_ns = boottime()
    if (found := read(directory, now_ns)) is None:
        return None
    pace, left = duration_text(found.every), (found.deadline - now_ns) // _MILLISECOND
    until = rfc3339(Timestamp((SystemClock().now() + left) // SECOND * SECOND))
    return f"who follows files puts at most one change into force every {pace}, until {until}"
