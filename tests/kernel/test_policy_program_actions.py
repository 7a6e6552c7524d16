"""What automation may change about the programs that police: an agent, a real link, a bad version."""

import fcntl
import functools
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters.bpf import policy_programs
from netsre.adapters.bpf.policy_pins import Pins
from netsre.app.policing import programs
from netsre.model.effects import EVERYBODY, PolicyPrograms, Standing
from netsre.runbook.actions.contract import NodeUnreachable
from tests.kernel.agent_process import running
from tests.kernel.block_link import COUNT, PORT
from tests.kernel.killed_steps import killed_at
from tests.kernel.policed_node import policed_node, policy
from tests.kernel.program_sources import DROPS_ALL, SENDS, other_sources
from tests.kernel.test_effects import refused
from tests.kernel.test_policy_actions import Agents

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_STEPS: Final = range(1, 20)


@pytest.fixture
def agents(tmp_path: pathlib.Path) -> Iterator[Agents]:
    """Make a node whose programs drop what its policy allows; those of before are kept."""
    sources = other_sources(tmp_path / "sources", SENDS, DROPS_ALL)
    with policed_node() as policed:
        policed.apply(policy(PORT))
        policed.apply(policy(PORT), "--programs", str(sources))
        yield Agents(tmp_path / "agent", policed)


@pytest.fixture(autouse=True)
def _directories(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "agent").mkdir()


def planned(agents: Agents) -> PolicyPrograms:
    """Return the way back, as it is planned."""
    facts = agents.asked.enforcement(EVERYBODY)
    return PolicyPrograms(facts.programs, facts.kept_programs)


def runs(agents: Agents) -> str:
    """Return the digest of what runs."""
    return programs.read(agents.places).digest


@pytest.mark.parametrize("inside", [False, True], ids=["from elsewhere", "where it is policed"])
def test_a_bad_version_is_left_for_the_one_before(agents: Agents, *, inside: bool) -> None:
    """Once, however often it is asked for; taken back, exactly what ran before runs again."""
    with running(*agents.options, through=agents.way_in if inside else ()):
        way = planned(agents)
        assert agents.arrived() == 0
        assert agents.asked.apply("run/1", way)["already"] is False
        assert agents.asked.apply("run/1", way)["already"] is True
        assert agents.asked.look("run/1", way) is Standing.APPLIED
        assert (runs(agents), agents.arrived(), agents.arrived(6)) == (way.after, COUNT, COUNT)
        assert planned(agents) == PolicyPrograms(way.after, "")  # never forward, to the bad ones
        with refused("changed"):
            agents.asked.apply("run/2", way)
        with refused("changed"):
            agents.asked.apply("run/2", PolicyPrograms(way.after, way.before))
        assert agents.asked.undo("run/1", way)["result"] == "put_back"
        assert agents.asked.undo("run/1", way)["undone"] is False
        assert (runs(agents), agents.arrived()) == (way.before, 0)
        assert agents.asked.look("run/1", way) is Standing.ENDED
        assert planned(agents) == way


def test_who_went_on_meanwhile_is_not_overruled(agents: Agents) -> None:
    """What somebody accepted after it stays when it is taken back; and what was planned before is refused."""
    with running(*agents.options):
        way = planned(agents)
        agents.asked.apply("run/1", way)
        agents.policed.run("programs", "--accept")
        assert agents.asked.undo("run/1", way)["result"] == "changed_by_other"
        assert runs(agents) == way.before
        agents.policed.run("programs", "--rollback")
        with refused("changed"):
            agents.asked.apply("run/2", way)
    assert runs(agents) == way.after


def test_without_policies_there_is_nothing_to_go_back_to(agents: Agents) -> None:
    """Said by a word, and nothing is written down."""
    with running(*agents.options):
        way = planned(agents)
        agents.policed.run("detach")
        with refused("no_policies"):
            agents.asked.apply("run/1", way)
    assert list(agents.ledger.iterdir()) == []


@pytest.mark.parametrize("made", [False, True], ids=["only meant", "made"])
def test_a_rollback_of_a_killed_agent_is_settled_by_looking(agents: Agents, *, made: bool) -> None:
    """Killed after the intent: what runs says whether it was made, and it is made once."""
    with running(*agents.options) as agent:
        way = planned(agents)
        agents.asked.apply("run/1", way)
        agent.stop(signal.SIGKILL)
    agents.rewrite(state="begun", over=None)
    if not made:
        agents.policed.run("programs", "--accept")
    with running(*agents.options):
        expected = Standing.APPLIED if made else Standing.ABSENT
        assert agents.asked.look("run/1", way) is expected
        assert agents.asked.apply("run/1", way)["already"] is made
        assert (runs(agents), agents.arrived()) == (way.after, COUNT)


def test_an_exchange_that_was_killed_half_way_is_finished_by_the_next_agent(agents: Agents) -> None:
    """Decided, and on no link yet: it is what was asked for, whole."""
    with running(*agents.options) as agent:
        way = planned(agents)
        agents.asked.apply("run/1", way)
        agent.stop(signal.SIGKILL)
    agents.policed.run("programs", "--accept")
    work = functools.partial(programs.exchange, agents.places, way.before, way.after, leaves=True)
    where = Pins(agents.policed.pins)
    # The first step before which it is decided: no link has what is gone to.
    assert any(killed_at(at, work) and policy_programs.read(where).digest == way.after for at in _STEPS)
    agents.rewrite(state="begun", over=None)
    assert not policy_programs.is_settled(where)
    assert agents.arrived() == 0
    with running(*agents.options):
        assert agents.asked.look("run/1", way) is Standing.APPLIED
        assert (runs(agents), agents.arrived()) == (way.after, COUNT)
        assert agents.asked.undo("run/1", way)["result"] == "put_back"


def test_who_changes_something_is_waited_for_for_a_moment_only(agents: Agents) -> None:
    """Nothing is done then, and it may be asked again."""
    with running(*agents.options):
        way = planned(agents)
        directory = os.open(agents.places.state, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_EX)
        assert planned(agents) == way  # to look needs nobody to wait for
        with pytest.raises(NodeUnreachable, match="changing something"):
            agents.asked.apply("run/1", way)
        os.close(directory)
        assert agents.asked.look("run/1", way) is Standing.ABSENT
        agents.asked.apply("run/1", way)
        assert agents.arrived() == COUNT
