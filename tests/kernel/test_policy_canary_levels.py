"""Canaries judged by the service levels of a controller that reads the node's agent, all real processes."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest

from netsre.adapters import namespaces
from netsre.app.resources import directory
from tests.kernel import agent_process
from tests.kernel.block_link import PORT, SOURCE
from tests.kernel.canary_traffic import ENDPOINTS, traffic
from tests.kernel.policed_node import Node, policed_node, policy
from tests.machine import PATIENCE, wait_until
from tests.system import test_controller as controllers

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_LONG: Final = "10m"
_NAME: Final = "policy-correctness"


@dataclass(frozen=True)
class Watched:
    """A node with an agent and a controller, all in one network namespace."""

    node: Node
    controller: controllers.Controller

    @property
    def url(self) -> str:
        """Return where the controller answers, to who is in the namespace."""
        return f"http://127.0.0.1:{self.controller.port}"

    def levels(self) -> dict[str, Any]:
        """Return the service levels by name."""
        try:
            answer = namespaces.inside(
                self.node.link.receiver,
                lambda: httpx.get(f"{self.url}/api/v1/slos", trust_env=False, timeout=PATIENCE),
            )
        except httpx.HTTPError:
            return {}
        return {one["name"]: one for one in answer.json()["slos"]}

    def has_data(self) -> bool:
        """Say whether what policies deny is known over the shortest window."""
        level = self.levels().get(_NAME)
        return level is not None and next(iter(level["burn"].values())) is not None

    def judged(self, text: str, code: int, *options: str) -> dict[str, Any]:
        """Have a canary judged, and return what was said of it."""
        (self.node.home / "policy.yaml").write_text(text, encoding="utf-8")
        options = ("--canary", "x/own", "--json", "--controller", self.url, *options)
        with self.node.start(*self.node.applying(), *options) as process:
            out, complaint = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == code, complaint
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Make all of it, and begin with a policy that allows the traffic of the tests."""
    with policed_node() as node, contextlib.ExitStack() as undo:
        (node.home / "endpoints.yaml").write_text(ENDPOINTS, encoding="utf-8")
        node.apply(policy(PORT))
        places = ("--policy-pins", f"{node.home}/bpf/policy", "--policy-state", f"{node.home}/state")
        options = (*places, "--without", "loads", "--without", "inventory")
        agent = namespaces.inside(node.link.receiver, lambda: agent_process.start(*options))
        undo.callback(_ended, agent)
        controller = namespaces.inside(
            node.link.receiver, lambda: _controller(node.home, f"http://{agent.address}")
        )
        undo.callback(controller.stop)
        yield Watched(node, controller)


def _controller(home: pathlib.Path, agent: str) -> controllers.Controller:
    level = directory("slos") / "datapath" / f"{_NAME}.yaml"
    return controllers.Controller(home / "data", agent, "--slos", str(level))


def _ended(agent: agent_process.Running) -> None:
    if agent.process.poll() is None:
        agent.process.terminate()
    with agent.process:
        agent.process.communicate(timeout=PATIENCE)


def test_a_canary_is_judged_by_the_service_levels_about_policies_too(watched: Watched) -> None:
    """Promoted while they are well; withdrawn when they burn, though so many denied packets were allowed."""
    node = watched.node
    with traffic(node, SOURCE[4]):
        assert wait_until(watched.has_data)
        good = watched.judged(policy(PORT, 2), 0, "--promote-after", "4s")
        bad = watched.judged(policy(PORT + 1), 1, "--promote-after", _LONG, "--allow-denies", "1000000")

    assert (good["verdict"], good["slos"]) == ("pass", [f"{_NAME} (node=a)"])
    assert bad["verdict"] == "fail"
    assert bad["reason"] in {"burn", "alert"}
    assert _NAME in bad["detail"]
    assert bad["inForce"] == good["inForce"] == node.in_force()
    assert node.link.passes()


def test_a_controller_that_dies_meanwhile_is_no_health(watched: Watched) -> None:
    """And a name that there is not is refused before anything begins, with the nearest that there is."""
    node = watched.node
    with traffic(node, SOURCE[4]):
        assert wait_until(watched.has_data)
        complaint = node.run(
            *node.applying(), "--canary", "x/own", "--controller", watched.url, "--promote-after", "4s",
            "--slo", "policy-corectness", code=2,
        )  # fmt: skip
        before = node.in_force()
        (node.home / "policy.yaml").write_text(policy(PORT, 2), encoding="utf-8")
        options = ("--canary", "x/own", "--json", "--controller", watched.url, "--promote-after", "6s")
        with node.start(*node.applying(), *options) as process:
            assert wait_until(lambda: node.in_force() != before)
            watched.controller.process.kill()
            out, _ = process.communicate(timeout=2 * PATIENCE)
    found = json.loads(out)

    assert f"did you mean '{_NAME}'?" in complaint
    assert (process.returncode, found["verdict"], found["reason"]) == (1, "inconclusive", "controller_silent")
    assert found["inForce"] == before == node.in_force()
