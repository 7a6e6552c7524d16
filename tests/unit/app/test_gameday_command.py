"""`netsre gameday` says what came of it: one document, or lines of 80 columns, and a true exit code."""

import http.server
import json
import pathlib
import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre.cli.main import run
from tests.machine import free_port

PATH: Final = "/api/v1/gamedays"
DRILL: Final[dict[str, Any]] = {
    "id": "abc", "gameday": "conntrack-flood", "profile": "udp", "by": "ann", "state": "passed",
    "reason": "verified", "detail": "", "scheduled_at": None, "requested_at": "2026-01-01T00:00:00.000Z",
    "ended_at": "2026-01-01T00:00:20.000Z", "injected_at": "2026-01-01T00:00:00.100Z",
    "beyond_at": "2026-01-01T00:00:04.600Z", "detected_at": "2026-01-01T00:00:04.620Z",
    "paged_at": "2026-01-01T00:00:04.700Z", "mitigated_at": "2026-01-01T00:00:06.000Z",
    "verified_at": "2026-01-01T00:00:19.600Z", "paged_by": "http://127.0.0.1:9093",
    "seconds": {"beyond": 4.5, "detected": 4.52, "paged": 4.6, "mitigated": 5.9, "verified": 19.5},
    "budget_burned": 0.000193, "alertmanager_received": True, "host_restored": True, "left_behind": [],
    "alert": "f1", "run": "r1", "incident": "i1", "fault": {"sent": 600000}, "reasons": {},
}  # fmt: skip
DAY: Final[dict[str, Any]] = {
    "name": "conntrack-flood", "hypothesis": "It heals.", "fault": "conntrack.flood", "profile": "udp",
    "duration": "3m", "deadlines": {}, "schedule": None, "next_at": None, "file": "x.yaml:1",
    "expect": {"alert": "ConntrackUtilization", "runbook": "conntrack-exhaustion", "slo": "headroom"},
}  # fmt: skip


class Controller:
    """A controller that answers what a test has it answer, and remembers what it was sent."""

    def __init__(self) -> None:
        """Serve on a port of its own."""
        self.answers: dict[str, tuple[int, object]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._answer(self, f"GET {self.path}")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.sent.append((self.path, json.loads(body)))
                outer._answer(self, f"POST {self.path}")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                del format, args

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, what: str) -> None:
        status, document = self.answers.get(what, (404, {"detail": f"no {what}"}))
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    """Return a controller in which one drill passed and no other can be begun."""
    monkeypatch.setenv("NETSRE_API_TOKEN", "a-token-that-is-long-enough")
    monkeypatch.setenv("COLUMNS", "80")
    made = Controller()
    made.answers = {
        f"GET {PATH}": (200, {"lab": True, "gamedays": [DAY], "runs": [DRILL]}),
        f"GET {PATH}/abc": (200, {"drill": DRILL, "journal": []}),
        f"POST {PATH}": (202, {"id": "abc", "state": "requested", "reason": "accepted"}),
        f"POST {PATH}/abc/abort": (202, {"id": "abc", "state": "cleaning", "reason": "accepted"}),
    }
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def netsre(controller: Controller, *arguments: str) -> int:
    """Run one command against a controller."""
    return run(["gameday", *arguments, "--controller", controller.url])


def test_a_drill_that_passed_is_one_document_and_0(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stdout, and nothing else anywhere."""
    code = netsre(controller, "run", "conntrack-flood", "--profile", "tcp", "--lab", "--json")

    printed = capsys.readouterr()
    assert (code, json.loads(printed.out), printed.err) == (0, DRILL, "")
    ((path, wish),) = controller.sent
    assert (path, wish["name"], wish["profile"]) == (PATH, "conntrack-flood", "tcp")
    assert len(wish["id"]) == 32


def test_a_person_reads_a_line_for_each_stage(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """In their order, with their times, none of them longer than a terminal is wide."""
    assert netsre(controller, "run", "conntrack-flood") == 0

    lines = capsys.readouterr().out.splitlines()
    stages = [line.split()[0] for line in lines]
    assert stages[1:7] == ["injected", "beyond", "detected", "paged", "mitigated", "verified"]
    assert "passed (verified)" in lines
    assert "budget burned: 0.0193 % of the window's" in lines
    assert "host: as before" in lines
    assert all(len(line) <= 80 for line in lines), lines


@pytest.mark.parametrize("state", ["failed", "aborted"])
def test_any_other_end_is_1(controller: Controller, state: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Said with its reason."""
    worse = {**DRILL, "state": state, "reason": "paged", "detail": "not reached", "host_restored": False,
             "left_behind": ["limit 1, before 2"], "verified_at": None}  # fmt: skip
    controller.answers[f"GET {PATH}/abc"] = (200, {"drill": worse, "journal": []})

    assert netsre(controller, "run", "conntrack-flood") == 1

    out = capsys.readouterr().out
    assert f"{state} (paged): not reached" in out
    assert "host: NOT as before: limit 1, before 2" in out


def test_a_refusal_is_1_and_a_document_too(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was recorded of it is what is printed."""
    refused = {**DRILL, "state": "refused", "reason": "no_lab"}
    controller.answers[f"POST {PATH}"] = (409, {"detail": "no lab answers", "reason": "no_lab", "id": "abc"})
    controller.answers[f"GET {PATH}/abc"] = (200, {"drill": refused, "journal": []})

    assert netsre(controller, "run", "conntrack-flood", "--json") == 1
    assert json.loads(capsys.readouterr().out)["reason"] == "no_lab"


def test_an_unknown_name_is_bad_input(controller: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, with what the controller says."""
    said = {
        "detail": "there is no game day of that name; did you mean 'x'?",
        "reason": "unknown_gameday",
        "id": None,
    }
    controller.answers[f"POST {PATH}"] = (409, said)

    assert netsre(controller, "run", "y") == 2
    assert "did you mean 'x'?" in capsys.readouterr().err


def test_without_a_controller_it_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that asks one."""
    base = ["--controller", f"http://127.0.0.1:{free_port()}"]
    for command in (["list"], ["schedule"], ["report"], ["abort"], ["run", "x", "--data-dir", "/nowhere"]):
        assert run(["gameday", *command, *base]) == 3, command
    assert "Traceback" not in capsys.readouterr().err


def test_game_days_and_their_runs_are_listed(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people, and as the document of the API."""
    assert netsre(controller, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "conntrack-flood  conntrack.flood udp for 3m"
    assert all(len(line) <= 80 for line in lines), lines
    assert netsre(controller, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == [DRILL]


def test_schedules_are_shown_and_so_is_that_there_are_none(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the next time of each."""
    assert netsre(controller, "schedule") == 0
    assert capsys.readouterr().out == "none: no game day has a schedule\n"
    planned = {
        **DAY,
        "schedule": {"cron": "0 10 * * tue", "timezone": "UTC"},
        "next_at": "2026-01-06T10:00:00.000Z",
    }
    controller.answers[f"GET {PATH}"] = (200, {"lab": True, "gamedays": [planned], "runs": []})
    assert netsre(controller, "schedule", "--json") == 0
    (shown,) = json.loads(capsys.readouterr().out)["schedules"]
    assert shown == {
        "name": "conntrack-flood",
        "cron": "0 10 * * tue",
        "timezone": "UTC",
        "next_at": "2026-01-06T10:00:00.000Z",
    }


@pytest.mark.parametrize("name", [[], ["abc"]])
def test_a_report_is_of_the_latest_run_or_of_a_named_one(
    controller: Controller, name: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same document as at its end, and the same lines."""
    assert netsre(controller, "report", *name, "--json") == 0
    assert json.loads(capsys.readouterr().out) == DRILL
    assert netsre(controller, "report", *name) == 0
    assert "passed (verified)" in capsys.readouterr().out


def test_the_run_that_goes_on_is_aborted(controller: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an id whichever it is; with none going on there is nothing to end."""
    assert netsre(controller, "abort") == 2
    assert "no run of a game day goes on" in capsys.readouterr().err
    going_on = {**DRILL, "ended_at": None}
    controller.answers[f"GET {PATH}"] = (200, {"lab": True, "gamedays": [DAY], "runs": [going_on]})

    assert netsre(controller, "abort", "--json") == 0

    assert json.loads(capsys.readouterr().out) == {"id": "abc", "aborting": True}
    assert [path for path, _ in controller.sent] == [f"{PATH}/abc/abort"]


@pytest.mark.parametrize("name", ["nothing", "abc/../abc", "?limit=1", "a\x1b[31m\n", "\udcff"])
def test_a_run_that_nobody_knows_is_bad_input(
    controller: Controller, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, whatever is in the name, which leads to nothing else than a run."""
    for command in ("report", "abort"):
        assert netsre(controller, command, name) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.removesuffix("\n").isprintable()


def test_a_name_that_cannot_be_sent_is_bad_input(
    controller: Controller, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed in another encoding, it is a mistake of the person, and none of the controller."""
    assert netsre(controller, "run", "\udcff") == 2
    assert "is no UTF-8 text" in capsys.readouterr().err


def test_a_server_of_another_kind_is_3(controller: Controller, capsys: pytest.CaptureFixture[str]) -> None:
    """It does not say what is wrong with the name, because it never heard of names."""
    controller.answers[f"GET {PATH}"] = (404, {"detail": "Not Found"})

    assert netsre(controller, "list") == 3
    assert "answered 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content", [b"\x80\xff", b"[" * 100_000, b"NaN", b'{"labels": {"a": "\\ud800"}}', b""]
)
def test_an_alert_that_is_none_is_bad_input(
    controller: Controller, tmp_path: pathlib.Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, before anybody is asked."""
    file = tmp_path / "alert.json"
    file.write_bytes(content)

    code = run(["runbook", "plan", "a", "--alert", str(file), "--controller", controller.url])

    assert code == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert controller.sent == []
