"""Claims about `netsre policy verdict`, `netsre policy lint` and `netsre policy compile`."""

import json
import pathlib

import pytest

from netsre.cli import main
from netsre.model import linting
from netsre.model.policies import codes
from tests.unit.policy.cluster import cilium, kubernetes

ENDPOINTS = """\
- {name: a, namespace: x, labels: {pod: a}, ips: [10.0.0.1, 'fd00::1'], namedPorts: {http: 8080}}
- {name: b, namespace: x, labels: {pod: b}, ips: [10.0.0.2, 'fd00::2']}
"""
POLICY = kubernetes(
    "podSelector: {matchLabels: {pod: a}}\n"
    "ingress:\n- {from: [{podSelector: {matchLabels: {pod: b}}}], ports: [{port: http}]}"
)


@pytest.fixture(name="files")
def _files(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a directory with a file of endpoints and a directory of policies."""
    (tmp_path / "endpoints.yaml").write_text(ENDPOINTS)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    return tmp_path


def asked(files: pathlib.Path, source: str, destination: str, port: str, *more: str) -> list[str]:
    """Return the arguments of a question."""
    given = ["--endpoints", f"{files}/endpoints.yaml", "--policies", f"{files}/policies"]
    return ["policy", "verdict", *given, "--from", source, "--to", destination, "--port", port, *more]


def test_a_verdict_is_one_document(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the rule, the side that decides, and both ends as they were understood; exit 0."""
    assert main.run(asked(files, "x/b", "x/a", "8080/TCP", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {
        "verdict": "allow",
        "rule": "x/p ingress[0]",
        "direction": "ingress",
        "egress": {"verdict": "allow", "reason": "no_policy", "rule": "no policy selects it"},
        "ingress": {
            "verdict": "allow",
            "reason": "rule",
            "rule": "x/p ingress[0]",
            "file": f"{files}/policies/p.yaml",
            "line": 8,
        },
        "from": {"kind": "endpoint", "endpoint": "x/b", "address": "10.0.0.2"},
        "to": {"kind": "endpoint", "endpoint": "x/a", "address": "10.0.0.1"},
    }


def test_a_denied_connection_is_an_answer_too(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0, and who isolates the endpoint."""
    assert main.run(asked(files, "192.0.2.1", "fd00::1", "80/TCP", "--json")) == 2
    assert "no family of addresses in common" in capsys.readouterr().err

    assert main.run(asked(files, "192.0.2.1", "x/a", "80/TCP", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["rule"], found["direction"]) == ("deny", "default deny", "ingress")
    assert found["ingress"]["isolatedBy"] == ["x/p"]
    assert found["from"] == {"kind": "world", "endpoint": None, "address": "192.0.2.1"}


def test_a_policy_that_is_not_enforced_denies_nothing(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On monitor it is audited, off it is allowed; one that is not asked is named with what is like it."""
    for option, verdict in (("--monitor", "audit"), ("--off", "allow")):
        assert main.run(asked(files, "x/b", "x/a", "80", option, "x/p", "--json")) == 0
        assert json.loads(capsys.readouterr().out)["verdict"] == verdict
    assert main.run(asked(files, "x/b", "x/a", "80", "--monitor", "x/p")) == 0
    assert capsys.readouterr().out.startswith("audit ")
    assert main.run(asked(files, "x/b", "x/a", "80", "--off", "x/pp")) == 2
    assert "x/p" in capsys.readouterr().err


def test_people_see_both_sides(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The decision first, then what each end says and where."""
    assert main.run(asked(files, "x/b", "x/a", "80")) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0] == "deny  x/b (10.0.0.2) → x/a (10.0.0.1): default deny"
    assert said[2].split() == ["egress", "allow", "no", "policy", "selects", "it"]
    assert said[3].split() == ["ingress", "deny", "default", "deny", "(x/p)"]
    assert max(map(len, said)) <= 80


def test_policies_are_asked_without_endpoints_too(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then every address is the world's or the node's, and nothing is policed."""
    arguments = asked(files, "192.0.2.1", "10.0.0.1", "80/TCP", "--json")
    assert main.run(arguments[:2] + arguments[4:]) == 0
    assert json.loads(capsys.readouterr().out)["rule"] == "no policy selects it"


@pytest.mark.parametrize(
    ("source", "port", "words"),
    [
        ("x/c", "80/TCP", "did you mean 'x/b'?"),
        ("b", "80/TCP", "did you mean 'x/b'?"),
        ("x/b", "80/TPC", "write one of TCP, UDP, SCTP, ICMP, ICMPv6"),
        ("x/b", "0/TCP", "write a number from 1 to 65535"),
    ],
)
def test_bad_input_is_exit_2(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str], source: str, port: str, words: str
) -> None:
    """With what to write instead, and nothing on stdout."""
    assert main.run(asked(files, source, "x/a", port, "--json")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_a_file_that_cannot_be_read_is_exit_2_with_its_line(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No verdict from half a set of policies."""
    (files / "policies" / "q.yaml").write_text(
        POLICY.replace("ports:", "port:").replace("name: p", "name: q")
    )

    assert main.run(asked(files, "x/b", "x/a", "80/TCP", "--json")) == 2
    assert f"q.yaml:8: {linting.UNKNOWN_KEY}" in capsys.readouterr().err


def test_policies_without_findings_are_exit_0(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted, with and without endpoints."""
    policies, endpoints = f"{files}/policies", f"{files}/endpoints.yaml"
    assert main.run(["policy", "lint", policies]) == 0
    assert capsys.readouterr().out == "1 policy: no findings\n"
    assert main.run(["policy", "lint", policies, "--endpoints", endpoints, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "policies": ["x/p"], "findings": []}


def test_findings_are_exit_1(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With file, line and code, for programs and for people."""
    file = files / "policies" / "q.yaml"
    file.write_text(cilium("endpointSelector: {}\negress: [{toEntities: [world]}]", "wide"))

    assert main.run(["policy", "lint", f"{files}/policies", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["file"], finding["line"], finding["code"]) == (str(file), 7, codes.TOO_BROAD)

    assert main.run(["policy", "lint", f"{files}/policies"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{file}:7: {codes.TOO_BROAD}",
        "  x/wide egress[0] allows everybody every port; name peers or ports",
        "1 finding in 1 file",
    ]


def test_bad_input_is_a_finding_of_lint(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of policies and of endpoints; words are wrapped at 80 columns."""
    (files / "policies" / "q.yaml").write_text(
        cilium("endpointSelector: {}\ningress: [{fromFQDNs: []}]", "q")
    )

    assert main.run(["policy", "lint", f"{files}/policies"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{files}/policies/q.yaml:7: {linting.UNKNOWN_KEY}"
    assert max(len(line) for line in said[1:]) <= 80

    (files / "policies" / "q.yaml").unlink()
    (files / "endpoints.yaml").write_text("- {nam: a}")
    lint = ["policy", "lint", f"{files}/policies", "--endpoints", f"{files}/endpoints.yaml"]
    assert main.run([*lint, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {one["code"] for one in found} == {linting.MISSING, linting.UNKNOWN_KEY}


@pytest.mark.parametrize("path", ["missing", "empty"])
def test_a_path_of_nothing_is_exit_2(files: pathlib.Path, path: str) -> None:
    """Nobody is told that nothing is wrong with nothing."""
    (files / "empty").mkdir()

    assert main.run(["policy", "lint", str(files / path)]) == 2


def test_the_file_of_endpoints_may_lie_beside_the_policies(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not taken for a policy; and alone it is none."""
    named = ["--endpoints", f"{files}/endpoints.yaml"]
    ends = ["--from", "x/b", "--to", "x/a", "--port", "8080"]
    assert main.run(["policy", "verdict", *named, "--policies", str(files), *ends]) == 0
    assert capsys.readouterr().out.startswith("allow")
    assert main.run(["policy", "lint", str(files), *named]) == 0

    assert main.run(["policy", "verdict", *named, "--policies", named[1], *ends]) == 2
    assert "name a file of policies" in capsys.readouterr().err


def compiling(files: pathlib.Path, *more: str) -> list[str]:
    """Return the arguments of a compile."""
    return ["policy", "compile", f"{files}/policies", "--endpoints", f"{files}/endpoints.yaml", *more]


def test_a_compile_is_one_document(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a kernel would hold, beside what it may; and how long each stage took."""
    assert main.run(compiling(files, "--json")) == 0

    found = json.loads(capsys.readouterr().out)
    seconds = found.pop("seconds")
    assert [*seconds] == ["parse", "resolve", "encode", "total"]
    assert seconds["total"] == sum([*seconds.values()][:3])
    assert found == {
        "policies": 1,
        "endpoints": 2,
        "identities": 5,
        "rules": 1,
        "tables": 1,
        "maps": {
            "policy_entries": {"entries": 3, "budget": 262_144},
            "policy_zones": {"entries": 0, "budget": 262_144},
            "policy_endpoints": {"entries": 4, "budget": 32_768},
            "policy_addresses": {"entries": 4, "budget": 65_536},
        },
    }


def test_people_see_what_a_compile_takes(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stages, how full each map would be, and what to do next, in 80 columns."""
    assert main.run(compiling(files)) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("compiled 1 policy for 2 endpoints in ")
    assert said[0].endswith(" s; nothing was changed")
    assert [line.split()[0] for line in said[1:5]] == ["stage", "parse", "resolve", "encode"]
    assert said[6].split() == ["policy_entries", "3", "262144", "1", "%"]
    assert said[10:] == [
        "5 identities, 1 rule, 1 table",
        "next: netsre policy verdict says what they decide about a connection",
    ]
    assert max(map(len, said)) <= 80


def test_more_than_a_kernel_may_hold_is_exit_3(
    files: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with what to do."""
    addresses = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(32_769))
    (files / "endpoints.yaml").write_text(f"- {{name: many, ips: [{addresses}]}}")

    assert main.run(compiling(files, "--json")) == 3
    assert capsys.readouterr() == (
        "",
        "error: endpoints have 32769 addresses and 32768 can be policed; leave out those of other nodes\n",
    )


def test_what_cannot_be_read_is_not_compiled(files: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with file and line; and nobody compiles a list of endpoints for a policy."""
    (files / "policies" / "q.yaml").write_text(
        POLICY.replace("ports:", "port:").replace("name: p", "name: q")
    )
    assert main.run(compiling(files)) == 2
    assert f"q.yaml:8: {linting.UNKNOWN_KEY}" in capsys.readouterr().err

    endpoints = f"{files}/endpoints.yaml"
    assert main.run(["policy", "compile", endpoints, "--endpoints", endpoints]) == 2
    assert "name a file of policies" in capsys.readouterr().err
