"""An endpoint that asks for an unknown address: seen, alerted with its name, denied, and over."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre import conventions as c
from tests.kernel.agent_process import Running
from tests.kernel.block_link import PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.test_policy_sensor import agent_on, value
from tests.machine import open_directory
from tests.system.test_controller import Controller, running

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_THERE: Final = f"{TARGET[4]}:{PORT}/UDP"


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def firing(controller: Controller) -> dict[str, dict[str, Any]]:
    """Return the alerts about unexpected destinations that fire, by severity."""
    alerts = controller.get("/api/v1/alerts")["alerts"]
    ours = [one for one in alerts if one["labels"]["alertname"].startswith("UnexpectedEgress")]
    return {one["labels"]["severity"]: one for one in ours if one["state"] == "firing"}


def results(controller: Controller) -> set[str]:
    """Return the results of the runbook; others may run for what else happens on this machine."""
    runs = controller.get("/api/v1/runs")["runs"]
    return {run["result"] for run in runs if run["runbook"] == "unexpected-egress"}


def destinations(agent: Running) -> dict[str, float | None]:
    """Return how many destinations are unexpected, by verdict."""
    return {
        verdict: value(agent, c.POLICY_UNEXPECTED, src="x/own", verdict=verdict)
        for verdict in ("denied", "audited")
    }


def test_an_unexpected_destination_is_named_and_counted_until_it_is_denied(node: Node) -> None:
    """By both ends, as let pass; and what an order denies is expected."""
    node.apply(policy(PORT + 1))
    node.run("mode", "monitor")
    with agent_on(node) as agent:
        assert destinations(agent) == {"denied": None, "audited": None}
        node.link.send(SOURCE[4], TARGET[4], 7)
        labels = {"verdict": "audited", "direction": "egress", "src": "x/own", "dst": _THERE}
        assert value(agent, c.POLICY_REFUSED, **labels) == 7
        assert destinations(agent) == {"denied": 0, "audited": 1}
        node.run("deny", TARGET[4], "--ttl", "1h")
        node.link.send(SOURCE[4], TARGET[4], 5)

        assert value(agent, c.POLICY_REFUSED, **labels) == 7
        assert value(agent, c.POLICY_ORDERS) == 1
        denied = [
            (int(count), dict(pairs)["expected"])
            for (name, pairs), count in agent.samples().items()
            if name == c.POLICY_VERDICTS and dict(pairs)["rule"] == f"deny {TARGET[4]}"
        ]
        assert denied == [(5, "yes")]


def test_it_pages_with_the_name_of_the_endpoint_where_it_got_through(node: Node) -> None:
    """And is a ticket where it was denied; the shipped runbook keeps the address with its run."""
    node.apply(policy(PORT + 1))
    with (
        open_directory() as home,
        agent_on(node) as agent,
        running(home / "data", f"http://{agent.address}") as controller,
    ):
        controller.until(lambda c: c.get("/api/v1/slos")["slos"] != [])
        node.link.send(SOURCE[4], TARGET[4], 3)
        controller.until(lambda c: set(firing(c)) == {"ticket"})
        node.run("mode", "monitor")
        node.link.send(SOURCE[4], TARGET[4], 3)
        controller.until(lambda c: set(firing(c)) == {"ticket", "page"})
        page = firing(controller)["page"]
        controller.until(lambda c: results(c) == {"succeeded"})
        journal = str(controller.get("/api/v1/runs")["runs"])

    assert (page["labels"]["src"], page["labels"]["node"]) == ("x/own", "a")
    assert page["annotations"]["runbook_url"].endswith("/runbooks/unexpected-egress")
    assert _THERE in journal
