"""What `netsre runbook test` does: scenarios are read, played one after the other, and told about."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre import clock
from netsre.app import resources, runbooks, service_levels
from netsre.app.rehearsing.play import Play, Played
from netsre.app.rehearsing.stage import Stage
from netsre.app.service_levels import ServiceLevels
from netsre.model.runbooks import Runbook
from netsre.model.scenarios import Scenario
from netsre.runbook import scenario_files

Fields = Mapping[str, object]

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
    """Read scenarios, those shipped where no path is given, and what they are about; raises `SpecErrors`."""
    known = {book.name: book for book in runbooks.read(books, slos)}
    levels = service_levels.load(slos)
    texts = resources.texts(list(paths) or [shipped()], *_SUFFIXES)
    return Ready(scenario_files.parse(texts, known), known, levels)


def play(ready: Ready, tell: Callable[[Played], None]) -> tuple[Played, ...]:
    """Play all of them; `tell` hears of each."""
    with tempfile.TemporaryDirectory(prefix="netsre-") as directory:
        return tuple(_played(ready, Path(directory), tell))


def _played(ready: Ready, directory: Path, tell: Callable[[Played], None]) -> Iterator[Played]:
    stage = Stage(ready.books, ready.levels, directory)
    for scenario in ready.scenarios:
        played = Play(stage, scenario).run()
        tell(played)
        yield played


def document(played: Sequence[Played]) -> Fields:
    """Return what became of them, for a program."""
    return {
        "passed": sum(one.passed for one in played),
        "failed": sum(not one.passed for one in played),
        "scenarios": [_scenario(one) for one in played],
    }


def _scenario(one: Played) -> Fields:
    scenario = one.scenario
    return {
        "name": scenario.name,
        "runbook": scenario.runbook,
        "file": f"{scenario.origin.file}:{scenario.origin.line}",
        "passed": one.passed,
        "differences": [
            {
                "file": f"{found.origin.file}:{found.origin.line}",
                "what": found.what or None,
                "expected": found.expected,
                "seen": found.seen,
            }
            for found in one.differences
        ],
        "timeline": [
            {"at": since(told.at), "seconds": str(told.at / clock.SECOND), "who": told.who, "text": told.text}
            for told in one.story
        ],
    }


def since(milliseconds: int) -> str:
    """Return a time since the beginning, as scenarios write it."""
    return clock.duration_text(milliseconds) if milliseconds else "0s"
