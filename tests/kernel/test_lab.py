"""The lab: real connections in namespaces of its own, and nothing of it left."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from netsre.adapters import namespaces, processes
from netsre.app.local import lab
from netsre.app.local.sweep import Removed, sweep
from netsre.errors import EnvironmentUnfit
from tests.machine import gone, wait_until

HERE = pathlib.Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Left:
    """What a lab could leave on a machine, as sets that can be compared."""

    namespaces: frozenset[str]
    links: frozenset[str]
    rules: str


@dataclass(frozen=True, slots=True)
class Host:
    """A network namespace that is the host's to the labs started in it, and nobody else's."""

    name: str

    def left(self, *owners: "RunningLab") -> Left:
        """Look at its links and rules, and at the namespaces that these labs made."""
        links = json.loads(namespaces.run(self.name, ["ip", "-json", "link"]).stdout)
        rules = namespaces.run(self.name, ["nft", "list", "ruleset"]).stdout
        made = frozenset(name for owner in owners for name in owner.namespaces())
        return Left(made, frozenset(link["ifname"] for link in links), rules)


@pytest.fixture
def host() -> Iterator[Host]:
    """Make a namespace with a rule in it, and remove it again."""
    name = processes.this_process().name("test", "host")
    namespaces.create(name)
    try:
        namespaces.run(name, ["nft", "add", "table", "inet", "precious"]).check_returncode()
        yield Host(name)
    finally:
        namespaces.remove(name)


@dataclass
class RunningLab:
    """A lab that another process owns."""

    process: subprocess.Popen[str]
    report: dict[str, Any]

    @property
    def server(self) -> str:
        """Name of the server's namespace."""
        return str(self.report["namespaces"][0])

    @property
    def children(self) -> dict[str, int]:
        """Process ids of the traffic."""
        return dict(self.report["children"])

    def namespaces(self) -> set[str]:
        """Return the namespaces that are there now and this lab's."""
        return {name for name in namespaces.names() if name.startswith(f"netsre-test-{self.process.pid}-")}

    def accepted(self) -> int:
        """Return how many connections the kernel of the server has accepted, IPv4 and IPv6."""
        return tcp(pathlib.Path(f"/proc/{self.children['lab-server']}/net/snmp").read_text())["PassiveOpens"]

    def requested(self, client: str) -> dict[str, int]:
        """Return what the kernel counts of TCP where a client is, also before it is there."""
        return tcp(namespaces.run(client, ["cat", "/proc/net/snmp"]).stdout)

    def tracked(self) -> tuple[set[str], set[str]]:
        """Return the tracked connections, and those of them that got no answer yet, as `family ports…`."""
        listed = namespaces.run(self.server, ["cat", "/proc/net/nf_conntrack"]).stdout.splitlines()
        lines = [line for line in listed if line.split()[2] == "tcp"]
        found = {_connection(line): "[UNREPLIED]" in line for line in lines}
        return set(found), {connection for connection, unanswered in found.items() if unanswered}

    def stop(self) -> None:
        """Take the lab down in the orderly way."""
        self.process.communicate("", timeout=30)
        assert self.process.returncode == 0


def tcp(text: str) -> dict[str, int]:
    """Return the counters of TCP from the kernel's table."""
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Tcp:"))
    return dict(zip(names, map(int, values), strict=True))


def _connection(line: str) -> str:
    """Return what tells a tracked connection from others: its family, addresses and ports as they began."""
    family, *words = line.split()
    return " ".join([family, *[word for word in words if word.startswith(("src=", "sport="))][:2]])


@contextlib.contextmanager
def running_lab(host: Host | None = None) -> Iterator[RunningLab]:
    """Start an owner; end it, and sweep if it was killed, whatever the test did."""
    where = ["nsenter", f"--net=/run/netns/{host.name}"] if host else []
    command = [*where, sys.executable, str(HERE / "lab_owner.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield RunningLab(process, json.loads(process.stdout.readline()))
    finally:
        with contextlib.suppress(ValueError):
            process.communicate("", timeout=30)
        sweep()


@pytest.mark.requires("nft", "ip")
def test_connections_flow_at_the_rate_that_was_promised() -> None:
    """Forty a second, counted by the kernel at the server: never more, on a busy machine perhaps less."""
    count = 120
    with running_lab() as one:
        began, before = time.monotonic(), one.accepted()
        assert wait_until(lambda: one.accepted() >= before + count)
        made, seconds = one.accepted() - before, time.monotonic() - began
    # A client that was kept from its schedule makes up for one second of it.
    assert made <= lab.CONNECTIONS_PER_SECOND * (seconds + 1.5)


@pytest.mark.requires("nft", "ip")
def test_both_families_flow_and_are_tracked_by_conntrack() -> None:
    """The tracked connections are of both families alike, and every one of them gets an answer."""
    with running_lab() as one:
        assert wait_until(lambda: one.accepted() >= 60)
        tracked, unanswered = one.tracked()
        before = one.accepted()
        assert wait_until(lambda: one.accepted() >= before + 20)
        _, still_unanswered = one.tracked()
        assert one.report["lacks"] == []
    ipv4, ipv6 = (sum(1 for each in tracked if each.startswith(family)) for family in ("ipv4", "ipv6"))
    assert ipv4 + ipv6 >= 40
    assert min(ipv4, ipv6) >= (ipv4 + ipv6) / 4
    assert unanswered & still_unanswered == set()


@pytest.mark.requires("ip")
def test_no_connection_of_the_lab_fails_from_its_first_on() -> None:
    """Clients start after the server listens, so the lab itself spends no error budget."""
    with running_lab() as one:
        clients = one.report["namespaces"][1:]
        assert wait_until(lambda: min(one.requested(client)["ActiveOpens"] for client in clients) > 20)
        for client in clients:
            counted = one.requested(client)
            assert (counted["AttemptFails"], counted["EstabResets"]) == (0, 0)


def test_traffic_has_no_privileges_and_no_way_to_any() -> None:
    """Each process of the lab that talks is an unprivileged user's, without capabilities, for good."""
    with running_lab() as one:
        assert wait_until(lambda: one.accepted() >= 40)
        for pid in one.children.values():
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            assert status["Uid"].split() == ["65534"] * 4
            assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
            assert status["NoNewPrivs"] == "1"


@pytest.mark.requires("nft", "ip", "nsenter")
def test_an_orderly_stop_leaves_the_host_as_it_was(host: Host) -> None:
    """Namespaces, links, rules and processes are as before; the host never saw a link of the lab."""
    before = host.left()
    with running_lab(host) as one:
        during = host.left(one)
        one.stop()
        assert gone(one.children.values())
    assert (during.links, during.rules) == (before.links, before.rules)
    assert "precious" in before.rules
    assert len(during.namespaces) == 3
    assert host.left(one) == before


@pytest.mark.requires("nft", "ip", "nsenter")
def test_what_a_killed_owner_left_is_swept_and_named(host: Host) -> None:
    """After kill -9 the traffic ends by itself, and a sweep removes exactly the three namespaces."""
    before = host.left()
    with running_lab(host) as one:
        one.process.kill()
        one.process.wait()
        assert wait_until(lambda: gone(one.children.values()))
        assert host.left(one).namespaces == set(one.report["namespaces"])
        removed = sweep()
        assert {thing.name for thing in removed} >= set(one.report["namespaces"])
        assert host.left(one) == before


@pytest.mark.requires("ip")
def test_a_process_that_stayed_in_a_stale_namespace_is_ended() -> None:
    """A namespace lives as long as a process in it: a sweep ends that process, also one that ignores it."""
    with running_lab() as one:
        stubborn = subprocess.Popen(
            ["ip", "netns", "exec", one.server, "sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done"],
            stdout=subprocess.PIPE,
        )
        assert stubborn.stdout is not None
        with stubborn.stdout:
            stubborn.stdout.readline()
            one.process.kill()
            one.process.wait()
            removed = sweep()
            assert stubborn.wait(timeout=30) == -signal.SIGKILL
    assert any(thing.name == one.server and "processes" in thing.detail for thing in removed)


def test_a_child_that_outlived_its_owner_is_ended() -> None:
    """A child that does not hear the kernel's SIGTERM carries its owner's mark, and is found by it."""
    mark = "netsre-test-4194304-zz-hung"
    script = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print(flush=True); time.sleep(60)"
    environment = os.environ | {processes.OWNER_VARIABLE: mark}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as hung:
        assert hung.stdout is not None
        hung.stdout.readline()
        removed = sweep()
        assert hung.wait(timeout=30) == -signal.SIGKILL
    assert [thing.kind for thing in removed if thing.name == mark] == ["process"]


@pytest.mark.requires("ip")
def test_a_sweep_leaves_a_living_lab_alone() -> None:
    """A sweep beside a lab that runs takes nothing from it: the same processes go on accepting."""
    with running_lab() as one:
        names = set(one.report["namespaces"])
        assert not {thing.name for thing in sweep()} & names
        before = one.accepted()
        assert wait_until(lambda: one.accepted() >= before + 20)
        assert names <= set(namespaces.names())


@pytest.mark.requires("ip")
def test_a_sweep_leaves_what_others_made_alone() -> None:
    """Namespaces whose names only resemble ours stay, in use or not."""
    foreign = [f"netsre-by-hand-{os.getpid()}", f"x-netsre-lab-{os.getpid()}-1-srv"]
    try:
        for name in foreign:
            subprocess.run(["ip", "netns", "add", name], check=True)
        sweep()
        assert set(foreign) <= set(namespaces.names())
    finally:
        for name in foreign:
            subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.mark.requires("nft", "ip", "nsenter")
def test_two_labs_at_once_do_not_meet(host: Host) -> None:
    """Two owners have the same addresses in their own namespaces, and either ends without the other."""
    before = host.left()
    with running_lab(host) as one, running_lab(host) as other:
        assert not set(one.report["namespaces"]) & set(other.report["namespaces"])
        one.stop()
        count = other.accepted()
        assert wait_until(lambda: other.accepted() >= count + 20)
    assert host.left(one, other) == before


def test_a_lab_that_cannot_be_finished_is_unmade() -> None:
    """When the second namespace cannot be made, the first is gone as well, and what was in the way stays."""
    owner = processes.this_process()
    in_the_way = owner.name("test", "cli-a")
    namespaces.create(in_the_way)
    try:
        with pytest.raises(EnvironmentUnfit, match="cli-a"), lab.network(owner, "nobody", kind="test"):
            pytest.fail("a lab was made over another namespace")
        left = {name for name in namespaces.names() if name.startswith(f"netsre-test-{owner.pid}-")}
        assert left == {in_the_way}
    finally:
        namespaces.remove(in_the_way)


def test_the_empty_file_of_an_earlier_boot_is_swept() -> None:
    """Where /run survives a boot a name remains without a namespace: it is removed like the rest."""
    name = "netsre-test-4194304-zz-srv"
    path = pathlib.Path("/run/netns") / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    try:
        assert Removed("namespace", name, "no process was in it") in sweep()
        assert not path.exists()
    finally:
        path.unlink(missing_ok=True)


def test_stale_files_of_ours_are_swept_from_a_data_directory(tmp_path: pathlib.Path) -> None:
    """Our temporary files go; data, links, and files of a living owner stay."""
    stale, live = "netsre-up-4194304-zz-probe", processes.this_process().name("up", "probe")
    link = "netsre-up-4194304-zy-probe"
    for name in (stale, live, "netsre.db"):
        (tmp_path / name).touch()
    (tmp_path / link).symlink_to(tmp_path / "netsre.db")
    assert Removed("file", stale, f"in {tmp_path}") in sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {live, link, "netsre.db"}
