"""How many scenarios of runbooks are played in a second: the shipped ones again and again, on two cores."""

import os
import time
from dataclasses import dataclass, replace
from typing import Final

from bench.lines import Line
from netsre.app.rehearsing import running

_LEAST: Final = 500
_ROUNDS: Final = 3
_CORES: Final = 2
_BUDGET: Final = 100


@dataclass(frozen=True, slots=True)
class RateFigures:
    """The best of some rounds; a round has all that the command does but to print."""

    scenarios: int
    """In one round."""
    shipped: int
    per_second: float
    cores: int


def measure() -> RateFigures:
    """Play on two cores, or on the only one; raises `RuntimeError` where a scenario does not pass."""
    cores = min(_CORES, len(os.sched_getaffinity(0)))
    rates = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        ready = running.prepare((), (), ())
        shipped = len(ready.scenarios)
        many = replace(ready, scenarios=ready.scenarios * -(-_LEAST // shipped))
        failed = [played.name for played in running.play(many, cores) if not played.passed]
        if failed:
            raise RuntimeError(f"{', '.join(sorted(set(failed)))} did not pass")
        rates.append(len(many.scenarios) / (time.perf_counter() - began))
    return RateFigures(len(many.scenarios), shipped, max(rates), cores)


def lines(figures: RateFigures) -> list[Line]:
    """Return the row."""
    return [
        Line(
            f"`netsre runbook test`: {figures.scenarios} scenarios, the {figures.shipped} shipped ones again "
            f"and again, on {figures.cores} cores",
            f"{figures.per_second:.0f}/s",
            "",
            f">= {_BUDGET}/s",
            figures.per_second >= _BUDGET,
        )
    ]
