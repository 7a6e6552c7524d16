"""An SLO that is asked for today has its past tomorrow, as if it had always been there."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import pytest

from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels, resources
from netsre.app.control import reading, wire
from netsre.app.control.reading import Turns
from netsre.app.control.snapshot import Board
from netsre.app.settings import Options, settings
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from netsre.slo import definition
from netsre.slo.buckets import Bucket
from netsre.store.database import Store
from netsre.store.migrations import Migrations
from netsre.store.sqlite import FILE_NAME
from tests import prometheus
from tests.system.recorded_nodes import (
    END,
    STARTED,
    Node,
    flows,
    idle,
    irregular,
    moments,
    quiet,
    restarted,
    steady,
)
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

    def __init__(
        self,
        directory: pathlib.Path,
        url: str | None,
        asked: tuple[SLO, ...],
        at: Timestamp,
        node_label: str = "instance",
    ) -> None:
        """Prepare for a first start; without an address it reads an agent."""
        self.clock = SetClock(at)
        self.url, self.asked, self.directory, self.node_label = url, asked, directory, node_label
        self.store = Store.at(directory, Migrations.load(str(resources.directory("migrations"))))
        self.store.upgrade()
        self.turns = self.begin()

    def begin(self) -> Turns:
        """Start, from what is on disk."""
        self.board = Board(self.clock.at)
        world = fakes.world(self.store, self.directory, self.clock)
        url = self.url
        found = settings(Options(data_dir=str(self.directory), source=url, node_label=self.node_label))
        clients = reading.prometheus(found)
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


@contextlib.contextmanager
def serving(directory: pathlib.Path, *nodes: Node) -> Iterator[str]:
    """Serve some nodes; yields the address."""
    place = directory / "prometheus"
    place.mkdir()
    with prometheus.serve(place, [sample for node in nodes for sample in node.stored]) as url:
        yield url


def comparable(views: list[wire.SloView]) -> Levels:
    """Return levels by name and group; what is drawn of the last hour is not compared."""
    return {(view.name, *view.group.values()): view.model_dump(exclude={"recent"}) for view in views}


@functools.cache
def expected(url: str, asked: tuple[SLO, ...], at: Timestamp) -> Levels:
    """Return what the whole history gives at a time."""
    with contextlib.closing(PrometheusClient(url)) as client:
        read = recorded_levels.read(client, asked, at, "instance", lambda _done, _of: None)
    return comparable(read.levels.slos)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[SLO, ...]:
    """Return SLOs of a short, a middle and a long window."""
    return slos(tmp_path_factory.mktemp("slos"), {"6h": "none", "25h": "none", "30d": "workbook"})


def test_the_past_is_read_beside_the_turns(
    source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...]
) -> None:
    """Not a digit differs from a reading of the whole history, after it and after a restart."""
    life = Life(tmp_path, source, asked, BEGIN)
    life.turn(15, steps=0)
    assert life.levels() != expected(source, asked, life.clock.at)
    past = wire.past(life.board.current)
    assert past is not None
    assert (past.slos, past.progress) == (9, 0)
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


def test_turns_that_are_behind_are_waited_for(tmp_path: pathlib.Path) -> None:
    """A short past is read long before a day without a controller is: its events are not counted twice."""
    node = Node("behind")
    for index, at in moments():
        # So many series that a look takes a few hours.
        many = {flows("failed", f"r{number}"): 1 for number in range(400)} if index == 120 else {}
        node.show(at, {**steady(index), **many})
    both = slos(tmp_path, {"25h": "none", "6h": "none"})
    long = tuple(slo for slo in both if slo.window > 6 * clock.HOUR)
    with serving(tmp_path, node) as url:
        life = Life(tmp_path, url, long, Timestamp(END - 25 * clock.HOUR))
        for _ in range(5):
            life.turn(60, steps=60)
        life.asked, life.clock.at = both, Timestamp(END - clock.HOUR)
        life.begin()
        for _ in range(6):
            life.turn(60, steps=60)
        assert life.levels() == expected(url, both, life.clock.at)

        life.begin()
        life.turn(60)
        assert life.levels() == expected(url, both, life.clock.at)


def test_a_node_that_comes_back_meanwhile_is_kept_whole(tmp_path: pathlib.Path) -> None:
    """What happened in its hours of silence is spread over minutes that were kept already."""
    node, other = Node("silent"), Node("other")
    for index, at in moments():
        other.show(at, steady(index))
        if not END - 8 * clock.HOUR < at < BEGIN + 10 * clock.MINUTE:
            node.show(at, steady(index))
    asked = slos(tmp_path, {"6h": "none", "25h": "none"})
    with serving(tmp_path, node, other) as url:
        life = Life(tmp_path, url, asked, BEGIN)
        life.turn(15, steps=60)
        life.turn(900, steps=60)
        life.turn(15)
        assert life.levels() == expected(url, asked, life.clock.at)

        life.begin()
        assert life.turns.past is None
        life.turn(60)
        assert life.levels() == expected(url, asked, life.clock.at)


def test_two_targets_of_long_ago_cost_that_day_alone(tmp_path: pathlib.Path) -> None:
    """A node that moved, and was scraped in both places for a while, is read from the next chunk on."""
    old, new = (Node(f"a:{port}", {"node": "a"}) for port in (1, 2))
    for index, at in moments():
        if index < 100:
            old.show(at, steady(index))
        if index > 95:
            new.show(at + 7_000, steady(index), Timestamp(STARTED + clock.DAY))
    asked = slos(tmp_path, {"25h": "none"})
    with serving(tmp_path, old, new) as url:
        life = Life(tmp_path, url, asked, BEGIN, "node")
        for _ in range(4):
            life.turn(60, steps=60)
        levels = {(view.name, *view.group.values()): view for view in wire.slos(life.board.current).slos}

    assert (levels["success-25h", "a"].total or 0) > 60


def test_what_could_not_be_kept_is_kept_later(
    source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...]
) -> None:
    """A database that cannot be written in the middle of it: nothing of the past is left out on disk."""
    life = Life(tmp_path, source, asked, BEGIN)
    life.turn(300, steps=0)
    past, database, away = life.turns.past, tmp_path / FILE_NAME, tmp_path / "away"
    assert past is not None
    failed = 0
    for _ in range(40):
        database.rename(away)
        past.round()
        failed += bool(life.board.problems)
        away.rename(database)
        past.round()
    assert failed
    life.turn(300)

    life.begin()
    assert life.turns.past is None
    life.turn(300)
    assert life.levels() == expected(source, asked, life.clock.at)


def test_what_an_agent_measured_since_is_not_taken_for_unfinished(
    source: str, tmp_path: pathlib.Path, asked: tuple[SLO, ...]
) -> None:
    """A past that was never read to its end, then weeks of an agent, then the Prometheus again."""
    life = Life(tmp_path, source, asked, BEGIN)
    life.turn(300, steps=9)
    life.url = None
    life.begin()
    (slo,) = (slo for slo in asked if slo.name == "success-6h")
    group, events = (("node", "a"),), Decimal(9)
    measured = Bucket(slo.name, group, life.clock.at, Decimal(1), events, 1, definition.of(slo))
    with life.store.write() as transaction:
        assert list(transaction.history.buckets()) == []
        transaction.history.save([measured], ())
    life.url = source
    life.begin()
    with life.store.read() as transaction:
        assert list(transaction.history.buckets()) == [measured]


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
