"""What nobody remembers any more of policies in force: found again in the kernel, or nothing is forgotten."""

import shutil
from collections.abc import Iterator
from typing import Final

import pytest

from tests.kernel.block_link import PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_OWN: Final = "x/own"


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a node whose endpoint has an order and a mode of its own, and an order is for all."""
    with policed_node() as made:
        made.apply(policy(PORT))
        made.run("deny", TARGET[4], "--endpoint", _OWN)
        made.run("deny", "203.0.113.0/24")
        made.run("mode", "monitor", "--endpoint", _OWN)
        yield made


def test_without_a_state_orders_and_modes_of_endpoints_go_on_by_their_names(node: Node) -> None:
    """An apply of other policies finds whose they are, and what they are called; the way back does, too."""
    (node.home / "state" / "state.json").unlink()
    nameless = node.status()["endpointModes"]
    node.apply(policy(PORT, 1))

    listed = node.run("deny")
    assert [*nameless] == ["endpoint 1"]
    assert node.status()["endpointModes"][_OWN]["mode"] == "monitor"
    assert _OWN in listed
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0
    assert node.link.passes(6)
    assert f"deny {TARGET[4]}" in {one["rule"] for one in node.status()["verdicts"]}


def test_without_any_name_a_change_is_refused_until_they_are_taken_back(node: Node) -> None:
    """In one line, with the commands that do; nothing is forgotten before, and then a change goes on."""
    shutil.rmtree(node.home / "state")
    (node.home / "policy.yaml").write_text(policy(PORT, 1), encoding="utf-8")
    refused = node.run(*node.applying(), code=2)
    still = node.link.send(SOURCE[4], TARGET[4], 5)
    node.run("deny", TARGET[4], "--endpoint", "endpoint 1", "--remove")
    node.run("mode", "inherit", "--endpoint", "endpoint 1")
    with node.start(*node.applying()) as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "if any policy had a mode, it is enforced from now on" in said
    assert "endpoint 1" in refused
    assert refused.count("\n") == 1
    assert still == 0
    assert node.link.passes()
    assert "203.0.113.0/24" in node.run("deny")


def test_a_damaged_text_of_a_revision_is_named_and_the_rest_is_told(node: Node) -> None:
    """Of modes of policies nothing is known then; a way back to it is a switch, and says what it is not."""
    first = node.in_force()
    node.apply(policy(PORT, 1))
    file = node.home / "state" / "revisions" / f"{first}.json"
    file.write_text("{", encoding="utf-8")
    told, shown = node.status(), node.run("status")
    back = node.run("rollback", str(first), code=3)
    damaged = node.status()

    assert [one for one in told["unreadable"] if str(file) in one]
    assert len(told["unreadable"]) == 1
    assert str(file) in "".join(shown.split("\n"))
    assert f"revision {first} is in force, and policed is what was before" in back
    assert str(file) in back
    assert (damaged["policyModes"], damaged["endpointModes"].keys()) == ({}, {_OWN})
    assert node.in_force() == first
