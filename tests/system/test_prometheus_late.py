"""A store that gets samples late, or is asked by a clock that is wrong: nothing is missed."""

import json
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from netsre import clock
from netsre.clock import Timestamp
from tests.answers import Handler, says, serving
from tests.prometheus import Sample
from tests.system.recorded_nodes import DELIVERED, END, USED, Node
from tests.system.test_prometheus_live import Follower, slos

pytestmark = pytest.mark.system

LENGTH = 60
"""Minutes; a scrape in each."""
BEGIN = Timestamp(END - LENGTH * clock.MINUTE)
WHOLE = (10 * (LENGTH - 1), LENGTH)
"""Events, and readings of the gauge."""


@dataclass
class Late:
    """Answers from samples, as far as they have come."""

    samples: list[Sample]
    until: int = 0
    """What was scraped later has not come yet."""

    def __call__(self, handler: Handler, query: dict[str, list[str]]) -> None:
        """Answer which series there are, or what was recorded of those of a name."""
        come = [sample for sample in self.samples if sample[1] <= self.until]
        data: object
        if handler.path.startswith("/api/v1/series"):
            data = [dict(series.labels) | {"__name__": series.name} for series in {one[0] for one in come}]
        else:
            asked = re.fullmatch(r"(\w+).*\[(\d+)ms\]", query["query"][0])
            assert asked is not None
            end = round(float(query["time"][0]) * clock.SECOND)
            found = defaultdict(list)
            for series, at, value in come:
                if series.name == asked[1] and end - int(asked[2]) < at <= end:
                    found[series].append([at / clock.SECOND, str(value)])
            data = {
                "resultType": "matrix",
                "result": [
                    {"metric": {**dict(series.labels), "__name__": series.name}, "values": values}
                    for series, values in found.items()
                ],
            }
        says(json.dumps({"status": "success", "data": data}))(handler, query)


@pytest.fixture
def late() -> Iterator[tuple[Late, str]]:
    """Serve a node with ten events and one reading of a gauge a minute."""
    node = Node("a")
    for index in range(LENGTH):
        node.show(BEGIN + index * clock.MINUTE, {DELIVERED: index * 10, USED: "0.9"})
    store = Late(node.stored)
    with serving(store) as server:
        yield store, server.url


def read(follower: Follower) -> tuple[float | None, float | None]:
    """Return the events, and the readings of a gauge, that were counted."""
    levels = {name[0]: level for name, level in follower.levels().items()}
    return levels["success-2h"].total, levels["headroom-2h"].total


def test_a_store_that_is_behind_is_read_whole(late: tuple[Late, str], tmp_path: pathlib.Path) -> None:
    """Its clock is three minutes behind ours, or what fills it takes as long."""
    store, url = late
    follower = Follower(url, slos(tmp_path, {"2h": "none"}), BEGIN)
    for minute in range(LENGTH + 3):
        follower.clock.at = Timestamp(BEGIN + minute * clock.MINUTE + 1_000)
        store.until = follower.clock.at - 3 * clock.MINUTE
        follower.look()

    assert read(follower) == WHOLE


def test_a_store_that_got_nothing_for_a_while_is_read_whole(
    late: tuple[Late, str], tmp_path: pathlib.Path
) -> None:
    """Remote write waits for half an hour, and then brings what it has."""
    store, url = late
    follower = Follower(url, slos(tmp_path, {"2h": "none"}), BEGIN)
    for minute in range(LENGTH):
        follower.clock.at = Timestamp(BEGIN + minute * clock.MINUTE + 1_000)
        if not 20 <= minute < 50:
            store.until = follower.clock.at
        follower.look()

    assert read(follower) == WHOLE


def test_a_clock_that_is_an_hour_ahead_for_a_while_misses_nothing(
    late: tuple[Late, str], tmp_path: pathlib.Path
) -> None:
    """Ours alone: what is recorded meanwhile is read, then or when the clock is right again."""
    store, url = late
    follower = Follower(url, slos(tmp_path, {"2h": "none"}), BEGIN)
    for minute in range(LENGTH):
        store.until = BEGIN + minute * clock.MINUTE + 1_000
        follower.clock.at = Timestamp(store.until + (clock.HOUR if 20 <= minute < 40 else 0))
        follower.look()

    assert read(follower) == WHOLE
