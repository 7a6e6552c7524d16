"""Scenario tests: how many a second `netsre runbook test` plays, of those that ship with netsre."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from bench.lines import Line
from netsre.app.rehearsing import running

_ROUNDS: Final = 3
_TIMES: Final = 4
"""How often each is played in a round: processes that play start once for all."""


@dataclass(frozen=True, slots=True)
class ScenarioFigures:
    """What was measured."""

    scenarios: int
    rate: float
    """Scenarios a second, on every core."""
    seconds: float
    """The whole command, its start and the reading of all files included."""


def measure() -> ScenarioFigures:
    """Play the shipped scenarios again and again; raises `RuntimeError` when one does not pass."""
    ready = running.prepare((), (), ())
    many = replace(ready, scenarios=ready.scenarios * _TIMES)
    rates, commands = [], []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        if not all(one.passed for one in running.play(many)):
            raise RuntimeError("a scenario that ships with netsre does not pass")
        rates.append(len(many.scenarios) / (time.perf_counter() - began))
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "netsre", "runbook", "test", "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        commands.append(time.perf_counter() - began)
    return ScenarioFigures(len(ready.scenarios), statistics.median(rates), statistics.median(commands))


def lines(figures: ScenarioFigures) -> Sequence[Line]:
    """Return the rows."""
    return (
        Line(
            "scenario tests of runbooks, in virtual time, on every core",
            f"{figures.rate:.0f}/s",
            "",
            ">= 100/s",
            figures.rate >= 100,
        ),
        Line(
            f"`netsre runbook test`, the {figures.scenarios} scenarios that ship, start included",
            f"{figures.seconds:.1f} s",
            "",
            "",
            None,
        ),
    )
