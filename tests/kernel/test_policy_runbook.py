"""A change of policies that denies what was allowed: paged, answered, gone back on, and proven to help."""

import pathlib
import shutil
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.app.resources import directory
from tests.kernel.automated import Automated, Run, automated
from tests.kernel.block_link import PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.program_sources import ASKS, ASKS_WRONGLY, other_sources

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_AT_ONCE: Final = 9


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def running(node: Node) -> tuple[str, ...]:
    """Return what an agent has to know of the node."""
    return ("--policy-pins", str(node.pins), "--policy-state", str(node.home / "state"), "--without", "loads")


def ended(automation: Automated, node: Node) -> Run:
    """Wait until a run has ended; the endpoint goes on sending meanwhile, each time from another port."""

    def over(run: Run) -> bool:
        node.link.send(SOURCE[4], TARGET[4], _AT_ONCE)
        return bool(run["result"])

    return automation.until(over)


def test_a_change_that_denies_what_was_allowed_is_gone_back_on(node: Node) -> None:
    """The revision of before decides again, once a person says so, and nothing is denied any more."""
    node.apply(policy(PORT))
    good = node.in_force()
    assert node.link.passes()
    with automated(node.home, "denied-traffic", running(node)) as automation:
        node.apply(policy(PORT + 1))
        bad = node.in_force()
        assert not node.link.passes()
        asked = automation.waiting()
        assert node.in_force() == bad
        automation.approve(asked)
        run = ended(automation, node)

    assert run["result"] == "succeeded", run
    assert node.in_force() == good != bad
    assert node.link.passes()


def shown(node: Node) -> str:
    """Return the first line about the programs that decide."""
    return node.run("programs").partition(" since ")[0]


def test_a_version_that_denies_what_was_allowed_is_gone_back_from(node: Node) -> None:
    """Its programs run last, so those of before run again; policies stay, and nobody is asked about them."""
    node.apply(policy(PORT))
    good = shown(node)
    bad = other_sources(node.home / "sources", ASKS, ASKS_WRONGLY)
    with automated(node.home, "denied-traffic", running(node)) as automation:
        node.apply(policy(PORT), "--programs", str(bad))
        assert not node.link.passes()
        revision = node.in_force()
        asked = automation.waiting()
        assert shown(node) != good
        automation.approve(asked)
        run = ended(automation, node)

    assert run["result"] == "succeeded", run
    assert (shown(node), node.in_force()) == (good, revision)
    assert node.link.passes()


def impatient(home: pathlib.Path) -> pathlib.Path:
    """Return a copy of the runbooks that ship, in which less time is left for the proof."""
    made = home / "runbooks"
    shutil.copytree(directory("runbooks"), made)
    file = made / "denied-traffic.yaml"
    text = file.read_text(encoding="utf-8")
    proof = "window: 1m, samples: 3, within: 10m"
    assert text.count(proof) == 1
    file.write_text(text.replace(proof, "window: 15s, samples: 3, within: 15s"), encoding="utf-8")
    return made


def test_a_way_back_that_does_not_help_is_taken_back(node: Node) -> None:
    """The revision of before denies it as well: the run goes forward again, and says that it did not help."""
    node.apply(policy(PORT + 2))
    node.apply(policy(PORT + 1))
    bad, given = node.in_force(), ("--runbooks", str(impatient(node.home)))
    with automated(node.home, "denied-traffic", running(node), *given) as automation:
        node.link.send(SOURCE[4], TARGET[4], _AT_ONCE)
        automation.approve(automation.waiting())
        run = ended(automation, node)

    assert (run["result"], run["reason"]) == ("undone", "verify_failed"), run
    assert node.in_force() == bad
