"""Timeouts of connection tracking that an agent shortens: in real namespaces, with agents that end anyhow."""

import dataclasses
import pathlib
import signal
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters import conntrack, namespaces
from netsre.app.local.sweep import sweep
from netsre.clock import MINUTE, SECOND
from netsre.datapath.conntrack_timeouts import TIMEOUTS
from netsre.model.effects import Standing, Timeout
from tests.kernel import tracked_link
from tests.kernel.agent_process import running
from tests.kernel.test_effects import Node, refused
from tests.kernel.tracked_link import CLIENTS, IPV4, PORT, Link
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("nft", "ip", "netns")]

BEFORE: Final = 600
"""What every timeout is in the namespace of the test."""


@pytest.fixture
def node(tmp_path: pathlib.Path) -> Node:
    """Return a node without an agent."""
    return Node(tmp_path)


@pytest.fixture
def link() -> Iterator[Link]:
    """Make a server that tracks, and its clients."""
    with tracked_link.link("timeouts") as made:
        yield made


def now(link: Link) -> dict[str, int]:
    """Return the timeouts of the server, as the files of its namespace say."""
    names = {
        "syn_sent": "tcp_timeout_syn_sent",
        "established": "tcp_timeout_established",
        "udp": "udp_timeout",
    }
    root = "/proc/sys/net/netfilter/nf_conntrack_"
    return {
        state: int(namespaces.run(link.server, ["cat", f"{root}{name}"]).stdout)
        for state, name in names.items()
    }


def unanswered(link: Link) -> Timeout:
    """Return a shorter time for datagrams that nobody answers."""
    return Timeout(link.server, "udp", BEFORE, TIMEOUTS["udp"].floor, 10 * MINUTE)


def test_every_timeout_is_told_and_set_as_the_files_of_the_kernel_say(link: Link) -> None:
    """By name, one at a time, and no other with it."""
    sites = {
        "icmp": "icmp_timeout", "icmpv6": "icmpv6_timeout", "generic": "generic_timeout",
        "udp": "udp_timeout", "udp_stream": "udp_timeout_stream",
    }  # fmt: skip
    files = {state: sites.get(state, f"tcp_timeout_{state}") for state in TIMEOUTS}

    def read() -> dict[str, int]:
        root = pathlib.Path("/proc/sys/net/netfilter")
        return {state: int((root / f"nf_conntrack_{name}").read_text()) for state, name in files.items()}

    def work() -> list[tuple[object, object]]:
        seen: list[tuple[object, object]] = [(conntrack.timeouts(), read())]
        for number, state in enumerate(TIMEOUTS, 7_000):
            before = read()
            conntrack.set_timeout(state, number)
            seen.append((read(), {**before, state: number}))
        return [*seen, (conntrack.timeouts(), read())]

    for told, expected in namespaces.inside(link.server, work):
        assert told == expected


def test_a_timeout_is_shortened_once_and_put_back(node: Node, link: Link) -> None:
    """In the namespace of the alert alone; what it was stands in the answer, and comes again."""
    effect = unanswered(link)
    host = conntrack.timeouts()
    with running(*node.options) as agent:
        assert node.asked.timeouts(link.server)["udp"] == BEFORE
        assert node.asked.look("run/1", effect) is Standing.ABSENT
        first = node.asked.apply("run/1", effect)
        assert (first["already"], first["before"], first["after"]) == (False, BEFORE, effect.after)
        assert now(link) == {"syn_sent": BEFORE, "established": BEFORE, "udp": effect.after}
        assert node.asked.apply("run/1", effect)["already"] is True
        assert [(found.key, found.effect) for found in node.asked.effects()] == [("run/1", effect)]
        assert agent.samples()[(c.EFFECTS, (("kind", "timeout"),))] == 1
        undone = node.asked.undo("run/1", effect)
        assert (undone["undone"], undone["result"]) == (True, "put_back")
        assert now(link)["udp"] == BEFORE
        assert node.asked.undo("run/1", effect)["undone"] is False
    assert conntrack.timeouts() == host


def test_entries_end_as_the_kernel_was_told_and_what_is_established_stays(node: Node, link: Link) -> None:
    """An entry takes the new time with its next packet, whoever has made it; none that lives is cut."""
    effect = unanswered(link)
    source, other = CLIENTS[0], CLIENTS[1]

    def listen() -> socket.socket:
        return socket.create_server((IPV4, PORT))

    with running(*node.options), namespaces.inside(link.server, listen) as server:
        connect = lambda: socket.create_connection((IPV4, PORT), source_address=(other, 0))  # noqa: E731
        with namespaces.inside(link.client, connect) as client, server.accept()[0] as accepted:
            link.datagrams(source, range(9_000, 9_010))
            node.asked.apply("run/1", effect)
            begun = time.monotonic()
            link.datagrams(other, range(9_000, 9_005))
            there = link.listed()
            assert (there[source], there[other]) == (10, 6)
            assert wait_until(lambda: link.listed()[other] == 1)
            assert time.monotonic() - begun >= effect.after - 1
            assert link.listed()[source] == 10
            client.sendall(b"still there")
            assert accepted.recv(100) == b"still there"


def test_what_may_not_be_is_refused_and_changes_nothing(node: Node, link: Link) -> None:
    """Below the floor, longer, another value than planned for, no state, a second one, no namespace."""
    effect = unanswered(link)
    with running(*node.options):
        for reason, wrong in (
            ("below_floor", dataclasses.replace(effect, after=effect.after - 1)),
            ("below_floor", dataclasses.replace(effect, state="established", after=7_439)),
            ("not_shorter", dataclasses.replace(effect, after=BEFORE)),
            ("changed", dataclasses.replace(effect, before=BEFORE - 1)),
            ("no_such_state", dataclasses.replace(effect, state="listen")),
            ("no_such_namespace", dataclasses.replace(effect, netns="netsre-nowhere")),
            ("bad_ttl", dataclasses.replace(effect, ttl=1)),
        ):
            with refused(reason):
                node.asked.apply("run/1", wrong)
        assert list(node.ledger.iterdir()) == []
        node.asked.apply("run/1", effect)
        with refused("already_tuned"):
            node.asked.apply(
                "run/2", dataclasses.replace(effect, before=effect.after, after=effect.after - 1)
            )
        other = dataclasses.replace(effect, state="syn_sent")
        assert node.asked.apply("run/3", other)["already"] is False
    assert now(link) == {"syn_sent": BEFORE, "established": BEFORE, "udp": BEFORE}


def test_it_ends_by_its_time(node: Node, link: Link) -> None:
    """After one second, without anybody asking."""
    effect = dataclasses.replace(unanswered(link), ttl=SECOND)
    with running(*node.options):
        node.asked.apply("run/1", effect)
        assert wait_until(lambda: now(link)["udp"] == BEFORE)
        assert wait_until(lambda: node.asked.look("run/1", effect) is Standing.ENDED)


def test_another_hands_value_is_left_alone(node: Node, link: Link) -> None:
    """What somebody else set meanwhile stays, and the answer says so."""
    effect = unanswered(link)
    with running(*node.options):
        node.asked.apply("run/1", effect)
        namespaces.inside(link.server, lambda: conntrack.set_timeout("udp", 77))
        assert node.asked.undo("run/1", effect)["result"] == "changed_by_other"
    assert now(link)["udp"] == 77


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_timeout_goes_on_with_the_next_one(node: Node, link: Link, state: str) -> None:
    """Until its end, whether or not the last one could note that it was done; an orderly end puts it back."""
    effect = unanswered(link)
    with running(*node.options) as agent:
        node.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    assert now(link)["udp"] == effect.after
    node.rewrite(state=state)
    with running(*node.options):
        assert node.asked.look("run/1", effect) is Standing.APPLIED
        assert now(link)["udp"] == effect.after
    assert now(link)["udp"] == BEFORE


def test_a_killed_agents_timeout_that_is_due_is_put_back_by_the_next_one(node: Node, link: Link) -> None:
    """It begins with that."""
    effect = unanswered(link)
    with running(*node.options) as agent:
        node.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    node.rewrite(deadline=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - 1)
    with running(*node.options):
        assert now(link)["udp"] == BEFORE
        assert node.asked.look("run/1", effect) is Standing.ENDED


@pytest.mark.parametrize("state", ["begun", "applied"])
def test_a_killed_agents_timeout_is_put_back_by_a_sweep(node: Node, link: Link, state: str) -> None:
    """At once, and said; the next agent knows that it is over."""
    effect = unanswered(link)
    with running(*node.options) as agent:
        node.asked.apply("run/1", effect)
        agent.stop(signal.SIGKILL)
    node.rewrite(state=state)
    swept = [one for one in sweep(effects=node.ledger) if one.kind == "timeout"]
    assert now(link)["udp"] == BEFORE
    assert [one.name for one in swept] == [f"udp={BEFORE}s in {link.server}"]
    assert [one for one in sweep(effects=node.ledger) if one.kind == "timeout"] == []
    with running(*node.options):
        assert node.asked.look("run/1", effect) is Standing.ENDED


def test_a_timeout_whose_namespace_is_gone_stops_nothing(node: Node) -> None:
    """The next agent starts, and says that it is over."""
    with tracked_link.link("timeouts") as link:
        effect = unanswered(link)
        with running(*node.options) as agent:
            node.asked.apply("run/1", effect)
            agent.stop(signal.SIGKILL)
    with running(*node.options):
        assert node.asked.look("run/1", effect) is Standing.ENDED
