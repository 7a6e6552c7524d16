"""What `make bench` measures service levels on is what it says: every counter of its fleet, whole."""

import pathlib
import time
from typing import Final

import pytest

from bench import prometheus_scale
from bench.flow_fleet import Fleet, served
from netsre import clock
from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels
from netsre.clock import Timestamp

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus", "promtool")]

DAYS: Final = 1


def test_its_prometheus_holds_the_whole_past(tmp_path: pathlib.Path) -> None:
    """The events of each service are those between the first and the last scrape of its node."""
    fleet = Fleet(services=12, nodes=4, birth=int(time.time()) - 40 * 86_400)
    slos = prometheus_scale.write_specs(fleet, tmp_path / "slos")
    with served(fleet, tmp_path, DAYS, 5, lambda _: None) as prometheus:
        end = Timestamp(prometheus.past[-1].end * clock.SECOND)
        client = PrometheusClient(prometheus.url)
        standing = recorded_levels.read(client, slos, end, "instance", lambda _done, _of: None)
        client.close()

    first, last = prometheus.past[0], prometheus.past[-1]
    spans = [(first.scrapes(node)[0], last.scrapes(node)[-1]) for node in range(fleet.nodes)]
    expected = {}
    for number in range(fleet.services):
        begin, finish = spans[number % fleet.nodes]
        bad = fleet.failed(number, finish) - fleet.failed(number, begin)
        good = fleet.delivered(number, finish) - fleet.delivered(number, begin)
        expected[fleet.service(number)] = (bad, bad + good)
    assert {view.name: (view.bad, view.total) for view in standing.levels.slos} == expected
    assert standing.doubts == ()
