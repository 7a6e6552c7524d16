"""People decide about a run of a real controller with the real commands; a socket plays the node."""

import hashlib
import json
import os
import pathlib
import subprocess
from typing import Any, Final

import pytest

from netsre.adapters.control import ControlServer, Handler
from netsre.app import privileges
from netsre.model.documents import Document
from tests.system.test_controller import NETSRE, Agent, Controller, running
from tests.system.test_controller import home as home  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.timeout(300)

TOKENS: Final = {name: f"the-token-that-{name}-has" for name in ("ann", "ben")}
HASHES: Final = [hashlib.sha256(token.encode()).hexdigest() for token in TOKENS.values()]
PEOPLE: Final = f"""\
apiVersion: netsre.dev/v1
kind: People
metadata: {{name: on-call}}
spec:
  people:
    - {{name: ann, tokenSha256: {HASHES[0]}}}
    - {{name: ben, tokenSha256: {HASHES[1]}}}
  groups: [{{name: sre, members: [ann, ben]}}]
"""
RUNBOOK: Final = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: asks}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: propose, by: [sre], timeout: 30m}
  steps:
    - {action: datapath.block_source, with: {source: 10.0.0.9, ttl: 10m}}
  verify: {slo: conntrack-headroom, window: 15s, samples: 100, within: 1h}
"""


class FullAgent(Agent):
    """An agent whose connection table is full."""

    def text(self) -> str:
        """Add the table to the counters."""
        return f'{super().text()}netsre_conntrack_utilization_ratio{{table="kernel",netns="lab"}} 0.95\n'


class Node:
    """What the controller asks the agent to do; it remembers what was done."""

    def __init__(self, path: pathlib.Path) -> None:
        """Serve whatever user the controller becomes."""
        self.done: list[tuple[str, str]] = []
        user = privileges.service_user(None).uid if os.geteuid() == 0 else os.geteuid()
        handlers: dict[str, Handler] = {
            "table": lambda _: {"netns": "lab", "entries": 9, "limit": 10, "sources": [], "states": []},
            "route": lambda _: {"interface": "eth0", "protected": ""},
            "apply": lambda command: self._did("apply", command, {"until": 5}),
            "undo": lambda command: self._did("undo", command, {"undone": True}),
            "look": lambda _: {"standing": "applied"},
            "effects": lambda _: {"effects": []},
        }
        self.server = ControlServer(path, handlers, {user, os.geteuid()})
        path.chmod(0o666)

    def _did(self, what: str, command: Document, answer: Document) -> Document:
        self.done.append((what, str(command["key"])))
        return answer


def say(controller: Controller, who: str, *words: str) -> tuple[int, str]:
    """Run a command as somebody; return its exit code and what it said."""
    command = (*NETSRE, "runbook", *words, "--controller", f"http://127.0.0.1:{controller.port}")
    shown = {"NETSRE_API_TOKEN": TOKENS[who]} if who else {}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **shown}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def place(home: pathlib.Path) -> pathlib.Path:
    """Return a directory with the files that people write."""
    (home / "books").mkdir()
    (home / "books" / "asks.yaml").write_text(RUNBOOK)
    (home / "people.yaml").write_text(PEOPLE)
    return home


def runs(controller: Controller) -> list[dict[str, Any]]:
    """Return the runs."""
    found: list[dict[str, Any]] = controller.get("/api/v1/runs")["runs"]
    return found


def state(controller: Controller) -> str | None:
    """Return the state of the newest run."""
    return next((str(run["state"]) for run in runs(controller)), None)


def test_a_run_waits_over_a_kill_acts_when_approved_and_goes_back_when_cancelled(place: pathlib.Path) -> None:
    """Each word by the real command, with the token of a person; the history tells who."""
    agent, node = FullAgent(), Node(place / "control")
    options = (
        *("--control", str(place / "control"), "--people", str(place / "people.yaml")),
        *("--runbooks", str(place / "books")),
    )
    try:
        with running(place / "data", agent.url, *options) as first:
            first.until(lambda found: state(found) == "awaiting_approval", 90)
        with running(place / "data", agent.url, *options) as controller:
            controller.until(lambda found: state(found) == "awaiting_approval", 90)
            (run,) = runs(controller)
            assert node.done == []
            waiting = say(controller, "", "history", "--waiting")
            assert (waiting[0], "WAITS: 1 approval of sre needed until " in waiting[1]) == (0, True)
            assert "RunbookAwaitsApproval" in json.dumps(controller.get("/api/v1/alerts"))

            approved = say(controller, "ann", "approve", run["id"], "--plan", run["approval"]["plan"][:12])
            assert approved[0] == 0, approved
            assert approved[1].startswith(f"approved by ann: run {run['id']}, it acts now")
            controller.until(lambda found: state(found) == "verifying" or bool(node.done), 90)
            late = say(controller, "ben", "deny", run["id"])
            assert (late[0], "already approved by ann" in late[1]) == (1, True), late

            cancelled = say(controller, "ben", "cancel", run["id"])
            assert cancelled[0] == 0, cancelled
            controller.until(lambda found: state(found) == "undone", 90)
            assert node.done == [("apply", f"{run['id']}/0"), ("undo", f"{run['id']}/0")]
            told = say(controller, "", "history", run["id"])[1]
            unknown = say(controller, "", "history", "unknown")
            assert unknown[0] != 0
            assert "runbook 'unknown' does not exist" in unknown[1]
            assert "approval: approve by ann, via api" in told
            assert "cancel: by ben, via api" in told
            by_hand = say(controller, "ann", "run", "asks", "--node", "a", "--json")
            assert (by_hand[0], json.loads(by_hand[1])["reason"]) == (1, "cooldown")
    finally:
        agent.close()
        node.server.close()
