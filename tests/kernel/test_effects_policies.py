"""The datapath's table resized, and changes of policies staggered, by an agent: on a real link."""

import contextlib
import dataclasses
import pathlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import clocks, namespaces
from netsre.adapters.control.node import AgentNode
from netsre.app.local.sweep import sweep
from netsre.app.policing.node import Places
from netsre.clock import MINUTE, SECOND
from netsre.model import effects
from netsre.model.documents import Document
from netsre.model.effects import PolicyMode, Resize, Stagger, Standing
from netsre.runbook.actions.contract import NodeUnreachable
from tests.kernel import test_policy_connections as connected
from tests.kernel.agent_process import Running, running
from tests.kernel.block_link import PORT, SOURCE, TARGET
from tests.kernel.followed_node import Follower, followed
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.test_effects import Node as Asked
from tests.kernel.test_effects import refused
from tests.kernel.test_policy_connections import answers, echoed
from tests.kernel.test_policy_follow import write
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

SIZE: Final = 1_024
_KILLS: Final = 3
GROWN: Final = Resize(SIZE, 4 * SIZE, 10 * MINUTE)


@dataclasses.dataclass(frozen=True)
class Policed:
    """A node with policies in force, and the directory of its agents."""

    node: Node
    agents: Asked

    @property
    def asked(self) -> AgentNode:
        """The agent, as automation sees it."""
        return self.agents.asked

    def agent(self) -> "contextlib.AbstractContextManager[Running]":
        """Run one."""
        where = ("--policy-pins", str(self.node.pins), "--policy-state", str(self.node.home / "state"))
        return running(*self.agents.options, *where)

    def size(self) -> int:
        """Return how many connections fit."""
        fits: int = self.node.status()["maps"]["policy_ct"]["capacity"]
        return fits

    def try_to_apply(self, key: str, effect: Resize) -> None:
        """Ask an agent that may be gone before it answers."""
        with contextlib.suppress(NodeUnreachable):
            self.asked.apply(key, effect)

    def sweep(self) -> list[tuple[str, str]]:
        """Sweep up what agents have left; return kinds and details."""
        swept = sweep(effects=self.agents.ledger)
        return [(one.kind, one.detail) for one in swept if one.kind in {"resize", "stagger"}]


@pytest.fixture
def there(tmp_path: pathlib.Path) -> Iterator[Policed]:
    """Put a policy into force, with a small table of connections."""
    with policed_node() as node:
        node.apply(connected.POLICY)
        node.run("connections", "--limit", str(SIZE))
        yield Policed(node, Asked(tmp_path))


def fill(node: Node, count: int) -> None:
    """Have the endpoint send the first datagram of so many connections."""

    def work() -> None:
        for _ in range(count):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((SOURCE[4], 0))
                sender.sendto(b"?", (TARGET[4], connected.SERVED))

    namespaces.inside(node.link.sender, work)


@contextlib.contextmanager
def asking(client: socket.socket) -> Iterator[list[bool]]:
    """Ask the other end of a connection again and again meanwhile; note whether it answered."""
    ended, found = threading.Event(), list[bool]()

    def ask() -> None:
        while not ended.is_set():
            found.append(answers(client, len(found)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def test_a_table_is_resized_and_put_back_under_traffic(there: Policed) -> None:
    """Larger and the former size again, with a request in every moment, and no connection is broken."""
    told: list[Document] = []
    with echoed(there.node, 4) as client, there.agent() as agent:
        facts = there.asked.datapath()
        with asking(client) as answered:
            for turn in range(6):
                told.append(there.asked.apply(f"run/{turn}", GROWN))
                assert there.size() == GROWN.after
                told.append(there.asked.undo(f"run/{turn}", GROWN))
        left = agent.samples()[(c.EFFECTS, (("kind", "resize"),))]

    assert (facts.capacity, facts.connections >= 1, facts.followed) == (SIZE, True, False)
    assert facts.most > GROWN.after
    assert len(answered) > len(told)
    assert all(answered)
    assert (there.size(), left) == (SIZE, 0)
    assert [one["result"] for one in told[1::2]] == ["put_back"] * 6
    assert {(one["before"], one["after"]) for one in told[::2]} == {(SIZE, GROWN.after)}


def test_a_table_that_is_in_use_keeps_its_size_and_says_so(there: Policed) -> None:
    """Nothing is forgotten, and it is over all the same."""
    with there.agent():
        there.asked.apply("run/1", GROWN)
        fill(there.node, SIZE + 50)
        assert there.asked.datapath().connections > SIZE
        undone = there.asked.undo("run/1", GROWN)
        assert (undone["undone"], undone["result"]) == (True, "still_in_use")
        assert there.asked.look("run/1", GROWN) is Standing.ENDED
        assert there.asked.datapath().connections > SIZE
    assert there.size() == GROWN.after


def test_what_may_not_be_resized_is_refused(there: Policed) -> None:
    """Another size than planned for, a smaller one, more than memory allows, a second one, no datapath."""
    with there.agent():
        most = there.asked.datapath().most
        for reason, wrong in (
            ("changed", dataclasses.replace(GROWN, before=SIZE + 1)),
            ("not_higher", dataclasses.replace(GROWN, after=SIZE)),
            ("beyond_memory", dataclasses.replace(GROWN, after=most + 1)),
        ):
            with refused(reason):
                there.asked.apply("run/1", wrong)
        assert list(there.agents.ledger.iterdir()) == []
        there.asked.apply("run/1", GROWN)
        with refused("already_tuned"):
            there.asked.apply("run/2", Resize(GROWN.after, 2 * GROWN.after, MINUTE))
        there.asked.undo("run/1", GROWN)
        there.node.run("detach")
        with refused("no_policies"):
            there.asked.datapath()
        with refused("no_policies"):
            there.asked.apply("run/3", GROWN)


def test_while_somebody_changes_something_nothing_is_told_to_be_resized(there: Policed) -> None:
    """Refused, and looked for at once: it never was, whoever still has the lock."""
    with there.agent():
        with Places(there.node.pins, there.node.home / "state").place.locked():
            with pytest.raises(NodeUnreachable, match="is changing something"):
                there.asked.apply("r1/0", GROWN)
            assert there.asked.look("r1/0", GROWN) is Standing.ABSENT
        assert there.asked.apply("r1/1", GROWN)["standing"] == "applied"
        assert there.asked.undo("r1/1", GROWN)["result"] == "put_back"
    assert there.size() == SIZE


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_size_goes_on_or_is_swept_up(there: Policed, state: str) -> None:
    """The next agent keeps it until its end; a sweep puts it back at once, and both are said."""
    with there.agent() as agent:
        there.asked.apply("run/1", GROWN)
        agent.stop(signal.SIGKILL)
    there.agents.rewrite(state=state)
    with there.agent() as agent:
        assert there.asked.look("run/1", GROWN) is Standing.APPLIED
        assert there.size() == GROWN.after
        agent.stop(signal.SIGKILL)
    assert there.sweep() == [("resize", f"put back from {GROWN.after}; set by run/1")]
    assert (there.size(), there.sweep()) == (SIZE, [])
    with there.agent():
        assert there.asked.look("run/1", GROWN) is Standing.ENDED


def test_an_agent_that_polices_elsewhere_puts_it_back_where_it_was_made(there: Policed) -> None:
    """Beside, with other policies or none: it is no reason to take the change for somebody else's."""
    with there.agent() as agent:
        there.asked.apply("run/1", GROWN)
        agent.stop(signal.SIGKILL)
    with running(*there.agents.options):
        assert there.asked.look("run/1", GROWN) is Standing.APPLIED
        assert there.asked.undo("run/1", GROWN)["result"] == "put_back"
    assert there.size() == SIZE


def test_what_cannot_be_ended_and_ends_by_itself_keeps_nothing_from_being_swept_up(there: Policed) -> None:
    """Nobody can read whose the mode is: the kernel ends that; the table is put back all the same."""
    with there.agent() as agent:
        there.asked.apply("r1/0", PolicyMode("x/own", "inherit", "monitor", MINUTE))
        there.asked.apply("r1/1", GROWN)
        agent.stop(signal.SIGKILL)
    (there.node.home / "state" / "state.json").write_text("{")
    assert there.sweep() == [("resize", f"put back from {4 * SIZE}; set by r1/1")]


@pytest.mark.parametrize("word", ["before", "mode"])
def test_a_word_that_no_version_knows_stops_no_agent(there: Policed, word: str) -> None:
    """It is another hand's mode, and left alone."""
    mode = PolicyMode("x/own", "inherit", "monitor", MINUTE)
    with there.agent() as agent:
        there.asked.apply("r1/0", mode)
        agent.stop(signal.SIGKILL)
    there.agents.rewrite(effect={**effects.write(mode), word: "later"})
    with there.agent():
        there.asked.apply("r1/1", GROWN)


def test_killed_amid_a_resize_one_whole_table_goes_on(there: Policed) -> None:
    """At random moments of it: the next agent says what became of it, and no connection is broken."""
    moments = random.Random(7)  # noqa: S311  no secret
    fill(there.node, SIZE // 2)
    wide, ends = dataclasses.replace(GROWN, after=512 * SIZE), list[tuple[Standing, int]]()
    with echoed(there.node, 4) as client, asking(client) as answered:
        with there.agent():
            began = time.monotonic()
            there.asked.apply("run/whole", wide)
            took = time.monotonic() - began
        for turn in range(_KILLS):
            key = f"run/{turn}"
            with there.agent() as agent:
                thread = threading.Thread(target=there.try_to_apply, args=(key, wide))
                thread.start()
                time.sleep(moments.uniform(0.3, 1.2) * took)
                agent.stop(signal.SIGKILL)
                thread.join()
            with there.agent():
                ends.append((there.asked.look(key, wide), there.size()))
            assert there.size() == SIZE

    assert set(ends) <= {(Standing.APPLIED, wide.after), (Standing.ABSENT, SIZE)}
    assert all(answered)


def test_a_size_ends_by_its_time_or_with_its_agent(there: Policed) -> None:
    """After a second; and when the agent ends in order."""
    with there.agent():
        there.asked.apply("run/1", dataclasses.replace(GROWN, ttl=SECOND))
        assert wait_until(lambda: there.size() == SIZE)
        assert wait_until(lambda: there.asked.effects() == ())
        there.asked.apply("run/2", GROWN)
    assert there.size() == SIZE


PACE: Final = Stagger(3_000, 10 * MINUTE)
HASTE: Final = 0.1
"""Seconds between two changes of the files."""


def hurry(node: Node, seconds: float) -> None:
    """Change the policy again and again for a while; the last one lets pass what the link sends."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        write(node, policy(PORT + number))
        time.sleep(HASTE)
    write(node, policy(PORT))


def heard(follower: Follower) -> int:
    """Return how many revisions have come into force, by what the follower has said until now."""
    return sum(event["event"] == "applied" for event in follower.so_far())


def passes(node: Node) -> bool:
    """Say whether what the endpoint sends arrives."""
    return node.link.send(SOURCE[4], TARGET[4], 5) > 0


def test_changes_come_into_force_one_after_the_other(there: Policed) -> None:
    """As many as the pace allows and no more, the last one among them."""
    with followed(there.node) as follower, there.agent() as agent:
        before, began = heard(follower), time.monotonic()
        assert there.asked.apply("run/1", PACE)["already"] is False
        assert agent.samples()[(c.EFFECTS, (("kind", "stagger"),))] == 1
        hurry(there.node, 8)
        assert wait_until(lambda: passes(there.node))
        allowed = 1 + (time.monotonic() - began) / (PACE.every / SECOND)
        staggered = heard(follower) - before

    assert 2 <= staggered <= allowed


def test_what_waits_is_said_and_orders_to_deny_and_people_do_not(there: Policed) -> None:
    """In the status and by the follower; taken back, what has waited comes into force at once."""
    pace = Stagger(5 * MINUTE, 10 * MINUTE)
    with followed(there.node) as follower, there.agent():
        there.asked.apply("run/1", pace)
        write(there.node, policy(PORT))
        said = follower.hears("state")
        waits, waited = there.node.status(), not passes(there.node)
        there.asked.undo("run/1", pace)
        follower.hears("applied")
        came, well = passes(there.node), follower.hears("state")
        there.asked.apply("run/2", pace)
        there.node.run("deny", TARGET[4])
        denied = not passes(there.node)
        (there.node.home / "by-hand.yaml").write_text(policy(PORT + 2), encoding="utf-8")
        by_hand = str(there.node.home / "by-hand.yaml")
        with there.node.start("apply", by_hand, *there.node.applying()[2:]) as process:
            _, complaint = process.communicate()
        taken_back = there.asked.undo("run/2", pace)

    assert (waited, came, denied) == (True, True, True)
    assert (said["state"], well["state"]) == ("staggered", "following")
    assert waits["following"]["state"] == "staggered"
    assert "at most one change into force every 5m, until " in waits["staggered"]
    assert "changes are staggered, and this one waits for nothing" in complaint
    assert taken_back["result"] == "put_back"


def test_staggering_ends_by_its_time_with_its_agent_dead(there: Policed) -> None:
    """What has waited comes into force then."""
    pace = Stagger(5 * MINUTE, 4 * SECOND)
    with followed(there.node) as follower:
        with there.agent() as agent:
            there.asked.apply("run/1", pace)
            agent.stop(signal.SIGKILL)
        write(there.node, policy(PORT))
        follower.hears("applied")
        assert passes(there.node)
        assert there.node.status()["staggered"] is None


def test_staggering_that_is_over_leaves_nothing_behind(there: Policed) -> None:
    """The agent takes the file away."""
    pace = Stagger(5 * MINUTE, SECOND)
    with followed(there.node), there.agent():
        there.asked.apply("run/1", pace)
        assert wait_until(lambda: there.asked.look("run/1", pace) is Standing.ENDED)
        assert there.asked.undo("run/1", pace)["result"] == "put_back"
        assert not (there.node.home / "state" / "staggered.json").exists()


def test_staggering_is_swept_up_and_goes_on_with_the_next_agent(there: Policed) -> None:
    """Killed before or after it was noted: the file is the same."""
    with followed(there.node):
        for state in ("begun", "applied"):
            key = f"run-{state}/1"
            with there.agent() as agent:
                there.asked.apply(key, PACE)
                agent.stop(signal.SIGKILL)
            there.agents.rewrite(state=state)
            with there.agent() as agent:
                assert there.asked.look(key, PACE) is Standing.APPLIED
                with refused("already_staggered"):
                    there.asked.apply("run/2", PACE)
                agent.stop(signal.SIGKILL)
            assert there.node.status()["staggered"] is not None
            assert there.sweep() == [("stagger", f"put_back; set by {key}")]
            assert there.node.status()["staggered"] is None
            next(there.agents.ledger.iterdir()).unlink()


def test_what_nobody_follows_is_not_staggered(there: Policed) -> None:
    """Nor is anything put off for too long."""
    with there.agent():
        with refused("not_followed"):
            there.asked.apply("run/1", PACE)
        with refused("bad_pace"):
            there.asked.apply("run/1", dataclasses.replace(PACE, every=6 * MINUTE))
        assert list(there.agents.ledger.iterdir()) == []


def test_a_file_that_makes_no_sense_or_is_of_another_start_staggers_nothing(there: Policed) -> None:
    """Changes come into force as ever."""
    late = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**12
    with followed(there.node) as follower:
        for number, text in enumerate(
            (
                *("", "[]", '{"every":1}', f'{{"every":300000,"deadline":{late},"boot":"another"}}'),
                *(
                    f'{{"every":{every},"deadline":{deadline},"boot":"{clocks.boot()}"}}'
                    for every, deadline in ((10**400, late), (3_600_000, late), (10_000, 10**40))
                ),
            )
        ):
            (there.node.home / "state" / "staggered.json").write_text(text, encoding="utf-8")
            write(there.node, policy(PORT + number))
            follower.hears("applied")
            assert there.node.status()["staggered"] is None
