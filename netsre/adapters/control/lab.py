"""The noisy client of the lab, over its control socket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from netsre.adapters.control import ControlUnreachable, call
from netsre.clock import Timestamp
from netsre.model.documents import Document
from netsre.model.gamedays import Profile

_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """What became of the wish for a flood."""

    state: Literal["started", "already", "ended"]
    """`already`: the flood of this key runs. `ended`: it ran, or was stopped before it began."""
    until: Timestamp
    """When it ends, or ended at the latest, by itself."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of the wish that a flood ends."""

    state: Literal["stopped", "absent"]
    """`stopped`: it does not run any more. `absent`: there was none, and there will be none of this key."""
    sent: int
    """Packets (udp) or connections (tcp)."""
    failed: int


@dataclass(frozen=True, slots=True)
class RunningFlood:
    """The flood that runs now."""

    key: str
    profile: str
    since: Timestamp
    until: Timestamp
    sent: int
    failed: int


class LabClient:
    """Asks anew for every call, so a noisy client that was started again is found again.

    Every method may raise `ControlRefused` (reasons: `busy`, `bad_command`, `not_stopped`, …) and
    `ControlUnreachable`.
    """

    def __init__(self, path: Path) -> None:
        """Ask the process that serves this socket."""
        self._path = path

    def flood(self, key: str, profile: Profile, seconds: int) -> Started:
        """Have the lab's server flooded for 1 to 600 s; a key starts one flood, however often it is sent."""
        answer = self._ask({"do": "flood", "key": key, "profile": profile, "seconds": seconds})
        match answer:
            case {"state": "started" | "already" | "ended" as state, "until": int(until)}:
                return Started(state, Timestamp(until))
            case _:
                raise self._nonsense(answer)

    def stop(self, key: str) -> Stopped:
        """End a flood at once; nothing of it is left when this returns."""
        answer = self._ask({"do": "stop", "key": key})
        match answer:
            case {"state": "stopped", "sent": int(sent), "failed": int(failed)}:
                return Stopped("stopped", sent, failed)
            case {"state": "absent"}:
                return Stopped("absent", 0, 0)
            case _:
                raise self._nonsense(answer)

    def state(self) -> RunningFlood | None:
        """Return the flood that runs; None when none does."""
        answer = self._ask({"do": "state"})
        match answer:
            case {"flood": None}:
                return None
            case {
                "flood": {
                    "key": str(key),
                    "profile": str(profile),
                    "since": int(since),
                    "until": int(until),
                    "sent": int(sent),
                    "failed": int(failed),
                }
            }:
                return RunningFlood(key, profile, Timestamp(since), Timestamp(until), sent, failed)
            case _:
                raise self._nonsense(answer)

    def _ask(self, command: Document) -> Document:
        return call(self._path, command, _SECONDS)

    def _nonsense(self, answer: Document) -> ControlUnreachable:
        return ControlUnreachable(f"{self._path} answered {dict(answer)}; is it a lab's?", sent=True)
