"""An SLO that is asked for today has its past tomorrow, as if it had always been there."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels, resources
from netsre.app.control import reading, wire
from netsre.app.control.reading import Clients, Turns
from netsre.app.control.snapshot import Board
from netsre.app.settings import Options, settings
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from tests import prometheus
from tests.system.recorded_nodes import END, idle, irregular, quiet, restarted
from tests.system.test_prometheus_live import slos
from tests.unit.app import fakes
from tests.unit.app.fakes import SetClock

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus", "promtool")]

BEGIN: Final = Timestamp(END - 3 * clock.HOUR)
"""When the SLOs are asked for first."""

Levels = dict[tuple[str, ...], dict[str, Any]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve every scenario."""
    samples = [sample for make in (restarted, irregular, idle, quiet) for sample in make().stored]
    with prometheus.serve(tmp_path_factory.mktemp("prometheus"), samples) as url:
        yield url


class Life:
    """A controller on a data directory, whose turns and whose reader of the past a test drives."""

    def __init__(self, directory: pathlib.Path, url: str, asked: tuple[SLO, ...], at: Timestamp) -> None:
        """Prepare for a first start."""
        self.clock = SetClock(at)
        self.url, self.asked, self.directory = url, asked, directory
        self.store = Store.at(directory, Migrations.load(str(resources.directory("migrations"))))
        self.store.upgrade()
        self.turns = self.begin()

    def begin(self) -> Turns:
        """Start, from what is on disk."""
        self.board = Board(self.clock.at)
        world = fakes.world(self.store, self.directory, self.clock)
        clients = Clients(PrometheusClient(self.url), PrometheusClient(self.url))
        found = settings(Options(data_dir=str(self.directory), source=self.url))
        self.turns = reading.begin(found, clients, self.asked, world, self.board, lambda: None)
        return self.turns

    def turn(self, seconds: int, steps: int = 1) -> None:
        """Let time pass, take a turn, and read on in the past by some steps."""
        self.clock.at = Timestamp(self.clock.at + seconds * clock.SECOND)
        self.turns.loop.tick()
        assert self.board.current is not None
        assert (self.board.current.problem, self.board.current.sources[0].up) == (None, True)
        for _ in range(steps if self.turns.past is not None else 0):
            assert self.turns.past is not None
            self.turns.past.round()
        assert dict(self.board.problems) == {}

    def levels(self) -> Levels:
        """Return every level by name and group."""
        return comparable(wire.slos(self.board.current).slos)


def comparable(views: list[wire.SloView]) -> Levels:
    """Return levels by name and group; what is drawn of the last hour is not compared."""
    return {(view.name, *view.group.values()): view.model_dump(exclude={"recent"}) for view in views}


def expected(url: str, asked: tuple[SLO, ...], at: Timestamp) -> Levels:
    """Return what the whole history gives at a time."""
    with contextlib.closing(PrometheusClient(url)) as client:
        read = recorded_levels.read(client, asked, at, "instance", lambda _done, _of: None)
    return comparable(read.levels.slos)


@pytest.fixture
def asked(tmp_path: pathlib.Path) -> tuple[SLO, ...]:
    """Return SLOs of a short, a middle and a long window."""
    return slos(tmp_path, {"6h": "none", "25h": "none", "30d": "workbook"})


def test_the_past_is_read_beside_the_turns(
    source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...]
) -> None:
    """Not a digit differs from a reading of the whole history, after it and after a restart."""
    life = Life(tmp_path, source, asked, BEGIN)
    life.turn(15, steps=0)
    assert life.levels() != expected(source, asked, life.clock.at)
    while life.clock.at < END - clock.HOUR:
        life.turn(600, steps=20)
    assert life.levels() == expected(source, asked, life.clock.at)

    life.begin()
    assert life.turns.past is None
    life.turn(1_800)
    assert life.levels() == expected(source, asked, life.clock.at)


@pytest.mark.parametrize("steps", [1, 9, 40])
def test_a_crash_on_the_way_begins_it_anew(
    source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...], steps: int
) -> None:
    """Whatever was kept by then: in the end everything is counted, once."""
    life = Life(tmp_path, source, asked, BEGIN)
    for _ in range(3):
        life.turn(300, steps=steps)
    life.begin()
    for _ in range(12):
        life.turn(300, steps=20)

    assert life.levels() == expected(source, asked, life.clock.at)


def test_only_new_slos_are_read_anew(source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...]) -> None:
    """One more SLO on the next start: the others keep what they have."""
    life = Life(tmp_path, source, asked[:-1], BEGIN)
    for _ in range(3):
        life.turn(300, steps=60)
    life.asked = asked
    life.begin()
    (level,) = [slo.name for slo in asked[-1:]]
    life.turn(15, steps=0)
    before, right = life.levels(), expected(source, asked, life.clock.at)
    assert {key: value for key, value in before.items() if key[0] != level} == {
        key: value for key, value in right.items() if key[0] != level
    }
    for _ in range(4):
        life.turn(300, steps=60)

    assert life.levels() == expected(source, asked, life.clock.at)
