"""What automation may change about the prefilter: an agent, a real link, and commands in between."""

import dataclasses
import fcntl
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters.bpf.prefilter_pins import Pins
from netsre.app import prefiltering
from netsre.app.effects import orphans
from netsre.clock import MINUTE, SECOND, boottime
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import ENFORCED, Rule
from netsre.model.effects import Effect, PrefilterMode, SourceLimit, Standing
from netsre.runbook.actions.contract import NodeUnreachable
from tests.kernel import test_effects
from tests.kernel.agent_process import running
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, SOURCE, TARGET
from tests.kernel.filtered_node import Node, filtered_node
from tests.kernel.test_effects import refused
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

MONITOR: Final = PrefilterMode("enforce", "monitor", 10 * MINUTE)
AROUND: Final = "10.9.0.0/24"


@dataclasses.dataclass
class Agents(test_effects.Node):
    """Agents, one after the other, for a node that is filtered."""

    filtered: Node

    @property
    def options(self) -> tuple[str, ...]:
        """What an agent is started with."""
        return (*super().options, "--prefilter-pins", str(self.filtered.pins))

    @property
    def mode(self) -> Setting:
        """Return how strictly all rules are taken, as the kernel has it."""
        state = Pins(self.filtered.pins).state()
        assert state is not None
        return state.mode

    def rules(self) -> list[Rule]:
        """Return the rules, with their ends, as the kernel has them."""
        said = prefiltering.read(prefiltering.Places(self.filtered.pins))
        return [each.written.rule for each in said.rules]

    def limit(self, version: int = 4) -> SourceLimit:
        """Return a limit of the sender to one packet a second."""
        return SourceLimit(self.filtered.link.receiver, SOURCE[version], 1, 10 * MINUTE)

    def arrived(self, source: str = SOURCE[4]) -> int:
        """Return how many packets of a source arrive."""
        return self.filtered.link.send(source, TARGET[6 if ":" in source else 4])

    def sweep(self) -> list[tuple[str, str]]:
        """Sweep up what dead agents have left."""
        found = orphans.end_orphans(self.ledger, boottime())
        return [(each.kind, each.name) for each in found]


@pytest.fixture
def agents(tmp_path: pathlib.Path) -> Iterator[Agents]:
    """Make a node whose interface is filtered, by no rule yet."""
    with filtered_node() as filtered:
        filtered.run("attach", INTERFACE)
        yield Agents(tmp_path, filtered)


def test_what_rules_drop_passes_until_it_is_taken_back(agents: Agents) -> None:
    """Once, however often it is asked for; what would be dropped is counted, and is dropped again then."""
    agents.filtered.run("add", AROUND, "--drop")
    with running(*agents.options):
        assert agents.arrived() == 0
        assert agents.asked.prefilter().enforced is True
        assert agents.asked.apply("run/1", MONITOR)["already"] is False
        assert agents.asked.apply("run/1", MONITOR)["already"] is True
        assert agents.arrived() == COUNT
        assert agents.filtered.rules()[AROUND]["audited"]["packets"] == COUNT
        assert agents.asked.undo("run/1", MONITOR)["result"] == "put_back"
        assert agents.arrived() == 0
        assert agents.asked.look("run/1", MONITOR) is Standing.ENDED
    assert agents.mode == ENFORCED


def test_a_mode_ends_in_the_kernel_with_every_process_dead(agents: Agents) -> None:
    """At the deadline that the ledger has; the next agent says that it is over, and leaves no trace."""
    agents.filtered.run("add", AROUND, "--drop")
    short = dataclasses.replace(MONITOR, ttl=2 * SECOND)
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", short)
        agent.stop(signal.SIGKILL)
    made = agents.mode
    assert (made.mode, made.afterwards) == (Mode.MONITOR, Mode.ENFORCE)
    assert made.until_ns > 0
    assert wait_until(lambda: made.until_ns < boottime())
    assert agents.arrived() == 0
    with running(*agents.options):
        assert agents.asked.look("run/1", short) is Standing.ENDED
    assert agents.mode == ENFORCED


@both_versions
def test_a_source_is_limited_and_nobody_else(agents: Agents, version: int) -> None:
    """Once; what goes beyond its rate is dropped and counted; after the end nothing of it is left."""
    limit = agents.limit(version)
    agents.filtered.run("add", "192.0.2.0/24", "--drop")
    with running(*agents.options):
        assert agents.arrived(SOURCE[version]) == COUNT
        assert agents.asked.apply("run/1", limit)["already"] is False
        assert agents.asked.apply("run/1", limit)["already"] is True
        arrived = agents.arrived(SOURCE[version])
        assert 1 <= arrived < COUNT
        assert agents.arrived(OTHER_SOURCE[version]) == COUNT
        undone = agents.asked.undo("run/1", limit)
        assert (undone["result"], undone["passed"], undone["dropped"]) == (
            "removed",
            arrived,
            COUNT - arrived,
        )
        assert agents.arrived(SOURCE[version]) == COUNT
        assert agents.asked.look("run/1", limit) is Standing.ENDED
    assert [*agents.filtered.rules()] == ["192.0.2.0/24"]


def test_a_limit_ends_in_the_kernel_with_every_process_dead(agents: Agents) -> None:
    """At the deadline that the ledger has; the next agent tidies it up."""
    short = dataclasses.replace(agents.limit(), ttl=2 * SECOND)
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", short)
        agent.stop(signal.SIGKILL)
    [rule] = agents.rules()
    until_ns = rule.until_ns
    assert until_ns > 0
    assert wait_until(lambda: until_ns < boottime())
    assert agents.arrived() == COUNT
    with running(*agents.options):
        assert agents.asked.look("run/1", short) is Standing.ENDED
    assert agents.filtered.rules() == {}


@pytest.mark.parametrize("kind", ["mode", "limit"])
@pytest.mark.parametrize("state", ["begun", "applied"])
def test_what_a_killed_agent_did_goes_on(agents: Agents, state: str, kind: str) -> None:
    """Whether or not it could note that it was done; the next agent takes it back when it is asked."""
    effect: Effect = MONITOR if kind == "mode" else agents.limit()
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    before = agents.rules(), agents.mode
    agents.rewrite(state=state)
    with running(*agents.options):
        assert agents.asked.look("run/1", effect) is Standing.APPLIED
        assert agents.asked.apply("run/1", effect)["already"] is True
        assert (agents.rules(), agents.mode) == before
        assert agents.asked.undo("run/1", effect)["undone"] is True
    assert (agents.filtered.rules(), agents.mode) == ({}, ENFORCED)


@pytest.mark.parametrize("kind", ["mode", "limit"])
def test_what_was_only_meant_never_was(agents: Agents, kind: str) -> None:
    """Killed between the intent and the change: absent, and asked for again it is done once."""
    effect: Effect = MONITOR if kind == "mode" else agents.limit()
    with running(*agents.options) as agent:
        agents.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    agents.rewrite(state="begun")
    agents.filtered.run(*(("mode", "enforce") if kind == "mode" else ("remove", SOURCE[4])))
    with running(*agents.options):
        assert agents.asked.look("run/1", effect) is Standing.ABSENT
        assert agents.asked.apply("run/1", effect)["already"] is False


@pytest.mark.parametrize("kind", ["mode", "limit"])
def test_what_a_person_did_meanwhile_stays(agents: Agents, kind: str) -> None:
    """Another mode, another rule for the same source: taking back compares, and says what it found."""
    effect: Effect = MONITOR if kind == "mode" else agents.limit()
    with running(*agents.options):
        agents.asked.apply("run/1", effect)
        theirs = ("mode", "monitor", "--ttl", "30m") if kind == "mode" else ("add", SOURCE[4], "--drop")
        agents.filtered.run(*theirs)
        before = [rule["action"] for rule in agents.filtered.list()["rules"]], agents.mode
        assert agents.asked.undo("run/1", effect)["result"] == "changed_by_other"
    assert ([rule["action"] for rule in agents.filtered.list()["rules"]], agents.mode) == before


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_sweep_ends_what_a_killed_agent_did(agents: Agents, state: str) -> None:
    """Without an agent; the next one says that it is over."""
    limit = agents.limit()
    for effect, found in (
        (MONITOR, ("prefilter_mode", "monitor")),
        (limit, ("source_limit", "10.9.0.1 to 1/s")),
    ):
        with running(*agents.options) as agent:
            agents.asked.apply("run/1", effect)
            agent.stop(signal.SIGKILL)
        agents.rewrite(state=state)
        assert agents.sweep() == [found]
        assert (agents.filtered.rules(), agents.mode) == ({}, ENFORCED)
        with running(*agents.options):
            assert agents.asked.look("run/1", effect) is Standing.ENDED
        for path in agents.ledger.iterdir():
            path.unlink()


def test_what_must_not_be_is_refused(agents: Agents) -> None:
    """Each by its word, and nothing is on file."""
    run, limit = agents.filtered.run, agents.limit()
    wrong: tuple[tuple[str, Effect], ...] = (
        ("changed", dataclasses.replace(MONITOR, before="monitor")),
        ("bad_mode", dataclasses.replace(MONITOR, mode="off")),
        ("bad_mode", dataclasses.replace(MONITOR, mode="enforce")),
        ("bad_ttl", dataclasses.replace(MONITOR, ttl=61 * MINUTE)),
        ("bad_rate", dataclasses.replace(limit, rate=2**32)),
        ("bad_source", dataclasses.replace(limit, source="10.9.0")),
        ("bad_source", dataclasses.replace(limit, source="10.9.0.0/24")),
        ("no_such_namespace", dataclasses.replace(limit, netns="netsre-nowhere")),
        *(
            ("protected", dataclasses.replace(limit, source=source))
            for source in (TARGET[4], TARGET[6], "127.0.0.1")
        ),
    )
    with running(*agents.options):
        for word, effect in wrong:
            with refused(word):
                agents.asked.apply("run/1", effect)
        for rule in (
            (AROUND, "--drop"),
            (AROUND, "--pass"),
            (SOURCE[4], "--limit", "5"),
            (AROUND, "--limit", "5"),
        ):
            run("add", *rule)
            with refused("already_filtered"):
                agents.asked.apply("run/1", limit)
            run("remove", rule[0])
        run("mode", "monitor", "--ttl", "30m")
        with refused("mode_ends"):
            agents.asked.apply("run/1", MONITOR)
        with refused("not_enforced"):
            agents.asked.apply("run/1", limit)
        run("mode", "off")
        with refused("not_enforced"):
            agents.asked.apply("run/1", dataclasses.replace(MONITOR, before="off"))
        run("mode", "enforce")
        for way in (("detach", INTERFACE), ("detach",)):
            run(*way)
            for effect in (MONITOR, limit):
                with refused("no_prefilter"):
                    agents.asked.apply("run/1", effect)
            with refused("no_prefilter"):
                agents.asked.prefilter()
    assert list(agents.ledger.iterdir()) == []


def test_what_is_in_force_ends_with_the_prefilter(agents: Agents) -> None:
    """Somebody takes it away: no error, and nothing is in force."""
    limit = agents.limit()
    with running(*agents.options):
        agents.asked.apply("run/1", limit)
        agents.asked.apply("run/2", MONITOR)
        agents.filtered.run("detach")
        assert agents.asked.undo("run/1", limit)["result"] == "gone"
        assert agents.asked.undo("run/2", MONITOR)["result"] == "gone"
        assert agents.asked.effects() == ()


def test_who_changes_something_is_waited_for_for_a_moment_only(agents: Agents) -> None:
    """What takes long keeps no other command of the agent: nothing is done, and it may be asked again."""
    with running(*agents.options):
        directory = os.open(agents.filtered.pins.parent, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_EX)
        for effect in (MONITOR, agents.limit()):
            with pytest.raises(NodeUnreachable, match="changing something"):
                agents.asked.apply("run/1", effect)
            assert agents.asked.look("run/1", effect) is Standing.ABSENT
        os.close(directory)
        agents.asked.apply("run/1", MONITOR)
