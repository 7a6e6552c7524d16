"""What automation may change about policies in force: an agent, a real link, and commands in between."""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import signal
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import namespaces
from netsre.app.effects import orphans
from netsre.app.policing import modes, node
from netsre.clock import MINUTE, SECOND, boottime
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.policy.programs import MODE
from netsre.model.effects import EVERYBODY, Effect, PolicyMode, PolicyRevision, Standing
from netsre.runbook.actions.contract import NodeUnreachable
from tests.kernel import test_effects
from tests.kernel.agent_process import running
from tests.kernel.block_link import COUNT, INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.test_effects import refused
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

OWN: Final = "x/own"
MONITOR: Final = PolicyMode(OWN, "inherit", "monitor", 10 * MINUTE)
EVERYONE: Final = PolicyMode(EVERYBODY, "enforce", "off", 10 * MINUTE)


@dataclasses.dataclass
class Agents(test_effects.Node):
    """Agents, one after the other, for what commands have put into force."""

    policed: Node

    @property
    def options(self) -> tuple[str, ...]:
        """What an agent is started with."""
        places = ("--policy-pins", str(self.policed.pins), "--policy-state", str(self.places.state))
        return (*super().options, *places)

    @property
    def places(self) -> node.Places:
        """Where policies are."""
        return node.Places(self.policed.pins, self.policed.home / "state")

    @property
    def way_in(self) -> tuple[str, ...]:
        """What starts an agent where interfaces are policed."""
        return ("nsenter", f"--net=/run/netns/{self.policed.link.receiver}")

    def arrived(self, version: int = 4) -> int:
        """Return how many packets of the endpoint arrive."""
        return self.policed.link.send(SOURCE[version], TARGET[version])

    def set_to(self, endpoint: str | None) -> Setting:
        """Return the mode of an endpoint, or of all, as the kernel has it."""
        with node.opened(self.places) as datapath:
            return modes.of(self.places, datapath, endpoint).own

    def rollback(self) -> PolicyRevision:
        """Return the way back, as it is planned."""
        facts = self.asked.enforcement(EVERYBODY)
        before, after = facts.revision, facts.earlier
        assert after is not None
        return PolicyRevision(before.number, before.digest, after.number, after.digest)


@pytest.fixture
def agents(tmp_path: pathlib.Path) -> Iterator[Agents]:
    """Make a node with a policy that denies what its endpoint sends, and one before that allows it."""
    with policed_node() as policed:
        policed.apply(policy(PORT))
        policed.apply(policy(PORT + 1))
        yield Agents(tmp_path, policed)


@pytest.mark.parametrize("effect", [MONITOR, EVERYONE], ids=["endpoint", "all"])
@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
def test_what_is_denied_passes_until_it_is_taken_back(
    agents: Agents, effect: PolicyMode, version: int
) -> None:
    """Once, however often it is asked for; the mode of before is there again, exactly."""
    endpoint = None if effect.endpoint == EVERYBODY else effect.endpoint
    before = agents.set_to(endpoint)
    with running(*agents.options):
        assert agents.arrived(version) == 0
        facts = agents.asked.enforcement(effect.endpoint).mode
        assert (facts.lasting, facts.ends, facts.enforced) == (effect.before, False, True)
        assert agents.asked.apply("run/1", effect)["already"] is False
        assert agents.asked.apply("run/1", effect)["already"] is True
        assert agents.arrived(version) == COUNT
        assert agents.set_to(endpoint).mode.value == effect.mode
        assert [found.effect for found in agents.asked.effects()] == [effect]
        assert agents.asked.undo("run/1", effect)["result"] == "put_back"
        assert agents.arrived(version) == 0
        assert agents.asked.look("run/1", effect) is Standing.ENDED
    assert agents.set_to(endpoint) == before


@pytest.mark.parametrize("effect", [MONITOR, EVERYONE], ids=["endpoint", "all"])
def test_a_mode_ends_in_the_kernel_with_every_process_dead(agents: Agents, effect: PolicyMode) -> None:
    """At the deadline that the ledger has; the next agent says that it is over, and leaves no trace."""
    short = dataclasses.replace(effect, ttl=2 * SECOND)
    endpoint = None if effect.endpoint == EVERYBODY else effect.endpoint
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", short)
        agent.stop(signal.SIGKILL)
    made = agents.set_to(endpoint)
    assert (made.mode.value, made.afterwards.value) == (effect.mode, effect.before)
    assert made.until_ns > 0
    assert wait_until(lambda: made.until_ns < boottime())
    assert agents.arrived() == 0
    with running(*agents.options):
        assert agents.asked.look("run/1", short) is Standing.ENDED
    assert agents.set_to(endpoint) == Setting(Mode(effect.before))


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_mode_goes_on(agents: Agents, state: str) -> None:
    """Whether or not it could note that it was done; with its first deadline, and the next one ends it."""
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", MONITOR)
        agent.stop(signal.SIGKILL)
    made = agents.set_to(OWN)
    agents.rewrite(state=state)
    with running(*agents.options):
        assert agents.asked.look("run/1", MONITOR) is Standing.APPLIED
        assert agents.asked.apply("run/1", MONITOR)["already"] is True
        assert (agents.set_to(OWN), agents.arrived()) == (made, COUNT)
        assert agents.asked.undo("run/1", MONITOR)["undone"] is True
        assert agents.arrived() == 0


def test_a_mode_that_was_only_meant_never_was(agents: Agents) -> None:
    """Killed between the intent and the change: absent, and asked for again it is done once."""
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", MONITOR)
        agent.stop(signal.SIGKILL)
    agents.rewrite(state="begun")
    agents.policed.run("mode", "inherit", "--endpoint", OWN)
    with running(*agents.options):
        assert agents.asked.look("run/1", MONITOR) is Standing.ABSENT
        assert agents.asked.apply("run/1", MONITOR)["already"] is False


@pytest.mark.parametrize("mode", [("enforce",), ("off", "--ttl", "30m"), ("monitor",)])
def test_a_mode_that_a_person_set_meanwhile_stays(agents: Agents, mode: tuple[str, ...]) -> None:
    """Also the same word with another end: taking back compares, and says what it found."""
    with running(*agents.options):
        agents.asked.apply("run/1", MONITOR)
        agents.policed.run("mode", *mode, "--endpoint", OWN)
        theirs = agents.set_to(OWN)
        assert agents.asked.undo("run/1", MONITOR)["result"] == "changed_by_other"
    assert agents.set_to(OWN) == theirs
    assert theirs.mode.value == mode[0]


def test_an_orderly_end_of_the_agent_ends_its_mode_and_no_rollback(agents: Agents) -> None:
    """Who loosened for a while is gone; a revision was gone back to for good."""
    with running(*agents.options) as agent:
        way = agents.rollback()
        agents.asked.apply("run/1", MONITOR)
        agents.asked.apply("run/2", way)
        assert agent.stop(signal.SIGTERM) == 0
    assert agents.set_to(OWN) == Setting(Mode.INHERIT)
    assert agents.policed.in_force() == way.after


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_sweep_ends_a_killed_agents_mode(agents: Agents, state: str) -> None:
    """Without an agent; a rollback is none to sweep up, and the next agent can take it back."""
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", MONITOR)
        agent.stop(signal.SIGKILL)
    agents.rewrite(state=state)
    found = orphans.end_orphans(agents.ledger, boottime())
    assert [(each.kind, each.name) for each in found] == [("policy_mode", f"monitor for {OWN}")]
    assert agents.arrived() == 0
    with running(*agents.options) as agent:
        assert agents.asked.look("run/1", MONITOR) is Standing.ENDED
        way = agents.rollback()
        agents.asked.apply("run/2", way)
        agent.stop(signal.SIGKILL)
    assert orphans.end_orphans(agents.ledger, boottime()) == ()
    with running(*agents.options):
        assert agents.asked.undo("run/2", way)["result"] == "put_back"
    assert agents.policed.in_force() == way.before


def test_what_must_not_be_loosened_is_not(agents: Agents) -> None:
    """Each by its word, and nothing is on file."""
    run = agents.policed.run
    with running(*agents.options):
        asked = agents.asked
        for word, changes in (
            ("changed", {"before": "enforce"}),
            ("unknown_endpoint", {"endpoint": "x/nobody"}),
            ("bad_mode", {"mode": "enforce"}),
            ("bad_mode", {"mode": "inherit"}),
            ("bad_ttl", {"ttl": 61 * MINUTE}),
            ("bad_ttl", {"ttl": 1}),
        ):
            with refused(word):
                asked.apply("run/1", dataclasses.replace(MONITOR, **changes))
        run("mode", "monitor", "--endpoint", OWN)
        with refused("not_enforced"):
            asked.apply("run/1", dataclasses.replace(MONITOR, before="monitor", mode="off"))
        run("mode", "off", "--ttl", "30m", "--endpoint", OWN)
        with refused("mode_ends"):
            asked.apply("run/1", MONITOR)
        run("mode", "inherit", "--endpoint", OWN)
        run("mode", "off")
        assert asked.enforcement(OWN).mode.enforced is False
        with refused("not_enforced"):
            asked.apply("run/1", MONITOR)
        run("detach")
        for effect in (MONITOR, PolicyRevision(2, "a", 1, "b")):
            with refused("no_policies"):
                asked.apply("run/1", effect)
        with refused("no_policies"):
            asked.enforcement(EVERYBODY)
    assert list(agents.ledger.iterdir()) == []


@contextlib.contextmanager
def listening(agents: Agents) -> Iterator[None]:
    """Have somebody listen: errors that come back belong to the connection, and are counted with it."""
    receiver = agents.policed.link.receiver
    with namespaces.inside(receiver, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as server:
        server.bind(("::", PORT))
        yield


def counted(agents: Agents) -> dict[str, int]:
    """Return how many packets were counted, by verdict."""
    found: dict[str, int] = {}
    for one in agents.policed.status()["verdicts"]:
        found[one["verdict"]] = found.get(one["verdict"], 0) + one["packets"]
    return found


@pytest.mark.parametrize("inside", [False, True], ids=["from elsewhere", "where it is policed"])
def test_a_bad_revision_is_left_for_the_one_before(agents: Agents, *, inside: bool) -> None:
    """Named by number and content: what was denied passes, once; and taken back, it is denied again."""
    with running(*agents.options, through=agents.way_in if inside else ()), listening(agents):
        way = agents.rollback()
        assert agents.arrived() == 0
        assert counted(agents) == {"denied": COUNT}
        assert agents.asked.apply("run/1", way)["already"] is False
        assert agents.asked.apply("run/1", way)["already"] is True
        assert agents.asked.look("run/1", way) is Standing.APPLIED
        assert (agents.policed.in_force(), agents.arrived()) == (way.after, COUNT)
        assert counted(agents) == {"denied": COUNT, "allowed": COUNT}
        assert agents.asked.enforcement(EVERYBODY).earlier is None  # never forward, to the bad one
        with refused("changed"):
            agents.asked.apply("run/2", way)
        assert agents.asked.undo("run/1", way)["result"] == "put_back"
        assert agents.asked.undo("run/1", way)["undone"] is False
        assert (agents.policed.in_force(), agents.arrived()) == (way.before, 0)
        assert agents.asked.look("run/1", way) is Standing.ENDED
        assert counted(agents) == {"denied": 2 * COUNT, "allowed": COUNT}


def test_a_rollback_is_for_what_it_was_planned_for(agents: Agents) -> None:
    """Neither after another change, nor to a revision that is another or not kept, nor during a trial."""
    run, options = agents.policed.run, ("--canary", OWN, "--ttl", "10m")
    with running(*agents.options):
        way = agents.rollback()
        for word, changes in (
            ("changed", {"before_digest": "0" * 16}),
            ("changed", {"after_digest": "0" * 16}),
            ("not_kept", {"after": 77}),
        ):
            with refused(word):
                agents.asked.apply("run/1", dataclasses.replace(way, **changes))
        agents.policed.apply(policy(PORT + 2), *options)
        assert agents.asked.enforcement(EVERYBODY).on_trial is True
        with refused("on_trial"):
            agents.asked.apply("run/1", way)
        run("rollback")
        agents.policed.apply(policy(PORT + 3))
        with refused("changed"):
            agents.asked.apply("run/1", way)
        assert agents.rollback().after == way.before
    assert list(agents.ledger.iterdir()) == []


def test_a_rollback_makes_no_policy_stricter_that_people_loosened(agents: Agents) -> None:
    """Off is a revision of its own: the one before would enforce what somebody does not want enforced."""
    agents.policed.run("mode", "off", "--policy", "x/p")
    with running(*agents.options):
        assert agents.arrived() == COUNT
        assert agents.asked.enforcement(EVERYBODY).stricter == "x/p"
        with refused("stricter"):
            agents.asked.apply("run/1", agents.rollback())
        assert agents.arrived() == COUNT
        agents.policed.run("mode", "enforce", "--policy", "x/p")
        agents.policed.run("mode", "monitor", "--policy", "x/p")
        agents.policed.run("mode", "enforce", "--policy", "x/p")
        assert agents.asked.enforcement(EVERYBODY).stricter == ""


def test_a_rollback_polices_what_the_revision_polices(agents: Agents) -> None:
    """An interface that the bad one forgot, with the capabilities of an agent; taken back, no more."""
    endpoints = agents.policed.home / "endpoints.yaml"
    endpoints.write_text(endpoints.read_text().replace(f", interface: {INTERFACE}", ""))
    agents.policed.apply(policy(PORT + 2))
    with running(*agents.options, through=agents.way_in):
        assert agents.arrived() == COUNT
        way = agents.rollback()
        agents.asked.apply("run/1", way)
        assert agents.arrived() == 0
        assert agents.asked.undo("run/1", way)["result"] == "put_back"
        assert agents.arrived() == COUNT


def test_who_went_on_meanwhile_is_not_overruled(agents: Agents) -> None:
    """A revision that somebody applied after the rollback stays when that is taken back."""
    with running(*agents.options):
        way = agents.rollback()
        agents.asked.apply("run/1", way)
        agents.policed.apply(policy(PORT + 3))
        theirs = agents.policed.in_force()
        assert agents.asked.undo("run/1", way)["result"] == "changed_by_other"
    assert agents.policed.in_force() == theirs


@pytest.mark.parametrize("made", [False, True], ids=["only meant", "made"])
def test_a_rollback_of_a_killed_agent_is_settled_by_looking(agents: Agents, *, made: bool) -> None:
    """Killed after the intent: what decides says whether it was made, and it is made once."""
    with running(*agents.options) as agent:
        way = agents.rollback()
        agents.asked.apply("run/1", way)
        agent.stop(signal.SIGKILL)
    agents.rewrite(state="begun", over=None)
    if not made:
        agents.policed.run("rollback", str(way.before))
    with running(*agents.options):
        expected = Standing.APPLIED if made else Standing.ABSENT
        assert agents.asked.look("run/1", way) is expected
        assert agents.asked.apply("run/1", way)["already"] is made
        assert (agents.policed.in_force(), agents.arrived()) == (way.after, COUNT)


def test_who_changes_something_is_waited_for_for_a_moment_only(agents: Agents) -> None:
    """What takes long keeps no other command of the agent: nothing is done, and it may be asked again."""
    with running(*agents.options):
        way = agents.rollback()
        directory = os.open(agents.places.state, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_EX)
        effects: tuple[Effect, ...] = (MONITOR, way)
        for effect in effects:
            with pytest.raises(NodeUnreachable, match="changing something"):
                agents.asked.apply("run/1", effect)
            assert agents.asked.look("run/1", effect) is Standing.ABSENT
        os.close(directory)
        assert agents.arrived() == 0
        agents.asked.apply("run/1", way)
        assert agents.arrived() == COUNT


def test_what_another_version_made_is_left_to_its_own_end(agents: Agents) -> None:
    """A sweep goes on, and so does what an agent is asked: it is refused by a word."""
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", MONITOR)
        agent.stop(signal.SIGKILL)
    (agents.policed.pins / "maps" / MODE).unlink()
    assert orphans.end_orphans(agents.ledger, boottime()) == ()
    with running(*agents.options):
        with refused("other_version"):
            agents.asked.enforcement(EVERYBODY)
        with refused("other_version"):
            agents.asked.apply("run/2", EVERYONE)
