"""Loops, queries and parameters with a real controller and its commands; a socket plays the node."""

import json
import os
import pathlib
import threading
from typing import Any, Final

import pytest

from netsre.adapters.control import ControlServer, Handler
from netsre.app import privileges
from netsre.model.documents import Document, Json
from tests.system.test_approvals import PEOPLE, runs, say, state
from tests.system.test_controller import Agent, Controller, running
from tests.system.test_controller import home as home  # noqa: PLC0414 - a fixture

pytestmark = pytest.mark.timeout(300)

SOURCES: Final = ("10.0.0.7", "10.0.0.8", "10.0.0.9")
EACH: Final = 400
"""Entries that each source has in a table of a thousand, until it is blocked and its entries are deleted."""
LOOP: Final = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: several}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  approval: {mode: auto}
  steps:
    - repeat:
        times: 3
        until: 'not still(alert)'
        wait: 1s
        steps:
          - {action: evidence.collect, with: {what: [top-sources]}, retry: {times: 3, wait: 1s}}
          - {action: datapath.block_source, with: {source: '${evidence.top_source}', ttl: 10m}}
          - {action: conntrack.flush, with: {source: '${evidence.top_source}'}}
  verify:
    query: {metric: netsre_conntrack_utilization_ratio, op: '<', value: 0.5, groupBy: [node, netns]}
    window: 5s
    samples: 4
    need: 3
"""
CHOICE: Final = """\
apiVersion: netsre.dev/v1
kind: Runbook
metadata: {name: chosen}
spec:
  on: [{alert: ConntrackUtilization, transition: firing}]
  lock: 'conntrack/{node}'
  limits: {cooldown: 1s}
  parameters: [{name: ttl, type: duration, default: 10m, min: 1m, max: 30m}]
  approval: {mode: propose, by: [sre]}
  steps: [{action: datapath.block_source, with: {source: 10.0.0.9, ttl: '${param.ttl}'}}]
  verify: {slo: conntrack-headroom, window: 15s, samples: 100, within: 1h}
"""


class Crowd:
    """A node with three noisy sources; it remembers in which order what was done."""

    def __init__(self, path: pathlib.Path) -> None:
        """Serve whatever user the controller becomes."""
        self.done: list[str] = []
        self.effects: dict[str, dict[str, Any]] = {}
        self.entries = dict.fromkeys(SOURCES, EACH)
        self._one = threading.Lock()
        user = privileges.service_user(None).uid if os.geteuid() == 0 else os.geteuid()
        handlers: dict[str, Handler] = {
            "table": lambda _: self._table(),
            "route": lambda _: {"interface": "eth0", "protected": ""},
            "apply": self._apply,
            "undo": lambda _: {},
            "look": lambda asked: {"standing": "applied" if asked["key"] in self.effects else "absent"},
            "effects": lambda _: {"effects": []},
        }
        self.server = ControlServer(path, handlers, {user, os.geteuid()})
        path.chmod(0o666)

    @property
    def share(self) -> float:
        """Return how full the table is."""
        return sum(self.entries.values()) / 1000

    def _table(self) -> Document:
        held = sorted(self.entries.items(), key=lambda row: -row[1])
        sources: list[Json] = [{"source": source, "entries": count} for source, count in held if count]
        entries = sum(self.entries.values())
        return {"netns": "lab", "entries": entries, "limit": 1000, "sources": sources, "states": []}

    def _apply(self, command: Document) -> Document:
        key, effect = str(command["key"]), command["effect"]
        assert isinstance(effect, dict)
        with self._one:
            if key not in self.effects:
                self.effects[key] = effect
                self.done.append(key.partition("/")[2])
                if effect["kind"] == "flush":
                    self.entries[str(effect["source"])] = 0
        return {}


class CrowdedAgent(Agent):
    """An agent that tells how full the table of a node is."""

    def __init__(self, node: Crowd) -> None:
        """Begin."""
        self.node = node
        super().__init__()

    def text(self) -> str:
        """Add the table to the counters."""
        ratio = f'netsre_conntrack_utilization_ratio{{table="kernel",netns="lab"}} {self.node.share}'
        return f"{super().text()}{ratio}\n"


def options(place: pathlib.Path, book: str) -> tuple[str, ...]:
    """Write what people write; return what a controller is started with."""
    (place / "books").mkdir()
    (place / "books" / "book.yaml").write_text(book)
    (place / "people.yaml").write_text(PEOPLE)
    return (
        *("--control", str(place / "control"), "--people", str(place / "people.yaml")),
        *("--runbooks", str(place / "books")),
    )


def test_a_loop_goes_on_over_a_kill_and_blocks_whom_it_sees(home: pathlib.Path) -> None:
    """Killed after its first change; two sources are blocked in two rounds, each once, the third is not."""
    node = Crowd(home / "control")
    agent, asked = CrowdedAgent(node), options(home, LOOP)
    try:
        with running(home / "data", agent.url, *asked) as first:
            first.until(lambda _: bool(node.done), 90)
        with running(home / "data", agent.url, *asked) as controller:
            controller.until(lambda found: state(found) == "succeeded", 120)
            (run,) = runs(controller)
            told = say(controller, "", "history")[1]
    finally:
        agent.close()
        node.server.close()

    assert node.done == ["1", "2", "4", "5"]
    assert [effect["source"] for effect in node.effects.values()] == [SOURCES[0]] * 2 + [SOURCES[1]] * 2
    assert (run["state"], run["reason"]) == ("succeeded", "verified")
    assert "up to 3 times: 0 evidence.collect" in told
    assert "left out (until_met)" in told


def begun_after_the_cooldown(controller: Controller) -> tuple[int, str]:
    """Begin a run by hand, and again for as long as the one before is too fresh."""
    begun = (1, "cooldown")
    while begun[0] == 1 and "cooldown" in begun[1]:
        begun = say(controller, "ann", "run", "chosen", "--set", "ttl=5m", "--json")
    return begun


def test_who_begins_a_run_chooses_and_the_plan_that_is_asked_about_says_what(home: pathlib.Path) -> None:
    """By the real commands; beyond the bounds nothing begins."""
    node = Crowd(home / "control")
    agent, asked = CrowdedAgent(node), options(home, CHOICE)
    try:
        with running(home / "data", agent.url, *asked) as controller:
            controller.until(lambda found: state(found) == "awaiting_approval", 90)
            assert say(controller, "ann", "deny", runs(controller)[0]["id"])[0] == 0
            controller.until(lambda found: state(found) == "refused", 90)
            beyond = say(controller, "ann", "run", "chosen", "--set", "ttl=31m")
            assert beyond[0] == 2, beyond
            assert "parameter ttl: 31m is more than max, which is 30m" in beyond[1]
            begun = begun_after_the_cooldown(controller)
            assert begun[0] == 0, begun
            controller.until(lambda found: state(found) == "awaiting_approval", 90)
            run, *_ = runs(controller)
            assert run["id"] == json.loads(begun[1])["run"]
            assert say(controller, "ben", "approve", run["id"])[0] == 0
            controller.until(lambda _: bool(node.done), 90)
    finally:
        agent.close()
        node.server.close()

    assert [effect["ttl"] for effect in node.effects.values()] == [300_000]
    (made,) = [line["data"] for line in run["journal"] if line["kind"] == "plan"]
    assert made["parameters"] == {"ttl": "5m"}
