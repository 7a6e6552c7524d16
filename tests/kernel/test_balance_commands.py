"""Services balanced by the commands alone: sockets get what files say, whatever becomes of a command."""

import errno
import json
import pathlib
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import pytest

from netsre.app.resources import directory
from netsre.datapath.balance.programs import PROGRAMS
from tests.kernel.balanced import ADDRESSES, BACKENDS, SERVICE_PORT, backend
from tests.kernel.balanced_node import Node, balanced_node, listed
from tests.kernel.moments import Moments
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
_KILLS: Final = 7
_MANY: Final = 40
"""Services that take a while to put into force."""


@pytest.fixture
def node() -> Iterator[Node]:
    """Make six backends of each family, and a cgroup; nothing is balanced yet."""
    with balanced_node(6) as made:
        yield made


def load(node: Node, count: int = 20, number: int = 1) -> Counter[str]:
    """Connect to a service in both families; return who answered, or what failed."""
    return node.site.load([address.format(number) for address in ADDRESSES.values()], count)


def every(*numbers: int) -> set[str]:
    """Return the names of backends in both families."""
    return {backend(number, version) for number in numbers for version in (4, 6)}


def test_what_is_applied_decides_when_the_command_is_over_and_until_it_is_taken_away(node: Node) -> None:
    """One revision, the next, back to the first and forth, and then nobody is balanced."""
    first = node.apply({1: [1]})
    one = load(node)
    second = node.apply({1: [2]})
    other = load(node)
    node.run("rollback")
    back = load(node)
    node.run("rollback", str(second["revision"]))
    forth = load(node)
    node.run("detach")
    gone = load(node, 2)

    assert (first["before"], second["before"]) == (None, first["revision"])
    assert (set(one), set(other), set(back), set(forth)) == (every(1), every(2), every(1), every(2))
    assert all(said.startswith("failed") for said in gone)
    assert not node.pins.exists()


def test_status_counts_every_connection_and_every_refusal(node: Node) -> None:
    """By service, place and backend; and a service without a backend is told as one."""
    done = node.apply({1: [1, 2, 3], 2: []})
    said = load(node, 60)
    refused = load(node, 6, number=2)
    found = node.status()

    assert len(done["withoutBackend"]) == 4
    counted = Counter[str]()
    for one in found["backends"]:
        counted[one["backend"]] += one["connections"]
    assert +counted == said
    assert sum(one["connections"] for one in found["refused"] if one["service"] == "default/s2") == 6
    assert refused == Counter({f"failed: [Errno {errno.EHOSTUNREACH}] No route to host": 6})
    assert {(one["service"], one["place"].rpartition("/")[2]) for one in found["withoutBackend"]} == {
        ("default/s2", "TCP"),
        ("default/s2", "UDP"),
    }
    assert found["events"] == {**found["events"], "broken": 0, "peers_full": 0, "counts_full": 0}


def test_the_same_again_changes_nothing_and_what_was_is_found_again(node: Node) -> None:
    """No table is made for what is kept, and no revision."""
    first, second = node.apply({1: [1, 2]}), node.apply({1: [1, 2]})
    node.apply({1: [3]})
    again = node.apply({1: [1, 2]})

    assert (second["revision"], second["tables"]) == (first["revision"], 0)
    assert (again["revision"], again["tables"]) == (first["revision"], 0)


def test_what_is_remembered_of_another_revision_of_that_number_is_not_said(node: Node) -> None:
    """After a start of the machine numbers begin anew, those of the kernel's maps too."""
    first = node.apply({1: [1]})["revision"]
    path = node.home / "state" / "state.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["made"][str(first + 1)] = {"at": 0, "services": 99, "backends": 98}
    path.write_text(json.dumps(state), encoding="utf-8")
    applied = node.apply({1: [1, 2]})
    found = node.status()["revisions"][0]

    assert (applied["revision"], applied["services"], applied["backends"]) == (first + 1, 2, 4)
    assert (found["revision"], found["services"], found["backends"]) == (first + 1, 2, 4)
    assert not found["at"].startswith("1970")


def test_the_latest_revisions_are_kept_and_no_others(node: Node) -> None:
    """Eight beside the one in force; one that was given up cannot be gone to."""
    numbers = [node.apply({1: [1]}, salt=salt)["revision"] for salt in range(1, 12)]
    kept = [one["revision"] for one in node.status()["revisions"]]
    complaint = node.run("rollback", str(numbers[0]), code=2)

    assert kept == numbers[:1:-1]
    assert complaint.count("\n") == 1
    assert f"revision {numbers[0]} is not kept" in complaint


def test_a_drained_backend_is_kept_by_who_has_it_and_given_to_nobody_else(node: Node) -> None:
    """Also when files are applied again, until it is told to take connections again."""
    node.apply({1: [1]})
    with node.site.socket(socket.AF_INET, DATAGRAM) as older:
        older.sendto(b"?", (ADDRESSES[4].format(1), SERVICE_PORT))
        assert older.recv(100).decode() == backend(1, 4)
        node.apply({1: [1, 2]})
        said = node.run("drain", backend(1, 4))
        node.run("drain", BACKENDS[6].format(1), "--service", "default/s1")
        drained = load(node)
        older.sendto(b"?", (ADDRESSES[4].format(1), SERVICE_PORT))
        kept = older.recv(100).decode()
    again = node.apply({1: [1, 2, 3]})
    applied = load(node, 60)
    node.run("undrain", BACKENDS[4].format(1))
    node.run("undrain", BACKENDS[6].format(1))
    whole = load(node, 200)

    assert f"{backend(1, 4)} of default/s1 port 80/TCP is drained" in said
    assert set(drained) == every(2)
    assert kept == backend(1, 4)
    assert len(again["drained"]) == 4
    assert set(applied) == every(2, 3)
    assert set(whole) == every(1, 2, 3)


@pytest.mark.parametrize(
    ("family", "version"),
    [(socket.AF_INET, 4), (socket.AF_INET6, 6), (socket.AF_INET6, 4)],
    ids=["ipv4", "ipv6", "ipv4 in ipv6"],
)
def test_connected_udp_sockets_of_who_is_taken_out_are_ended_where_that_is_asked_for(
    node: Node, family: socket.AddressFamily, version: int
) -> None:
    """No other: not those of who stays or drains, none that is not connected, and no connection of TCP."""
    node.apply({1: [1], 2: [2], 3: [3]})

    def place(number: int) -> tuple[str, int]:
        mapped = "::ffff:" if (family, version) == (socket.AF_INET6, 4) else ""
        return mapped + ADDRESSES[version].format(number), SERVICE_PORT

    def opened(number: int, kind: socket.SocketKind) -> socket.socket:
        made = node.site.socket(family, kind)
        made.connect(place(number))
        made.send(b"?")
        assert made.recv(100).decode() == backend(number, version)
        return made

    gone, stays, tcp = opened(1, DATAGRAM), opened(2, DATAGRAM), opened(1, STREAM)
    loose, drained = node.site.socket(family, DATAGRAM), opened(3, DATAGRAM)
    loose.sendto(b"?", place(1))
    with gone, stays, tcp, loose, drained:
        assert loose.recv(100).decode() == backend(1, version)
        node.run("drain", backend(3, 4), "--force")
        node.run("drain", backend(3, 6), "--force")
        kept = node.apply({1: [4], 2: [2], 3: [3]})
        done = node.apply({1: [4], 2: [2], 3: [3]}, "--end-sockets")
        with pytest.raises(OSError, match="abort") as refused:
            gone.recv(100)
        for made, number in ((stays, 2), (tcp, 1), (drained, 3)):
            made.send(b"?")
            assert made.recv(100).decode() == backend(number, version)
        loose.sendto(b"?", place(1))
        assert loose.recv(100).decode() == backend(4, version)

    assert refused.value.errno == errno.ECONNABORTED
    assert (kept["endedSockets"], done["endedSockets"]) == (None, 1)


def test_a_drain_for_a_time_ends_in_the_kernel_with_no_process_of_ours(node: Node) -> None:
    """Newcomers are sent elsewhere while it lasts, also by another file, and then come by themselves."""
    node.apply({1: [1, 2]})
    node.run("drain", backend(1, 4), "--ttl", "1h")
    until = time.monotonic() + 12
    said = node.run("drain", backend(1, 6), "--ttl", "12s")
    applied = node.apply({1: [1, 2, 3]})
    drained = load(node, 60)
    left = node.status()["secondsLeft"]
    in_time = time.monotonic() < until

    def whole() -> bool:
        return set(load(node, 100)) == every(1, 2, 3)

    assert "is drained for 12s" in said
    assert len(applied["drainedForATime"]) == 4 or not in_time
    assert not in_time or (set(drained) == every(2, 3) and 0 < left < 12)
    assert wait_until(whole, PATIENCE)
    found = node.status()
    assert (found["secondsLeft"], found["drainedForATime"]) == (None, [])
    assert {one["serving"] for one in found["backends"]} == {True}
    assert [one["inForce"] for one in found["revisions"]] == [True, False]
    again = node.apply({1: [1, 2, 3]})
    assert (again["before"], again["drainedForATime"]) == (again["revision"], [])


def test_a_drain_for_a_time_is_taken_back_by_undrain_and_by_rollback(node: Node) -> None:
    """And it stays where it is drained for good meanwhile."""
    first = node.apply({1: [1, 2]})["revision"]
    node.run("drain", BACKENDS[4].format(1), "--ttl", "1h")
    node.run("drain", BACKENDS[6].format(1), "--ttl", "1h")
    drained = load(node)
    said = node.run("rollback")
    back = load(node, 100)
    numbers = [one["revision"] for one in node.status()["revisions"]]
    node.run("drain", BACKENDS[4].format(1), "--ttl", "1h")
    node.run("drain", BACKENDS[4].format(1))
    node.run("drain", BACKENDS[6].format(1), "--ttl", "1h")
    found = node.status()
    node.run("undrain", BACKENDS[6].format(1))
    half = load(node, 100)

    assert set(drained) == every(2)
    assert set(back) == every(1, 2)
    assert numbers == [first]
    assert said.splitlines()[0] == f"revision {first} is in force; 3 had an end, and is not kept"
    assert said.count(f"drained by hand no more: {backend(1, 4)} of default/s1") == 2
    assert [len(found[name]) for name in ("drained", "drainedForATime")] == [2, 2]
    assert set(half) == {*every(2), backend(1, 6)}


def test_what_its_file_drains_is_not_said_to_take_connections_again(node: Node) -> None:
    """It is drained twice, and once is taken back."""
    node.apply({1: [1, 2]})
    node.run("drain", backend(1, 4))
    draining = json.loads(node.file.read_text(encoding="utf-8"))
    for service in draining:
        for one in service["backends"]:
            one["draining"] = one["address"] == BACKENDS[4].format(1)
    node.file.write_text(json.dumps(draining), encoding="utf-8")
    node.run(*node.applying())
    said = node.run("undrain", backend(1, 4))

    assert "takes connections again" not in said
    assert f"{backend(1, 4)} of default/s1 port 80/TCP is drained by its file alone" in said
    assert node.status()["drained"] == []
    assert backend(1, 4) not in load(node, 100)


def test_the_last_backend_is_drained_by_force_alone(node: Node) -> None:
    """What nobody has, or what is not drained, is refused in one line each."""
    node.apply({1: [1]})
    last = node.run("drain", backend(1, 4), code=2)
    strange = node.run("drain", "192.0.2.1", code=2)
    service = node.run("drain", backend(1, 4), "--service", "default/s2", code=2)
    never = node.run("undrain", backend(1, 4), code=2)
    before = load(node)
    node.run("drain", backend(1, 4), "--force")

    assert set(before) == every(1)
    assert set(load(node)) == {backend(1, 6), f"failed: [Errno {errno.EHOSTUNREACH}] No route to host"}
    assert "--force" in last
    assert "did you mean 'default/s1'?" in service
    assert [one.count("\n") for one in (last, strange, service, never)] == [1, 1, 1, 1]


def test_killed_at_any_moment_one_whole_revision_decides(node: Node) -> None:
    """Of two revisions, under connects all the while: each gets a backend of one, and none of both in turns.

    Whoever connects one after the other sees another revision only as often as one was put into force.
    """
    others = {number: [1, 2, 3] for number in range(2, _MANY)}
    node.apply({1: [4, 5, 6]})
    changes, killed = 0, 0
    before = node.in_force()
    with node.calls(1) as said:
        began = time.monotonic()
        node.apply({1: [1, 2, 3], **others})
        moments = Moments(time.monotonic() - began)
        changes += 1
        before = node.in_force()
        for turn in range(_KILLS):
            # Another weight each time, so that all tables are to be made again.
            ours = [4, 5, 6] if turn % 2 == 0 else [1, 2, 3]
            node.file.write_text(listed({1: ours, **others}, salt=turn + 2), encoding="utf-8")
            with node.start(*node.applying()) as process:
                moments.pause()
                process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            now = node.in_force()
            moments.found(done=now != before)
            changes += now != before
            before = now
            assert any(set(load(node)) <= side for side in (every(1, 2, 3), every(4, 5, 6)))
    done = node.apply({1: [4, 5]})
    sides = [name in every(1, 2, 3) for name in said]

    assert killed
    assert set(said) <= every(1, 2, 3, 4, 5, 6)
    assert sum(one != other for one, other in pairwise(sides)) <= changes
    assert set(load(node)) == every(4, 5)
    assert node.in_force() == done["revision"]
    assert {name: one["entries"] for name, one in node.status()["maps"].items()}["balance_peers"] == 0


def test_programs_are_replaced_without_a_call_that_none_sees(node: Node, tmp_path: pathlib.Path) -> None:
    """Other programs with the same maps: every connect meanwhile is balanced, and the links stay."""
    node.apply({1: [1, 2]})
    before = node.programs()
    other = _programs(tmp_path, "int balance_connect4", "/* another one */ int balance_connect4")
    with node.calls(1) as said:
        node.run(*node.applying(), "--programs", str(other))

    assert set(said) == every(1, 2)
    assert len(before | node.programs()) == 2 * len(PROGRAMS)


def test_programs_that_the_verifier_refuses_leave_the_old_ones_in_place(
    node: Node, tmp_path: pathlib.Path
) -> None:
    """Said in one line; what is in force stays so."""
    node.apply({1: [1]})
    before = node.programs()
    refused = _programs(
        tmp_path, "	BALANCE_WRITE_V4(ctx, end);", "	BALANCE_WRITE_V4(ctx, end);	*(int *)0 = 1;"
    )
    complaint = node.run(*node.applying(), "--programs", str(refused), code=3)

    assert complaint.count("\n") == 1
    assert set(load(node)) == every(1)
    assert node.programs() == before


def test_a_socket_of_another_cgroup_is_balanced_once_that_is_asked_for(node: Node) -> None:
    """One below, then the whole again; without being told, it stays where it was."""
    below = node.site.cgroup.directory / "below"
    below.mkdir()
    try:
        node.apply({1: [1]})
        node.run("apply", str(node.file), "--cgroup", str(below))
        outside = load(node, 2)
        node.run("apply", str(node.file))
        stays = load(node, 2)
        node.apply({1: [1]})
        inside = load(node)
    finally:
        below.rmdir()

    assert all(said.startswith("failed") for said in (*outside, *stays))
    assert set(inside) == every(1)


def test_a_cgroup_that_is_gone_is_said_and_ends_with_the_next_apply(node: Node) -> None:
    """Its links end with it; maps and revisions are there as before, and nobody else is balanced instead."""
    below = node.site.cgroup.directory / "below"
    below.mkdir()
    node.apply({1: [1]})
    node.run("apply", str(node.file), "--cgroup", str(below))
    below.rmdir()
    gone = node.status()
    complaint = node.run("apply", str(node.file), code=2)
    again = node.apply({1: [1]})

    assert "--cgroup" in complaint
    assert complaint.count("\n") == 1
    assert (gone["cgroup"], gone["attached"]) == (None, False)
    assert again["before"] == again["revision"]
    assert node.status()["attached"] is True
    assert set(load(node)) == every(1)


def _programs(place: pathlib.Path, old: str, new: str) -> pathlib.Path:
    """Return a copy of the C sources with another text."""
    copied = place / "bpf"
    shutil.copytree(directory("bpf"), copied)
    file = copied / "balance.c"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return copied
