"""The part that has what the serving process gave away: exactly that, for nobody else, no longer than it."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from netsre import conventions as c
from netsre.adapters import conntrack, namespaces
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.filters import Filter
from netsre.adapters.bpf.holders import Held
from netsre.adapters.bpf.objects import MapGone
from netsre.adapters.bpf.session import open_templates
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.adapters.namespaces import inventory as local
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.adapters.namespaces.inventory import Namespace
from netsre.adapters.part.client import Part, PartAway
from netsre.adapters.part.wire import HEADER, NEWS, REQUEST, receive
from netsre.app.inventory import wire
from netsre.app.inventory.client import MODULE, Inventory
from netsre.app.inventory.wire import Command
from netsre.app.resources import directory
from netsre.app.sensors.budget import BudgetSensor
from netsre.app.sensors.probes import ProbeSensor
from netsre.metrics.readings import Readings
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running, start
from tests.kernel.attempts import COUNT, Place
from tests.kernel.block_link import soon
from tests.kernel.map_holder import make
from tests.machine import gone, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft")]

_SYS_ADMIN, _SYS_PTRACE = 21, 19
_HASH = 1
_NO_SUCH = (1 << 63) + 7
_OF_THE_AGENT = 1 << 39 | 1 << 38 | 1 << 12
"""BPF, PERFMON, NET_ADMIN."""
_OF_NUMBERS = (Command.MAP_IDS, Command.MAP_FACTS, Command.MAP, Command.PROGRAM_MAPS)


@contextlib.contextmanager
def asking(seconds: float = 5.0) -> Iterator[tuple[Part, Inventory]]:
    """Start a part of this test's own, and what asks it."""
    part = Part(MODULE, seconds)
    one = Inventory(part)
    try:
        # Until then its number is 0, and a signal to that one is for all who run these tests.
        assert wait_until(lambda: one.absence is None and part.pid > 0)
        yield part, one
    finally:
        part.close()


def status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def descriptors(pid: int) -> list[str]:
    """Return what a process has open."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # The look itself has a descriptor, which is gone behind it.
        with contextlib.suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return found


def child_of(pid: int) -> int:
    """Return the only child of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    assert len(children) == 1
    return int(children[0])


def parts_of(agent: Running) -> tuple[int, int]:
    """Return the keeper, and who answers, of an agent that serves."""
    assert wait_until(lambda: up(agent)["inventory"] == ("", 1))
    keeper = child_of(agent.process.pid)
    return keeper, child_of(keeper)


def up(agent: Running) -> dict[str, tuple[str, float]]:
    """Return (reason, value) by probe."""
    found = {}
    for (name, pairs), value in agent.samples().items():
        if name == c.AGENT_PROBE_UP:
            labels = dict(pairs)
            found[labels["probe"]] = (labels["reason"], value)
    return found


def tables(agent: Running) -> set[str]:
    """Return the namespaces whose connection tables are shown."""
    return {dict(pairs)["netns"] for name, pairs in agent.samples() if name == c.CONNTRACK_ENTRIES}


def test_the_part_keeps_two_capabilities_and_speaks_to_nobody_but_the_agent() -> None:
    """No way to more, no compiler, and one socket: that to its parent."""
    with running() as agent:
        # Who answers is asked as soon as the agent serves: by then both have given everything else away.
        parts = parts_of(agent)
        fields, files = [status(pid) for pid in parts], [descriptors(pid) for pid in parts]
        mapped = [Path(f"/proc/{pid}/maps").read_text(encoding="utf-8") for pid in parts]

    expected = 1 << _SYS_ADMIN | 1 << _SYS_PTRACE
    for one in fields:
        assert [int(one[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [expected] * 3
        assert [int(one[name], 16) for name in ("CapInh", "CapAmb")] == [0, 0]
        assert one["NoNewPrivs"].strip() == "1"
    assert [len([name for name in found if name.startswith("socket:")]) for found in files] == [1, 1]
    assert not any("libbcc" in found for found in mapped)


def test_the_part_is_started_again_when_it_dies() -> None:
    """Meanwhile its absence has a name; then it is counted, and what it shows is there as before."""
    with attempts.place() as place, running() as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        assert wait_until(lambda: place.name in tables(agent))
        keeper, pid = parts_of(agent)
        before = agent.samples()
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: up(agent)["inventory"] == ("restarting", 0))
        ready = agent.get("/readyz")
        place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
        again = parts_of(agent)
        assert wait_until(lambda: place.name in tables(agent))
        assert wait_until(lambda: up(agent)["maps"] == ("", 1))
        outcomes, samples, failed = agent.outcomes(place.name), agent.samples(), agent.failed()

    about = (("part", "inventory"),)
    assert ready[0] == 200
    assert (
        f"inventory: restarting: process {pid} (part) was ended by SIGKILL; it is started again; " in ready[1]
    )
    assert again[0] == keeper
    assert again[1] != pid
    assert [one[(c.AGENT_PART_RESTARTS, about)] for one in (before, samples)] == [0, 1]
    assert samples[(c.AGENT_PART_CPU, about)] >= before[(c.AGENT_PART_CPU, about)]
    assert outcomes == {("delivered", "none"): COUNT, ("failed", "refused"): COUNT}
    assert failed == {}


def test_a_part_that_dies_again_and_again_is_started_less_and_less_often() -> None:
    """Each pause is twice the one before."""
    with asking() as (part, one):
        one.namespaces()
        pauses = []
        for number in (1, 2):
            os.kill(part.pid, signal.SIGKILL)
            began = time.monotonic()
            assert wait_until(lambda: one.absence is not None)
            assert wait_until(lambda: one.absence is None)
            assert one.restarts == number
            pauses.append(time.monotonic() - began)
            assert one.namespaces()

    assert pauses[0] >= 1
    assert pauses[1] >= 2


def test_without_the_part_the_rest_goes_on_and_its_end_is_named() -> None:
    """Killed with its keeper, it is a reading and a line of readyz; flows are exact, the host is there."""
    with attempts.place() as place, running() as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        assert wait_until(lambda: place.name in tables(agent))
        before = agent.samples()[(c.AGENT_PART_CPU, (("part", "inventory"),))]
        pid, answering = parts_of(agent)
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: up(agent)["inventory"] == ("died", 0))
        assert wait_until(lambda: gone([answering]))
        place.run(lambda: attempts.failing(socket.AF_INET, attempts.REFUSED_PORT))
        assert wait_until(lambda: up(agent)["maps"] == ("not_permitted", 0))
        outcomes, seen, ready = agent.outcomes(place.name), tables(agent), agent.get("/readyz")
        samples, failed = agent.samples(), agent.failed()

    assert outcomes == {("delivered", "none"): COUNT, ("failed", "refused"): COUNT}
    assert seen == {"host"}
    said = f"inventory: died: process {pid} (part) was ended by SIGKILL; restart the agent to have it again; "
    assert ready[0] == 200
    assert said in ready[1]
    assert "maps: not_permitted: " in ready[1]
    assert samples[(c.AGENT_PART_RSS, (("part", "inventory"),))] == 0
    assert samples[(c.AGENT_PART_CPU, (("part", "inventory"),))] >= before
    assert failed == {}


def test_the_part_does_not_outlive_an_agent_that_is_killed() -> None:
    """Nobody with privileges is left behind."""
    agent = start()
    parts = parts_of(agent)
    agent.stop(signal.SIGKILL)

    assert wait_until(lambda: gone(parts))


def test_an_agent_that_is_stopped_takes_its_part_along() -> None:
    """Ended in order, with the status of a good end."""
    agent = start()
    parts = parts_of(agent)

    assert agent.stop(signal.SIGTERM) == 0
    assert gone(parts)


def test_left_out_on_purpose_it_is_no_complaint() -> None:
    """Ready, which names the choice, no child, the host's table alone, and no word of maps."""
    with attempts.place() as place, running("--without", "inventory") as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        pid = agent.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        assert wait_until(lambda: "maps" not in up(agent))
        found, seen, ready = up(agent), tables(agent), agent.get("/readyz")
        outcomes = agent.outcomes(place.name)

    assert children == ""
    assert "inventory" not in found
    assert seen == {"host"}
    assert ready[0] == 200
    assert [line.split(": ")[:2] for line in ready[1].splitlines()] == [
        ["ready"],
        ["inventory", "not_wanted"],
    ]
    assert outcomes == {("delivered", "none"): COUNT}


@pytest.mark.requires("setpriv")
def test_with_three_capabilities_an_agent_measures_and_says_what_is_missing(tmp_path: Path) -> None:
    """Probes are attached and flows exact, sources can be blocked, and the host's table is there."""
    few = ("setpriv", "--bounding-set", "-all,+bpf,+perfmon,+net_admin", "--inh-caps", "-all")
    options = ("--control", str(tmp_path / "agent.sock"), "--effects", str(tmp_path / "effects"))
    expected = {("delivered", "none"): COUNT, ("failed", "refused"): COUNT}
    with attempts.place() as place, running(*options, through=few) as agent:
        place.run(lambda: attempts.accepted(socket.AF_INET))
        place.run(lambda: attempts.failing(socket.AF_INET6, attempts.REFUSED_PORT))
        assert wait_until(lambda: agent.outcomes(place.name) == expected)
        found, seen, (code, missing) = up(agent), tables(agent), agent.get("/readyz")
        fields = status(agent.process.pid)

    assert [int(fields[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")] == [_OF_THE_AGENT] * 3
    assert [found[name] for name in ("flows", "tcp", "drops", "block")] == [("", 1)] * 4
    assert found["inventory"] == ("not_permitted", 0.0)
    assert seen == {"host"}
    assert code == 200
    assert "inventory: not_permitted: the agent was started without CAP_SYS_ADMIN, CAP_SYS_PTRACE" in missing


def test_the_own_namespace_needs_nobody(place: Place) -> None:
    """Table, routes, and a program on an interface, all without a part; of another namespace nothing."""
    templates = open_templates(directory("bpf"))

    def work() -> tuple[int, str, int]:
        attempts.accepted(socket.AF_INET)
        here = Inventory(None)
        site = here.site(place.inode)
        assert here.statistics(Namespace(place.inode, "", None, None)).startswith("entries")
        blocks = Blocks(templates, lambda _: site, None)
        blocks.block(place.name, "lo", "127.0.0.9", soon(60))
        attached = len(blocks.attached())
        blocks.close()
        entries = conntrack.count(1, opening=site.open_socket).entries
        return entries, conntrack.route("127.0.0.9", site.open_socket).protected, attached

    entries, protected, attached = namespaces.inside(place.name, work)
    assert entries >= COUNT
    assert (protected, attached) == ("loopback", 1)
    elsewhere = Inventory(None)
    with pytest.raises(PartAway, match="left out"):
        conntrack.count(1, opening=elsewhere.site(place.inode).open_socket)
    with pytest.raises(PartAway, match="left out"):
        elsewhere.statistics(Namespace(place.inode, "", None, None))


def test_another_namespace_is_read_through_the_part_and_is_not_kept_alive(place: Place) -> None:
    """The same names, statistics and entries as whoever enters it finds; no descriptor stays behind."""
    place.run(lambda: attempts.accepted(socket.AF_INET))
    with asking() as (part, one):
        seen = {inode: each.name for inode, each in one.namespaces().items()}
        ours, theirs = len(descriptors(os.getpid())), len(descriptors(part.pid))
        site = one.named(place.name)
        for _ in range(50):
            text = one.statistics(Namespace(place.inode, place.name, None, None))
            found = conntrack.count(5, opening=site.open_socket)
        kept = len(descriptors(os.getpid())) - ours
        # It closes what it handed over when that is on its way.
        assert wait_until(lambda: len(descriptors(part.pid)) == theirs)
        entered = namespaces.inside(place.name, lambda: conntrack.count(5))

    assert seen[place.inode] == place.name
    assert seen[namespaces.own_identity()[1]] == "host"
    assert text == namespaces.inside(place.name, local.own_statistics)
    assert found.sources == entered.sources
    assert found.entries == entered.entries >= COUNT
    assert kept <= 0  # Something of another test may have been closed meanwhile.


def test_what_is_gone_or_was_never_there_is_news_and_no_failure(place: Place) -> None:
    """A namespace that ended, one that never was, a map that is not there."""
    with asking() as (_, one):
        one.namespaces()
        namespaces.remove(place.name)
        for inode in (place.inode, _NO_SUCH):
            with pytest.raises(NamespaceGone):
                one.statistics(Namespace(inode, "gone", None, None))
            with pytest.raises(NamespaceGone):
                one.site(inode).open_socket()
        with pytest.raises(MapGone), one.map(1 << 31):
            pass
        assert one.maps_of_program(1 << 31) == ()
        assert not any(held for held in one.held(1 << 22) if held is not None)


def test_maps_are_told_as_they_are_and_open_for_reading_alone() -> None:
    """Facts and owner of a map of ours; what is handed over cannot change it."""
    fd = make("t_beyond", _HASH, 100, 7)
    try:
        number = int(syscalls.fdinfo(fd)["map_id"])
        with asking() as (_, one):
            assert number in list(one.map_ids())
            [facts] = one.map_facts([number])
            assert Held("map", number, os.getpid()) in list(one.held(os.getpid()))
            with one.map(number) as theirs, pytest.raises(PermissionError):
                BpfMap.of("t_beyond", theirs).put(bytes(4), bytes(8))
    finally:
        os.close(fd)
    assert (facts.name, facts.kind, facts.max_entries) == ("t_beyond", _HASH, 100)


def test_what_the_part_takes_is_counted_as_the_agents_own() -> None:
    """The cost that the budget looks at is that of both processes, and does not fall when the part ends."""
    with asking() as (part, one):
        sensor = BudgetSensor(0.5, ProbeSensor({}), one, lambda _: None)
        least = time.process_time() + one.usage().cpu_seconds
        sensor.scan(0.0)
        began = time.process_time() + one.usage().cpu_seconds
        while one.usage().cpu_seconds < 0.5:
            list(one.held())
        ours, theirs = time.process_time(), one.usage().cpu_seconds
        sensor.scan(1000.0)
        most = time.process_time() + one.usage().cpu_seconds
        readings = Readings()
        sensor.read(readings, 1000.0)
        [(_, cost)] = readings.numbers[c.AGENT_COST]
        os.kill(part.pid, signal.SIGKILL)
        assert wait_until(lambda: one.absence is None and one.restarts == 1)
        again = one.usage()
        os.kill(part.keeper, signal.SIGKILL)
        assert wait_until(lambda: one.absence is not None and one.absence.reason == "died")
        after = one.usage()

    tick = 0.02
    assert ours + theirs - began - tick <= cost * 1000 <= most - least + tick
    assert after.cpu_seconds >= again.cpu_seconds >= theirs >= 0.5
    assert after.resident_bytes == 0


def _started(keeper: socket.socket) -> tuple[int, socket.socket]:
    """Return who was started, and the socket to ask it by."""
    keeper.settimeout(20)
    news = receive(keeper, NEWS.size)
    ours = socket.socket(fileno=news.descriptors[0])
    ours.settimeout(20)
    pid: int = NEWS.unpack(news.data)[0]
    return pid, ours


def _spoken(messages: Sequence[tuple[bytes, int]]) -> tuple[list[tuple[int, int]], int]:
    """Say messages to a part, each with so many descriptors; return (sequence, errno) of each answer.

    Also how many descriptors more than before it has in the end.
    """
    keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", "-m", MODULE, str(theirs.fileno()), str(os.getpid())]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with (
        keeper,
        subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, cwd="/") as process,
        Path("/dev/null").open("rb") as file,
    ):
        theirs.close()
        pid, ours = _started(keeper)
        ours.send(REQUEST.pack(1, Command.NAMESPACES, 0, 0))
        while HEADER.unpack_from(ours.recv(1 << 16))[2]:
            pass
        before, answers = len(descriptors(pid)), []
        for message, count in messages:
            socket.send_fds(ours, [message], [file.fileno()] * count) if count else ours.send(message)
            sequence, code, _ = HEADER.unpack_from(ours.recv(1 << 16))
            answers.append((sequence, code))
        after = len(descriptors(pid))
        ours.close()
        keeper.close()
        assert process.wait(timeout=20) == 0
    return answers, after - before


def test_hostile_requests_are_refused_and_leave_nothing(place: Place) -> None:
    """Garbage, too much of everything, unknown things: an errno each, no descriptor, and it goes on."""
    far, there = 1 << 40, place.inode
    asked = (
        (b"x", 0, errno.EBADMSG),
        (bytes(1 << 16), 0, errno.EBADMSG),
        (REQUEST.pack(2, Command.NAMESPACES, 0, 0) + b"x", 0, errno.EBADMSG),
        (REQUEST.pack(2, Command.NAMESPACES, 0, 0), 200, errno.EBADMSG),
        (REQUEST.pack(2, 0, 0, 0), 1, errno.ENOSYS),
        (REQUEST.pack(2, 0xFFFFFFFF, 0, 0), 3, errno.ENOSYS),
        (REQUEST.pack(2, Command.STATISTICS, _NO_SUCH, 0), 0, errno.ENOENT),
        (REQUEST.pack(2, Command.SOCKET, _NO_SUCH, 0), 0, errno.ENOENT),
        *((REQUEST.pack(2, Command.SOCKET, there, family), 0, errno.EINVAL) for family in (1, 16, far)),
        (REQUEST.pack(2, Command.ATTACH, there, 1), 0, errno.ENOENT),
        (REQUEST.pack(2, Command.ATTACH, there, 1), 1, errno.EINVAL),
        (REQUEST.pack(2, Command.ATTACH, there, 7 << 32 | 1), 1, errno.EINVAL),
        (REQUEST.pack(2, Command.ATTACH, there, 0xFFFFFFFF), 1, errno.EINVAL),
        (REQUEST.pack(2, Command.MAP, 0, 0), 0, errno.ENOENT),
        *((REQUEST.pack(2, command, far, far), 0, errno.EINVAL) for command in _OF_NUMBERS),
    )
    answers, left = _spoken(
        [*((message, count) for message, count, _ in asked), (REQUEST.pack(9, Command.MAP_IDS, 0, 0), 0)]
    )

    assert [code for _, code in answers] == [*(code for _, _, code in asked), 0]
    assert answers[-1] == (9, 0)
    assert left == 0


def test_a_peer_that_asks_and_leaves_ends_it_quietly() -> None:
    """Nobody reads the answer: it ends, and says nothing of that."""
    keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", "-m", MODULE, str(theirs.fileno()), str(os.getpid())]
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, pass_fds=[theirs.fileno()], env=environment, cwd="/", stderr=subprocess.PIPE, text=True
    ) as process:
        theirs.close()
        _, ours = _started(keeper)
        for number in range(3):
            ours.send(REQUEST.pack(number, Command.NAMESPACES, 0, 0))
        ours.close()
        keeper.close()
        said = process.communicate(timeout=20)[1]

    assert (process.returncode, said) == (0, "")


def test_a_part_that_is_stopped_is_said_to_be_silent_and_goes_on_later() -> None:
    """One wait; then every question fails at once, what was known stays, and late answers are no answers."""
    with asking(seconds=0.5) as (part, one):
        known = dict(one.namespaces())
        os.kill(part.pid, signal.SIGSTOP)
        try:
            with pytest.raises(PartAway, match="does not answer"):
                list(one.map_ids())
            assert one.absence is not None
            assert one.absence.reason == "no_answer"
            assert one.namespaces() == known
        finally:
            os.kill(part.pid, signal.SIGCONT)
        assert wait_until(lambda: one.absence is None)
        assert [name for name in one.namespaces() if name in known]
        assert list(one.map_ids()) == sorted(set(one.map_ids()))


def test_questions_of_many_threads_get_their_own_answers() -> None:
    """A sensor and a command ask at the same time."""
    wrong: list[object] = []
    fds = [make(f"t_thread_{number}", _HASH, 10 + number, 1) for number in range(4)]
    try:
        numbers = [int(syscalls.fdinfo(fd)["map_id"]) for fd in fds]
        with asking() as (_, one):

            def ask(number: int) -> None:
                for _ in range(50):
                    found = one.map_facts([number])
                    if [each.number for each in found] != [number]:
                        wrong.append(found)

            threads = [threading.Thread(target=ask, args=(number,)) for number in numbers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        for fd in fds:
            os.close(fd)
    assert wrong == []


def test_answers_are_not_believed(place: Place) -> None:
    """What is no answer, or one about something else, is refused, and its descriptors are closed."""
    part = Part("tests.kernel.lying_part")
    one = Inventory(part)
    fd = make("t_lied_about", _HASH, 10, 1)
    try:
        number = int(syscalls.fdinfo(fd)["map_id"])
        program = open_templates(directory("bpf"))[0]
        made = Filter.load(program.hook, program.instructions)
        assert wait_until(lambda: one.absence is None and part.pid > 0)
        before = len(descriptors(os.getpid()))
        with pytest.raises(PartAway, match="NAMESPACES"):
            one._ask(Command.NAMESPACES, read=wire.namespaces)
        for family in (conntrack.ROUTE, conntrack.NETFILTER):
            with pytest.raises(PartAway, match="another socket"):
                one.open_socket(place.inode, family)
        with pytest.raises(PartAway, match="no socket"):
            one.open_socket(place.inode, 5)
        with pytest.raises(PartAway, match="another link"):
            one.attach(place.inode, program.hook, made.program.fd, 1)
        with pytest.raises(PartAway, match="another map"), one.map(number):
            pass
        with pytest.raises(PartAway, match="backwards"):
            list(one.map_ids())
        with pytest.raises(PartAway, match="no descriptor"), one.map(0):
            pass
        assert one.map_facts([number]) == []
        assert len(descriptors(os.getpid())) == before
        made.close()
    finally:
        os.close(fd)
        part.close()
