"""Claims about `netsre slo validate`."""

import dataclasses
import json
import pathlib

import pytest

from netsre.app import settings
from netsre.app.control import controller
from netsre.cli import main
from netsre.errors import SpecErrors

BAD = pathlib.Path(__file__).parent / "bad"


def test_the_shipped_files_are_valid_without_naming_them(capsys: pytest.CaptureFixture[str]) -> None:
    """An installed netsre can check itself: no path, exit 0."""
    assert main.run(["slo", "validate"]) == 0
    assert capsys.readouterr().out == "13 SLOs, 9 alerts, 4 burn policies: no findings\n"


def test_findings_are_printed_with_their_place_and_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is no, and where to look."""
    path = BAD / "objective-as-fraction.yaml"

    assert main.run(["slo", "validate", str(path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}:6: SLO002 spec.objective 0.999 looks like a fraction; write a percentage such as 99.9",
        "1 finding in 1 file",
    ]


def test_json_is_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read the same findings."""
    path = BAD / "policy-unknown.yaml"

    assert main.run(["slo", "validate", "--json", str(path)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document == {
        "valid": False,
        "slos": [],
        "alerts": [],
        "policies": [],
        "findings": [
            {
                "file": str(path),
                "line": 13,
                "code": "SLO006",
                "message": "spec.alerting.policy 'workbok' does not exist; did you mean 'workbook'?",
            }
        ],
    }


def test_every_finding_of_a_directory_is_shown_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A directory is read with everything below it."""
    expected = sum(path.read_text().count("\n#= ") for path in BAD.glob("*.yaml"))

    assert main.run(["slo", "validate", "--json", str(BAD)]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    # Beside what each file has alone, names occur twice across them, and one policy hides another.
    assert (
        len([one for one in findings if one["code"] not in ("SLO006", "SLO010", "SLO011")]) >= expected - 10
    )
    assert findings == sorted(
        findings, key=lambda one: (one["file"], one["line"], one["code"], one["message"])
    )


@pytest.mark.parametrize("text", [None, ""])
def test_a_path_without_specs_is_bad_input(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    """Nothing checked is not valid: exit 2, whether the path is missing or empty."""
    path = tmp_path / "specs"
    if text is not None:
        path.mkdir()

    assert main.run(["slo", "validate", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_policies_of_another_directory_replace_the_shipped_ones(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--policies`, only those are known."""
    own = tmp_path / "own.yaml"
    own.write_text(
        "apiVersion: netsre.dev/v1\nkind: BurnPolicy\nmetadata: {name: own}\nspec:\n  minimumBadEvents: 1\n"
        "  rules: [{severity: page, short: 5m, long: 1h, budget: 2%}]\n"
    )
    flow = tmp_path / "flow.yaml"
    shipped = pathlib.Path(__file__).parents[3] / "slos" / "flow-success.yaml"
    flow.write_text(shipped.read_text())

    assert main.run(["slo", "validate", "--policies", str(own), str(flow)]) == 1
    assert "'workbook' does not exist" in capsys.readouterr().out


RUNBOOK = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: network-evidense}
spec:
  on: [{alert: ErrorBudgetBurn, transition: firing}]
  lock: 'network/{node}'
  approval: {mode: observe}
  steps:
    - {action: evidence.collect, with: {what: [flows]}}
"""


def test_a_runbook_that_nobody_has_is_a_finding_until_it_is_given(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The link of an alert must lead somewhere at night, and the typing error shows by day."""
    path, own = BAD / "runbook-unknown.yaml", tmp_path / "own.yaml"
    own.write_text(RUNBOOK)

    assert main.run(["slo", "validate", str(path)]) == 1
    assert ":13: SLO021 " in capsys.readouterr().out
    assert main.run(["slo", "validate", "--runbooks", str(own), str(path)]) == 0


def test_the_controller_refuses_a_runbook_that_nobody_has(tmp_path: pathlib.Path) -> None:
    """It serves a page for every runbook that an SLO may name, also for one that brought none."""
    own = tmp_path / "own.yaml"
    own.write_text(RUNBOOK)
    options = settings.Options(slos=(str(BAD / "runbook-unknown.yaml"),))

    with pytest.raises(SpecErrors, match="SLO021"):
        controller.load(settings.settings(options))
    loaded = controller.load(settings.settings(dataclasses.replace(options, runbooks=(str(own),))))

    assert [slo.runbook for slo in loaded.slos] == ["network-evidense"]
    assert "- steps: 0 evidence.collect {what: [flows]}\n" in loaded.pages["network-evidense"]
    assert "## What you do next" in loaded.pages["network-evidence"]
