"""`netsre flows`: what it shows of a log, how it follows, and what it says where there is none."""

import json
import pathlib
import subprocess
import sys
import time
from typing import Final

import pytest

from netsre.adapters.flow_log.writing import FlowLogFile
from netsre.cli import flows as command
from netsre.cli import main
from netsre.datapath import flow_lines
from netsre.datapath.block import source_key
from netsre.datapath.flow_log import FlowEvent
from netsre.datapath.flows import TCP_SERVER
from tests.machine import wait_until

NOW: Final = time.time_ns()
USUAL: Final = FlowEvent(
    NOW,
    NOW - 1_234_567,
    1,
    "delivered",
    "none",
    "private",
    source_key("10.0.0.1"),
    40_000,
    source_key("10.0.0.2"),
    443,
    100,
)
REFUSED: Final = USUAL._replace(outcome="failed", reason="refused", one_in=1, end_ns=NOW + 1)
STALLED: Final = REFUSED._replace(
    reason="stalled", start_ns=NOW - 3_000_000_000, remote=source_key("2001:db8:1:2:3:4:5:6")
)
DENIED: Final = REFUSED._replace(outcome="denied", reason="blocked", start_ns=0, remote_port=22)


def log(path: pathlib.Path, *events: FlowEvent, netns: str = "host") -> pathlib.Path:
    """Write a log."""
    lines = [
        flow_lines.line(event, *event.role.from_to(netns, event.destination), epoch_ns=0) for event in events
    ]
    assert FlowLogFile(path, 8 << 20).append(lines).lines == len(events)
    return path


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Return a log with an attempt of each outcome."""
    return log(tmp_path / "flows.jsonl", USUAL, REFUSED, STALLED, DENIED)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], str]:
    """Run the command; return its code, its lines and its complaints."""
    code = main.run(["flows", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_a_person_sees_a_table_of_eighty_columns(
    path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every address whole, the outcome as a word, and how many attempts a line stands for."""
    code, shown, said = run(capsys, "--file", path)

    assert (code, said) == (0, "")
    assert max(map(len, shown)) <= 80
    assert [line[14:] for line in shown] == [
        "outcome                after  source → destination",
        "delivered            1.23 ms  host → 10.0.0.2:443 x100",
        "failed refused       1.23 ms  host → 10.0.0.2:443",
        "failed stalled        3.00 s  host → [2001:db8:1:2:3:4:5:6]:443",
        "denied blocked             -  host → 10.0.0.2:22",
    ]


def test_what_comes_from_elsewhere_has_its_arrow_the_other_way(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The end that is here comes first, with the port that was asked for; the client's address is whole."""
    taken = USUAL._replace(role=TCP_SERVER, local_port=443, remote_port=40_112, start_ns=0)
    far = taken._replace(
        remote=source_key("2001:db8:1:2:3:4:5:6"), outcome="failed", reason="refused", one_in=1
    )
    path = log(tmp_path / "flows.jsonl", REFUSED, taken, far)
    code, shown, _ = run(capsys, "--file", path, "--direction", "ingress")

    assert code == 0
    assert [line[14:] for line in shown[1:]] == [
        "delivered                  -  host:443 ← 10.0.0.2:40112 x100",
        "failed refused             -  host:443",
        "← [2001:db8:1:2:3:4:5:6]:40112",
    ]


def test_a_program_gets_the_lines_as_they_are(path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object in each, nothing else."""
    code, shown, said = run(capsys, "--file", path, "--json", "--all")

    assert (code, said) == (0, "")
    assert "\n".join(shown) + "\n" == path.read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("wishes", "reasons"),
    [
        (("--outcome", "failed,denied"), ["refused", "stalled", "blocked"]),
        (("--reason", "stalled"), ["stalled"]),
        (("--dst", "2001:db8::/32"), ["stalled"]),
        (("--dst", "private", "--port", "22"), ["blocked"]),
        (("--src", "10.0.0.0/8", "--last", "2"), ["stalled", "blocked"]),
        (("--src", "host", "--last", "1"), ["blocked"]),
        (("--src", "elsewhere"), []),
        (("--since", "1h"), ["none", "refused", "stalled", "blocked"]),
    ],
    ids=" ".join,
)
def test_filters_leave_out_what_is_not_asked_for(
    path: pathlib.Path, capsys: pytest.CaptureFixture[str], wishes: tuple[str, ...], reasons: list[str]
) -> None:
    """All of them have to hold; `--last` counts what is wanted."""
    code, shown, _ = run(capsys, "--file", path, "--json", *wishes)

    assert code == 0
    assert [json.loads(line)["reason"] for line in shown] == reasons


def test_without_a_wish_the_last_twenty_are_shown(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And all with --all; what is older than --since is not."""
    old = USUAL._replace(end_ns=NOW - 7_200 * 10**9)
    path = log(tmp_path / "flows.jsonl", *[old] * 30, *[USUAL] * 30)

    for wishes, count in (((), 20), (("--all",), 60), (("--since", "1h"), 30), (("--last", "41"), 41)):
        assert len(run(capsys, "--file", path, "--json", *wishes)[1]) == count


def test_hostile_text_cannot_drive_the_terminal(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the name of a namespace, nor a line that somebody else put into the file."""
    name = "a\x1b]0;owned\x07\u202e\u009b2J"
    path = log(tmp_path / "flows.jsonl", REFUSED, netns=name)
    with path.open("ab") as file:
        raw = flow_lines.line(REFUSED, "x", "private", 0)
        file.write(raw.replace(b'"x"', '"\u009b2J\u202e"'.encode()))
        file.write(raw.replace(b"refused", b"\\u001b[2J\\u202e"))
        file.write(b"\x1b[2J\x1b]0;owned\x07\n{}\n[1]\n")
    for wishes in ((), ("--json",)):
        code, shown, said = run(capsys, "--file", path, *wishes)

        assert code == 0
        assert all(char.isprintable() for line in shown for char in line)
        assert len([line for line in shown if "→" in line or '"kind"' in line]) >= 3
        assert said == "left out: 3 lines that are no records\n"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_long_names_and_addresses_are_never_a_wrong_address(width: int) -> None:
    """A name is shortened with a mark, an address goes to a row of its own."""
    longest = REFUSED._replace(remote=bytes([0x20, 1] + [0xAB] * 14), remote_port=65_535)
    raw = flow_lines.line(longest, "netsre-lab-14972-1vsfd-client-" + "x" * 60, "private", 0)
    shown = list(command.rows(flow_lines.parse(raw.rstrip(b"\n")), width))

    assert all(row.cell_len <= width for row in shown)
    whole = "→ [2001:abab:abab:abab:abab:abab:abab:abab]:65535"
    assert sum(whole in row.plain for row in shown) == 1


def test_following_shows_what_comes_across_rotations_until_it_is_ended(tmp_path: pathlib.Path) -> None:
    """Within moments, each once, in order."""
    path = log(tmp_path / "flows.jsonl", USUAL)
    ask = [sys.executable, "-m", "netsre", "flows", "--file", str(path), "--follow", "--json"]
    out = tmp_path / "out"
    with out.open("wb") as sink, subprocess.Popen(ask, stdout=sink) as follower:
        assert wait_until(lambda: out.read_bytes().count(b"\n") == 1)
        for turn in range(10):
            log(path, *[REFUSED._replace(local_port=1 + turn)] * 5)
            path.rename(f"{path}.{turn + 1}")
        log(path, DENIED)
        assert wait_until(lambda: out.read_bytes().count(b"\n") == 52)
        follower.terminate()
    ports = [json.loads(line)["src"]["port"] for line in out.read_bytes().splitlines()]

    assert ports == [40_000, *[1 + turn for turn in range(10) for _ in range(5)], 40_000]


def test_where_there_is_no_log_one_line_says_what_to_do(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the file that was named, and by where netsre up would keep one."""
    missing = tmp_path / "flows.jsonl"
    assert run(capsys, "--file", missing) == (
        3,
        [],
        (
            f"error: the flow log {missing} cannot be read: No such file or directory; "
            f"an agent keeps one when it is started with --flow-log {missing}\n"
        ),
    )
    monkeypatch.setenv("NETSRE_DATA_DIR", str(tmp_path))
    usual = tmp_path / "flow-log" / "flows.jsonl"
    assert run(capsys) == (
        3,
        [],
        (
            f"error: there is no flow log at {usual}; run netsre up, "
            "or name the --flow-log of an agent with --file FILE\n"
        ),
    )
    usual.parent.mkdir()
    log(usual, REFUSED)
    assert len(run(capsys)[1]) == 2


# Once as root, so that all is imported: the checkout may lie below a directory that nobody else can enter.
AS_NOBODY: Final = """
import os, sys
from netsre.cli import main
asked = ["flows", "--file", sys.argv[1]]
assert main.run(asked) == 0
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.exit(main.run(asked))
"""


@pytest.mark.requires("root")
def test_a_log_that_is_roots_says_so(tmp_path: pathlib.Path) -> None:
    """To everybody else: how to ask as root."""
    (tmp_path / "flow-log").mkdir(mode=0o700)
    path = str(log(tmp_path / "flow-log" / "flows.jsonl", REFUSED))
    ask = [sys.executable, "-c", AS_NOBODY, path]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)

    assert done.returncode == 3
    assert done.stderr == f"error: {path} is not for everybody; ask as root: sudo netsre flows\n"


@pytest.mark.parametrize(
    "wishes",
    [("--outcome", "faild"), ("--port", "0"), ("--since", "10"), ("--all", "--last", "3")],
    ids=" ".join,
)
def test_a_wish_that_means_nothing_is_bad_usage(
    path: pathlib.Path, capsys: pytest.CaptureFixture[str], wishes: tuple[str, ...]
) -> None:
    """Nothing is shown."""
    code, shown, said = run(capsys, "--file", path, *wishes)

    assert (code, shown) == (2, [])
    assert "Error: " in said
