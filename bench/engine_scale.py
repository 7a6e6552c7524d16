"""The SLO engine at its budgeted size: ten thousand SLOs with eight windows each, in a process of its own."""

import gc
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Final

from netsre import clock
from netsre.alerting import decide
from netsre.clock import Timestamp
from netsre.model.levels import SLO, BurnPolicy, BurnRule, Matcher, Origin, RatioIndicator, Selector
from netsre.model.samples import Scrape, Series
from netsre.slo.engine import Engine

_SLOS: Final = 10_000
_TICKS: Final = 20
_INTERVAL: Final = 15 * clock.SECOND
_START: Final = 1_767_225_600_000
PERIOD: Final = 30 * clock.DAY
RULES: Final = (
    BurnRule("page", 5 * clock.MINUTE, clock.HOUR, Fraction(2, 100)),
    BurnRule("page", 30 * clock.MINUTE, 6 * clock.HOUR, Fraction(5, 100)),
    BurnRule("ticket", 2 * clock.HOUR, clock.DAY, Fraction(10, 100)),
    BurnRule("ticket", 6 * clock.HOUR, 3 * clock.DAY, Fraction(10, 100)),
)


Pairs = list[tuple[Series, Series]]
"""Of each SLO, the events that were good and those that were bad."""


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Medians over ticks with a whole window of history, none and a hundredth of the levels burning."""

    slos: int
    windows: int
    evaluate_milliseconds: float
    """Evaluate and decide, no level near its factor."""
    burning_milliseconds: float
    """The same with one level in a hundred burning."""
    observe_milliseconds: float
    """Count one scrape of two series for each SLO."""
    resident_mib: float
    whole_milliseconds: float
    """Evaluate, and work out every number of every level, as for a page that shows them all."""


def measure() -> EngineFigures:
    """Measure in a process that does nothing else."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=True)
    return EngineFigures(**json.loads(done.stdout))


def _slos() -> list[SLO]:
    policy = BurnPolicy("workbook", RULES, 5)
    found = []
    for number in range(_SLOS):
        mine = Matcher("service", "=", f"service-{number}")
        bad = Selector("requests_total", (mine, Matcher("outcome", "=", "failed")))
        indicator = RatioIndicator(bad, Selector("requests_total", (mine,)))
        name = f"slo-{number:05d}"
        found.append(
            SLO(
                name, "s", "", (), Fraction(999, 1000), PERIOD, ("node",), indicator, policy, None,
                Origin("bench", number),
            )
        )  # fmt: skip
    return found


def _series(outcome: str, number: int) -> Series:
    return Series("requests_total", (("outcome", outcome), ("service", f"service-{number}")))


def _scrape(at: int, series: Pairs, burning: int) -> Scrape:
    seconds = (at - _START) // 1000 + 10**7
    values: dict[Series, Decimal] = {}
    for number, (good, bad) in enumerate(series):
        values[good] = Decimal(seconds * 10)
        values[bad] = Decimal(seconds if number < burning else seconds // 100_000)
    return Scrape(Timestamp(at), "n1", Timestamp(_START - clock.DAY), values)


def _fill(engine: Engine, at: int) -> int:
    """Give every level a whole window of history, as minutes, five minutes and hours."""
    history = engine._history  # noqa: SLF001  thirty days of scrapes would take a day
    for tier, grid in zip(history.tiers, history._slots.grids, strict=True):  # noqa: SLF001
        rows = grid.used(tier.slot(at))
        # Where nothing is kept of the present there is nothing to fill in: these have no calendar.
        for slot in range(tier.slot(at) - tier.slots, tier.slot(at)) if len(rows) else ():
            cells = grid.cells(rows, tier.slot(at))
            grid.add(rows, slot, cells.bad, cells.total, cells.measured)
    return at


def _ticks(engine: Engine, series: Pairs, at: int, burning: int) -> tuple[list[float], list[float]]:
    observed, evaluated = [], []
    for number in range(_TICKS):
        scrape = _scrape(at + number * _INTERVAL, series, burning)
        began = time.perf_counter()
        engine.observe(scrape)
        counted = time.perf_counter()
        evaluations = engine.evaluate(scrape.at)
        decide.decide(decide.concerned(evaluations, {}), {}, scrape.at, clock.MINUTE)
        evaluated.append(time.perf_counter() - counted)
        observed.append(counted - began)
    return observed, evaluated


def _worked_out(engine: Engine, at: int) -> float:
    began = time.perf_counter()
    list(engine.evaluate(Timestamp(at)))
    return time.perf_counter() - began


def main() -> None:
    """Print the figures as JSON."""
    slos = _slos()
    series = [(_series("delivered", number), _series("failed", number)) for number in range(_SLOS)]
    engine = Engine(slos)
    for at in (_START, _START + _INTERVAL):
        engine.observe(_scrape(at, series, 0))
    engine.evaluate(Timestamp(_START + _INTERVAL))
    _fill(engine, _START + _INTERVAL)
    gc.collect()
    observed, calm = _ticks(engine, series, _START + 2 * _INTERVAL, 0)
    _, burning = _ticks(engine, series, _START + (_TICKS + 2) * _INTERVAL, _SLOS // 100)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident = int(status.split("VmHWM:")[1].split()[0]) / 1024
    # Last, because so many numbers at once are memory that a tick does not take.
    whole = median(_worked_out(engine, _START + (2 * _TICKS + 2) * _INTERVAL) for _ in range(5))
    figures = EngineFigures(
        _SLOS, 8, median(calm) * 1e3, median(burning) * 1e3, median(observed) * 1e3, resident, whole * 1e3
    )
    print(json.dumps({name: getattr(figures, name) for name in EngineFigures.__slots__}))


if __name__ == "__main__":
    main()
