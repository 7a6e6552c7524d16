"""The service levels of the running controller, for whoever judges a canary by them."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from netsre import clock
from netsre.adapters import controller_client
from netsre.app import settings
from netsre.datapath.policy.canary import WAITING, Verdict
from netsre.errors import BadInput, EnvironmentUnfit, NetsreError
from netsre.model import literals
from netsre.slo import canary
from netsre.slo.canary import Key, Level, Levels

_LEVELS: Final = "/api/v1/slos"
_STATUS: Final = "/api/v1/status"
_TURNS: Final = 2
"""So many turns of the controller a canary must last: whatever happens in it is in the last of them."""
_LATE: Final = 4
"""After so many turns without an evaluation nobody evaluates."""
_WRONG: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer ends in that is of another version, or of nobody we know."""


class _Told(NamedTuple):
    """What a controller says."""

    node: str
    interval: float
    """Seconds of a turn."""
    turn: str
    """When it evaluated last."""
    levels: Levels


@dataclass(slots=True)
class Watched:
    """The levels that a canary is judged by, none where no controller runs."""

    base: str = ""
    """The controller's address; empty where none is asked."""
    before: Levels = field(default_factory=dict)
    """Where they stood before the trial."""
    named: bool = False
    """Whether somebody asked for them by name."""
    note: str = ""
    """What is to be known about them before anything begins."""
    interval: float = 0
    """Seconds of a turn of the controller."""
    turn: str = ""
    """When the controller evaluated last."""
    _turned: float = -math.inf
    """When another turn was seen first: none yet since before the trial."""
    _asked: float = -math.inf
    _now: Levels | None = None

    def verdict(self, now: float, *, over: bool) -> Verdict | None:
        """Return what they say, `now` being seconds of any clock that goes on; None where there are none."""
        if not self.before:
            return None
        if over or now - self._asked >= self.interval:
            self._ask(now)
        if self._now is None and not over:
            return WAITING
        return canary.judged(self.before, self._now, over=over, named=self.named)

    def _ask(self, now: float) -> None:
        self._asked, self._now = now, None
        with contextlib.suppress(NetsreError):
            told = _asked(self.base)
            if told.turn != self.turn:
                self.turn, self._turned = told.turn, now
            # One that is stuck says what it said before.
            if now - self._turned <= _LATE * self.interval:
                self._now = told.levels


def watched(controller: str | None, names: Sequence[str], seconds: float) -> Watched:
    """Return the levels to judge a canary of so many seconds by.

    Raises `EnvironmentUnfit` without an answer that was asked for, `BadInput` for a name that nobody knows,
    and for a canary that is too short for the controller to see it.
    """
    base = settings.controller_url(controller)
    try:
        told = _asked(base)
    except EnvironmentUnfit:
        if names or controller is not None:
            raise
        return Watched(note=f"no controller at {base}: judged by what the kernel counts alone")
    known = {key.name for key in told.levels}
    for name in names:
        if name not in known:
            hint = literals.nearest(name, known)
            raise BadInput(f"--slo {literals.shown(name)} is no service level of {base}{hint}")
    before = canary.chosen(_of_node(told.levels, told.node), names)
    if before and seconds < _TURNS * told.interval:
        least = clock.duration_text(int(_TURNS * told.interval * 1000))
        raise BadInput(f"service levels are evaluated twice in {least}; let the canary last as long")
    return Watched(base, before, bool(names), _note(base, before), told.interval, told.turn)


def _note(base: str, before: Levels) -> str:
    if not before:
        return f"no service level of {base} about policies has data: judged by what the kernel counts alone"
    burning = sorted(str(key) for key, one in before.items() if one.burns)
    return f"{', '.join(burning)} burns already: only what is worse counts" if burning else ""


def _asked(base: str) -> _Told:
    """Return what a controller says; raises `EnvironmentUnfit`."""
    status: Any = controller_client.ask(base, _STATUS)
    document: Any = controller_client.ask(base, _LEVELS)
    try:
        levels = {_key(one): _level(one) for one in document["slos"]}
        return _Told(
            str(status["node"]), float(status["interval_seconds"]), str(status["last_tick_at"]), levels
        )
    except _WRONG as error:
        raise EnvironmentUnfit(
            f"controller {base} answered what cannot be read ({error}); is it of this version?"
        ) from error


def _key(one: Mapping[str, Any]) -> Key:
    return Key(str(one["name"]), " ".join(f"{label}={value}" for label, value in one["group"].items()))


def _level(one: Mapping[str, Any]) -> Level:
    window = next(iter(one["burn"]), None)
    reasons = one["reasons"]
    unknown = reasons.get("sli") or reasons.get(f"burn.{window}") or ""
    return Level(
        str(one["service"]),
        frozenset(map(str, one["firing"])),
        _number(one["burn"][window]) if window is not None else None,
        _number(one["bad"]),
        str(unknown),
    )


def _number(value: object) -> Decimal | None:
    found = None if value is None else Decimal(str(value))
    if found is not None and not found.is_finite():
        raise ValueError(f"{found} is no number")
    return found


def _of_node(levels: Levels, node: str) -> Levels:
    """Return the levels of a node, and those that are of no node; of all, where it has none of its own."""
    mine = {key for key in levels if f"node={node}" in key.group.split(" ")}
    nobodys = {key for key in levels if not any(one.startswith("node=") for one in key.group.split(" "))}
    return {key: one for key, one in levels.items() if key in mine | nobodys} if mine else levels
