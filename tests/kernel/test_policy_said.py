"""What commands of policies say: who holds the lock, what is in force all the same, and of much how much."""

import fcntl
import json
import os
import pathlib
import resource
import subprocess
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import namespaces
from tests.kernel.block_link import INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.policed_node import ENDPOINTS, Node, policed_node, policy
from tests.machine import PATIENCE

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_SLACK: Final = 60
"""Bytes: less than what a revision adds to the file, more than its times differ by."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


@pytest.mark.parametrize("directory", ["state", "bpf/policy_lock"])
def test_whoever_waits_for_another_says_for_whom_and_goes_on_then(node: Node, directory: str) -> None:
    """By its number and its command, on the side of errors: what is printed stays a document.

    Also for one with another place to remember things at.
    """
    node.apply(policy(PORT))
    lock = os.open(node.home / directory, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with node.start("status", "--json") as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        waiting = process.poll() is None
        os.close(lock)
        out, rest = process.communicate(timeout=4 * PATIENCE)

    command = pathlib.Path("/proc/self/cmdline").read_text(encoding="utf-8").partition("\0")[0]
    assert f"waiting for process {os.getpid()} ({command} " in line
    assert str(node.home / directory) in line
    assert waiting
    assert (process.returncode, rest) == (0, "")
    assert json.loads(out)["interfaces"] == [INTERFACE]


def limited(node: Node, size: int) -> "subprocess.Popen[str]":
    """Begin to apply where no file may be larger than so many bytes."""
    return namespaces.inside(
        node.link.receiver,
        lambda: subprocess.Popen(
            node.command(*node.applying(), "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),  # noqa: PLW1509
        ),
    )


def test_what_is_in_force_and_not_remembered_is_said_and_polices(node: Node) -> None:
    """The second write fails, after the switch: it is done, and which revision decides is told."""
    elsewhere = ("--pins", str(node.home / "bpf" / "scratch"), "--state", str(node.home / "scratch"))
    for text in (policy(PORT), policy(PORT + 1)):
        tried = node.apply(text, *elsewhere)["revision"]
    size = (node.home / "scratch" / "state.json").stat().st_size
    node.run("detach", *elsewhere)
    node.apply(policy(PORT))
    (node.home / "policy.yaml").write_text(policy(PORT + 1), encoding="utf-8")
    with limited(node, size - _SLACK) as process:
        out, complaint = process.communicate(timeout=4 * PATIENCE)

    told = json.loads(out)
    assert process.returncode == 0, complaint
    assert told["revision"] == tried == node.in_force()
    assert "File too large" in told["unremembered"]
    assert f"revision {tried} is in force" in complaint
    assert complaint.count("\n") == 1
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0
    assert node.apply(policy(PORT + 1))["unremembered"] is None


def test_many_interfaces_are_a_number_and_some_names(node: Node) -> None:
    """Of those that are policed as of those that are not there; as a document all of them."""
    here = [f"pair{number}" for number in range(8)]
    for one, other in zip(here[::2], here[1::2], strict=True):
        node.link.run(node.link.receiver, "ip", "link", "add", one, "type", "veth", "peer", "name", other)
    away = [f"none{number:02}" for number in range(92)]
    listed = "".join(
        f"- {{name: n{number}, namespace: x, ips: [10.8.0.{number + 1}], interface: {name}}}\n"
        for number, name in enumerate((*here, *away))
    )
    (node.home / "endpoints.yaml").write_text(ENDPOINTS + listed, encoding="utf-8")
    node.apply(policy(PORT))
    applied, shown = node.run(*node.applying()), node.run("status")

    assert "policed: 9 interfaces: entry, pair0, pair1, pair2, pair3, pair4 and 3 more" in applied
    assert "not there: 92 interfaces: none00, none01, none02, none03, none04, none05 and 86 more" in applied
    assert max(map(len, applied.splitlines())) < 160
    assert "policed: 9 interfaces: " in shown
    assert len(node.status()["interfaces"]) == 9


def test_what_is_taken_away_says_what_it_had_counted(node: Node) -> None:
    """By verdict; of one that has counted nothing there is nothing to say."""
    node.apply(policy(PORT + 1))
    silent = node.run("detach")
    node.apply(policy(PORT + 1))
    node.link.send(SOURCE[4], TARGET[4], 11)
    node.run("mode", "monitor")
    node.link.send(SOURCE[4], TARGET[4], 3)
    said = node.run("detach")

    assert "counters" not in silent
    assert "counters: 11 denied, " in said
    assert "audited" in said
