"""Commands on files: what they print, and the exit code a script relies on."""

import json
import pathlib

import pytest

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


def test_lint_is_exit_0_without_findings_and_1_with(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Findings are on stdout, one line each."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("observe", "propose"))

    assert run(["runbook", "lint", str(good)]) == 0
    assert capsys.readouterr().out == "1 runbook: nothing wrong\n"
    assert run(["runbook", "lint", str(tmp_path)]) == 1
    assert f"{bad}:7: RUN004" in capsys.readouterr().out


def test_lint_as_json_is_one_document(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file, line, code and message apart."""
    (tmp_path / "bad.yaml").write_text(GOOD.replace("observe", "propose"))

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

    assert run(["runbook", "show", "network-evidence"]) == 0
    assert "## What you do next" in capsys.readouterr().out


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
        "whole": True,
        "first_broken": None,
        "why": None,
    }
