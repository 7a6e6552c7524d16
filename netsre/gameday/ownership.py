"""Whose a thing on the host is, told by its name alone.

Everything netsre makes on a host is named `netsre-<kind>-<pid>-<start>-<role>`: the owner's process id, and
the time that process started in clock ticks since boot (`/proc/<pid>/stat`, field 22), in base 36. A reused
process id has another start time, so a dead owner's things are never taken for a live one's, nor the
other way round.

Ticks count from boot, so a name means something only within the boot that made it. That is enough: network
namespaces die with the boot, and where `/run` is on a disk the empty file that remains has an owner that is
gone. To be mistaken for live, a process of the new boot would need the same id and the same start to 10 ms.

Names are judged in the process id namespace of the judge: do not share `/run/netns` between containers that
each have their own.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsre import conventions

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_NAME: Final = re.compile(
    re.escape(conventions.OWNED_PREFIX)
    + r"(?P<kind>[a-z][a-z0-9]*)-(?P<pid>[1-9][0-9]*)-(?P<start>0|[1-9a-z][0-9a-z]*)-"
    r"(?P<role>[a-z0-9]+(?:-[a-z0-9]+)*)"
)

LAB: Final = "lab"
"""The kind of everything that belongs to a lab."""
SERVER: Final = "srv"
"""The role of the namespace that a lab's server is in, and whose connection table drills fill."""


class Ownership(StrEnum):
    """Whose a thing is, and so whether a sweep may take it away."""

    OURS_LIVE = "ours_live"
    """Made by netsre, and the process that made it still runs: never touched."""
    OURS_STALE = "ours_stale"
    """Made by netsre, and the process that made it is gone: removed."""
    NOT_OURS = "not_ours"
    """Anything else, also what merely starts like our names: never touched."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One process, told apart from every other process of this boot."""

    pid: int
    started: int
    """Clock ticks since boot."""

    def name(self, kind: str, role: str) -> str:
        """Return the name of a thing of this owner; letters outside `a-z 0-9 -` raise `ValueError`."""
        name = f"{conventions.OWNED_PREFIX}{kind}-{self.pid}-{_base36(self.started)}-{role}"
        if not _NAME.fullmatch(name):
            message = f"{name!r} is not a name that its reader would understand"
            raise ValueError(message)
        return name


@dataclass(frozen=True, slots=True)
class OwnedName:
    """The parts of a name that netsre made."""

    kind: str
    """`lab`, `test`, …: what made it."""
    owner: Owner
    role: str
    """What it is for that owner: `srv`, `cli-a`, …"""


def parse(name: str) -> OwnedName | None:
    """Take a name apart; None when netsre cannot have made it."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    owner = Owner(pid=int(match["pid"]), started=int(match["start"], 36))
    return OwnedName(kind=match["kind"], owner=owner, role=match["role"])


def verdict(name: str, owner_starttime: int | None) -> Ownership:
    """Say whose `name` is; `owner_starttime` belongs to the process with its owner's id now (None: gone)."""
    parsed = parse(name)
    if parsed is None:
        return Ownership.NOT_OURS
    return Ownership.OURS_LIVE if owner_starttime == parsed.owner.started else Ownership.OURS_STALE


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits
