"""SLOs made of PromQL, asked turn by turn, come to what the whole history comes to, asked at once."""

import pathlib
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import clock
from netsre.app import service_levels
from netsre.clock import Timestamp
from netsre.model.levels import SLO
from tests import prometheus
from tests.system.recorded_nodes import DELIVERED, END, FAILED, idle, plain, quiet, restarted
from tests.system.test_backfill import Life, expected

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus", "promtool")]

BEGIN: Final = Timestamp(END - 2 * clock.HOUR)

SPEC: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: {name}}}
spec:
  service: node-datapath
  objective: 99.9
  window: {window}
  groupBy: [instance]
  indicator:
    promql:
      bad: 'sum by (instance) ({function}(netsre_flows_total{{outcome="failed"}}[$window]))'
      total: 'sum by (instance) (rate(netsre_flows_total[$window]))'
      every: {every}
  {more}
  alerting: {{policy: {policy}}}
"""


def spec(name: str, window: str = "6h", policy: str = "none", every: str = "5m", **other: str) -> str:
    """Return a service level."""
    more, function = other.get("more", ""), other.get("function", "rate")
    return SPEC.format(name=name, window=window, policy=policy, every=every, more=more, function=function)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a few nodes, each scraped once a minute."""
    samples = [sample for make in (plain, idle, quiet, restarted) for sample in make().stored]
    with prometheus.serve(tmp_path_factory.mktemp("prometheus"), samples) as url:
        yield url


def read(path: pathlib.Path, *texts: str) -> tuple[SLO, ...]:
    """Return the service levels of some texts."""
    (path / "slos.yaml").write_text("---".join(texts))
    return service_levels.load([path / "slos.yaml"]).slos


def test_turns_and_restarts_change_nothing(source: str, tmp_path: pathlib.Path) -> None:
    """Long and short windows, slices, and an end of the process now and then: not a digit differs."""
    sliced = "budgeting: {method: timeslices, slice: 10m, target: 95%}"
    asked = read(
        tmp_path,
        spec("short"),
        spec("long", "30d", "workbook"),
        spec("sliced", "25h", more=sliced),
    )
    life = Life(tmp_path, source, asked, BEGIN)
    for number in range(25):
        life.turn((35, 61, 600)[number % 3])
        if number % 8 == 5:
            life.begin()

    found = life.levels()
    assert found == expected(source, asked, life.clock.at)
    assert {name for name, *_ in found} == {"short", "long", "sliced"}
    window = [one for one in plain().scrapes if life.clock.at - 6 * clock.HOUR <= one.at <= life.clock.at]
    counted = sum(window[-1].values[series] - window[0].values[series] for series in (DELIVERED, FAILED))
    assert float(found["short", "plain"]["total"]) == pytest.approx(float(counted), rel=0.05)


def test_one_that_is_not_answered_is_told_and_the_others_go_on(source: str, tmp_path: pathlib.Path) -> None:
    """A function that no Prometheus knows: its level is null, and the source says why."""
    asked = read(tmp_path, spec("good"), spec("wrong", function="rates"))
    life = Life(tmp_path, source, asked, BEGIN)
    life.turn(60)
    life.turn(60)
    assert life.board.current is not None
    reason = life.board.current.sources[0].reason or ""
    levels = life.levels()

    assert "unanswered: wrong: Prometheus" in reason
    assert 'unknown function with name "rates"' in reason
    assert levels["wrong",]["total"] is None
    assert levels["good", "plain"]["total"] is not None
    assert expected(source, asked, life.clock.at)["wrong",]["reasons"]["total"] == "unanswered"
