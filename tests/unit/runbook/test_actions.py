"""Changes say exactly what they would do, or refuse by a word, before anything is done."""

import dataclasses

import pytest

from netsre.model.deeds import Deed
from netsre.model.documents import Document
from netsre.model.effects import Block, Flush, Limit
from netsre.model.samples import labels
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import ActionRefused, Change, NothingToDo, Subject
from tests.unit.runbook import given
from tests.unit.runbook.given import MemoryNode, MemoryViews

NOWHERE = dataclasses.replace(
    given.SUBJECT, alert=dataclasses.replace(given.ALERT, labels=labels({"node": "a"}))
)


def plan(
    name: str, parameters: Document, node: MemoryNode | None = None, subject: Subject = given.SUBJECT
) -> Deed:
    """Return what an action would do."""
    action = ACTIONS[name]
    assert isinstance(action, Change)
    return action.plan(subject, parameters, MemoryViews(node or MemoryNode()))


def test_a_block_names_the_interface_that_the_node_names() -> None:
    """Where packets of the source come in, in the namespace of the alert."""
    effect = plan("datapath.block_source", {"source": given.NOISY, "ttl": 600_000})

    assert effect == Block("lab", "eth0", given.NOISY, 600_000)


def test_a_flush_is_about_one_source_in_one_namespace() -> None:
    """The address in its shortest form."""
    assert plan("conntrack.flush", {"source": "2001:DB8:0::1"}) == Flush("lab", "2001:db8::1")


@pytest.mark.parametrize("name", ["datapath.block_source", "conntrack.flush"])
@pytest.mark.parametrize("source", ["", "all", "0.0.0.0/0", None])
def test_without_a_source_nothing_is_done(name: str, source: str | None) -> None:
    """An empty target list is a refusal."""
    with pytest.raises(ActionRefused) as refused:
        plan(name, {"source": source, "ttl": 600_000})

    assert refused.value.reason == "no_source"


@pytest.mark.parametrize("name", ["datapath.block_source", "conntrack.flush"])
def test_without_a_namespace_nothing_is_done(name: str) -> None:
    """No namespace is not every namespace."""
    with pytest.raises(ActionRefused) as refused:
        plan(name, {"source": given.NOISY, "ttl": 600_000}, subject=NOWHERE)

    assert refused.value.reason == "no_netns"


def test_a_protected_source_is_not_blocked() -> None:
    """The node says which it is."""
    with pytest.raises(ActionRefused, match="must not be blocked in lab: gateway") as refused:
        plan("datapath.block_source", {"source": given.NOISY, "ttl": 1000}, MemoryNode(protected="gateway"))

    assert refused.value.reason == "source_protected"


@pytest.mark.parametrize(
    ("limit", "most", "memory", "after"),
    [
        ("x2", 10_000, 10_000, 2000),
        ("x8", 10_000, 10_000, 8000),
        ("x2", 1500, 10_000, 1500),
        ("x2", 10_000, 1200, 1200),
        (3000, 10_000, 10_000, 3000),
    ],
)
def test_a_limit_is_raised_no_further_than_its_bounds(
    limit: str | int, most: int, memory: int, after: int
) -> None:
    """What the runbook allows, and what the memory of the node bears."""
    effect = plan("conntrack.tune", {"limit": limit, "max": most, "ttl": 1000}, MemoryNode(most=memory))

    assert effect == Limit(1000, after, 1000)


@pytest.mark.parametrize(
    ("limit", "most", "memory"),
    [("x2", 1000, 9000), ("x2", 9000, 1000), ("x2", 500, 9000), (900, 9000, 9000)],
)
def test_a_limit_at_its_bound_is_left_as_it_is(limit: str | int, most: int, memory: int) -> None:
    """Never lowered, and no failure: there is nothing left to do."""
    with pytest.raises(NothingToDo) as nothing:
        plan("conntrack.tune", {"limit": limit, "max": most, "ttl": 1000}, MemoryNode(most=memory))

    assert nothing.value.reason == "at_bound"
