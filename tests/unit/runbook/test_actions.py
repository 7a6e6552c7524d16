"""Changes say exactly what they would do, or refuse by a word, before anything is done."""

import dataclasses
from typing import Final

import pytest

from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.model import effects
from netsre.model.documents import Document, Json
from netsre.model.effects import Block, DatapathFacts, Effect, Flush, Limit, Resize, Stagger, Timeout
from netsre.model.samples import labels
from netsre.runbook.actions.catalogue import ACTIONS
from netsre.runbook.actions.contract import ActionRefused, Change, NodeRefused, NothingToDo, Subject
from netsre.runbook.plan import Kind, Planned
from tests.unit.runbook import given
from tests.unit.runbook.given import MemoryNode, MemoryViews

NOWHERE = dataclasses.replace(
    given.SUBJECT, alert=dataclasses.replace(given.ALERT, labels=labels({"node": "a"}))
)


def plan(
    name: str, parameters: Document, node: MemoryNode | None = None, subject: Subject = given.SUBJECT
) -> Effect:
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


def test_a_timeout_is_shortened_in_the_namespace_of_the_alert() -> None:
    """With what it was, so that it can be put back."""
    effect = plan("conntrack.timeouts", {"state": "syn_sent", "to": 20_000, "ttl": 600_000})

    assert effect == Timeout("lab", "syn_sent", 120, 20, 600_000)


@pytest.mark.parametrize("before", [10, 20])
def test_a_timeout_is_never_made_longer(before: int) -> None:
    """It is as short already: nothing to do, and no failure."""
    node = MemoryNode(timeouts_now={"syn_sent": before})
    with pytest.raises(NothingToDo) as nothing:
        plan("conntrack.timeouts", {"state": "syn_sent", "to": 20_000, "ttl": 1000}, node)

    assert nothing.value.reason == "at_bound"


def test_a_timeout_that_this_kernel_lacks_or_of_no_namespace_is_refused() -> None:
    """By its word."""
    wanted: Document = {"state": "icmpv6", "to": 20_000, "ttl": 1000}
    for subject, reason in ((given.SUBJECT, "no_such_state"), (NOWHERE, "no_netns")):
        with pytest.raises(ActionRefused) as refused:
            plan("conntrack.timeouts", wanted, subject=subject)
        assert refused.value.reason == reason


def test_no_floor_is_above_what_kernels_begin_with() -> None:
    """Of Linux 6: what cannot be shortened anywhere is no parameter; what lives for two hours is not cut."""
    tcp = {"syn_sent": 120, "syn_recv": 60, "established": 432_000, "fin_wait": 120, "close_wait": 60}
    slow = {"last_ack": 30, "time_wait": 120, "max_retrans": 300, "unacknowledged": 300}
    others = {"udp": 30, "udp_stream": 120, "icmp": 30, "icmpv6": 30, "generic": 600}
    defaults = tcp | slow | others

    assert defaults.keys() == TIMEOUTS.keys()
    assert all(kept.floor < defaults[state] for state, kept in TIMEOUTS.items())
    assert TIMEOUTS["established"].floor > 2 * 3600


DATAPATH = DatapathFacts(65_536, 100, 1_000_000, followed=True)


@pytest.mark.parametrize(
    ("size", "most", "memory", "after"),
    [
        ("x2", 1_000_000, 1_000_000, 131_072),
        ("x8", 200_000, 1_000_000, 200_000),
        (70_000, 70_000, 68_000, 68_000),
    ],
)
def test_the_table_of_the_datapath_grows_no_further_than_its_bounds(
    size: str | int, most: int, memory: int, after: int
) -> None:
    """What the runbook allows, and what the memory of the node bears."""
    node = MemoryNode(datapath_now=dataclasses.replace(DATAPATH, most=memory))

    assert plan("policy.connections", {"max": size, "most": most, "ttl": 1000}, node) == Resize(
        65_536, after, 1000
    )


def test_the_table_of_the_datapath_is_never_made_smaller() -> None:
    """And where there is none, that is a refusal."""
    wanted: Document = {"max": "x2", "most": 1024, "ttl": 1000}
    with pytest.raises(NothingToDo) as nothing:
        plan("policy.connections", wanted, MemoryNode(datapath_now=DATAPATH))
    with pytest.raises(NodeRefused) as refused:
        plan("policy.connections", wanted)

    assert (nothing.value.reason, refused.value.reason) == ("at_bound", "no_policies")


def test_changes_are_staggered_where_somebody_follows_files() -> None:
    """And nowhere else."""
    wanted: Document = {"every": 10_000, "ttl": 60_000}
    with pytest.raises(ActionRefused) as refused:
        plan("policy.stagger", wanted, MemoryNode(datapath_now=dataclasses.replace(DATAPATH, followed=False)))

    assert plan("policy.stagger", wanted, MemoryNode(datapath_now=DATAPATH)) == Stagger(10_000, 60_000)
    assert refused.value.reason == "not_followed"


WRONG: Final[tuple[Json, ...]] = (None, "", 0, -1, True, [])


@pytest.mark.parametrize(
    "effect",
    [Timeout("lab", "udp", 30, 10, 1000), Resize(1024, 2048, 1000), Stagger(10_000, 60_000)],
)
def test_an_effect_is_read_as_it_is_written(effect: Effect) -> None:
    """And nothing else is: without a key of it, or with a number that is none, it is no effect."""
    document = effects.write(effect)

    assert effects.read(document) == effect
    for key in document:
        for wrong in WRONG:
            with pytest.raises(ValueError, match=r"is .*"):
                effects.read({**document, key: wrong})


def test_what_has_a_value_before_is_planned_anew_at_its_turn() -> None:
    """A step before it may have taken time, or have changed it."""
    for effect, field in (
        (Timeout("lab", "udp", 30, 10, 1000), "conntrack.timeout/lab/udp"),
        (Resize(1024, 2048, 1000), "policy.connections"),
    ):
        setting = effects.setting(effect)
        assert setting is not None
        assert setting.field == field
        assert Planned(0, "x", Kind.APPLY, {}, effect=effect).again
    assert effects.setting(Stagger(10_000, 60_000)) is None
