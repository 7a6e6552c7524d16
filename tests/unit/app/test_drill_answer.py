"""A fault that nobody would heal is not injected: the gates of its runbook are asked before it."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from netsre.app.control.drill_answer import refusal
from netsre.app.control.world import World
from tests.unit.app.crashing import NETNS, Lab, begun_lab
from tests.unit.app.drill_lab import GAMEDAY


@pytest.fixture
def lab(tmp_path: pathlib.Path) -> Iterator[Lab]:
    """Return a lab with a controller that took one reading."""
    with begun_lab(tmp_path) as made:
        yield made


def world(lab: Lab) -> World:
    """Return what the lab's controller knows."""
    assert lab.current is not None
    return lab.current.world


def test_a_runbook_that_may_act_is_no_reason_against_a_drill(lab: Lab) -> None:
    """Everything is quiet, and no run was there before."""
    assert refusal(world(lab), GAMEDAY, NETNS) == ""


def test_a_run_of_a_moment_ago_is_a_cooldown_for_the_drill_too(lab: Lab) -> None:
    """The word of the gate comes first, and then how long it is."""
    lab.live()

    said = refusal(world(lab), GAMEDAY, NETNS)

    assert said.startswith("cooldown: last run ")
    assert said.endswith(", cooldown 15m")


def test_what_is_not_expected_here_is_said_by_its_name(lab: Lab) -> None:
    """A file that is gone since the start answers nothing."""
    expect = dataclasses.replace(GAMEDAY.expect, runbook="gone")

    said = refusal(world(lab), dataclasses.replace(GAMEDAY, expect=expect), NETNS)

    assert said == "not_matched: ConntrackUtilization or gone does not exist here"


def test_before_the_first_reading_nothing_is_said(lab: Lab) -> None:
    """The budget is unknown then, and that is another gate's word."""
    blind = dataclasses.replace(world(lab), sight=type(world(lab).sight)(world(lab).sight.node))

    assert refusal(blind, GAMEDAY, NETNS) == ""
