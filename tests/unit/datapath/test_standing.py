"""What doctor says of policies, the prefilter and the balancer, from facts alone."""

import dataclasses
from typing import Any

import pytest

from netsre.datapath.requirements import Feature, Status
from netsre.datapath.standing import (
    ALL,
    BALANCER,
    POLICIES,
    PREFILTER,
    Found,
    Version,
    standing_features,
)
from tests.unit.datapath.test_requirements import GOOD

NEW = dataclasses.replace(GOOD, kernel="6.18.0")


def judge(**changes: Any) -> dict[str, Feature]:
    """Return what is said of a new node that differs in some facts."""
    return {each.name: each for each in standing_features(dataclasses.replace(NEW, **changes), {})}


def test_each_is_told_with_how_to_begin_and_how_to_end_it() -> None:
    """Whether it is in force, and where to look; nobody needs it."""
    found = {each.name: each for each in standing_features(NEW, {PREFILTER: Found(Version.THIS)})}

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
    (found, *_) = standing_features(dataclasses.replace(NEW, bpffs=None), {POLICIES: Found(Version.UNKNOWN)})

    assert (found.name, found.status) == ("policies", Status.OK)


@pytest.mark.parametrize(
    ("found", "status", "reason", "fix"),
    [
        (Found(Version.THIS), Status.OK, "in force, also without an agent; ", ""),
        (
            Found(Version.BEFORE, "0123", "4567"),
            Status.OK,
            "in force with programs 0123: somebody went back to them from 4567, of this version",
            "",
        ),
        (
            Found(Version.OTHER, "0123", "4567"),
            Status.DEGRADED,
            "in force with programs 0123 of another version; this one has 4567",
            "netsre policy apply PATH... --endpoints FILE",
        ),
        (
            Found(Version.STRANGE),
            Status.DEGRADED,
            "in force as another version made it",
            "netsre policy detach, then netsre policy apply",
        ),
    ],
)
def test_programs_of_another_version_are_told_with_what_to_do(
    found: Found, status: Status, reason: str, fix: str
) -> None:
    """They go on, and are not what this version would have: that is not in order."""
    (told, *_) = standing_features(NEW, {POLICIES: found})

    assert told.status is status
    assert told.reason.startswith(reason)
    assert told.fix.startswith(fix)
    assert bool(told.fix) == bool(fix)
