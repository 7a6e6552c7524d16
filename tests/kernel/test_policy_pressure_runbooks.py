"""A table of connections that fills, and changes that are slow: both runbooks act by themselves; it helps."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.app.resources import directory
from tests.kernel import test_policy_connections as connected
from tests.kernel.automated import automated
from tests.kernel.block_link import PORT
from tests.kernel.followed_node import followed
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.test_effects_policies import fill
from tests.kernel.test_policy_connections import answers, echoed
from tests.kernel.test_policy_follow import write

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

_SIZE: Final = 1_024
_BOUND: Final = 1.0
"""Seconds that a change may take here; with the 5 s that are promised the test would only take longer."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


def places(node: Node) -> tuple[str, ...]:
    """Return what an agent has to know of the node."""
    return ("--policy-pins", str(node.pins), "--policy-state", str(node.home / "state"), "--without", "loads")


def fits(node: Node) -> int:
    """Return how many connections fit."""
    found: int = node.status()["maps"]["policy_ct"]["capacity"]
    return found


def test_a_table_that_fills_is_twice_as_large_and_no_connection_is_forgotten(node: Node) -> None:
    """From the page on nobody is asked: the level shows that there is room."""
    node.apply(connected.POLICY)
    node.run("connections", "--limit", str(_SIZE))
    with echoed(node, 4) as client, automated(node.home, "policy-connections", places(node)) as automation:
        assert answers(client, 1)
        fill(node, _SIZE * 9 // 10)
        run = automation.ended()

        assert run["result"] == "succeeded", run
        assert fits(node) == 2 * _SIZE
        assert answers(client, 2)


@contextlib.contextmanager
def busy(node: Node) -> Iterator[None]:
    """Have somebody else be at the policies, so that a change takes longer than it may."""
    descriptor = os.open(node.home / "state", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        time.sleep(1.5 * _BOUND)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def changing(node: Node) -> Iterator[None]:
    """Have the files change again and again."""
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.wait(0.3):
            number += 1
            write(node, policy(PORT + 100 + number))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def levels(home: pathlib.Path) -> pathlib.Path:
    """Return a copy of the service levels that ship, in which a change must be quicker."""
    made = home / "slos"
    shutil.copytree(directory("slos"), made)
    file = made / "datapath" / "policy-compile.yaml"
    text = file.read_text(encoding="utf-8")
    assert "below: 5s" in text
    file.write_text(text.replace("below: 5s", f"below: {_BOUND:.0f}s"), encoding="utf-8")
    return made


def test_changes_that_are_slow_are_staggered(node: Node) -> None:
    """Many become few while somebody writes and writes, and those are quick again."""
    node.apply(policy(PORT))
    given = ("--slos", str(levels(node.home)))
    with (
        followed(node) as follower,
        automated(node.home, "policy-compile-slow", places(node), *given) as automation,
    ):
        number = 0
        while not automation.began():
            number += 1
            with busy(node):
                write(node, policy(PORT + number))
            follower.hears("applied")
        with changing(node):
            automation.until(lambda run: run["state"] == "verifying" or bool(run["result"]))
            before = sum(event["event"] == "applied" for event in follower.so_far())
            began = time.monotonic()
            run = automation.ended()
            allowed = 1 + (time.monotonic() - began) / 10
            after = sum(event["event"] == "applied" for event in follower.so_far())
        staggered = node.status()["staggered"]

    assert run["result"] == "succeeded", run
    assert "at most one change into force every 10s" in staggered
    assert 1 <= after - before <= allowed
