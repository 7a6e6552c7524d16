"""What comes and goes by the hundred: namespaces with their interfaces, cgroups, and short-lived processes.

Every attempt is still one attempt under one name, and nothing stays with the agent of what is gone.
"""

import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import pytest

from netsre import conventions as c
from netsre.adapters import namespaces, processes
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import open_session
from netsre.adapters.namespaces import Address, End
from netsre.app import workloads
from netsre.app.resources import directory
from netsre.app.sensors.flows import FlowSensor
from netsre.app.sensors.places import Places
from netsre.metrics.readings import Readings
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, REFUSED_PORT
from tests.kernel.cgroups import hierarchy
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]
CHURNED = 100
PROCESSES = 10_000
PARTS = 20
TARGET = "churned"
NAMES = """
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {name: churn}
spec:
  workloads:
    - {name: churned, cidrs: [198.18.94.2/32, 127.94.0.1/32]}
"""
FORGET_SECONDS = 301.0
"""Later than what was idle is forgotten."""

# In cgroups of their own, each of which lives as long as its process. By fork: an interpreter takes a hundred
# times as long to start.
_SHORT_LIVED = """
import os, socket, sys
top, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    own = f"{top}/p{number}"
    os.mkdir(own)
    pid = os.fork()
    if not pid:
        try:
            with open(f"{own}/cgroup.procs", "w") as procs:
                procs.write("0")
            with socket.socket() as client:
                client.connect_ex(("127.0.0.1", port))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.rmdir(own)
"""


def churn(number: int, work: Callable[[], object]) -> None:
    """Make two namespaces and a link between them, do something in the first, and take all of it away."""
    owner = processes.this_process()
    pair = [owner.name("test", f"churn-{number}-{end}") for end in "ab"]
    try:
        for name in pair:
            namespaces.create(name)
        ends = [End(name, "eth0", (Address(f"198.18.94.{at}", 24),)) for at, name in enumerate(pair, 1)]
        namespaces.connect(*ends)
        namespaces.inside(pair[0], work)
    finally:
        for name in pair:
            namespaces.remove(name)


def refused(count: int, address: str = "127.0.0.1") -> None:
    """Be refused so many times."""
    for _ in range(count):
        with socket.socket() as client:
            client.connect_ex((address, REFUSED_PORT))


def by_name(agent: Running) -> dict[str, float]:
    """Return the refused attempts of every client by name."""
    found: dict[str, float] = {}
    for (name, pairs), value in agent.samples().items():
        labels = dict(pairs)
        if name == c.FLOWS and labels["reason"] == "refused":
            found[labels["src"]] = found.get(labels["src"], 0) + value
    return found


def churned(agent: Running) -> float:
    """Return the refused attempts to where nobody else goes, whoever is said to have made them."""
    return sum(
        value
        for (name, pairs), value in agent.samples().items()
        if name == c.FLOWS and {("dst", TARGET), ("reason", "refused")} <= {*pairs}
    )


def theirs(counted: Mapping[str, float]) -> float:
    """Return how many attempts are under names of what came and went."""
    return sum(count for name, count in counted.items() if "-churn-" in name)


def held(agent: Running) -> int:
    """Return how many descriptors an agent has."""
    return sum(1 for _ in pathlib.Path(f"/proc/{agent.process.pid}/fd").iterdir())


def test_namespaces_and_interfaces_that_come_and_go_disturb_nobodys_counts(tmp_path: pathlib.Path) -> None:
    """A steady client beside them is exact, and theirs are as many as they made, whatever their name."""
    made = [0]
    (tmp_path / "names.yaml").write_text(NAMES, encoding="utf-8")
    with attempts.place() as place, running("--workloads", str(tmp_path)) as agent:
        place.run(partial(refused, 1))
        assert wait_until(lambda: by_name(agent).get(place.name) == 1)
        before = held(agent)
        stop = threading.Event()

        def steadily() -> None:
            while not stop.wait(0.002):
                refused(1)
                made[0] += 1

        steady = threading.Thread(target=place.run, args=(steadily,))
        steady.start()
        for number in range(CHURNED):
            # One in three across the link, to an address that nobody listens at.
            churn(number, partial(refused, 3, "198.18.94.2" if number % 3 else "127.94.0.1"))
        stop.set()
        steady.join()
        expected = made[0] + 1
        assert wait_until(lambda: by_name(agent).get(place.name) == expected)
        # The last of them wait for a name.
        wait_until(lambda: churned(agent) >= 3 * CHURNED)
        total, named = churned(agent), theirs(by_name(agent))
        after, alive = held(agent), agent.process.poll()

    # Who was gone before anybody looked has no name, or that of whoever got the number of the namespace.
    assert total == 3 * CHURNED
    assert 0 < named <= total
    assert alive is None
    assert after <= before + 2


def test_series_and_entries_of_namespaces_that_are_gone_end_with_them(tmp_path: pathlib.Path) -> None:
    """After five minutes without a sign of life neither the agent nor the kernel knows them any more.

    But for numbers that others of this machine have by then: those live.
    """
    (tmp_path / "names.yaml").write_text(NAMES, encoding="utf-8")
    session = open_session(directory("bpf"))
    try:
        probe, now, numbers = FlowProbe(session), time.monotonic(), set[int]()
        places = Places(workloads.read([str(tmp_path)]))
        sensor = FlowSensor(probe, places)
        with attempts.place() as living:
            living.run(partial(refused, COUNT))

            def seen_refused(at: float) -> None:
                numbers.add(namespaces.own_identity()[1])
                refused(3, "127.94.0.1")
                sensor.scan(at)

            for number in range(20):
                churn(number, partial(seen_refused, now + number))
            seen, kept = sources(sensor, now + 60), known(probe)
            sensor.scan(now + 60 + FORGET_SECONDS)
            still, live = known(probe), {*places.names.namespaces}
            left = sources(sensor, now + 61 + FORGET_SECONDS)
    finally:
        session.close()

    assert {name for name in seen if "churn" in name}
    assert living.name in left
    assert not {name for name in left if "churn" in name}
    assert numbers <= kept
    assert not numbers & still - live


def known(probe: FlowProbe) -> set[int]:
    """Return the namespaces, by number, that have counters of attempts to where nobody else goes."""
    return {count.netns for count in probe.counts() if count.workload}


def sources(sensor: FlowSensor, now: float) -> set[str]:
    """Return the names of all clients that the sensor tells of."""
    readings = Readings()
    sensor.read(readings, now)
    return {labels["src"] for labels, _ in readings.numbers[c.FLOWS]}


@pytest.fixture
def top() -> Iterator[pathlib.Path]:
    """Make a cgroup for others of this test's own."""
    made = hierarchy() / processes.this_process().name("test", "short")
    made.mkdir()
    try:
        yield made
    finally:
        for each in (*made.iterdir(), made):
            if each.is_dir():
                each.rmdir()


def test_processes_that_live_for_one_connection_are_all_counted(top: pathlib.Path) -> None:
    """Each in a cgroup of its own that is gone before anybody can look it up: by their namespace, exactly."""
    with attempts.place() as place, running() as agent:
        before, small = held(agent), resident(agent)
        work: Sequence[str] = [sys.executable, "-S", "-c", _SHORT_LIVED, str(top), str(REFUSED_PORT)]
        for _ in range(PARTS):
            namespaces.run(place.name, [*work, str(PROCESSES // PARTS)]).check_returncode()
        assert wait_until(lambda: by_name(agent).get(place.name) == PROCESSES)
        samples, after, large = agent.samples(), held(agent), resident(agent)

    usage = ("map", "flows"), ("owner", c.OWNER)
    assert samples[(c.BPF_MAP_ENTRIES, usage)] >= PROCESSES
    assert samples[(c.BPF_MAP_OVERFLOWS, (("map", "flows"),))] == 0
    assert after <= before + 2
    assert large - small < 48 << 20


def resident(agent: Running) -> int:
    """Return the memory of an agent in bytes."""
    pages = pathlib.Path(f"/proc/{agent.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
