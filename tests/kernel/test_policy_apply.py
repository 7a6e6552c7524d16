"""Policies in force on a node by the commands alone: what arrives on a real link is what they say."""

import pathlib
import signal
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import namespaces
from tests.kernel.block_link import COUNT, INTERFACE, PORT, SOURCE, TARGET
from tests.kernel.moments import Moments
from tests.kernel.policed_node import Node, policed_node, policy
from tests.kernel.program_sources import SENDS, other_sources
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_MANY: Final = 1_500
"""Networks of a policy that takes a while to put into force."""
_KILLS: Final = 12


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose sender is an endpoint; the other end is the node's."""
    with policed_node() as made:
        yield made


@both_versions
def test_what_is_applied_decides_when_the_command_is_over_and_until_it_is_taken_away(
    node: Node, version: int
) -> None:
    """Allowed, denied by the next revision, allowed again by going back, and by nobody at all."""
    first = node.apply(policy(PORT))
    allowed = node.link.send(SOURCE[version], TARGET[version])
    second = node.apply(policy(PORT + 1))
    denied = node.link.send(SOURCE[version], TARGET[version])
    node.run("rollback")
    again = node.link.send(SOURCE[version], TARGET[version])
    node.run("rollback", str(second["revision"]))
    back = node.link.send(SOURCE[version], TARGET[version])
    said = node.run("detach")
    gone = node.link.send(SOURCE[version], TARGET[version])

    assert (allowed, denied, again, back, gone) == (COUNT, 0, COUNT, 0, COUNT)
    assert (first["before"], second["before"]) == (None, first["revision"])
    assert first["interfaces"] == [INTERFACE]
    assert "1 interface was" in said
    assert not (node.home / "bpf" / "policy").exists()


def test_verdicts_are_told_by_the_names_of_rules_and_count_every_packet(node: Node) -> None:
    """Two families, and a port that is not allowed: as many as were sent."""
    node.apply(policy(PORT))
    # Somebody listens: errors that come back would belong to the connection, and be counted with it.
    server = namespaces.inside(node.link.receiver, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    with server:
        server.bind(("::", PORT))
        for version in (4, 6):
            assert node.link.send(SOURCE[version], TARGET[version]) == COUNT
    node.apply(policy(PORT + 1))
    node.link.send(SOURCE[4], TARGET[4], 5)

    told = {(one["verdict"], one["rule"]): one for one in node.status()["verdicts"]}
    denied = told["denied", "default deny"]
    [allowed] = [one for (verdict, rule), one in told.items() if verdict == "allowed" and "x/p" in rule]
    assert (denied["packets"], denied["connections"]) == (5, 5)
    assert (allowed["packets"], allowed["connections"]) == (2 * COUNT, 2)


def test_the_same_again_changes_nothing(node: Node) -> None:
    """A revision that is in force already is not a new one, and nothing is written."""
    first, second = node.apply(policy(PORT)), node.apply(policy(PORT))

    assert (second["revision"], second["written"], second["removed"]) == (first["revision"], 0, 0)


def test_a_number_that_begins_anew_is_told_with_what_it_is_now(node: Node) -> None:
    """After everything was taken away the first revision is another one than the first of before."""
    node.apply(policy(PORT, 5))
    node.run("detach")
    node.apply(policy(PORT))

    assert [(one["revision"], one["rules"]) for one in node.status()["revisions"]] == [(1, 1)]


@both_versions
def test_a_mode_ends_in_the_kernel_with_no_process_of_ours(node: Node, version: int) -> None:
    """What would be denied passes while the mode lasts, is counted as audited, and is then denied again."""
    node.apply(policy(PORT + 1))
    until = time.monotonic() + 4
    said = node.run("mode", "monitor", "--ttl", "4s")
    passed = node.link.send(SOURCE[version], TARGET[version], 3)
    in_time = time.monotonic() < until

    ended = wait_until(lambda: node.link.send(SOURCE[version], TARGET[version], 3) == 0, PATIENCE)
    audited = [one["packets"] for one in node.status()["verdicts"] if one["verdict"] == "audited"]
    assert "monitor for" in said
    assert "then enforce" in said
    assert passed == 3 or not in_time
    assert ended
    assert sum(audited) >= 3 or not in_time


def test_a_mode_of_an_endpoint_goes_before_that_for_all_and_ends_with_it(node: Node) -> None:
    """Off for one endpoint, then as all others again; a name that is not known is not set."""
    node.apply(policy(PORT + 1))
    node.run("mode", "off", "--endpoint", "x/own")
    off = node.link.send(SOURCE[4], TARGET[4], 5)
    node.run("mode", "inherit", "--endpoint", "x/own")
    enforced = node.link.send(SOURCE[4], TARGET[4], 5)
    complaint = node.run("mode", "off", "--endpoint", "x/owm", code=2)

    assert (off, enforced) == (5, 0)
    assert "did you mean 'x/own'?" in complaint
    assert complaint.count("\n") == 1
    assert node.status()["endpointModes"] == {}


def test_killed_at_any_moment_one_whole_revision_decides(node: Node) -> None:
    """Of two revisions one allows and one denies; and the next one is put into force as ever."""
    denies = node.apply(policy(PORT + 1))["revision"]
    began = time.monotonic()
    node.apply(policy(PORT, _MANY))
    moments = Moments(time.monotonic() - began)
    node.run("rollback", str(denies))
    outcomes = set()
    for round_number in range(_KILLS):
        # Another one each time, so that all of it is to be done again.
        text = policy(PORT, _MANY - 1 - round_number)
        (node.home / "policy.yaml").write_text(text, encoding="utf-8")
        with node.start(*node.applying()) as process:
            moments.pause()
            process.send_signal(signal.SIGKILL)
        number = node.in_force()
        if number == denies:
            assert node.link.send(SOURCE[4], TARGET[4], 7) == 0
        else:
            assert node.link.send(SOURCE[4], TARGET[4], 7) == 7
        moments.found(done=number != denies)
        outcomes.add(number == denies)
        if number != denies:
            # On a machine that is faster than before so many come into force that the first is not kept.
            denies = node.apply(policy(PORT + 1))["revision"]
    assert True in outcomes

    done = node.apply(policy(PORT, 2))
    assert node.link.send(SOURCE[4], TARGET[4]) == COUNT
    assert node.in_force() == done["revision"]


def test_programs_are_replaced_without_a_packet_that_none_sees(node: Node, tmp_path: pathlib.Path) -> None:
    """Other programs with the same maps: what is denied stays so while they are exchanged."""
    node.apply(policy(PORT + 1))
    before = node.programs()
    other = other_sources(tmp_path, "int policy_from_endpoint", "/* another one */ int policy_from_endpoint")
    with node.start(*node.applying(), "--json", "--programs", str(other)) as process:
        passed = 0
        while process.poll() is None:
            passed += node.link.send(SOURCE[4], TARGET[4], 50)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""

    assert passed == 0
    assert node.link.send(SOURCE[4], TARGET[4], 50) == 0
    assert len(before | node.programs()) == 4


def test_programs_that_the_verifier_refuses_leave_the_old_ones_in_place(
    node: Node, tmp_path: pathlib.Path
) -> None:
    """Said in one line; what is in force stays so."""
    node.apply(policy(PORT + 1))
    refused = other_sources(
        tmp_path,
        SENDS,
        "	return police(skb, POLICY_EGRESS) + *(int *)0;",
    )
    complaint = node.run(*node.applying(), "--programs", str(refused), code=3)

    assert complaint.count("\n") == 1
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_an_interface_that_goes_and_comes_again_is_policed_again(node: Node) -> None:
    """Its links end with it; applied without it, that is said, and all is well."""
    node.apply(policy(PORT + 1))
    node.link.run(node.link.receiver, "ip", "link", "set", INTERFACE, "name", "away")
    without = node.apply(policy(PORT + 1))
    node.link.run(node.link.receiver, "ip", "link", "set", "away", "name", INTERFACE)
    passed = node.link.send(SOURCE[4], TARGET[4], 5)
    again = node.apply(policy(PORT + 1))

    assert (without["missing"], without["interfaces"]) == ([INTERFACE], [])
    assert passed == 5
    assert again["interfaces"] == [INTERFACE]
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_without_a_bpf_file_system_one_line_says_what_to_do(node: Node) -> None:
    """Nothing is begun; and where nothing was applied, there is nothing to go back to."""
    (node.home / "policy.yaml").write_text(policy(PORT), encoding="utf-8")
    complaint = node.run(*node.applying(), "--pins", str(node.home / "none" / "policy"), code=3)
    nothing = node.run("rollback", code=2)

    assert "mount -t bpf" in complaint
    assert complaint.count("\n") == nothing.count("\n") == 1
    assert "netsre policy apply" in nothing
