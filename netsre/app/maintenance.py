"""The maintenance calendars that lie among runbooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netsre.adapters import time_zones
from netsre.app import resources, runbooks
from netsre.errors import Finding, SpecErrors
from netsre.model.maintenance import Maintenance
from netsre.runbook import calendars

_SUFFIXES: Final = (".yaml", ".yml")


def read(paths: Sequence[str | Path]) -> tuple[Maintenance, ...]:
    """Read calendars, those shipped when no path is given, of which there are none; raises `SpecErrors`."""
    chosen = [Path(path) for path in paths] or [resources.directory("runbooks")]
    return calendars.parse(resources.texts(chosen, *_SUFFIXES), time_zones.find, runbooks.known(paths))


def lint(paths: Sequence[Path]) -> tuple[int, tuple[Finding, ...]]:
    """Return how many calendars are right, and everything wrong with them and with the files beside them."""
    try:
        return len(read(paths)), ()
    except SpecErrors as error:
        return 0, error.findings
