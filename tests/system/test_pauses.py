"""People pause automation by a command, and a controller that is killed still knows it."""

import json
import pathlib
import signal
from typing import Any

import pytest

from netsre.app import database
from netsre.cli.main import run
from tests.system.test_controller import Agent, Controller, agent, home, ready, running  # noqa: F401

BOOK = "conntrack-exhaustion"
CALENDAR = """\
apiVersion: netsre.dev/v1
kind: Maintenance
metadata: {name: always}
spec:
  reason: A test.
  timezone: UTC
  windows: [{cron: '* * * * *', duration: 1d}]
---
"""
LABELS = {"alertname": "ConntrackUtilization", "severity": "page", "node": "a", "netns": "host"}
ALERT = {"labels": LABELS, "startsAt": "2026-01-01T00:00:00Z", "status": "firing"}


def test_a_pause_outlives_the_controller_that_was_asked_for_it(
    home: pathlib.Path,  # noqa: F811 - the fixture
    agent: Agent,  # noqa: F811 - the fixture
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Asked for, shown, kept over kill -9, in the plan beside every other gate, and ended; all is audited."""
    data = home / "data"
    books = home / "books"
    books.mkdir()
    shipped = pathlib.Path(__file__).resolve().parents[2] / "runbooks" / f"{BOOK}.yaml"
    (books / "book.yaml").write_text(CALENDAR + shipped.read_text())
    (home / "alert.json").write_text(json.dumps(ALERT))
    with running(data, agent.url, "--runbooks", str(books)) as first:
        first.until(ready)
        assert said(capsys, first, "pause", BOOK, "--for", "2h", "--reason", "switch", data=data)[0] == 0
        first.stop(signal.SIGKILL)

    with running(data, agent.url, "--runbooks", str(books)) as second:
        second.until(ready)
        _, held = said(capsys, second, "pauses")
        _, plan = said(capsys, second, "plan", BOOK, "--alert", str(home / "alert.json"), data=data)
        status = second.get("/api/v1/status")["pauses"]
        code, resumed = said(capsys, second, "resume", BOOK, data=data)
        nothing = said(capsys, second, "resume", BOOK, data=data)
        assert second.stop() == 0

    (pause,) = held["pauses"]
    assert (pause["scope"], pause["name"], pause["reason"]) == ("runbook", BOOK, "switch")
    assert [one["name"] for one in held["maintenance"]] == ["always"]
    assert status == [f"runbook {BOOK} paused by {pause['owner']} until {pause['until']}: switch"]
    no = {gate["gate"]: gate["detail"] for gate in plan["gates"] if not gate["passed"]}
    assert plan["reason"] == "paused"
    assert {"paused", "maintenance"} <= no.keys()
    assert (code, resumed["resumed"]) == (0, [pause])
    assert nothing == (1, {"resumed": []})
    assert database.check(data).broken_seq is None


def said(
    capsys: pytest.CaptureFixture[str],
    controller: Controller,
    command: str,
    *arguments: str,
    data: pathlib.Path | None = None,
) -> tuple[int, dict[str, Any]]:
    """Run a command of `netsre runbook` and return its exit code and its JSON."""
    where = ["--controller", f"http://127.0.0.1:{controller.port}"]
    where += [] if data is None else ["--data-dir", str(data)]
    code = run(["runbook", command, *arguments, *where, "--json"])
    return code, json.loads(capsys.readouterr().out)
