"""The same samples give the same budget, read from a live agent or out of a real Prometheus."""

import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from netsre.adapters.prometheus.client import PrometheusClient
from netsre.app import recorded_levels, service_levels
from netsre.app.control import wire
from netsre.app.numbers import number
from netsre.model.samples import Series, labels
from netsre.slo.engine import Engine
from tests import prometheus
from tests.system.recorded_nodes import END, SCENARIOS, SCRAPES, SPECS, Node, moments, renamed

pytestmark = [pytest.mark.system, pytest.mark.requires("prometheus", "promtool")]


@pytest.fixture(scope="module")
def nodes() -> dict[str, Node]:
    """Every scenario by the name of its node."""
    return {node.name: node for node in (make() for make in (*SCENARIOS, renamed))}


@pytest.fixture(scope="module")
def source(nodes: dict[str, Node], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve all of them from one Prometheus, with a job of somebody else."""
    stranger = Node("stranger")
    for _, at in moments():
        stranger.show(at, {Series("requests_total", ()): 1})
    stranger.stored = [
        (Series(series.name, labels({**dict(series.labels), "job": "other"})), at, value)
        for series, at, value in stranger.stored
    ]
    samples = [sample for node in (*nodes.values(), stranger) for sample in node.stored]
    with prometheus.serve(tmp_path_factory.mktemp("prometheus"), samples) as url:
        yield url


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Service levels whose windows end before, at, and after the beginning of the history."""
    path = tmp_path_factory.mktemp("slos")
    windows = {"6h": "none", "25h": "none", "30d": "workbook"}
    texts = [SPECS.format(window=window, policy=policy) for window, policy in windows.items()]
    (path / "slos.yaml").write_text("---".join(texts))
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Service levels that need little, for what is said about them."""
    path = tmp_path_factory.mktemp("short") / "slos.yaml"
    path.write_text(SPECS.format(window="1h", policy="none"))
    return str(path)


@pytest.fixture(scope="module")
def read(source: str, specs: pathlib.Path) -> recorded_levels.Standing:
    """Read the standing once, out of Prometheus."""
    client = PrometheusClient(source)
    try:
        slos = service_levels.load([specs]).slos
        return recorded_levels.read(client, slos, END, "instance", lambda _done, _of: None)
    finally:
        client.close()


def of_node(standing: recorded_levels.Standing, node: str) -> dict[tuple[str, str], wire.SloView]:
    """Return the levels of one node, by name and network namespace."""
    return {
        (view.name, view.group.get("netns", "")): view
        for view in standing.levels.slos
        if view.group.get("node") == node
    }


@pytest.mark.parametrize("scenario", [make.__name__ for make in SCENARIOS])
def test_prometheus_gives_the_budget_of_a_live_agent(
    scenario: str, nodes: dict[str, Node], specs: pathlib.Path, read: recorded_levels.Standing
) -> None:
    """Counted from scrapes as they come, or from what Prometheus kept of them: not a digit differs."""
    engine = Engine(service_levels.load([specs]).slos)
    for scrape in nodes[scenario].scrapes:
        engine.observe(scrape)
    live = {
        (evaluation.slo.name, dict(evaluation.group).get("netns", "")): wire.level(evaluation, {})
        for evaluation in engine.evaluate(END)
    }

    assert len(live) == 9
    assert of_node(read, scenario) == live
    assert read.doubts == ()


def test_the_scenarios_give_the_sums_that_a_person_reckons(read: recorded_levels.Standing) -> None:
    """Bad and all events over thirty days, by hand, from how each scenario is written."""
    success = {
        name: of_node(read, name)["success-30d", ""]
        for name in ("restarted", "fallen", "born", "idle", "quiet", "relabelled", "renamed")
    }

    def counted(name: str) -> tuple[object, object]:
        return success[name].bad, success[name].total

    # Four lives: 299, 599, 539 and 119 intervals; each new one also shows 500 failures and 3 deliveries.
    bad = 299 // 40 + (500 + 599 // 40) + (500 + 539 // 40) + (500 + 119 // 40)
    assert counted("restarted") == (bad, bad + 299 * 97 + (3 + 599 * 97) + (3 + 539 * 97) + (3 + 119 * 97))
    # Two falls: 699 intervals, then 4 + 699 * 11, then 4 + 159 * 11.
    assert counted("fallen") == (6 + 6 + 1, 13 + 699 * 11 + (4 + 699 * 11) + (4 + 159 * 11))
    assert counted("born") == (500 + 559 // 10 + 7, 500 + 559 // 10 + 7 + 1_559)
    assert counted("quiet") == (0, 0)
    assert success["quiet"].sli is None
    assert success["quiet"].reasons["sli"] == "no_traffic"
    assert counted("relabelled") == (1_559, 11 * 1_559)
    # One interval, in which the name changed, is not counted: nobody can say what happened in it.
    assert counted("renamed") == (499 + 1_059, 11 * (499 + 1_059))


def test_what_was_not_kept_shows_as_coverage(read: recorded_levels.Standing) -> None:
    """A history of 26 hours covers that much of thirty days, less where nobody read the node."""
    minutes = 30 * 24 * 60
    covered = {name: of_node(read, name)["success-30d", ""].coverage for name in ("plain", "idle")}

    # How far back a long window reaches is a question of an hour at most.
    assert covered["plain"] == pytest.approx(SCRAPES / minutes, rel=0.002)
    assert covered["idle"] == pytest.approx((SCRAPES - 240) / minutes, rel=0.002)
    # The minute that has just begun was not read yet.
    assert of_node(read, "plain")["success-6h", ""].coverage == number(Decimal(359) / 360)


def test_the_number_of_queries_is_that_of_names_and_chunks(read: recorded_levels.Standing) -> None:
    """One question about what there is, then one for each name and chunk, however many SLOs there are."""
    names = 4 + 2  # flows, latency as count and bucket, utilisation; up and the start of the process
    chunks = 31  # thirty days and an hour, a day at a time

    assert len(read.levels.slos) == 9 * (len(SCENARIOS) + 1)
    assert read.queries == 1 + names * chunks


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `netsre slo status` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "netsre", "slo", "status", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def test_the_command_prints_one_document(source: str, short: str) -> None:
    """The fields are those of the controller's list, and beside it say where the numbers are from."""
    done = run("--source", source, "--at", "2026-01-01T00:00:00Z", "--slos", short, "--json")
    document: dict[str, Any] = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert document["source"] == source
    assert document["at"] == "2026-01-01T00:00:00.000Z"
    assert document["queries"] == 1 + 6
    assert document["warnings"] == []
    assert document["notes"]["baseline"] == len(SCENARIOS) + 1
    fields = set(wire.SloView.model_fields)
    assert all(set(level) == fields for level in document["slos"])
    assert {level["name"].partition("-")[0] for level in document["slos"]} == {
        "success",
        "latency",
        "headroom",
    }


def test_another_label_may_name_the_node(source: str, short: str) -> None:
    """Where one label names all targets, they cannot be told apart: null, and the reason on both streams."""
    done = run("--source", source, "--at", str(END // 1000), "--slos", short, "--json", "--node-label", "job")
    document = json.loads(done.stdout)

    assert {level["budget_remaining"] for level in document["slos"]} == {None}
    assert {level["reasons"]["budget_remaining"] for level in document["slos"]} == {"ambiguous_target"}
    assert document["warnings"][0].startswith("ambiguous_target: job='agents' names several targets")
    assert done.stderr.startswith("warning: ambiguous_target")


def test_a_table_is_for_people(source: str, short: str) -> None:
    """Without --json the same lines as from a controller, and --exit-code says that not all is well."""
    done = run("--source", source, "--at", str(END // 1000), "--slos", short, "--exit-code")

    assert done.returncode == 1
    assert "success-1h" in done.stdout
    assert "node=quiet" in done.stdout
