"""A controller process that reads a Prometheus, which scrapes an agent: nothing is lost or doubled."""

import contextlib
import pathlib
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from tests import prometheus
from tests.machine import PATIENCE, wait_until
from tests.system.test_controller import Agent, Controller, agent, home, running  # noqa: F401

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus")]

CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 900ms}}
scrape_configs:
  - job_name: agents
    static_configs:
      - {{targets: ['{target}'], labels: {{node: a}}}}
"""


@contextlib.contextmanager
def recording(directory: pathlib.Path, agent: Agent) -> Iterator[str]:  # noqa: F811
    """Have a Prometheus record an agent; yields its address."""
    directory.mkdir(exist_ok=True)
    target = agent.url.removeprefix("http://")
    with prometheus.running(directory, CONFIGURATION.format(target=target)) as (_, port):
        yield f"http://127.0.0.1:{port}"


def counted(controller: Controller) -> tuple[float, float]:
    """Return bad and all connection attempts that the controller knows of."""
    levels = controller.get("/api/v1/slos")["slos"]
    mine = [one for one in levels if one["name"] == "flow-success"]
    return sum(one["bad"] or 0 for one in mine), sum(one["total"] or 0 for one in mine)


def trouble(controller: Controller) -> str:
    """Return why the source cannot be read."""
    sources = controller.get("/api/v1/status")["sources"]
    return str([one["reason"] for one in sources])


def recorded(url: str) -> set[str]:
    """Return the last values of the failures that Prometheus has."""
    query = 'netsre_flows_total{outcome="failed"}'
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=PATIENCE).json()
    return {one["value"][1] for one in answer["data"]["result"]}


def test_kill_9_and_a_prometheus_that_is_away_lose_nothing(
    home: pathlib.Path,  # noqa: F811
    agent: Agent,  # noqa: F811
) -> None:
    """Three lives of a controller and two of its source: every failure is counted, each once."""
    data, options = home / "data", ("--node-label", "node")
    agent.traffic = 0
    failed, delivered = agent.failed, agent.delivered
    with recording(home / "prometheus", agent) as url:
        assert wait_until(lambda: recorded(url) == {str(failed)})
        with running(data, None, "--source", url, *options) as controller:
            controller.until(lambda one: bool(one.get("/readyz")["ready"]))
            for _ in range(20):
                agent.failed += 3
                agent.delivered += 100
                time.sleep(0.1)
            controller.stop(signal.SIGKILL)
        agent.failed += 500
        time.sleep(2)
        with running(data, None, "--source", url, *options) as controller:
            controller.until(lambda one: counted(one) == (560, 2_560))
            source = controller.get("/api/v1/status")["sources"][0]
            assert (source["name"], source["up"], source["reason"]) == ("prometheus", True, None)
        agent.failed += 7
        assert wait_until(lambda: recorded(url) == {str(agent.failed)})

    with running(data, None, "--source", url, *options) as controller:
        controller.until(lambda one: "does not answer" in trouble(one))
        assert counted(controller) == (560, 2_560)

    with (
        recording(home / "prometheus", agent) as url,
        running(data, None, "--source", url, *options) as controller,
    ):
        controller.until(lambda one: counted(one) == (567, 2_567))
        agent.delivered += 1
        controller.until(lambda one: counted(one) == (567, 2_568))
        assert agent.failed - failed == 567
        assert agent.delivered - delivered == 2_001
