"""`netsre runbook test`: what a person and a program see, and the exit codes."""

import json
import pathlib

import pytest

from netsre.cli import main
from tests.unit.rehearsing.written import ASKS, GIVEN, HEAD, HELPS

FINE = HEAD + GIVEN + HELPS + "  expect: [{runs: [{state: succeeded, reason: verified}]}]\n"
WRONG = FINE.replace("name: written", "name: wrong").replace("verified", "by_luck")


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "fine.yaml").write_text(FINE)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    return tmp_path


def test_all_that_is_right_is_one_line_each(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what happened only where it is asked for."""
    assert main.run(["runbook", "test", str(files / "fine.yaml")]) == 0
    assert capsys.readouterr().out == "PASS  written\n1 scenario: 1 passed, 0 failed\n"

    assert main.run(["runbook", "test", "-v", str(files / "fine.yaml")]) == 0
    assert "outcome 1 datapath.block_source: done" in capsys.readouterr().out


def test_a_difference_is_told_with_the_story(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal of 80 columns, by words and not by colour alone."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main.run(["runbook", "test", str(files)]) == 1
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]

    assert "FAIL  wrong" in lines
    assert f"  {files}/wrong.yaml:21: runs" in lines
    assert "    expected  succeeded (by_luck)" in lines
    assert "    seen      succeeded (verified)" in lines
    assert lines[-1] == "2 scenarios: 1 passed, 1 failed"
    assert all(len(line) <= 80 for line in lines if str(files) not in line)


def test_a_program_gets_one_document(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With every difference and the whole story."""
    assert main.run(["runbook", "test", "--json", str(files)]) == 1
    document = json.loads(capsys.readouterr().out)

    assert (document["passed"], document["failed"]) == (1, 1)
    fine, wrong = document["scenarios"]
    assert (wrong["name"], wrong["passed"], fine["differences"]) == ("wrong", False, [])
    assert wrong["differences"] == [
        {
            "file": f"{files}/wrong.yaml:21",
            "what": "runs",
            "expected": "succeeded (by_luck)",
            "seen": "succeeded (verified)",
        }
    ]
    assert fine["timeline"][0] == {"at": "0s", "who": "alert", "text": "ConntrackUtilization fires"}


def test_what_cannot_be_read_is_bad_input(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is played then."""
    (files / "wrong.yaml").write_text(WRONG.replace("expect", "expects"))

    assert main.run(["runbook", "test", str(files)]) == 2
    assert "did you mean 'expect'" in capsys.readouterr().err
    assert main.run(["runbook", "test", str(files / "none.yaml")]) == 2


def test_files_without_a_scenario_are_no_success(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runbooks may lie beside scenarios; alone they leave nothing to play."""
    (tmp_path / "book.yaml").write_text(ASKS, encoding="utf-8")

    assert main.run(["runbook", "test", str(tmp_path), "--runbooks", str(tmp_path)]) == 2
    assert "no scenario in" in capsys.readouterr().err

    nothing = HEAD + "  expect: [{runs: []}]\n"
    (tmp_path / "written.yaml").write_text(nothing, encoding="utf-8")
    assert main.run(["runbook", "test", str(tmp_path), "--runbooks", str(tmp_path)]) == 0
