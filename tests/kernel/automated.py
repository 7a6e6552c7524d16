"""An agent that takes commands, a controller with all that ships, and a person who answers it, for a node."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from netsre.app.privileges import service_user
from tests.kernel import agent_process
from tests.kernel.agent_process import Running
from tests.machine import PATIENCE
from tests.system import test_controller
from tests.system.test_controller import Controller

Run = dict[str, Any]


@dataclass(frozen=True)
class Automated:
    """Both, and what is asked of them about one runbook; others run for what else happens on this machine."""

    agent: Running
    controller: Controller
    home: pathlib.Path
    runbook: str

    def runs(self) -> list[Run]:
        """Return the runs of the runbook that began."""
        found: list[Run] = self.controller.get("/api/v1/runs")["runs"]

        return [run for run in found if run["runbook"] == self.runbook]

    def began(self) -> bool:
        """Say whether there is one that was not refused."""
        return any(run["result"] != "refused" for run in self.runs())

    def until(self, condition: Callable[[Run], bool]) -> Run:
        """Wait for a run of which something is so."""
        met: list[Run] = []

        def found(_: Controller) -> bool:
            met.extend(filter(condition, self.runs()))
            return bool(met)

        # A busy machine evaluates late, and a run has all of two minutes to prove that it helped.
        self.controller.until(found, 6 * PATIENCE)
        return met[0]

    def waiting(self) -> Run:
        """Wait until it asks people."""
        return self.until(lambda run: run["state"] == "awaiting_approval")

    def ended(self) -> Run:
        """Wait until a run has ended."""
        return self.until(lambda run: bool(run["result"]))

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the alerts of a name that fire."""
        found = self.controller.get("/api/v1/alerts")["alerts"]
        return [one for one in found if one["labels"]["alertname"] == name and one["state"] == "firing"]

    def approve(self, run: Run) -> None:
        """Say yes, as whoever has the controller's own token."""
        token = (self.home / "data" / "api.token").read_text(encoding="ascii").strip()
        answer = httpx.post(
            f"http://127.0.0.1:{self.controller.port}/api/v1/runs/{run['id']}/approve",
            headers={"Authorization": f"Bearer {token}"},
            json={"plan": run["approval"]["plan"]},
            timeout=PATIENCE,
        )
        assert answer.status_code == httpx.codes.OK, answer.text


@contextlib.contextmanager
def automated(
    home: pathlib.Path, runbook: str, agent: tuple[str, ...], *controller: str
) -> Iterator[Automated]:
    """Run both, below a directory that every user can walk into; either may be told more."""
    user = service_user(None)
    socket, effects = home / "agent.sock", home / "effects"
    commands = ("--control", str(socket), "--control-user", user.name, "--effects", str(effects))
    given = ("--control", str(socket), *controller)
    with (
        agent_process.running(*commands, *agent) as one,
        test_controller.running(home / "data", f"http://{one.address}", *given) as other,
    ):
        other.until(lambda found: found.get("/api/v1/slos")["slos"] != [])
        yield Automated(one, other, home, runbook)
