"""What `netsre gameday` reads from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from netsre import clock
from netsre.adapters import schedule
from netsre.app import resources, runbooks, service_levels
from netsre.errors import BadInput, Finding, SpecErrors
from netsre.gameday import parsing
from netsre.model import literals
from netsre.model.gamedays import GameDay

_SUFFIXES: Final = (".yaml", ".yml")


def read(paths: Sequence[str | Path], slos: Sequence[Path] = ()) -> tuple[GameDay, ...]:
    """Read the game days that lie among runbooks, those shipped when no path is given; raises `SpecErrors`.

    They may expect these runbooks, the alerts and SLOs in `slos`, and always what is shipped.
    """
    chosen = [Path(path) for path in paths] or [resources.directory("runbooks")]
    levels = [service_levels.load(), *([service_levels.load(slos)] if slos else [])]
    known = parsing.Known(
        alerts=frozenset(name for found in levels for name in found.alert_names),
        runbooks=runbooks.known(paths),
        slos=frozenset(slo.name for found in levels for slo in found.slos),
    )
    return parsing.parse(resources.texts(chosen, *_SUFFIXES), schedule.problem, known)


def lint(paths: Sequence[Path]) -> tuple[int, tuple[Finding, ...]]:
    """Return how many game days are right, and everything wrong with them and with the files beside them."""
    try:
        return len(read(paths)), ()
    except SpecErrors as error:
        return 0, error.findings


def find(name: str, gamedays: Sequence[GameDay]) -> GameDay:
    """Return one game day; an unknown name raises `BadInput` with the nearest known."""
    found = {gameday.name: gameday for gameday in gamedays}
    if name not in found:
        hint = literals.nearest(name, found)
        raise BadInput(f"game day {literals.shown(name)} does not exist{hint}")
    return found[name]


def describe(gameday: GameDay) -> dict[str, Any]:
    """Return a game day as JSON."""
    asked = gameday.schedule
    return {
        "name": gameday.name,
        "hypothesis": gameday.hypothesis,
        "fault": parsing.FLOOD,
        "profile": gameday.fault.profile,
        "duration": clock.duration_text(gameday.fault.duration),
        "expect": {
            "alert": gameday.expect.alert,
            "runbook": gameday.expect.runbook,
            "slo": gameday.expect.slo,
        },
        "deadlines": {stage: clock.duration_text(length) for stage, length in gameday.deadlines.items()},
        "schedule": None if asked is None else {"cron": asked.cron, "timezone": asked.timezone},
        "file": f"{gameday.origin.file}:{gameday.origin.line}",
    }
