"""Every runbook that ships, killed before and after lines of a journal and commands for its node.

The database is a file on disk, which every life of a controller opens anew. How many points there are is
not told by the harness: it follows from the journal of a run that nobody killed. Each kind of line and each
effect of a runbook is among those that are tried here; `make soak` tries all of them.
"""

import pathlib
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
import sqlalchemy

from netsre.app import resources
from netsre.app.rehearsing import running
from netsre.app.rehearsing.play import Play, Played
from netsre.app.rehearsing.points import PointedStore
from netsre.app.rehearsing.running import Ready
from netsre.app.rehearsing.stage import Stage
from netsre.model.runbooks import JournalEntry, JournalKind
from netsre.model.scenarios import Scenario
from netsre.store.sqlite import FILE_NAME, SqliteFile
from tests import thorough
from tests.unit import burning
from tests.unit.app.crashing import do_not_wait_for_the_disk
from tests.unit.rehearsing.written import ASKS, GIVEN, HEAD, HELPS

READY: Final = running.prepare((), (), ())
FILES: Final = sorted(path.stem for path in resources.directory("runbooks").glob("*.yaml"))
_PATIENCE: Final = 5_000


class DiskStage(Stage):
    """A stage whose database is a file."""

    def __init__(self, ready: Ready, directory: pathlib.Path) -> None:
        """Make an empty database, and keep a copy of it."""
        self._place = directory / "data"
        self._opened: PointedStore | None = None
        self.store().upgrade()
        super().__init__(ready.books, ready.levels, directory)
        self._close()
        self._empty = directory / "empty.db"
        shutil.copy(self._place / FILE_NAME, self._empty)

    def store(self) -> PointedStore:
        """Return the store of another life: nothing of a former one is left but what is on disk."""
        self._close()
        file = SqliteFile(self._place, create=True, patience=_PATIENCE)
        sqlalchemy.event.listen(file.engine, "connect", do_not_wait_for_the_disk)
        self._opened = PointedStore(file, burning.MIGRATIONS)
        return self._opened

    def clear(self) -> None:
        """Have everything as at the beginning."""
        super().clear()
        self._close()
        shutil.copy(self._empty, self._place / FILE_NAME)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._opened = None


def journal(play: Play) -> list[JournalEntry]:
    """Return every line of every run of a scenario."""
    with play.store.read() as transaction:
        runs = transaction.runs.newest(100)
        journals = transaction.runs.journal([run.id for run in runs])
    return [entry for lines in journals.values() for entry in lines]


def places(lines: list[JournalEntry]) -> int:
    """Return before and after how many things somebody can die, by what stands in the journals."""
    effects = [
        line
        for line in lines
        if line.kind in (JournalKind.INTENT, JournalKind.UNDO_INTENT) and "key" in line.data
    ]
    return 2 * (len(lines) + len(effects))


def whole(stage: Stage, scenario: Scenario) -> tuple[Played, int]:
    """Play a scenario; return what became of it, and how many points there are in it."""
    play = Play(stage, scenario)
    return play.run(), places(journal(play))


def different(scenarios: list[Scenario], stage: Stage) -> Iterator[tuple[Scenario, Played, int]]:
    """Yield scenarios that can be killed, of those in which the same happens only the first."""
    seen = set[tuple[str, ...]]()
    for scenario in scenarios:
        played, points = whole(stage, scenario)
        ends = (*played.points, *played.end.values())
        if ends not in seen and running.can_be_killed(scenario):
            yield scenario, played, points
        seen.add(ends)


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_runbook_ends_the_same_wherever_it_is_killed(name: str, tmp_path: pathlib.Path) -> None:
    """The same runs, each effect once, the same in force, and the same calls for people."""
    stage = DiskStage(READY, tmp_path)
    scenarios = [scenario for scenario in READY.scenarios if scenario.runbook == name]
    deaths, ends, known = 0, set[str](), set[str]()
    for scenario, undisturbed, points in different(scenarios, stage):
        tried = thorough.some(undisturbed.points, known)
        played = running.killed(stage, scenario, undisturbed, tried)

        assert played.differences == (), (scenario.name, played.story)
        assert len(undisturbed.points) == points, scenario.name
        assert played.deaths == len(tried)
        deaths += points
        ends |= {one.partition(" ")[0] for one in undisturbed.end["runs"].split(", ")}
        known.update(undisturbed.points)
    # A run to its good end is among them, and where it acts, one that is taken back or refused.
    assert "succeeded" in ends
    assert deaths >= (4 if READY.books[name].mode == "observe" else 40)


ROUND: Final = ASKS.replace("mode: propose, timeout: 10m", "mode: auto").replace(
    """
    - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
    - {action: conntrack.flush, with: {source: '${evidence.top_source}'}}
""",
    """
    - repeat:
        times: 2
        until: 'not still(alert)'
        steps:
          - {action: evidence.collect, with: {what: [top-sources]}, retry: {times: 2, wait: 5s}}
          - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
          - {action: conntrack.flush, with: {source: '${evidence.top_source}'}}
""",
)
QUORUM: Final = ASKS.replace("mode: propose, timeout", "mode: propose, quorum: 2, timeout")
SAID: Final = "  events: [{at: 40s, approve: maria}, {after: approval_requested, approve: tom}]\n"
ONCE: Final = "  expect: [{runs: [{state: succeeded}], effects: [block, flush]}]\n"


@pytest.mark.parametrize(
    ("book", "rest", "lines"),
    [
        (ROUND, ONCE, {"gates", "plan", "intent", "outcome"}),
        (QUORUM, SAID + ONCE, {"approval_requested", "approval"}),
    ],
    ids=["loop", "quorum"],
)
def test_what_a_runbook_can_say_ends_the_same_too(
    book: str, rest: str, lines: set[str], tmp_path: pathlib.Path
) -> None:
    """A loop with tries, and the words of two people, one of them right after the question."""
    for name, text in (("book.yaml", book), ("one.yaml", HEAD + GIVEN + HELPS + rest)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    ready = running.prepare([tmp_path / "one.yaml"], [tmp_path / "book.yaml"], ())
    stage, scenario = DiskStage(ready, tmp_path / "stage"), ready.scenarios[0]
    undisturbed, points = whole(stage, scenario)
    played = running.killed(stage, scenario, undisturbed)

    assert undisturbed.differences == played.differences == (), played.story
    assert played.deaths == len(undisturbed.points) == points > 30
    assert lines <= {point.split()[1] for point in undisturbed.points}
