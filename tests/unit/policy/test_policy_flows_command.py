"""Claims about `netsre policy suggest`, `netsre policy diff`, and `netsre policy lint` beside flows."""

import json
import pathlib

import pytest

from netsre.cli import main
from netsre.model.policies import codes
from tests.unit.policy.cluster import kubernetes
from tests.unit.policy.observations import NODE_ENTRIES, raw

ENDPOINTS = (
    """\
- {name: a, namespace: x, labels: {pod: a}, ips: [10.0.0.1]}
- {name: b, namespace: x, labels: {pod: b}, ips: [10.0.0.2]}
- {name: c, namespace: y, labels: {pod: c}, ips: [10.0.0.3]}
"""
    + NODE_ENTRIES
)
OPEN = kubernetes("podSelector: {matchLabels: {pod: a}}\ningress: [{ports: [{port: 80}, {port: 81}]}]")
CLOSED = kubernetes(
    "podSelector: {matchLabels: {pod: a}}\ningress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]"
)
LINES = [
    raw("10.0.0.2", "10.0.0.1", 80, time="2026-01-01T00:00:00"),
    raw("10.0.0.3", "10.0.0.1", 80, sampling=100),
    raw("10.0.0.3", "10.0.0.1", 80, outcome="failed", time="2026-01-03T00:00:00"),
    raw("10.0.0.3", "10.0.0.1", 82, outcome="failed"),
    raw(None, "10.0.0.1", 53, protocol="udp"),
    raw("192.0.2.7", "10.0.0.1", 81, direction="ingress", time="2026-01-09T00:00:00"),
]


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory with endpoints, two sets of policies, and a flow log that was rotated once."""
    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    (tmp_path / "old.yaml").write_text(OPEN)
    (tmp_path / "new.yaml").write_text(CLOSED)
    (tmp_path / "flows.jsonl.1").write_text("".join(f"{line}\n" for line in LINES[:3]))
    (tmp_path / "flows.jsonl").write_text("".join(f"{line}\n" for line in LINES[3:]))
    return tmp_path


def given(files: pathlib.Path) -> list[str]:
    """Return the options that all of these commands have."""
    return ["--flows", f"{files}/flows.jsonl", "--endpoints", f"{files}/endpoints.yaml"]


def test_suggested_policies_change_nothing_that_was_delivered(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written to stdout can be linted and compared as it is; the summary is on stderr."""
    assert main.run(["policy", "suggest", *given(files)]) == 0
    captured = capsys.readouterr()
    assert captured.err == "3 policies from 4 flows; 0 allow nothing; not allowed: 2, listed in comments\n"
    (files / "suggested.yaml").write_text(captured.out)
    (files / "none.yaml").write_text("{apiVersion: v1, kind: List, items: []}")

    assert main.run(["policy", "lint", f"{files}/suggested.yaml", *given(files)[2:]]) == 0
    capsys.readouterr()
    compared = [f"{files}/none.yaml", f"{files}/suggested.yaml", *given(files), "--json"]
    assert main.run(["policy", "diff", *compared]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["from"], one["service"], one["outcomes"]) for one in found["changes"]] == [
        ("y/c (10.0.0.3)", "82/TCP", {"failed": 1})
    ]


def test_suggestions_are_files_for_each_namespace(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is current is not written again, and what else lies there stays."""
    out = files / "out"
    assert main.run(["policy", "suggest", *given(files), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/x.yaml: written\n{out}/y.yaml: written\n"
    (out / "y.yaml").unlink()
    (out / "own.txt").write_text("mine")

    assert main.run(["policy", "suggest", *given(files), "--out", str(out), "--namespace", "x"]) == 0
    assert capsys.readouterr().out == f"{out}/x.yaml: current\n"
    assert sorted(one.name for one in out.iterdir()) == ["own.txt", "x.yaml"]
    assert main.run(["policy", "lint", str(out), *given(files)[2:]]) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--namespace", "z"], "namespace 'z' has no endpoint"),
        (["--namespace", "nodes"], "namespace 'nodes' has no endpoint"),
        (["--join-networks", "10.0.0.1/8"], "write 10.0.0.0/8"),
        (["--flows", "missing"], "does not exist"),
    ],
)
def test_bad_input_is_exit_2(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    """With nothing on stdout."""
    assert main.run(["policy", "suggest", *given(files), *more]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in " ".join(captured.err.split())


def test_lines_that_are_no_records_are_said(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a crash cut off is left out, and the rest is used."""
    with (files / "flows.jsonl").open("a") as log:
        log.write('{"time":"2026-01-\n!\n')

    assert main.run(["policy", "suggest", *given(files)]) == 0
    assert "flows.jsonl: left out 2 lines that are no records" in capsys.readouterr().err


def test_a_change_that_denies_is_exit_1(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With who decided before and after, within 80 columns."""
    given_here = [*given(files), f"{files}/old.yaml", f"{files}/new.yaml"]
    assert main.run(["policy", "diff", *given_here]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert " ".join(captured.out.split()) == (
        "allow → deny y/c (10.0.0.3) → x/a (10.0.0.1) 80/TCP "
        "100 delivered, 1 failed; last 2026-01-03T00:00:00.000000000Z "
        f"before: ingress, x/p ingress[0] ({files}/old.yaml:7) "
        "after: ingress, default deny (x/p) "
        "allow → deny 192.0.2.7 → x/a (10.0.0.1) 81/TCP "
        "1 delivered; last 2026-01-09T00:00:00.000000000Z "
        f"before: ingress, x/p ingress[0] ({files}/old.yaml:7) "
        "after: ingress, default deny (x/p) "
        "4 observed flows: 2 denied now, 0 allowed now, 2 as before"
    )
    assert [line for line in lines if len(line) > 80 and str(files) not in line] == []
    assert captured.err == "left out: 1 attempts with an end of no known address\n"


def test_a_change_that_allows_is_exit_0(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As one document, with both ends of both verdicts; so is a change of nothing."""
    assert (
        main.run(["policy", "diff", f"{files}/new.yaml", f"{files}/old.yaml", *given(files), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert {key: found[key] for key in ("flows", "denied", "allowed", "withoutAddress")} == {
        "flows": 4,
        "denied": 0,
        "allowed": 2,
        "withoutAddress": 1,
    }
    one = found["changes"][0]
    assert (one["from"], one["to"], one["service"], one["count"]) == (
        "y/c (10.0.0.3)",
        "x/a (10.0.0.1)",
        "80/TCP",
        101,
    )
    assert (one["before"]["verdict"], one["after"]["verdict"]) == ("deny", "allow")
    assert one["before"]["ingress"]["isolatedBy"] == ["x/p"]
    assert (one["after"]["rule"], one["after"]["ingress"]["line"]) == ("x/p ingress[0]", 7)

    assert main.run(["policy", "diff", f"{files}/old.yaml", f"{files}/old.yaml", *given(files)]) == 0
    assert capsys.readouterr().out == "4 observed flows: 0 denied now, 0 allowed now, 4 as before\n"


def test_lint_finds_rules_that_explain_no_flow(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1 with the code; where the log is too short, exit 0 and why."""
    (files / "policy.yaml").write_text(
        OPEN.replace("[{ports: [{port: 80}, ", "[{ports: [{port: 9}]}, {ports: [")
    )
    lint = ["policy", "lint", f"{files}/policy.yaml", *given(files)]
    assert main.run([*lint, "--unused-for", "8d", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["code"], one["line"]) for one in found["findings"]] == [(codes.UNUSED, 7)]
    assert found["notes"] == []

    assert main.run([*lint, "--unused-for", "9d"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 policy: no findings"
    assert "less than 9d" in " ".join(said)
    assert max(map(len, said)) <= 80


def test_flows_time_and_endpoints_belong_together(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One without the others is exit 2, and says so."""
    lint, options = ["policy", "lint", f"{files}/old.yaml"], given(files)
    for some in (options, options[:2], ["--unused-for", "7d"], [*options[:2], "--unused-for", "7d"]):
        assert main.run([*lint, *some]) == 2
        assert "belong together" in capsys.readouterr().err


def test_lint_says_nothing_of_use_where_a_file_cannot_be_read(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its findings come first."""
    (files / "old.yaml").write_text(OPEN.replace("port: 80", "port: 0"))

    assert (
        main.run(["policy", "lint", f"{files}/old.yaml", *given(files), "--unused-for", "8d", "--json"]) == 1
    )
    found = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in found["findings"]] == [codes.PORT]
