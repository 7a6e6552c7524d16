"""What `netsre runbook test` does: scenarios are read, played on every core where they are many."""

import contextlib
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.app import resources, runbooks, service_levels
from netsre.app.rehearsing.judging import Difference
from netsre.app.rehearsing.play import Play, Played
from netsre.app.rehearsing.stage import Stage
from netsre.app.service_levels import ServiceLevels
from netsre.errors import BadInput
from netsre.model.runbooks import Runbook
from netsre.model.scenarios import KIND, Look, Moment, Says, Scenario
from netsre.runbook import scenario_files

Fields = Mapping[str, object]

MANY: Final = 40
"""Scenarios from which a second process saves more time than it takes to start."""
_PORTION: Final = 10
_SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Ready:
    """Everything that was read."""

    scenarios: tuple[Scenario, ...]
    books: Mapping[str, Runbook]
    levels: ServiceLevels


def shipped() -> Path:
    """Return the directory of the scenarios that ship with netsre."""
    return resources.directory("runbooks") / "scenarios"


def prepare(paths: Sequence[Path], books: Sequence[Path], slos: Sequence[Path]) -> Ready:
    """Read scenarios, those shipped where no path is given, and what they are about; raises `SpecErrors`.

    Files without any raise `BadInput`: nothing that was played is nothing that passed.
    """
    known = {book.name: book for book in runbooks.read(books, slos)}
    levels = service_levels.load(slos)
    texts = resources.texts(list(paths) or [shipped()], *_SUFFIXES)
    found = scenario_files.parse(texts, known)
    if not found:
        named = ", ".join(map(str, paths))
        raise BadInput(f"no scenario in {named}; write a document of kind: {KIND}, or name other files")
    return Ready(found, known, levels)


def play(ready: Ready, jobs: int | None = None, *, crashes: bool = False) -> Iterator[Played]:
    """Play all of them, and yield what became of each, in order.

    With `crashes` each is played again and again, with the controller killed at another point each time:
    everything must stand in the end as it does otherwise, with every effect once. `jobs` is in how many
    processes; None: on every core, where they are many.
    """
    if jobs is None:
        few = len(ready.scenarios) < MANY and not crashes
        jobs = 1 if few else len(os.sched_getaffinity(0))
    if jobs == 1:
        with tempfile.TemporaryDirectory(prefix="netsre-") as directory:
            stage = Stage(ready.books, ready.levels, Path(directory))
            yield from _played(stage, ready.scenarios, crashes=crashes)
        return
    portion = 1 if crashes else _PORTION
    # What was read is there already in a process that is a copy of this one.
    context = multiprocessing.get_context("fork")
    portions = [
        range(first, min(first + portion, len(ready.scenarios)))
        for first in range(0, len(ready.scenarios), portion)
    ]
    with (
        tempfile.TemporaryDirectory(prefix="netsre-") as directory,
        ProcessPoolExecutor(jobs, context, _prepare, (ready, directory)) as pool,
    ):
        for found in pool.map(partial(_portion, crashes=crashes), portions):
            yield from found


_prepared: list[tuple[Ready, Stage]] = []
"""In a process that plays for another one: what it plays, and where; to set a stage takes a while."""


def _prepare(ready: Ready, directory: str) -> None:
    own = Path(directory, str(os.getpid()))
    own.mkdir()
    _prepared[:] = [(ready, Stage(ready.books, ready.levels, own))]


def _portion(numbers: range, *, crashes: bool) -> list[Played]:
    ((ready, stage),) = _prepared
    return list(_played(stage, [ready.scenarios[number] for number in numbers], crashes=crashes))


def _played(stage: Stage, scenarios: Sequence[Scenario], *, crashes: bool) -> Iterator[Played]:
    with _quiet():
        for scenario in scenarios:
            played = Play(stage, scenario).run()
            yield killed(stage, scenario, played) if crashes and played.passed else played


def can_be_killed(scenario: Scenario) -> bool:
    """Tell whether a scenario means the same wherever a controller dies.

    What people say after a line of a journal they say all the same; everything else that happens at a point
    would happen elsewhere.
    """
    return all(
        isinstance(event.when, Moment) or (event.when.after and isinstance(event.deed, Says))
        for event in scenario.events
    )


def killed(stage: Stage, scenario: Scenario, whole: Played, points: Sequence[int] | None = None) -> Played:
    """Play a scenario with a death at every point; return the first play that ends otherwise, or `whole`.

    `points` says at which alone, by number, counted from 1.
    """
    if not can_be_killed(scenario):
        return whole
    # What stands in between comes later after a death; only the end is the same.
    quiet = replace(scenario, looks=tuple(map(_unheeded, scenario.looks)))
    points = range(1, len(whole.points) + 1) if points is None else points
    for number in points:
        played = Play(stage, quiet, number).run()
        others = [
            Difference(scenario.origin, what, text, played.end[what])
            for what, text in whole.end.items()
            if played.end[what] != text
        ]
        if others or not played.passed:
            return replace(played, differences=(*played.differences, *others))
    return replace(whole, deaths=len(points))


def _unheeded(look: Look) -> Look:
    return Look(look.at, None, None, None, None, None, None, None, None, look.origin)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of what a controller would log: the story of a scenario has it all."""
    log = logging.getLogger("netsre")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def document(played: Sequence[Played]) -> Fields:
    """Return what became of them, for a program."""
    return {
        "passed": sum(one.passed for one in played),
        "failed": sum(not one.passed for one in played),
        "scenarios": [_scenario(one) for one in played],
    }


def _scenario(one: Played) -> Fields:
    return {
        "name": one.name,
        "runbook": one.runbook,
        "file": f"{one.origin.file}:{one.origin.line}",
        "passed": one.passed,
        "deaths": one.deaths,
        "differences": [
            {
                "file": f"{found.origin.file}:{found.origin.line}",
                "what": found.what or None,
                "expected": found.expected,
                "seen": found.seen,
            }
            for found in one.differences
        ],
        "timeline": [{"at": since(told.at), "who": told.who, "text": told.text} for told in one.story],
    }


def since(milliseconds: int) -> str:
    """Return a time since the beginning, as scenarios write it."""
    return clock.duration_text(milliseconds) if milliseconds else "0s"
