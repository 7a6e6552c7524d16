"""Latency out of the native histograms of a real Prometheus, which scrapes what a test counted."""

import contextlib
import functools
import json
import logging
import pathlib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from netsre.adapters.exposition.protobuf import CONTENT_TYPE
from netsre.app import service_levels
from netsre.cli import main
from netsre.clock import SystemClock, Timestamp
from tests import prometheus, protobuf
from tests.answers import Handler, says, serving
from tests.machine import PATIENCE, wait_until
from tests.protobuf import Observed
from tests.system.test_prometheus_live import Follower

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus")]

METRIC: Final = "netsre_flow_connect_seconds"
LABELS: Final = {"src": "host"}
SPECS: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {{name: latency-{below}}}
spec:
  service: node-datapath
  objective: 99
  window: 1h
  groupBy: [node]
  indicator:
    latency: {{metric: netsre_flow_connect_seconds, below: {below}}}
  alerting: {{policy: none}}
"""


def native(observed: Observed, schema: int = 3) -> bytes:
    """Return the histogram as a native one; 0.25 is a bound of its buckets from schema -1 up."""
    return protobuf.native(METRIC, LABELS, observed, schema)


def classic(observed: Observed) -> bytes:
    """Return the histogram as a classic one."""
    return protobuf.classic(METRIC, LABELS, observed, (0.1, 0.25, 1))


def both(observed: Observed) -> bytes:
    """Return it as both, the native one so coarse that its half would be an estimate.

    Debian's Prometheus keeps one kind of a histogram, so that the parts of the classic one are counters here.
    """
    quick = {"0.1": 0.1, "0.25": 0.25}
    buckets = [
        ({**LABELS, "le": text}, sum(count for value, count in observed.items() if value <= bound))
        for text, bound in quick.items()
    ]
    return (
        native(observed, -2)
        + protobuf.counters(f"{METRIC}_count", [(LABELS, sum(observed.values()))])
        + protobuf.counters(f"{METRIC}_bucket", buckets)
    )


STORIES: Final[dict[str, tuple[bytes, ...]]] = {
    "exact": (
        native({0.0005: 1, 0.1: 100, 0.25: 3, 0.3: 5}),
        native({0.0005: 2, 0.1: 120, 0.25: 4, 0.3: 9}),
        native({0.0005: 5, 0.1: 180, 0.25: 10, 0.3: 9, 40.0: 1}),
    ),
    "reset": (
        native({0.1: 100, 0.3: 10}),
        native({0.1: 120, 0.3: 12}),
        native({0.1: 30, 0.3: 4}),
        native({0.1: 40, 0.3: 4}),
    ),
    "coarser": (
        native({0.01: 1000, 0.1: 3000, 0.3: 1000}),
        native({0.01: 1010, 0.1: 3020, 0.3: 1004}),
        native({0.01: 1020, 0.1: 3024, 0.3: 1008}, -2),
        native({0.01: 1020, 0.1: 3030, 0.3: 1010}, -2),
    ),
    "both": (both({0.1: 100, 0.3: 10}), both({0.1: 150, 0.3: 20})),
    "moved": (
        classic({0.1: 100, 0.3: 10}),
        classic({0.1: 120, 0.3: 11}),
        native({0.1: 130, 0.3: 12}),
        native({0.1: 140, 0.3: 15}),
    ),
    "classic": (classic({0.1: 100, 0.3: 10}), classic({0.1: 120, 0.3: 11})),
    "gone": (native({0.1: 100, 0.3: 10}), b"", native({0.1: 110, 0.3: 12}), native({0.1: 111, 0.3: 12})),
    "mixed": (
        native({0.1: 100, 0.3: 10}),
        protobuf.gauge(METRIC, LABELS, 7),
        native({0.1: 110, 0.3: 12}),
        native({0.1: 111, 0.3: 12}),
    ),
}
"""What each target shows, step by step; the last step stays."""
STEPS: Final = max(map(len, STORIES.values()))


@dataclass
class Target:
    """Shows every story at the same step."""

    step: int = 0

    def answer(self, handler: Handler, _query: dict[str, list[str]]) -> None:
        """Answer a scrape of `/NAME`."""
        story = STORIES[handler.path.strip("/")]
        body = story[min(self.step, len(story) - 1)] + protobuf.gauge("step", {}, self.step)
        says(body, Content_Type=CONTENT_TYPE)(handler, {})


def configuration(port: int) -> str:
    """Return how Prometheus finds the stories."""
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name, "__metrics_path__": f"/{name}"}}
        for name in STORIES
    ]
    job = {
        "job_name": "agents",
        "scrape_interval": "250ms",
        "scrape_timeout": "250ms",
        "static_configs": targets,
    }
    return json.dumps({"scrape_configs": [job]})


def is_seen(url: str, expression: str) -> bool:
    """Say whether an expression counts every story now."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=PATIENCE) as response:  # noqa: S310
        result = json.load(response)["data"]["result"]
    return bool(result) and result[0]["value"][1] == str(len(STORIES))


@dataclass(frozen=True)
class Played:
    """A Prometheus that has seen every story, and between which times."""

    url: str
    began: Timestamp
    ended: Timestamp


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Play all stories to a Prometheus, each step until it has them."""
    target = Target()
    directory = tmp_path_factory.mktemp("prometheus")
    with serving(target.answer) as server:
        port = urllib.parse.urlsplit(server.url).port
        assert port is not None
        feature = "--enable-feature=native-histograms"
        with prometheus.running(directory, configuration(port), feature) as (_, listening):
            url, began = f"http://127.0.0.1:{listening}", SystemClock().now()
            for step in range(STEPS):
                target.step = step
                seen = f"count(step == {step})"
                assert wait_until(functools.partial(is_seen, url, seen)), seen
            yield Played(url, began, SystemClock().now())


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Two service levels about the latency of the same events."""
    path = tmp_path_factory.mktemp("slos") / "slos.yaml"
    path.write_text("---".join(SPECS.format(below=below) for below in ("250ms", "100ms")))
    return path


@pytest.fixture(scope="module")
def document(source: Played, specs: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Ask once, as a person does."""
    out = tmp_path_factory.mktemp("out") / "document.json"
    with out.open("w") as file, contextlib.redirect_stdout(file):
        code = main.run(["slo", "status", "--source", source.url, "--slos", str(specs), "--json"])
    assert code == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def counted(document: dict[str, Any], node: str, below: str = "250ms") -> tuple[object, object, object]:
    """Return good, bad and all events of a node."""
    (level,) = [
        level
        for level in document["slos"]
        if level["group"] == {"node": node} and level["name"] == f"latency-{below}"
    ]
    return level["good"], level["bad"], level["total"]


COUNTED: Final = {
    # Of 96 more events 4 + 1 took longer; one of 0.25 s did not.
    "exact": (91, 5, 96),
    # 22, then all 34 of the new life, then 10.
    "reset": (20 + 30 + 10, 2 + 4, 66),
    # Exact while 0.25 is a bound; then half of what comes between 1/16 and 1: 4 of 8, and 4 of 8.
    "coarser": (30 + (10 + 4) + 4, 4 + 4 + 4, 34 + 18 + 8),
    # The native one alone would say 30 and 30.
    "both": (50, 10, 60),
    # The interval in which the kind changed is not counted.
    "moved": (20 + 10, 1 + 3, 21 + 13),
    "classic": (20, 1, 21),
    "gone": (11, 2, 13),
    "mixed": (11, 2, 13),
}


@pytest.mark.parametrize("node", STORIES)
def test_events_are_those_that_the_target_counted(node: str, document: dict[str, Any]) -> None:
    """By hand, from what each story shows first and last."""
    assert counted(document, node) == COUNTED[node]


def test_a_share_of_a_bucket_is_that_of_its_logarithm(document: dict[str, Any]) -> None:
    """0.1 s lies at 0.4246 of its bucket: 1 + 42.46 events before, 5 + 76.42 after, both rounded down."""
    assert counted(document, "exact", "100ms") == (81 - 43, 96 - 38, 96)


def test_people_are_told_once(document: dict[str, Any]) -> None:
    """Numbers stay numbers; beside them is what they rest on."""
    estimated, both = sorted(document["warnings"], reverse=True)

    assert estimated.startswith(f"estimated: {METRIC}: no bucket ends at 0.")
    assert both == f"classic_and_native: {METRIC}: 2 series are both; the classic one counts where it is"
    assert all(level["reasons"].get("sli") is None for level in document["slos"])


@pytest.mark.parametrize("restarts", [False, True])
def test_look_by_look_they_are_the_same(
    source: Played, specs: pathlib.Path, caplog: pytest.LogCaptureFixture, *, restarts: bool
) -> None:
    """Each look asks again for what the last ones saw, buckets of another kind among it."""
    caplog.set_level(logging.INFO, "netsre.controller")
    follower = Follower(source.url, service_levels.load([specs]).slos, source.began)
    while follower.clock.at < source.ended:
        follower.clock.at = Timestamp(follower.clock.at + 333)
        follower.look()
        if restarts:
            follower.begin()
    levels = follower.levels()
    follower.client.close()

    found = {node: levels["latency-250ms", node] for node in STORIES}
    assert {node: (level.good, level.bad, level.total) for node, level in found.items()} == COUNTED
    notes = [record.message for record in caplog.records if "note=" in record.message]
    estimated = [note for note in notes if "note=estimated" in note]
    # Once in the life of a controller; what targets there are was asked at its start only.
    assert estimated if restarts else notes == estimated
    assert restarts or len(notes) == 1
