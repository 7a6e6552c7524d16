"""What doctor says of policies, the prefilter and the balancer, from facts alone."""

import dataclasses
from typing import Any

import pytest

from netsre.datapath.requirements import Feature, Status
from netsre.datapath.standing import ALL, BALANCER, POLICIES, PREFILTER, standing_features
from tests.unit.datapath.test_requirements import GOOD

NEW = dataclasses.replace(GOOD, kernel="6.18.0")


def judge(**changes: Any) -> dict[str, Feature]:
    """Return what is said of a new node that differs in some facts."""
    return {each.name: each for each in standing_features(dataclasses.replace(NEW, **changes), ())}


def test_each_is_told_with_how_to_begin_and_how_to_end_it() -> None:
    """Whether it is in force, and where to look; nobody needs it."""
    found = {each.name: each for each in standing_features(NEW, (PREFILTER,))}

    assert [*found] == [one.name for one in ALL]
    assert {(each.status, each.fix, each.required) for each in found.values()} == {(Status.OK, "", False)}
    assert "netsre prefilter detach" in found["prefilter"].reason
    assert found["policies"].reason.startswith("not in force; netsre policy apply")
    assert PREFILTER.detach == "netsre prefilter detach"


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"kernel": "6.5.9"}, {POLICIES}),
        ({"kernel": "5.17.0"}, {POLICIES, BALANCER}),
        ({"kernel": "5.12.0"}, {*ALL}),
        ({"bpffs": None}, {*ALL}),
        ({"cgroup2": None}, {BALANCER}),
        ({"kernel": "custom"}, set()),
    ],
)
def test_what_a_node_lacks_is_said_with_the_fix(changes: dict[str, Any], missing: set[object]) -> None:
    """A kernel that is too old, no BPF file system, no cgroups."""
    found = judge(**changes)

    assert {one for one in ALL if found[one.name].status is Status.NO} == missing
    assert all(bool(found[one.name].fix) == (one in missing) for one in ALL)


def test_what_is_in_force_is_so_whatever_the_facts_say() -> None:
    """The kernel has the last word."""
    (found, *_) = standing_features(dataclasses.replace(NEW, bpffs=None), (POLICIES,))

    assert (found.name, found.status) == ("policies", Status.OK)
