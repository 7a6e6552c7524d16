"""The lab's noisy client: it fills a real connection table, once per key, and never outlasts its end."""

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from netsre.adapters import conntrack, namespaces, privileges, processes
from netsre.adapters.control import ControlRefused, call
from netsre.adapters.control.lab import LabClient
from netsre.app.local import lab, labpackets
from netsre.app.local.supervise import Supervisor
from netsre.clock import SECOND, SystemClock
from netsre.model.documents import Document
from tests.machine import PATIENCE, gone, open_directory, wait_until, when_served

pytestmark = [pytest.mark.requires("nft", "netns")]

USER = "nobody"
COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"


@dataclass(frozen=True, slots=True)
class Noisy:
    """A lab with a noisy client, and who commands it."""

    lab: lab.Lab
    socket: pathlib.Path
    children: dict[str, int]

    @property
    def client(self) -> LabClient:
        """Who commands it."""
        return LabClient(self.socket)

    @property
    def commander(self) -> int:
        """Process id of the one that the lab started."""
        return self.children["lab-noisy"]

    def family(self) -> set[int]:
        """Return what descends from the commander."""
        inside = processes.in_network_namespace(namespaces.identity(self.lab.clients[-1]) or (0, 0))
        found = {pid for pid in inside if self.commander in processes.lineage(pid) - {pid}}
        return {pid for pid in found if not gone([pid])}

    @property
    def launcher(self) -> int:
        """The one of the family that started the others. Numbers of processes start anew at some time."""
        family = self.family()
        (found,) = (pid for pid in family if processes.lineage(pid) & family == {pid})
        return found

    def arrived(self) -> int:
        """Return how many entries the noisy client has there, which has the most."""
        (most,) = namespaces.inside(self.lab.server, lambda: conntrack.count(1, seconds=PATIENCE)).sources
        assert most.source == "198.18.2.2"
        return most.entries

    def sent(self) -> int:
        """Return how much it says that it has sent until now."""
        running = self.client.state()
        assert running is not None
        return running.sent

    def entries(self) -> int:
        """Return how many entries the server's table has."""
        return int(namespaces.run(self.lab.server, ["cat", COUNT]).stdout)


@contextlib.contextmanager
def _noisy_lab(kind: str) -> Iterator[Noisy]:
    owner = processes.this_process()
    user = privileges.find_user(USER)
    supervisor = Supervisor(owner, kind, print)
    with open_directory() as directory:
        place = directory / "run"
        place.mkdir(mode=0o700)
        os.chown(place, user.uid, user.gid)
        socket = place / "lab.sock"
        with lab.network(owner, USER, kind=kind, control=socket) as network:
            try:
                lab.start_traffic(network, supervisor)
                children = {child.name: child.pid for child in supervisor}
                last = lab.SINK_PORT + labpackets.SINK_PORTS - 1
                assert wait_until(lambda: processes.listening_sockets(children["lab-sink"], last) == 2)
                noisy = Noisy(network, socket, children)
                when_served(noisy.client.state)
                yield noisy
            finally:
                supervisor.stop(lambda: True)


@pytest.fixture
def noisy() -> Iterator[Noisy]:
    """Make a lab with a noisy client, and take it down again."""
    with _noisy_lab("test") as one:
        yield one


def _full() -> int:
    return conntrack.limit() * 9 // 10


def test_datagrams_fill_the_table_until_told_to_stop(noisy: Noisy) -> None:
    """Nine tenths of the host's limit, from the client's address; a stop has ended it when it answers."""
    began = SystemClock().now()
    started = noisy.client.flood("drill/1", "udp", 60)
    assert wait_until(lambda: noisy.entries() >= _full())
    # The clients of the lab have entries as well; of this one there are no more than it says that it sent.
    arrived = noisy.arrived()
    assert wait_until(lambda: noisy.sent() >= arrived)
    running = noisy.client.state()
    assert (started.state, arrived > conntrack.limit() // 2) == ("started", True)
    assert began + 60 * SECOND <= started.until <= SystemClock().now() + 60 * SECOND
    assert running is not None
    assert (running.key, running.profile, running.until, running.failed) == (
        "drill/1",
        "udp",
        started.until,
        0,
    )

    stopped = noisy.client.stop("drill/1")
    assert len(noisy.family()) == 1, "only the launcher is left"
    assert noisy.client.state() is None
    assert noisy.client.stop("drill/1") == stopped
    assert (stopped.state, stopped.sent >= running.sent) == ("stopped", True)

    namespaces.inside(noisy.lab.server, lambda: conntrack.flush("198.18.2.2"))
    assert noisy.entries() < conntrack.limit() // 10


def test_connections_fill_the_table_and_stay_behind(noisy: Noisy) -> None:
    """Connections closed in order fill nine tenths: assured entries, which the kernel keeps for minutes."""
    noisy.client.flood("drill/1", "tcp", 100)
    assert wait_until(lambda: noisy.entries() >= _full(), seconds=90)
    arrived = noisy.arrived()
    assert noisy.client.stop("drill/1").sent >= arrived > conntrack.limit() // 2
    # The sink still closes what waits for it.
    assert wait_until(lambda: _closed_share(noisy.lab.server) >= 90)


def _closed_share(server: str) -> int:
    """Return how many of a hundred entries are assured and closed in the orderly way."""
    listed = namespaces.run(server, ["head", "-n", "2000", "/proc/net/nf_conntrack"]).stdout.splitlines()
    return sum("[ASSURED]" in line and "TIME_WAIT" in line for line in listed) * 100 // len(listed)


def test_a_client_whose_packets_are_dropped_does_not_pile_up(noisy: Noisy) -> None:
    """Blocked, connections that nobody answers are few at once, and soon only a few a second."""
    server, client = noisy.lab.server, noisy.lab.clients[-1]
    noisy.client.flood("drill/1", "tcp", 60)
    assert wait_until(lambda: noisy.entries() >= 10_000)
    rule = "add rule inet netsre watch ip saddr 198.18.2.2 drop"
    namespaces.run(server, ["nft", *rule.split()]).check_returncode()
    assert wait_until(lambda: (state := noisy.client.state()) is not None and state.failed >= 40)
    began, before = time.monotonic(), noisy.client.state()
    waiting = namespaces.run(client, ["cat", "/proc/net/tcp"]).stdout.split("\n")
    time.sleep(2)
    after, seconds = noisy.client.state(), time.monotonic() - began
    assert before is not None
    assert after is not None
    # `02` is SYN_SENT; those of the lab's own client, 10 a second for 10 s, count as well.
    assert sum(" 02 " in line for line in waiting) <= 64 + 120
    assert after.sent - before.sent <= 32 * seconds
    assert after.failed - before.failed <= 8 * seconds
    assert noisy.client.stop("drill/1").state == "stopped"


def test_one_flood_at_a_time_and_each_key_once(noisy: Noisy) -> None:
    """A key starts nothing again, running or over; another has to wait; one stopped too early is spent."""
    first = noisy.client.flood("one", "udp", 30)
    again = noisy.client.flood("one", "tcp", 300)
    with pytest.raises(ControlRefused) as refused:
        noisy.client.flood("two", "udp", 30)
    assert noisy.client.stop("three").state == "absent"
    running = noisy.client.state()
    noisy.client.stop("one")
    late = [noisy.client.flood(key, "udp", 30).state for key in ("one", "three")]

    assert (again.state, again.until, refused.value.reason) == ("already", first.until, "busy")
    assert running is not None
    assert running.key == "one"
    assert (late, noisy.client.state()) == (["ended", "ended"], None)
    assert noisy.client.flood("two", "udp", 1).state == "started"


def test_the_kernel_ends_a_flood_at_its_deadline(noisy: Noisy) -> None:
    """Those who could end it are halted; the workers end when their time is over, and not before."""
    began = time.monotonic()
    noisy.client.flood("drill/1", "tcp", 3)
    launcher = noisy.launcher
    workers = noisy.family() - {launcher}
    for pid in (noisy.commander, launcher):
        os.kill(pid, signal.SIGSTOP)
    try:
        assert len(workers) == 2
        assert wait_until(lambda: gone(workers))
        assert time.monotonic() - began >= 2.9
    finally:
        for pid in (noisy.commander, launcher):
            os.kill(pid, signal.SIGCONT)
    assert noisy.client.state() is None
    assert noisy.client.flood("drill/1", "tcp", 3).state == "ended"


@pytest.mark.parametrize("killed", ["commander", "launcher"])
def test_killing_who_started_a_flood_ends_it(noisy: Noisy, killed: str) -> None:
    """After kill -9 of the commander, or of the launcher, nothing of the family is left."""
    noisy.client.flood("drill/1", "udp", 600)
    family = noisy.family()
    os.kill(noisy.commander if killed == "commander" else noisy.launcher, signal.SIGKILL)
    assert len(family) == 2
    assert wait_until(lambda: gone({noisy.commander, *family}))


def test_nobody_of_the_family_has_privileges(noisy: Noisy) -> None:
    """Commander, launcher, worker and sink are an unprivileged user's, and so is the socket."""
    noisy.client.flood("drill/1", "udp", 600)
    family = {noisy.commander, noisy.children["lab-sink"], *noisy.family()}
    for pid in family:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        assert status["Uid"].split() == ["65534"] * 4
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
    made = noisy.socket.stat()
    assert (len(family), made.st_uid, made.st_mode & 0o777) == (4, 65534, 0o600)


def test_waiting_for_commands_costs_nothing(noisy: Noisy) -> None:
    """Commander, launcher and sink use no processor time while nobody asks for anything."""
    idle = {noisy.commander, noisy.children["lab-sink"], *noisy.family()}
    noisy.client.state()

    def at_rest() -> bool:
        before = {pid: _ticks(pid) for pid in idle}
        time.sleep(1.5)
        return {pid: _ticks(pid) for pid in idle} == before

    # The last of what they do for the answer may be still to come.
    assert wait_until(at_rest)


def _ticks(pid: int) -> tuple[str, ...]:
    """Return the processor time of a process in user and kernel mode."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return tuple(fields[11:13])


FLOOD = {"do": "flood", "key": "one", "profile": "udp", "seconds": 5}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({}, "unknown_command"),
        ({"do": "explode"}, "unknown_command"),
        ({"do": "flood"}, "bad_command"),
        (FLOOD | {"key": ""}, "bad_command"),
        (FLOOD | {"key": 7}, "bad_command"),
        (FLOOD | {"key": "k" * 201}, "bad_command"),
        (FLOOD | {"profile": "sctp"}, "bad_command"),
        (FLOOD | {"profile": ["udp"]}, "bad_command"),
        (FLOOD | {"seconds": 0}, "bad_command"),
        (FLOOD | {"seconds": 601}, "bad_command"),
        (FLOOD | {"seconds": True}, "bad_command"),
        (FLOOD | {"seconds": "5"}, "bad_command"),
        (FLOOD | {"target": "192.0.2.1"}, "bad_command"),
        (FLOOD | {"target": None}, "bad_command"),
        ({"do": "stop"}, "bad_command"),
    ],
)
def test_nonsense_is_answered_and_starts_nothing(shared: Noisy, command: Document, reason: str) -> None:
    """Each gets a reason, and the next command is heard as if nothing had been."""
    with pytest.raises(ControlRefused) as refused:
        call(shared.socket, command, 5)
    assert refused.value.reason == reason
    assert shared.client.state() is None


@pytest.fixture(scope="module")
def shared() -> Iterator[Noisy]:
    """Make one lab for all commands that start nothing."""
    with _noisy_lab("shared") as one:
        yield one
