"""What an agent changes on request: a real kernel, real namespaces, and agents that end in every way."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces, processes
from netsre.adapters.control.node import AgentNode
from netsre.app.effects.ledger import Ledger
from netsre.app.effects.orphans import end_orphans
from netsre.app.local.sweep import sweep
from netsre.clock import MINUTE, SECOND, boottime
from netsre.datapath.probes import FLOWS, PROBES
from netsre.model.effects import Block, Effect, Flush, Limit, Standing
from netsre.runbook.actions.contract import NodeRefused, NodeUnreachable
from tests.kernel import attempts
from tests.kernel.agent_process import running
from tests.machine import LIMIT, alone_with_limit, free_port, wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

LOOPBACK: Final = "127.0.0.1"
_MORE: Final = 16
_OTHER_HAND: Final = 5
"""What somebody else adds to that."""


def host_limit() -> int:
    """Return the limit of the connection tables."""
    return int(LIMIT.read_text(encoding="ascii"))


@pytest.fixture(autouse=True)
def limit() -> Iterator[Limit]:
    """Return a harmless change of the host's limit; whatever a test does, the host has its own back.

    Put back is nothing but what a test may have written.
    """
    with alone_with_limit():
        before = host_limit()
        try:
            yield Limit(before, before + _MORE, 10 * MINUTE)
            assert host_limit() == before
        finally:
            if host_limit() in {before + _MORE, before + _MORE + _OTHER_HAND}:
                LIMIT.write_text(str(before), encoding="ascii")


@dataclasses.dataclass
class Node:
    """A directory for a socket and a ledger, and the agents that use them one after the other."""

    directory: pathlib.Path

    @property
    def socket(self) -> pathlib.Path:
        """Path of the control socket."""
        return self.directory / "agent.sock"

    @property
    def ledger(self) -> pathlib.Path:
        """Directory of the ledger."""
        return self.directory / "effects"

    @property
    def options(self) -> tuple[str, ...]:
        """What an agent is started with; probes that have nothing to do with effects take their time."""
        without = (word for probe in PROBES if probe is not FLOWS for word in ("--without", probe.name))
        return ("--control", str(self.socket), "--effects", str(self.ledger), *without)

    @property
    def asked(self) -> AgentNode:
        """The agent, as automation sees it."""
        return AgentNode(self.socket)

    def rewrite(self, **changes: object) -> None:
        """Change what the only file of the ledger says."""
        (path,) = self.ledger.iterdir()
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    """Return a node without an agent."""
    return Node(tmp_path)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two joined namespaces; the server's tracks connections."""

    server: str
    client: str
    source: str = "198.18.77.2"
    server_address: str = "198.18.77.1"
    interface: str = "noisy"

    @property
    def block(self) -> Block:
        """The client, blocked at the server."""
        return Block(self.server, self.interface, self.source, 10 * MINUTE)

    def passes(self) -> bool:
        """Say whether a datagram of the client arrives at the server."""
        with (
            namespaces.inside(self.server, lambda: socket.socket(type=socket.SOCK_DGRAM)) as server,
            namespaces.inside(self.client, lambda: socket.socket(type=socket.SOCK_DGRAM)) as client,
        ):
            server.bind((self.server_address, 0))
            server.settimeout(0.3)
            client.sendto(b"?", server.getsockname())
            try:
                return server.recv(1) == b"?"
            except TimeoutError:
                return False

    def opened(self) -> int:
        """Return how many entries of the client the server's table holds."""
        listed = namespaces.run(self.server, ["cat", "/proc/net/nf_conntrack"]).stdout
        return sum(f" src={self.source} " in line.split("dst=")[0] + " " for line in listed.splitlines())


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Make two namespaces and a link between them, and remove them again."""
    owner = processes.this_process()
    pair = Pair(owner.name("test", "effects-srv"), owner.name("test", "effects-cli"))
    try:
        for name in (pair.server, pair.client):
            namespaces.create(name)
        namespaces.connect(
            namespaces.End(pair.server, pair.interface, (namespaces.Address(pair.server_address, 24),)),
            namespaces.End(pair.client, "eth0", (namespaces.Address(pair.source, 24),)),
        )
        rules = "table inet t { chain c { type filter hook prerouting priority 0; ct state new counter; }; }"
        namespaces.run(pair.server, ["nft", "-f", "-"], rules).check_returncode()
        yield pair
    finally:
        for name in (pair.server, pair.client):
            namespaces.remove(name)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    """Expect a refusal for one reason."""
    with pytest.raises(NodeRefused) as refusal:
        yield
    assert refusal.value.reason == reason


def test_a_limit_is_raised_once_and_put_back(node: Node, limit: Limit) -> None:
    """Applied, found, listed and taken back; each of it once, however often it is asked for."""
    with running(*node.options):
        assert node.asked.look("run/1", limit) is Standing.ABSENT
        first = node.asked.apply("run/1", limit)
        assert (first["already"], first["before"], first["after"]) == (False, limit.before, limit.after)
        assert host_limit() == limit.after
        assert node.asked.apply("run/1", limit)["already"] is True
        assert node.asked.look("run/1", limit) is Standing.APPLIED
        assert [(found.key, found.effect) for found in node.asked.effects()] == [("run/1", limit)]
        assert node.asked.undo("run/1", limit)["undone"] is True
        assert host_limit() == limit.before
        assert node.asked.undo("run/1", limit)["undone"] is False
        assert node.asked.look("run/1", limit) is Standing.ENDED
        assert node.asked.effects() == ()


def test_a_limit_that_may_not_be_is_refused(node: Node, limit: Limit) -> None:
    """Another value than planned for, more than memory allows, less than before, a second one at a time."""
    with running(*node.options):
        facts = node.asked.limit()
        assert facts.limit == limit.before
        assert facts.most > limit.after
        with refused("changed"):
            node.asked.apply("run/1", dataclasses.replace(limit, before=limit.before - 1))
        with refused("beyond_memory"):
            node.asked.apply("run/1", dataclasses.replace(limit, after=facts.most + 1))
        with refused("not_higher"):
            node.asked.apply("run/1", dataclasses.replace(limit, after=limit.before - 1))
        with refused("bad_ttl"):
            node.asked.apply("run/1", dataclasses.replace(limit, ttl=1))
        assert list(node.ledger.iterdir()) == []
        node.asked.apply("run/1", limit)
        with refused("already_tuned"):
            node.asked.apply("run/2", Limit(limit.after, limit.after + 1, MINUTE))


def test_a_limit_ends_by_its_time(node: Node, limit: Limit) -> None:
    """After one second, without anybody asking."""
    with running(*node.options):
        node.asked.apply("run/1", dataclasses.replace(limit, ttl=SECOND))
        assert wait_until(lambda: host_limit() == limit.before)
        ended = dataclasses.replace(limit, ttl=SECOND)
        assert wait_until(lambda: node.asked.look("run/1", ended) is Standing.ENDED)


def test_another_hands_limit_is_left_alone(node: Node, limit: Limit) -> None:
    """What somebody else set meanwhile stays, and the ledger says so."""
    with running(*node.options):
        node.asked.apply("run/1", limit)
        LIMIT.write_text(str(limit.after + _OTHER_HAND), encoding="ascii")
        assert node.asked.undo("run/1", limit)["result"] == "changed_by_other"
        assert host_limit() == limit.after + _OTHER_HAND
        LIMIT.write_text(str(limit.before), encoding="ascii")


def test_entries_of_one_source_are_deleted_and_no_others(node: Node) -> None:
    """The table says who has how many; after the flush, one source has none and the other its own."""
    with attempts.place() as place, running(*node.options):
        place.run(lambda: attempts.accepted(socket.AF_INET))
        place.run(lambda: attempts.accepted(socket.AF_INET6))
        before = {found.source: found.entries for found in node.asked.table(place.name).sources}
        flush = Flush(place.name, LOOPBACK)
        deleted = node.asked.apply("run/1", flush)["deleted"]
        after = {found.source: found.entries for found in node.asked.table(place.name).sources}
        assert node.asked.apply("run/1", flush)["deleted"] == deleted
        assert node.asked.look("run/1", flush) is Standing.APPLIED
        assert node.asked.undo("run/1", flush)["undone"] is False
    assert before[LOOPBACK] >= attempts.COUNT
    assert deleted == before[LOOPBACK]
    assert after == {"::1": before["::1"]}


def test_a_source_is_blocked_where_it_enters(node: Node, pair: Pair) -> None:
    """Its packets do not arrive, a second time is one block, and after the end they arrive again."""
    with running(*node.options) as agent:
        route = node.asked.route(pair.server, pair.source)
        assert (route.interface, route.protected) == (pair.interface, "")
        assert pair.passes()
        assert node.asked.apply("run/1", pair.block)["already"] is False
        assert node.asked.apply("run/1", pair.block)["already"] is True
        assert not pair.passes()
        assert agent.samples()[(c.EFFECTS, (("kind", "block"),))] == 1
        drops = [value for (name, _), value in agent.samples().items() if name == c.DROPS]
        assert sum(drops) >= 1
        with refused("already_blocked"):
            node.asked.apply("run/2", pair.block)
        assert node.asked.undo("run/1", pair.block)["undone"] is True
        assert pair.passes()
        assert sum(value for (name, _), value in agent.samples().items() if name == c.DROPS) >= sum(drops)


def test_a_block_ends_by_its_time(node: Node, pair: Pair) -> None:
    """After one second packets pass again, and soon after it is on file as ended."""
    block = dataclasses.replace(pair.block, ttl=SECOND)
    with running(*node.options):
        node.asked.apply("run/1", block)
        assert wait_until(pair.passes)
        assert wait_until(lambda: node.asked.look("run/1", block) is Standing.ENDED)


@pytest.mark.parametrize("source", [LOOPBACK, "198.18.77.1", "224.0.0.1", "0.0.0.0", "::1"])
def test_what_must_not_be_blocked_is_not(agent_of_all: Node, pair: Pair, source: str) -> None:
    """Neither the node itself nor what is no client's address, whatever was planned."""
    with refused("protected"):
        agent_of_all.asked.apply("run/1", dataclasses.replace(pair.block, source=source))
    assert list(agent_of_all.ledger.iterdir()) == []


def test_what_is_gone_or_another_is_refused(agent_of_all: Node, pair: Pair) -> None:
    """A namespace that is not there, an interface that it is not, an address that is none."""
    asked = agent_of_all.asked
    with refused("no_such_namespace"):
        asked.apply("run/1", dataclasses.replace(pair.block, netns="netsre-nowhere"))
    with refused("no_such_namespace"):
        asked.apply("run/1", Flush("netsre-nowhere", LOOPBACK))
    with refused("no_such_namespace"):
        asked.table("netsre-nowhere")
    with refused("interface_changed"):
        asked.apply("run/1", dataclasses.replace(pair.block, interface="eth7"))
    for source in ("198.18.77", "198.18.77.2/24", "fe80::1%lo", "0:0::1", "x" * 5000):
        with refused("bad_source"):
            asked.apply("run/1", Flush(pair.server, source))
    assert list(agent_of_all.ledger.iterdir()) == []


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_limit_goes_on(node: Node, limit: Limit, state: str) -> None:
    """The next agent keeps it until its end, whether or not the last one could note that it was done."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        agent.stop(signal.SIGKILL)
    assert host_limit() == limit.after
    node.rewrite(state=state)
    with running(*node.options):
        assert node.asked.look("run/1", limit) is Standing.APPLIED
        assert node.asked.apply("run/1", limit)["already"] is True
        assert host_limit() == limit.after
        assert node.asked.undo("run/1", limit)["undone"] is True


def test_a_limit_that_was_only_meant_never_was(node: Node, limit: Limit) -> None:
    """Killed between the intent and the change: absent, and asked for again it is done once."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        agent.stop(signal.SIGKILL)
    node.rewrite(state="begun")
    LIMIT.write_text(str(limit.before), encoding="ascii")
    with running(*node.options):
        assert node.asked.look("run/1", limit) is Standing.ABSENT
        assert node.asked.apply("run/1", limit)["already"] is False


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_block_goes_on_until_its_first_deadline(node: Node, pair: Pair, state: str) -> None:
    """It ends with the agent, is there again with the next one, and is not lengthened by that."""
    block = dataclasses.replace(pair.block, ttl=MINUTE)
    with running(*node.options) as agent:
        until = node.asked.apply("run/1", block)["until"]
        agent.stop(signal.SIGKILL)
    assert wait_until(pair.passes)
    node.rewrite(state=state)
    with running(*node.options):
        assert not pair.passes()
        assert [(found.effect, found.until) for found in node.asked.effects()] == [(block, until)]
    assert wait_until(pair.passes)


@pytest.mark.parametrize("kind", ["block", "limit"])
def test_an_overdue_effect_of_a_killed_agent_is_put_back(
    node: Node, pair: Pair, limit: Limit, kind: str
) -> None:
    """The next agent begins with that, and says that it is over."""
    effect: Effect = pair.block if kind == "block" else limit
    with running(*node.options) as agent:
        node.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    node.rewrite(deadline=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 1)
    with running(*node.options):
        assert host_limit() == limit.before
        assert wait_until(pair.passes)
        assert node.asked.look("run/1", effect) is Standing.ENDED


def test_a_block_whose_namespace_is_gone_stops_nothing(node: Node, pair: Pair) -> None:
    """The next agent starts, and says that the block is over; so does one that lives on."""
    other = dataclasses.replace(pair.block, source="198.18.77.3")
    with running(*node.options) as agent:
        node.asked.apply("run/1", pair.block)
        node.asked.apply("run/2", other)
        assert node.asked.undo("run/2", other)["undone"] is True
        agent.stop(signal.SIGKILL)
    namespaces.remove(pair.server)
    with running(*node.options):
        assert node.asked.look("run/1", pair.block) is Standing.ENDED
        assert node.asked.effects() == ()


def test_a_block_ends_with_its_namespace(node: Node, pair: Pair) -> None:
    """Taken back after the namespace is gone: no error, and nothing in force."""
    with running(*node.options):
        node.asked.apply("run/1", pair.block)
        namespaces.remove(pair.server)
        node.asked.undo("run/1", pair.block)
        assert node.asked.look("run/1", pair.block) is Standing.ENDED


def test_an_orderly_end_puts_everything_back(node: Node, pair: Pair, limit: Limit) -> None:
    """SIGTERM: the limit is the host's, and packets pass, before the agent is gone."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        node.asked.apply("run/2", pair.block)
        assert agent.stop(signal.SIGTERM) == 0
    assert host_limit() == limit.before
    assert pair.passes()
    with running(*node.options):
        assert node.asked.look("run/1", limit) is Standing.ENDED
        assert node.asked.look("run/2", pair.block) is Standing.ENDED


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_sweep_puts_a_killed_agents_effects_back(node: Node, limit: Limit, state: str) -> None:
    """Without an agent: the limit is restored and named, once; the next agent says that it is over."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        agent.stop(signal.SIGKILL)
    node.rewrite(state=state)
    removed = sweep(effects=node.ledger)
    assert host_limit() == limit.before
    assert [thing.name for thing in removed if thing.kind == "limit"] == [f"nf_conntrack_max={limit.before}"]
    assert not [thing for thing in sweep(effects=node.ledger) if thing.kind == "limit"]
    with running(*node.options):
        assert node.asked.look("run/1", limit) is Standing.ENDED


def test_a_sweep_leaves_a_living_agents_effects_alone(node: Node, limit: Limit) -> None:
    """And another hand's limit, after the agent is dead."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        assert not [thing for thing in sweep(effects=node.ledger) if thing.kind == "limit"]
        assert host_limit() == limit.after
        agent.stop(signal.SIGKILL)
    LIMIT.write_text(str(limit.before), encoding="ascii")
    (left,) = [thing for thing in sweep(effects=node.ledger) if thing.kind == "limit"]
    assert "left alone" in left.detail


def test_the_effects_of_an_agent_that_is_about_to_be_killed_are_ended_before(
    node: Node, limit: Limit
) -> None:
    """It still lives, and finds nothing to put back; a ledger that it holds is not waited for without end."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        doomed = processes.owner(agent.process.pid)
        assert doomed is not None
        with Ledger(node.ledger, doomed).locked(), pytest.raises(TimeoutError):
            end_orphans(node.ledger, boottime(), doomed=frozenset({doomed}))
        assert host_limit() == limit.after
        (ended,) = end_orphans(node.ledger, boottime(), doomed=frozenset({doomed}))
        assert ended.name == f"nf_conntrack_max={limit.before}"
        assert host_limit() == limit.before
        agent.stop(signal.SIGTERM)
    assert host_limit() == limit.before


def test_two_agents_on_one_ledger_do_not_fight(node: Node, limit: Limit) -> None:
    """A key of one is known to the other; there is one limit, and it ends with the agent that has it."""
    second = AgentNode(node.directory / "second.sock")
    options = ("--control", str(node.directory / "second.sock"), "--effects", str(node.ledger))
    with running(*node.options) as agent, running(*options):
        node.asked.apply("run/1", limit)
        assert second.apply("run/1", limit)["already"] is True
        with refused("already_tuned"):
            second.apply("run/2", Limit(limit.after, limit.after + 1, MINUTE))
        with refused("other_agent"):
            second.undo("run/1", limit)
        assert [found.key for found in second.effects()] == ["run/1"]
        agent.stop(signal.SIGTERM)
        assert host_limit() == limit.before
        assert second.look("run/1", limit) is Standing.ENDED
        second.apply("run/2", limit)
        assert host_limit() == limit.after


def test_without_a_socket_nothing_can_be_changed_and_old_effects_are_looked_after(
    node: Node, limit: Limit
) -> None:
    """An agent that only measures goes on with a limit, and puts it back at its own end."""
    with running(*node.options) as agent:
        node.asked.apply("run/1", limit)
        agent.stop(signal.SIGKILL)
    with running("--effects", str(node.ledger)) as agent:
        with pytest.raises(NodeUnreachable):
            node.asked.limit()
        assert agent.samples()[(c.EFFECTS, (("kind", "limit"),))] == 1
    assert host_limit() == limit.before


ASK_AS_NOBODY: Final = """
import os, pathlib, sys
from netsre.adapters import control  # while everything can still be read

os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
print(control.call(pathlib.Path(sys.argv[1]), {"do": "limit"}, 5))
"""


def test_only_those_who_may_are_heard(node: Node) -> None:
    """The socket's rights keep others out; where they are wrong, the kernel's word about who asks does."""
    ask = [sys.executable, "-c", ASK_AS_NOBODY]
    with running(*node.options):
        assert node.socket.stat().st_mode & 0o777 == 0o600
        node.socket.chmod(0o666)
        with _walkable(node.directory):
            done = subprocess.run([*ask, str(node.socket)], capture_output=True, text=True, check=False)
    assert "ControlRefused: user id 65534 may not command this process" in done.stderr
    with running(*node.options, "--control-user", "nobody"):
        status = node.socket.stat()
        assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o660, 0, 65534)
        with _walkable(node.directory):
            done = subprocess.run([*ask, str(node.socket)], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.replace("'", '"'))["limit"] == host_limit()


@contextlib.contextmanager
def _walkable(path: pathlib.Path) -> Iterator[None]:
    """Let every user walk down to a directory of a test, for a moment."""
    closed = [
        (above, above.stat().st_mode) for above in (path, *path.parents) if not above.stat().st_mode & 1
    ]
    for above, mode in closed:
        above.chmod(mode | 0o011)
    try:
        yield
    finally:
        for above, mode in closed:
            above.chmod(mode)


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"garbage\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"do":"apply"',
        b'{"do":',
        b"x" * 1_000_000,
        b"{}\n",
        b'{"do":"format_disk"}\n',
        b'{"do":"apply","key":"run/1"}\n',
        b'{"do":"apply","key":1,"effect":{"kind":"limit","before":1,"after":2,"ttl":1000}}\n',
        b'{"do":"apply","key":"../../x","effect":{"kind":"limit","before":1,"after":2,"ttl":1000}}\n',
        b'{"do":"apply","key":"run/1","effect":{"kind":"limit","before":1e9,"after":2,"ttl":1000}}\n',
        b'{"do":"apply","key":"run/1","effect":{"kind":"limit","before":-1,"after":2,"ttl":1000}}\n',
        b'{"do":"apply","key":"run/1","effect":{"kind":"rm"}}\n',
        b'{"do":"apply","key":"run/1","effect":[]}\n',
        b'{"do":"apply","key":"run/1","effect":{"kind":"flush","netns":"host","source":"192.0.2.1"}}\n',
        b'{"do":"look","key":"r/1","effect":{"kind":"flush","netns":"x","source":"::1"},"deadline":true}\n',
        b'{"do":"table","netns":"../../etc","most":1}\n',
        b'{"do":"table","netns":"host","most":1000000000}\n',
        b'{"do":"table","netns":{},"most":true}\n',
    ],
)
def test_nonsense_is_answered_or_cut_off_and_changes_nothing(agent_of_all: Node, line: bytes) -> None:
    """Whatever is sent, the next command is answered."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(10)
        channel.connect(str(agent_of_all.socket))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            channel.sendall(line)
            channel.shutdown(socket.SHUT_WR)
            assert b'"ok"' not in channel.recv(65536)
    assert agent_of_all.asked.limit().limit == host_limit()
    assert agent_of_all.asked.effects() == ()
    assert list(agent_of_all.ledger.iterdir()) == []


@pytest.fixture(scope="module")
def agent_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run one agent for all that is refused."""
    node = Node(tmp_path_factory.mktemp("refusing"))
    with running(*node.options):
        yield node


def test_a_command_does_not_hold_up_the_metrics(node: Node) -> None:
    """While sixteen clients ask for tables and one does nothing at all, a scrape is answered."""
    with running(*node.options) as agent, socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(node.socket))
        asking = [
            subprocess.Popen(
                [sys.executable, "-c", _ASKING, str(node.socket)], stdout=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        try:
            for process in asking:
                assert process.stdout is not None
                process.stdout.readline()
            for _ in range(5):
                assert agent.get("/metrics")[0] == 200
        finally:
            for process in asking:
                with process:
                    process.kill()


_ASKING: Final = """
import sys
from pathlib import Path
from netsre.adapters.control.node import AgentNode
node = AgentNode(Path(sys.argv[1]))
while True:
    node.table("host")
    print(flush=True)
"""


def test_a_socket_that_cannot_be_made_is_one_line_and_exit_3(node: Node) -> None:
    """A directory that is not there, and a ledger that others could write to."""
    shared = node.directory / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    for options, word in (
        (("--control", str(node.directory / "nowhere" / "agent.sock")), "agent.sock"),
        (("--control", str(node.socket), "--effects", str(shared)), "--effects DIR"),
        (("--control", str(node.directory / ("x" * 200))), "too long"),
    ):
        command = [sys.executable, "-m", "netsre", "agent", "--listen", f"{LOOPBACK}:{free_port()}", *options]
        done = subprocess.run(
            [*command, *(() if "--effects" in options else ("--effects", str(node.ledger)))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert word in done.stderr
