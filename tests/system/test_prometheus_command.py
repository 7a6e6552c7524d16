"""`netsre slo status --source`, whatever is asked and whatever answers: null with a reason, or one line."""

import json
import pathlib
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pytest

from netsre.cli import main
from tests.answers import Answer, Handler, says, serving

pytestmark = pytest.mark.system

END: Final = 1_767_225_600
SLO: Final = """
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: success}
spec:
  service: node-datapath
  objective: 99.9
  window: 1h
  groupBy: [node]
  indicator:
    ratio:
      bad: {metric: netsre_flows_total, match: 'outcome="failed"'}
      total: {metric: netsre_flows_total}
  alerting: {policy: none}
---
apiVersion: netsre.dev/v1
kind: SLO
metadata: {name: headroom}
spec:
  service: node-conntrack
  objective: 99
  window: 1h
  groupBy: [node]
  indicator:
    threshold: {metric: netsre_conntrack_utilization_ratio, op: '<', value: 0.5}
  alerting: {policy: none}
"""
FLOWS: Final = {"__name__": "netsre_flows_total", "outcome": "failed", "job": "agents", "instance": "n1"}
USED: Final = {"__name__": "netsre_conntrack_utilization_ratio", "job": "agents", "instance": "n1"}


@pytest.fixture
def slos(tmp_path: pathlib.Path) -> str:
    """Two service levels about two metrics."""
    path = tmp_path / "slos.yaml"
    path.write_text(SLO)
    return str(path)


@dataclass(frozen=True)
class Done:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


class Run(Protocol):
    """Runs `netsre slo status` with some arguments, as the command's one door does."""

    def __call__(self, *arguments: str) -> Done:
        """Return what it left."""
        ...


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; each of its own would take a second."""
    monkeypatch.delenv("NETSRE_PROMETHEUS_TOKEN", raising=False)

    def run(*arguments: str) -> Done:
        code = main.run(["slo", "status", *arguments])
        return Done(code, *capsys.readouterr())

    return run


def store(delay: float = 0, **flows: Any) -> Answer:
    """Answer as a Prometheus with ten minutes of one node; `flows` is said beside the samples of flows.

    What series there are is said after some seconds.
    """
    times = range(END - 600, END, 60)
    held = {
        "netsre_flows_total": {**FLOWS, "values": [[at, str(at - END + 1_000)] for at in times]},
        "netsre_conntrack_utilization_ratio": {**USED, "values": [[at, "0.1"] for at in times]},
        "up": {"__name__": "up", "job": "agents", "instance": "n1", "values": [[at, "1"] for at in times]},
    }

    def answer(handler: Handler, query: dict[str, list[str]]) -> None:
        if urllib.parse.urlsplit(handler.path).path.endswith("/series"):
            time.sleep(delay)
            says(json.dumps({"status": "success", "data": [FLOWS, USED]}))(handler, query)
            return
        name = query["query"][0].partition("{")[0].partition("[")[0]
        series = dict(held.get(name, {}))
        entries = [{"values": series.pop("values"), "metric": series}] if series else []
        data = {"resultType": "matrix", "result": entries}
        more = flows if name == "netsre_flows_total" else {}
        says(json.dumps({"status": "success", "data": data, **more}))(handler, query)

    return answer


def levels(run: Run, answer: Answer, slos: str) -> tuple[dict[str, Mapping[str, Any]], dict[str, Any]]:
    """Return the levels by name, and the document, that a store like this makes."""
    with serving(answer) as server:
        done = run("--source", server.url, "--at", str(END), "--slos", slos, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    return {level["name"]: level for level in document["slos"]}, document


def test_whole_answers_are_numbers(slos: str, run: Run) -> None:
    """Nine intervals of a minute, each with sixty failures, and ten readings."""
    found, document = levels(run, store(), slos)

    assert (found["success"]["bad"], found["success"]["total"]) == (540, 540)
    assert found["success"]["budget_remaining"] == -999
    assert (found["headroom"]["good"], found["headroom"]["total"]) == (10, 10)
    assert document["warnings"] == []
    assert document["queries"] == 1 + 4


def test_a_partial_answer_is_null_where_it_matters_and_only_there(slos: str, run: Run) -> None:
    """A store that is away may hold any number of failures; the other metric was answered whole."""
    found, document = levels(run, store(warnings=["store 10.0.0.9 is away"]), slos)
    success = found["success"]

    assert {success[field] for field in ("good", "bad", "total", "sli", "budget_remaining", "coverage")} == {
        None
    }
    assert set(success["reasons"].values()) == {"partial_answer"}
    assert success["group"] == {"node": "n1"}
    assert success["firing"] == []
    assert found["headroom"]["budget_remaining"] == 1
    assert document["warnings"] == ["partial_answer: store 10.0.0.9 is away"]


def test_what_takes_longer_than_a_second_says_how_far_it_is(slos: str, run: Run) -> None:
    """On stderr, so that stdout stays one document; what is quick says nothing."""
    for delay, told in ((0.0, ""), (1.1, "reading samples: 0 of 1 (0 %)\n")):
        with serving(store(delay)) as server:
            done = run("--source", server.url, "--at", str(END), "--slos", slos, "--json")
        assert done.stderr == told
        assert json.loads(done.stdout)["queries"] == 5


def test_metrics_that_nobody_has_are_null_with_their_reason(slos: str, run: Run) -> None:
    """A store without any of these series was still asked, once."""
    found, document = levels(run, says('{"status":"success","data":[]}'), slos)

    assert {level["budget_remaining"] for level in found.values()} == {None}
    assert {level["reasons"]["budget_remaining"] for level in found.values()} == {"no_series"}
    assert document["queries"] == 1


def test_a_token_is_sent_and_never_shown(
    slos: str, run: Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, or from the environment: in the request it is, in what is printed it is not."""
    (tmp_path / "token").write_text("word-of-the-file\n")
    with serving(store()) as server:
        arguments = ("--source", server.url, "--at", str(END), "--slos", slos, "--json")
        by_file = run(*arguments, "--token-file", str(tmp_path / "token"))
        sent_by_file = {headers["Authorization"] for headers in server.headers}
        server.headers.clear()
        monkeypatch.setenv("NETSRE_PROMETHEUS_TOKEN", "word-of-the-environment")
        by_variable = run(*arguments)
        sent_by_variable = {headers["Authorization"] for headers in server.headers}

    assert sent_by_file == {"Bearer word-of-the-file"}
    assert sent_by_variable == {"Bearer word-of-the-environment"}
    for done in (by_file, by_variable):
        assert done.returncode == 0
        assert "word-of" not in done.stdout + done.stderr


def test_nobody_there_is_the_machines_fault(slos: str, run: Run) -> None:
    """Exit 3, one line, nothing on stdout."""
    done = run("--source", "http://127.0.0.1:1", "--slos", slos, "--json")

    assert done.returncode == 3
    assert done.stdout == ""
    assert (
        done.stderr == "error: Prometheus http://127.0.0.1:1 does not answer (Connection refused), 3 times\n"
    )


BAD: Final[dict[str, tuple[str, ...]]] = {
    "no time": ("--source", "http://127.0.0.1:1", "--at", "soon"),
    "the future": ("--source", "http://127.0.0.1:1", "--at", "2199-01-01T00:00:00Z"),
    "no address": ("--source", "prometheus"),
    "no label": ("--source", "http://127.0.0.1:1", "--node-label", "a-b"),
    "no files": ("--source", "http://127.0.0.1:1", "--slos", "/nonexistent"),
    "two sources": ("--source", "http://127.0.0.1:1", "--controller", "http://127.0.0.1:2"),
    "a time for a controller": ("--at", "2026-01-01T00:00:00Z"),
    "files for a controller": ("--slos", "slos"),
    "a label for a controller": ("--node-label", "node"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_question_that_makes_no_sense_is_one_line(case: str, run: Run) -> None:
    """Exit 2, before anything is sent."""
    done = run(*BAD[case])

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
