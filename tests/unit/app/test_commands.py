"""Commands on files: what they print, and the exit code a script relies on."""

import json
import pathlib

import pytest

from netsre.adapters import controller_client
from netsre.app import resources
from netsre.cli.main import run
from tests.unit import burning

GOOD = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: look}
spec:
  on: [{alert: ErrorBudgetBurn, transition: firing}]
  lock: 'network/{node}'
  approval: {mode: observe}
  steps:
    - {action: evidence.collect, with: {what: [flows]}}
"""
MINE = """\
apiVersion: netsre.dev/v1
kind: Scenario
metadata: {name: mine}
spec:
  about: Nothing happens.
  runbook: look
  expect: [{runs: []}]
"""


def test_lint_is_exit_0_without_findings_and_1_with(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Findings are on stdout, one line each."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("observe", "proposed"))

    assert run(["runbook", "lint", str(good)]) == 0
    assert capsys.readouterr().out == "1 runbook: nothing wrong\n"
    assert run(["runbook", "lint", str(tmp_path)]) == 1
    assert f"{bad}:7: RUN004" in capsys.readouterr().out


def test_lint_as_json_is_one_document(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file, line, code and message apart."""
    (tmp_path / "bad.yaml").write_text(GOOD.replace("observe", "proposed"))

    assert run(["runbook", "lint", "--json", str(tmp_path)]) == 1

    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["line"], finding["code"]) == (7, "RUN004")


def test_lint_knows_the_game_days_that_lie_among_runbooks(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no controller would start with is not called right; what both readers find is said once."""
    shipped = resources.directory("runbooks") / "gamedays" / "conntrack-flood.yaml"
    day = tmp_path / "day.yaml"
    (tmp_path / "good.yaml").write_text(GOOD)

    day.write_text(shipped.read_text())
    assert run(["runbook", "lint", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "1 runbook, 1 game day: nothing wrong\n"
    day.write_text(shipped.read_text().replace("profile: udp", "profile: sctp") + "evil: 1\n")
    assert run(["runbook", "lint", str(tmp_path)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said] == ["SPEC011", "SPEC004"]


def test_lint_knows_the_scenarios_that_lie_among_runbooks(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a runbook in these files, and of a shipped one; what is wrong with one has its place."""
    shipped = resources.directory("runbooks") / "scenarios" / "map-pressure.yaml"
    (tmp_path / "good.yaml").write_text(GOOD + "---\n" + MINE)
    (tmp_path / "shipped.yaml").write_text(shipped.read_text())

    assert run(["runbook", "lint", str(tmp_path)]) == 0
    count = shipped.read_text().count("kind: Scenario")
    assert capsys.readouterr().out == f"1 runbook, {count + 1} scenarios: nothing wrong\n"
    wrong = MINE.replace("runbook: look", "runbook: nobodys").replace("name: mine", "name: other")
    (tmp_path / "bad.yaml").write_text(wrong)
    assert run(["runbook", "lint", str(tmp_path)]) == 1
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"{tmp_path}/bad.yaml:6: SCN002")


def test_a_path_that_does_not_exist_is_not_called_right(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped path in CI must not be green."""
    assert run(["runbook", "lint", str(tmp_path / "typo.yaml")]) == 2
    assert "typo.yaml: No such file or directory" in capsys.readouterr().err


def test_the_shipped_runbooks_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """With what starts each, and the page for the person it concerns."""
    assert run(["runbook", "list", "--json"]) == 0
    names = {book["name"] for book in json.loads(capsys.readouterr().out)["runbooks"]}
    assert "network-evidence" in names

    assert run(["runbook", "show", "policy-compile-slow"]) == 0
    assert "policy.stagger {every: 10s, ttl: 30m}" in capsys.readouterr().out
    assert run(["runbook", "show", "network-evidence"]) == 0
    assert "## What you do next" in capsys.readouterr().out


def test_a_runbook_is_shown_with_its_conditions_limits_parameters_and_proof(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a person wants to know before it acts, in the words of its file; as JSON in parts."""
    assert run(["runbook", "show", "conntrack-exhaustion"]) == 0
    said = " ".join(capsys.readouterr().out.partition("# conntrack-exhaustion")[0].split())
    for told in (
        'when labels.severity == "page"',
        "approval auto: it acts by itself",
        "cooldown 15m on each target, at most 3 runs an hour and 1 target at a time, 60% of",
        "1 datapath.block_source {source: ${evidence.top_source}, ttl: 10m}",
        "3 conntrack.tune {limit: x2, max: 1048576, ttl: 1h}, only if still(alert)",
        "conntrack-headroom: 3 samples in a row, each over 15s, within 2m",
        "onFailure undo",
    ):
        assert told in said

    assert run(["runbook", "show", "conntrack-exhaustion", "--json"]) == 0
    book = json.loads(capsys.readouterr().out)
    assert book["steps"][3]["if"] == "still(alert)"
    assert book["verify"]["no_data"] == "inconclusive"


def test_an_unknown_runbook_is_exit_2_with_the_nearest_known(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert run(["runbook", "show", "network-evidense"]) == 2
    assert "did you mean 'network-evidence'?" in capsys.readouterr().err


def test_db_upgrade_makes_a_database_that_db_check_finds_whole(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Repeating the upgrade changes nothing, and checking where nothing is says so."""
    where = ["--data-dir", str(tmp_path / "data")]

    assert run(["db", "check", *where]) == 3
    assert "does not exist" in capsys.readouterr().err
    assert run(["db", "upgrade", *where]) == 0
    assert run(["db", "upgrade", *where]) == 0
    assert f"already at schema {burning.MIGRATIONS.head}" in capsys.readouterr().out
    assert run(["db", "check", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["audit"] == {
        "rows": 0,
        "head": f"0:{'0' * 64}",
        "whole": True,
        "first_broken": None,
        "why": None,
    }


@pytest.mark.parametrize("chosen", ["ttl", "=5m", "a=1 a=2", "ttl=\udcff"])
def test_what_is_no_value_of_a_parameter_is_bad_usage(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], chosen: str
) -> None:
    """Told in one line before anybody is asked."""
    alert = tmp_path / "alert.json"
    alert.write_text('{"labels": {"alertname": "ConntrackUtilization"}}')
    given = [word for one in chosen.split() for word in ("--set", one)]
    nobody = ["--controller", "http://127.0.0.1:1"]

    for command in (["run", "x"], ["plan", "x", "--alert", str(alert)]):
        assert run(["runbook", *command, *given, *nobody]) == 2
        assert "Error: --set" in capsys.readouterr().err


def test_pauses_tells_what_stops_every_runbook_and_how_to_close_a_circuit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan refuses with storm, and this is where people look for the reason."""
    circuit = {"runbook": "x", "failures": 3, "last_at": "", "retry_at": None}
    held = {
        "stops": [{"gate": "storm", "detail": "12 alerts"}],
        "pauses": [],
        "circuits": [circuit],
        "quarantined": [],
        "maintenance": [],
    }
    monkeypatch.setattr(controller_client, "ask", lambda *_, **__: held)

    assert run(["runbook", "pauses"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "all runbooks stopped (storm): 12 alerts",
        "circuit of x open after 3 runs without success; netsre runbook close x --reason TEXT closes it",
    ]


def test_history_takes_a_runbook_or_a_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever begins a run by hand has its id, and follows it by that."""
    asked: list[dict[str, str]] = []

    def ask(_url: str, _path: str, **parameters: str) -> dict[str, list[str]]:
        asked.append(parameters)
        return {"runs": []}

    monkeypatch.setattr(controller_client, "ask", ask)

    assert run(["runbook", "history", "4f2a"]) == 0
    assert [sorted(one.keys() - {"limit"}) for one in asked] == [["run"], ["runbook"]]
    assert capsys.readouterr().out == "no runs yet\n"
