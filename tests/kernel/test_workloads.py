"""Names of both ends, from the kernel to the wire: each connection is counted under its own."""

import pathlib
import socket
import subprocess
import sys
from collections import Counter

import pytest

from netsre import conventions as c
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session
from netsre.app import workloads
from tests.kernel import attempts
from tests.kernel.agent_process import Running, running
from tests.kernel.attempts import COUNT, REFUSED_PORT, Place, families
from tests.kernel.cgroups import cgroup
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

CONTAINER = "0123456789ab" + "7" * 52
ACCEPTED_PORT, OTHER_PORT = 9101, 9102
RULES = f"""
apiVersion: netsre.dev/v1
kind: Workloads
metadata: {{name: test}}
spec:
  workloads:
    - {{name: any-port, cidrs: [127.0.0.1/32, '::1/128']}}
    - {{name: database, cidrs: [127.0.0.0/8, '::/0'], ports: [{ACCEPTED_PORT}, {REFUSED_PORT}]}}
    - {{name: elsewhere, cidrs: [192.0.2.0/24]}}
    - {{name: batch, cgroups: ['*/batch/*']}}
"""


def rules(directory: pathlib.Path) -> str:
    """Write the rules of these tests and return where."""
    path = directory / "site.yaml"
    path.write_text(RULES, encoding="ascii")
    return str(path)


@families
def test_a_socket_is_counted_in_the_cgroup_that_it_was_made_in(
    session: Session, place: Place, family: socket.AddressFamily
) -> None:
    """The id that the kernel uses is the inode number of the directory."""
    probe = FlowProbe(session)
    with cgroup("a") as inner:
        inner.connect(place, family, ACCEPTED_PORT, COUNT)
        place.run(lambda: attempts.failing(family, REFUSED_PORT))
        found: Counter[tuple[int, str]] = Counter()
        for count in probe.counts():
            if count.netns == place.inode:
                found[count.cgroup, count.outcome] += count.count
        ours = {cgroup for cgroup, outcome in found if outcome == "failed"}
        theirs = inner.id

    assert found[theirs, "delivered"] == COUNT
    assert sum(found.values()) == 2 * COUNT
    assert theirs not in ours


@families
def test_the_rule_for_a_port_goes_before_the_longer_network(
    session: Session, place: Place, family: socket.AddressFamily, tmp_path: pathlib.Path
) -> None:
    """Without a rule for its port a destination has the name of its longest network, in both families."""
    probe = FlowProbe(session)
    named = workloads.read([rules(tmp_path)])
    probe.name_destinations(named)
    with cgroup("a") as inner:
        inner.connect(place, family, ACCEPTED_PORT, COUNT)
        inner.connect(place, family, OTHER_PORT, 2)
        inner.connect(place, family, REFUSED_PORT, 3)
        found: Counter[tuple[str, str]] = Counter()
        for count in probe.counts():
            if count.netns == place.inode:
                found[named[count.workload - 1].name, count.outcome] += count.count

    assert found == {
        ("database", "delivered"): COUNT,
        ("any-port", "delivered"): 2,
        ("database", "failed"): 3,
    }


def flows(agent: Running, src: str) -> dict[tuple[str, str], int]:
    """Return attempts of a client by destination and outcome, as the wire says."""
    found: Counter[tuple[str, str]] = Counter()
    for (name, pairs), value in agent.samples().items():
        labels = dict(pairs)
        if name == c.FLOWS and labels["src"] == src:
            found[labels["dst"], labels["outcome"]] += int(value)
    return dict(found)


def test_both_ends_have_their_names_on_the_wire(tmp_path: pathlib.Path) -> None:
    """A container by its cgroup, a batch job by a rule, anybody else by the namespace; exactly as many."""
    with attempts.place() as place, running("--workloads", rules(tmp_path)) as agent:
        with cgroup(f"docker-{CONTAINER}.scope") as container:
            container.connect(place, socket.AF_INET, ACCEPTED_PORT, COUNT)
            # Only while it is there can anybody know what it is: a reading looks for names it does not know.
            assert wait_until(lambda: flows(agent, CONTAINER[:12]) == {("database", "delivered"): COUNT})
        with cgroup("batch", "job-17") as job:
            job.connect(place, socket.AF_INET6, OTHER_PORT, 5)
            assert wait_until(lambda: flows(agent, "batch") == {("any-port", "delivered"): 5})
        place.run(lambda: attempts.failing(socket.AF_INET, REFUSED_PORT, 7))

        assert wait_until(lambda: flows(agent, place.name) == {("database", "failed"): 7})


def test_a_file_of_workloads_that_cannot_be_used_is_said_before_anything_runs(tmp_path: pathlib.Path) -> None:
    """One line with the place and what to write, exit 2."""
    path = tmp_path / "site.yaml"
    path.write_text(RULES.replace("192.0.2.0/24", "192.0.2.1/24"), encoding="ascii")
    for command in ("agent", "up"):
        words = [sys.executable, "-m", "netsre", command, "--workloads", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)

        assert done.returncode == c.EXIT_USAGE
        assert f"{path}:9: WLD001 " in done.stderr
        assert "write 192.0.2.0/24" in done.stderr
