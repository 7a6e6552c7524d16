"""`netsre generate dashboards`: what it writes, leaves alone and answers."""

import json
import pathlib

import pytest

from netsre.app import generate as app
from netsre.cli import main


def generate(*arguments: str | pathlib.Path) -> int:
    """Run the command and return its exit code."""
    return main.run(["generate", "dashboards", *map(str, arguments)])


def test_the_committed_boards_are_what_the_command_writes(capsys: pytest.CaptureFixture[str]) -> None:
    """The boards in the checkout are current; if not, the message names the command."""
    code = generate("--check")
    assert code == 0, capsys.readouterr().out


def test_it_writes_then_has_nothing_to_do(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run leaves the file untouched, byte for byte and in time."""
    assert generate("--out", tmp_path / "new" / "deep") == 0
    board = tmp_path / "new" / "deep" / "on-call.json"
    before = board.stat()
    assert generate("--out", board.parent) == 0
    assert (board.stat().st_mtime_ns, board.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert "current" in capsys.readouterr().out
    assert json.loads(board.read_text())["uid"] == "netsre-on-call"


def test_other_files_stay(tmp_path: pathlib.Path) -> None:
    """Whatever else lies in the directory is not ours to touch, and no draft is left behind."""
    (tmp_path / "mine.json").write_text("mine")
    assert generate("--out", tmp_path) == 0
    assert (tmp_path / "mine.json").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "on-call.json"]


def test_check_names_what_is_missing_or_stale(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, the file, its state and the command that repairs it; nothing is written."""
    assert generate("--out", tmp_path, "--check") == 1
    assert "on-call.json: missing; run netsre generate dashboards --out" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "on-call.json").write_text("{}")
    assert generate("--out", tmp_path, "--check") == 1
    assert "on-call.json: stale" in capsys.readouterr().out
    assert (tmp_path / "on-call.json").read_text() == "{}"
    assert generate("--out", tmp_path) == 0
    assert generate("--out", tmp_path, "--check") == 0


def test_json_is_one_document(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, stdout parses and names the same files."""
    assert generate("--out", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["on-call.json"]
    (tmp_path / "on-call.json").write_text("")
    assert generate("--out", tmp_path, "--json", "--check") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["stale"], answer["written"], answer["missing"]) == (["on-call.json"], [], [])


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_an_unusable_directory_is_the_machines_fault(
    tmp_path: pathlib.Path, check: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where the directory should be: exit 3 and one line that names it."""
    (tmp_path / "file").write_text("")
    assert generate("--out", tmp_path / "file", *check) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: output directory")
    assert error.count("\n") == 1


def test_a_failed_write_leaves_the_old_board_whole(tmp_path: pathlib.Path) -> None:
    """When the place cannot be written, what is there stays, and no draft is left."""
    (tmp_path / "on-call.json").mkdir()
    (tmp_path / "on-call.json" / "keep").write_text("kept")
    assert generate("--out", tmp_path) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["on-call.json"]
    assert (tmp_path / "on-call.json" / "keep").read_text() == "kept"


@pytest.mark.parametrize("arguments", [(), ("--out", "x", "--slos", "absent"), ("--out", "x", "--nope")])
def test_bad_usage_is_told(arguments: tuple[str, ...]) -> None:
    """A missing directory, absent specs and unknown options are exit 2."""
    assert generate(*arguments) == 2


def test_a_link_must_be_an_address(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Anything but http or https would be a script or a dead link on every panel."""
    assert generate("--out", tmp_path, "--console-url", "javascript:alert(1)") == 2
    assert "https://netsre.example:8600" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_wrong_specs_are_findings_and_nothing_is_written(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A spec with an unknown key stops the command with its file and line."""
    spec = tmp_path / "specs" / "wrong.yaml"
    spec.parent.mkdir()
    spec.write_text("apiVersion: netsre.dev/v1\nkind: SLO\nmetadata: {name: x}\nspecs: {}\n")
    assert generate("--out", tmp_path / "out", "--slos", spec.parent) == 2
    assert "wrong.yaml:4" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_links_lead_where_they_are_told() -> None:
    """The address of the console is the prefix of every link, with or without its slash."""
    plain = app.dashboards((), "https://netsre.example")
    assert plain == app.dashboards((), "https://netsre.example/")
    assert b"https://netsre.example/runbooks" in plain["on-call.json"]
    assert b"127.0.0.1" not in plain["on-call.json"]


def everything(*arguments: str | pathlib.Path) -> int:
    """Run `netsre generate all` and return its exit code."""
    return main.run(["generate", "all", *map(str, arguments)])


def test_all_writes_what_each_command_writes(tmp_path: pathlib.Path) -> None:
    """The same bytes, each part in a directory of its own, and nothing else."""
    assert everything("--out", tmp_path / "all", "--console-url", "https://netsre.example") == 0
    each = {"alertmanager": "alertmanager", "dashboards": "dashboards", "schemas": "schema"}
    for command, part in each.items():
        url = () if command == "schemas" else ("--console-url", "https://netsre.example")
        assert main.run(["generate", command, "--out", str(tmp_path / "one" / part), *url]) == 0
    assert _tree(tmp_path / "all") == _tree(tmp_path / "one")


def _tree(root: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_all_checks_every_part_at_once(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One answer: a stale file of one part, a lost one of another, and the rest; nothing is written."""
    assert everything("--out", tmp_path, "--check") == 1
    assert list(tmp_path.iterdir()) == []
    assert everything("--out", tmp_path) == 0
    assert everything("--out", tmp_path, "--check") == 0
    (tmp_path / "alertmanager" / "alertmanager.yml").write_text("route: {}")
    (tmp_path / "dashboards" / "on-call.json").unlink()
    capsys.readouterr()
    assert everything("--out", tmp_path, "--check", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["stale"] == ["alertmanager/alertmanager.yml"]
    assert answer["missing"] == ["dashboards/on-call.json"]
    assert "schema/netsre.json" in answer["current"]


def test_nothing_of_all_is_written_when_one_part_is_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Receivers that Alertmanager would not take, and no board is written either."""
    (tmp_path / "receivers.yaml").write_text("receivers: [{name: pages}]")
    assert everything("--out", tmp_path / "out", "--receivers", tmp_path / "receivers.yaml") == 2
    assert "pages and tickets, once each" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_where_a_part_should_be_is_the_machines_fault(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and what is there stays."""
    (tmp_path / "schema").write_text("mine")
    assert everything("--out", tmp_path) == 3
    assert capsys.readouterr().err.count("error: output directory") == 1
    assert (tmp_path / "schema").read_text() == "mine"
