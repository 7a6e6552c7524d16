"""A Prometheus that is followed look by look gives what the same history gives when it is read at once."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from netsre import clock, conventions
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels, resources, service_levels
from netsre.app.control import wire
from netsre.app.control.prometheus import Asked, PrometheusSource
from netsre.app.control.sources import Look
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from netsre.model.samples import Series
from netsre.slo.buckets import Bucket, Slot, by_slot
from netsre.slo.engine import Engine
from netsre.slo.increments import Cursor
from tests import prometheus
from tests.system.recorded_nodes import (
    DELIVERED,
    END,
    LENGTH,
    SCENARIOS,
    SPECS,
    STARTED,
    USED,
    Node,
    flows,
    moments,
    steady,
)
from tests.unit.app.fakes import SetClock

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus", "promtool")]

REVISION: Final = Series(conventions.POLICY_REVISION, ())
WAITS: Final = (60, 47, 901, 15, 3_230, 600, 90)
"""Seconds from one look to the next, again and again."""


class Follower:
    """Looks at a Prometheus in virtual time, and keeps what must survive."""

    def __init__(self, url: str, slos: tuple[SLO, ...], at: int, node_label: str = "instance") -> None:
        """Begin at a time, with nothing kept."""
        self.clock = SetClock(Timestamp(at))
        self.client = PrometheusClient(url)
        self.asked = Asked(slos, (), node_label)
        self.buckets: dict[Slot, Bucket] = {}
        self.cursors: dict[str, Cursor] = {}
        self.begin()

    def begin(self) -> None:
        """Start anew, from what was kept."""
        cursors = tuple(self.cursors.values())
        self.engine = Engine(self.asked.slos, self.buckets.values(), cursors)
        self.source = PrometheusSource(self.client, self.asked, cursors, self.clock)

    def look(self) -> Look:
        """Look once, and count."""
        look = self.source.look()
        for reading in look.readings:
            seen = self.engine.observe(reading.scrape, first=reading.first)
            self.buckets |= by_slot(seen.buckets)
            self.cursors[seen.cursor.node] = seen.cursor
        return look

    def levels(self) -> dict[tuple[str, ...], wire.SloView]:
        """Return every level by name and group."""
        found = (wire.level(evaluation, {}) for evaluation in self.engine.evaluate(self.clock.at))
        return {(view.name, *view.group.values()): view for view in found}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve every scenario."""
    samples = [sample for make in SCENARIOS for sample in make().stored]
    with prometheus.serve(tmp_path_factory.mktemp("prometheus"), samples) as url:
        yield url


def slos(path: pathlib.Path, windows: Mapping[str, str]) -> tuple[SLO, ...]:
    """Return service levels of some windows, each with a burn policy."""
    texts = [SPECS.format(window=window, policy=policy) for window, policy in windows.items()]
    (path / "slos.yaml").write_text("---".join(texts))
    return service_levels.load([path / "slos.yaml"]).slos


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[SLO, ...]:
    """Return SLOs of a short, a middle and a long window."""
    return slos(tmp_path_factory.mktemp("slos"), {"6h": "none", "25h": "none", "30d": "workbook"})


@pytest.fixture(scope="module")
def whole(source: str, asked: tuple[SLO, ...]) -> dict[tuple[str, ...], wire.SloView]:
    """Return every level by name and group, as the whole history has it."""
    with contextlib.closing(PrometheusClient(source)) as client:
        read = recorded_levels.read(client, asked, END, "instance", lambda _done, _of: None)
    return {(view.name, *view.group.values()): view for view in read.levels.slos}


@pytest.mark.parametrize("restarts", [0, 9])
def test_looks_count_what_the_whole_history_holds(
    source: str, asked: tuple[SLO, ...], whole: dict[tuple[str, ...], wire.SloView], restarts: int
) -> None:
    """However often the controller begins anew: not a digit differs, in no window and no group."""
    follower = Follower(source, asked, END - LENGTH - 60_000)
    number = 0
    while follower.clock.at < END:
        follower.clock.at = Timestamp(min(follower.clock.at + WAITS[number % len(WAITS)] * 1_000, END))
        number += 1
        if restarts and number % restarts == 0:
            follower.begin()
        follower.look()

    assert follower.levels() == whole
    assert len(follower.levels()) == 9 * len(SCENARIOS)


def test_what_was_recorded_while_nobody_looked_is_read_later(source: str, tmp_path: pathlib.Path) -> None:
    """Away for 20 hours: the looks that catch up are bounded, and in the end nothing is missing."""
    asked = slos(tmp_path, {"25h": "none"})
    always, away = (Follower(source, asked, END - 24 * clock.HOUR) for _ in range(2))
    for follower in (always, away):
        follower.look()
    for _ in range(20):
        always.clock.at = Timestamp(always.clock.at + clock.HOUR)
        always.look()
    away.clock.at = always.clock.at
    away.begin()
    away.look()

    assert away.levels() == always.levels()
    assert always.levels()["success-25h", "plain"].total not in (None, 0)


def test_one_query_for_each_name_and_look(source: str, tmp_path: pathlib.Path) -> None:
    """Whatever the number of SLOs and windows."""
    follower = Follower(source, slos(tmp_path, {"6h": "none", "30d": "workbook"}), END - clock.HOUR)
    follower.look()
    before = follower.client.queries
    follower.clock.at = Timestamp(follower.clock.at + 15_000)
    follower.look()

    # flows, utilisation, latency as count, bucket and native histogram; up and the start of the process
    assert follower.client.queries - before == 5 + 2


def test_what_is_watched_is_read_beside_also_of_the_time_away(tmp_path: pathlib.Path) -> None:
    """As the scrapes showed it, one query more; and no service level counts otherwise for it."""
    node = Node("a")
    for index, at in moments():
        node.show(at, {DELIVERED: index, **({REVISION: 41 + index // 600} if index >= 300 else {})})
    asked = slos(tmp_path, {"25h": "none"})
    with prometheus.serve(tmp_path, node.stored) as url:
        plain, watching = (Follower(url, asked, END - 20 * clock.HOUR) for _ in range(2))
        watching.asked = replace(watching.asked, watched=(REVISION.name,))
        for follower in (plain, watching):
            follower.begin()
            follower.look()
            follower.clock.at = END
        before = watching.client.queries, plain.client.queries
        found = [
            reading.scrape.values.get(REVISION) for _ in range(20) for reading in watching.look().readings
        ]
        for _ in range(20):
            plain.look()
        more = (watching.client.queries - before[0]) - (plain.client.queries - before[1])

    assert list(dict.fromkeys(found)) == [Decimal(41), Decimal(42), Decimal(43)]
    assert more > 0
    assert watching.levels() == plain.levels()


def test_the_present_is_the_last_scrape_unless_the_target_is_down(tmp_path: pathlib.Path) -> None:
    """A target that does not answer shows nothing; one that nobody scrapes shows it for five minutes."""
    down, forgotten = Node("down"), Node("forgotten")
    for index, at in moments():
        values: dict[object, str | int] = {DELIVERED: index, USED: "0.9"}
        down.show(at, values)  # type: ignore[arg-type]
        forgotten.show(at, values)  # type: ignore[arg-type]
    last = moments_end()
    down.silent(last + 60_000)
    with prometheus.serve(tmp_path, [*down.stored, *forgotten.stored]) as url:
        follower = Follower(url, slos(tmp_path, {"1h": "none"}), last + 1_000)
        seen = {}
        for after in (1, 61, 299, 301):
            follower.clock.at = Timestamp(last + after * 1_000)
            seen[after] = set(follower.look().latest)

    assert seen == {1: {"down", "forgotten"}, 61: {"forgotten"}, 299: {"forgotten"}, 301: set()}


def test_conditions_do_not_wait_for_the_past(tmp_path: pathlib.Path) -> None:
    """While looks catch up with a day, what rules are about is known as it is now."""
    node, down = Node("a"), Node("b")
    for index, at in moments():
        # So many series that a look takes a few hours.
        many = {flows("failed", f"r{number}"): 1 for number in range(1_200)} if index == 120 else {}
        node.show(at, {**steady(index), **many})
        down.show(at, {USED: "0.9"})
    down.silent(END)
    asked = slos(tmp_path, {"25h": "none"})
    with prometheus.serve(tmp_path, [*node.stored, *down.stored]) as url:
        follower = Follower(url, asked, END - 23 * clock.HOUR)
        follower.asked = replace(
            follower.asked, rules=service_levels.load([resources.directory("slos")]).alerts
        )
        follower.look()
        follower.clock.at = END
        follower.begin()
        looks = [follower.look() for _ in range(4)]

    assert [look.caught_up for look in looks] == [False, False, True, True]
    assert [set(look.latest) for look in looks] == [{"a"}] * 4
    assert {scrape.values[USED] for look in looks for scrape in look.latest.values()} == {Decimal("0.59")}


def test_another_target_of_the_node_that_is_down_says_nothing(tmp_path: pathlib.Path) -> None:
    """One job scrapes every pod of a node, and nothing is asked about one that does not answer."""
    agent, pod = Node("a:8601", {"node": "a"}), Node("b:80", {"node": "a"})
    for index, at in moments():
        agent.show(at, {DELIVERED: index, USED: "0.9"})
        pod.silent(at + 3_000)
    with prometheus.serve(tmp_path, [*agent.stored, *pod.stored]) as url:
        began = moments_end() - clock.HOUR + 10_000
        follower = Follower(url, slos(tmp_path, {"1h": "none"}), began, "node")
        seen = []
        for _ in range(5):
            follower.clock.at = Timestamp(follower.clock.at + clock.MINUTE)
            seen.append(set(follower.look().latest))

    assert seen == [{"a"}] * 5


def moments_end() -> int:
    """Return the time of the last scrape of a scenario."""
    return END - 5_000


def test_two_targets_under_one_name_are_not_counted(tmp_path: pathlib.Path) -> None:
    """Their counters have nothing to do with each other; the look says so, and other nodes go on."""
    one, two, other = Node("a", {"replica": "1"}), Node("a", {"replica": "2"}), Node("b")
    for index, at in moments():
        one.show(at, {DELIVERED: 1_000_000 + index})
        two.show(at + 7_000, {DELIVERED: index}, Timestamp(STARTED + clock.DAY))
        other.show(at, {DELIVERED: index * 2})
    with prometheus.serve(tmp_path, [*one.stored, *two.stored, *other.stored]) as url:
        follower = Follower(url, slos(tmp_path, {"6h": "none"}), END - clock.HOUR)
        look = follower.look()
        for _ in range(60):
            follower.clock.at = Timestamp(follower.clock.at + 60_000)
            look = follower.look()
        levels = follower.levels()

    assert {doubt.reason for doubt in look.doubts} == {"ambiguous_target"}
    assert levels["success-6h", "b"].total == Decimal(2 * 61)
    assert ("success-6h", "a") not in levels
