"""The loop: how long after a fault it is told, acted upon and seen to be healed, in drills of a lab."""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final

_PROFILES: Final = ("udp", "tcp")
_ROUNDS: Final = 3
_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """Medians over some drills of one profile, in seconds."""

    profile: str
    rounds: int
    told: float
    """From the table beyond the alert's value, as it was read, to Alertmanager's acceptance."""
    detected: float
    """From the injection to the alert; most of it is the filling of the table."""
    acted: float
    """From the alert to the first effect in force."""
    verified: float
    """From the injection to the verified recovery."""


def measure() -> list[LoopFigures]:
    """Run drills of each profile, each in a lab of its own."""
    return [_figures(profile, [_drill(profile) for _ in range(_ROUNDS)]) for profile in _PROFILES]


def _drill(profile: str) -> dict[str, Any]:
    command = (sys.executable, "-P", "-m", "netsre", "gameday", "run", "conntrack-flood", "--lab", "--json")
    done = subprocess.run(
        [*command, "--profile", profile], capture_output=True, text=True, check=False, timeout=_SECONDS
    )
    if done.returncode != 0:
        raise RuntimeError(f"a drill of {profile} did not pass: {done.stdout or done.stderr}")
    drill: dict[str, Any] = json.loads(done.stdout)
    return drill


def _figures(profile: str, drills: list[dict[str, Any]]) -> LoopFigures:
    def between(start: str, end: str) -> float:
        return median(_seconds(drill, start, end) for drill in drills)

    return LoopFigures(
        profile=profile,
        rounds=len(drills),
        told=between("beyond_at", "paged_at"),
        detected=between("injected_at", "detected_at"),
        acted=between("detected_at", "mitigated_at"),
        verified=between("injected_at", "verified_at"),
    )


def _seconds(drill: dict[str, Any], start: str, end: str) -> float:
    begin, finish = (datetime.fromisoformat(drill[name]) for name in (start, end))
    return (finish - begin).total_seconds()
