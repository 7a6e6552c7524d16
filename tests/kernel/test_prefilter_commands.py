"""The prefilter by the commands alone: what arrives on a real link is what they say."""

import contextlib
import dataclasses
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from netsre.adapters import namespaces
from netsre.adapters.bpf import pins, syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.app import standing
from netsre.app.resources import directory
from netsre.datapath.standing import PREFILTER, Version
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, SOURCE, TARGET, Link
from tests.kernel.filtered_node import Node, filtered_node
from tests.kernel.moments import Moments
from tests.machine import PATIENCE, wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
both_ways = pytest.mark.parametrize("way", ["driver", "generic"])

AROUND: Final = {4: "10.9.0.0/24", 6: "fd09::/64"}
_MANY: Final = 3_000
_KILLS: Final = 8
_BAD: Final = (
    (("add", "10.9.0.1/24", "--drop"), "write 10.9.0.0/24"),
    (("add", "10.9.0.300", "--drop"), "is no network"),
    (("add", "fe80::1%entry", "--drop"), "is no network"),
    (("add", "::ffff:10.0.0.0/104", "--drop"), "write the network as IPv4"),
    (("add", "10.9.0.0/24"), "one of --drop, --limit RATE and --pass"),
    (("add", "10.9.0.0/24", "--drop", "--pass"), "one of --drop, --limit RATE and --pass"),
    (("add", "10.9.0.0/24", "--limit", "0"), "a rate of 1 to"),
    (("add", "10.9.0.0/24", "--drop", "--monitor", "--monitor-for", "5m"), "one of --monitor"),
    (("add", "10.9.0.0/24", "--drop", "--ttl", "5m", "--monitor-for", "5m"), "a longer --ttl"),
    (("add", "--drop"), "there is no network"),
    (("remove",), "or --all"),
    (("remove", "10.9.0.0/24"), "there is no rule for 10.9.0.0/24"),
    (("detach", "entri"), "did you mean 'entry'?"),
    (("attach", "entri"), "did you mean 'entry'?"),
    (("attach", INTERFACE, "--xdp", "driver"), "detach it first"),
)


@pytest.fixture
def node() -> Iterator[Node]:
    """Make a link whose receiver is the node."""
    with filtered_node() as made:
        yield made


@both_ways
@both_versions
def test_what_is_added_decides_when_the_command_is_over_and_until_it_is_taken_away(
    node: Node, version: int, way: str
) -> None:
    """A network, an exception for one address, without the interface, and with it again."""
    source, other, target = SOURCE[version], OTHER_SOURCE[version], TARGET[version]
    said = node.run("attach", INTERFACE, "--xdp", way)
    before = node.link.send(source, target)
    node.run("add", AROUND[version], "--drop")
    dropped = node.link.send(source, target)
    node.run("add", other, "--pass")
    during = node.link.send(source, target), node.link.send(other, target)
    rules = node.rules()
    node.run("detach", INTERFACE)
    without = node.link.send(source, target)
    node.run("attach", INTERFACE, "--xdp", way)
    again = node.link.send(source, target)
    removed = node.run("remove", AROUND[version])
    after = node.link.send(source, target)
    node.run("detach")

    assert said == f"filtered: {INTERFACE} ({way})\n"
    assert (before, dropped, during) == (COUNT, 0, (0, COUNT))
    assert (without, again, after) == (COUNT, 0, COUNT)
    assert rules[AROUND[version]]["dropped"]["packets"] == 2 * COUNT
    [exception] = [one for one in rules.values() if one["action"] == "pass"]
    assert exception["passed"]["packets"] == COUNT
    assert f"dropped {3 * COUNT}" in removed
    assert not node.pins.exists()


@pytest.mark.parametrize(
    ("kind", "way", "shown_as"),
    [("", "generic", "xdpgeneric"), ("tap", "driver", "xdp"), ("ifb", "generic", "xdpgeneric")],
    ids=["pair", "driver-that-can", "driver-that-cannot"],
)
def test_a_driver_is_asked_first_but_that_of_a_pair(node: Node, kind: str, way: str, shown_as: str) -> None:
    """What the kernel shows of it is what we say."""
    namespace, name = node.link.receiver, INTERFACE
    if kind:
        name = "other"
        make = ("tuntap", "add", name, "mode", kind) if kind == "tap" else ("link", "add", name, "type", kind)
        node.link.run(namespace, "ip", *make)
    said = node.run("attach", name)
    shown = node.link.run(namespace, "ip", "link", "show", "dev", name)

    assert said == f"filtered: {name} ({way})\n"
    assert node.list()["interfaces"] == [{"interface": name, "xdp": way}]
    assert shown_as in shown.split()


@both_versions
def test_a_rule_that_watches_drops_nothing_and_then_does_with_no_process_of_ours(
    node: Node, version: int
) -> None:
    """It counts what it would drop until its time, and nobody has to come back for it."""
    node.run("attach", INTERFACE)
    until = time.monotonic() + 5
    node.run("add", AROUND[version], "--drop", "--monitor-for", "5s")
    passed = node.link.send(SOURCE[version], TARGET[version])
    in_time = time.monotonic() < until
    audited = node.rules()[AROUND[version]]["audited"]["packets"]

    assert passed == audited == COUNT or not in_time
    assert wait_until(lambda: node.link.send(SOURCE[version], TARGET[version], 3) == 0, PATIENCE)


def test_a_mode_for_all_and_a_rule_end_by_themselves(node: Node) -> None:
    """What drops customers is watched at once, and enforced again; a rule with an end is gone after it."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    until = time.monotonic() + 5
    said = node.run("mode", "monitor", "--ttl", "5s")
    passed = node.link.send(SOURCE[4], TARGET[4])
    in_time = time.monotonic() < until
    enforced = wait_until(lambda: node.link.send(SOURCE[4], TARGET[4], 3) == 0, PATIENCE)
    node.run("add", AROUND[4], "--drop", "--ttl", "2s")
    ended = wait_until(lambda: node.link.send(SOURCE[4], TARGET[4], 3) == 3, PATIENCE)
    over = node.rules()[AROUND[4]]
    node.run("add", AROUND[6], "--drop")

    assert "then enforce" in said
    assert passed == COUNT or not in_time
    assert enforced
    assert ended
    assert over["secondsLeft"] == 0
    assert [*node.rules()] == [AROUND[6]]


def test_confirmed_or_not_enforcement_goes_back_by_itself(node: Node) -> None:
    """Monitor is for good; enforced for a time, all is watched again when nobody says that all is well."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    node.run("mode", "monitor")
    said = node.run("mode", "enforce", "--ttl", "4s")
    ended = wait_until(lambda: node.link.send(SOURCE[4], TARGET[4], 3) == 3, PATIENCE)

    assert "then monitor" in said
    assert ended
    assert node.rules()[AROUND[4]]["dropped"]["packets"] + node.rules()[AROUND[4]]["audited"]["packets"] > 0


def test_a_source_sends_its_burst_and_then_its_rate(node: Node) -> None:
    """At one packet a minute the burst alone arrives; each source has its own."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--limit", "1/20")
    began = time.monotonic()
    arrived = node.link.send(SOURCE[4], TARGET[4])
    beside = node.link.send(OTHER_SOURCE[4], TARGET[4], 20)

    assert 20 <= arrived <= 21 + time.monotonic() - began
    assert beside == 20
    assert node.rules()[AROUND[4]]["limit"] == {"rate": 1, "burst": 20}


def test_killed_at_any_moment_every_rule_is_whole(node: Node) -> None:
    """A list is put again with another meaning: each address is dropped or passes; counts stay its own."""
    node.run("attach", INTERFACE)
    listed = f"{SOURCE[4]}\n" + "\n".join(f"172.16.{n >> 8}.{n & 255}" for n in range(_MANY))
    began = time.monotonic()
    node.run("add", "--from", "-", "--drop", text=listed)
    moments = Moments(time.monotonic() - began, 0.3)
    changed = set()
    for number in range(_KILLS):
        words = ["--pass"] if number % 2 else ["--limit", "1000000/1000000"]
        with node.start("add", "--from", "-", *words, text=listed) as process:
            assert process.stdin
            process.stdin.write(listed)
            process.stdin.close()
            moments.pause()
            process.send_signal(signal.SIGKILL)
        rules = node.rules()
        assert len(rules) == _MANY + 1
        for one in rules.values():
            assert (one["limit"] is not None) == (one["action"] == "limit")
        own = rules[f"{SOURCE[4]}/32"]["action"]
        moments.found(done=all(one["action"] == words[0].removeprefix("--") for one in rules.values()))
        changed |= {one["action"] for one in rules.values()} - {"drop"}
        assert node.link.send(SOURCE[4], TARGET[4], 7) == (0 if own == "drop" else 7)

    assert changed
    node.run("add", SOURCE[4], "--drop")
    node.run("remove", *(f"172.16.0.{n}" for n in range(9)))
    assert len(node.rules()) == _MANY + 1 - 9
    assert node.link.send(SOURCE[4], TARGET[4], 7) == 0


def test_the_program_is_exchanged_without_a_packet_that_none_sees(node: Node, tmp_path: pathlib.Path) -> None:
    """Another one with the same maps: what is dropped stays so meanwhile; the same one is left alone."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    before = node.programs()
    same = node.run("attach")
    other = _programs(tmp_path, "count_event(PREFILTER_NESTED);", "count_event(PREFILTER_UNREADABLE);")
    with node.start("attach", "--programs", str(other)) as process:
        passed = 0
        while process.poll() is None:
            passed += node.link.send(SOURCE[4], TARGET[4], 50)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""

    assert "exchanged" not in same
    assert passed == 0
    assert node.link.send(SOURCE[4], TARGET[4], 50) == 0
    assert len(before | node.programs()) == 2


def test_an_exchange_that_is_killed_drops_all_the_same_and_is_finished_by_the_next(
    node: Node, tmp_path: pathlib.Path
) -> None:
    """At random moments, to and fro between two programs."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    other = _programs(tmp_path, "count_event(PREFILTER_NESTED);", "count_event(PREFILTER_UNREADABLE);")
    sources = [("--programs", str(other)), ()]
    began = time.monotonic()
    node.run("attach", *sources[0])
    took = time.monotonic() - began
    moments = random.Random(3)  # noqa: S311  no secret
    for number in range(_KILLS):
        with node.start("attach", *sources[number % 2 ^ 1]) as process:
            time.sleep(moments.uniform(0.5, 1.1) * took)
            process.send_signal(signal.SIGKILL)
        assert node.link.send(SOURCE[4], TARGET[4], 7) == 0
    node.run("attach", *sources[0])
    first = node.programs()
    said = node.run("attach", *sources[1])

    assert "exchanged" in said
    assert node.programs() != first
    assert node.rules()[AROUND[4]]["dropped"]["packets"] == 7 * _KILLS


def test_a_program_that_the_verifier_refuses_leaves_the_old_one_in_place(
    node: Node, tmp_path: pathlib.Path
) -> None:
    """Said in one line; what is in force stays so."""
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    before = node.programs()
    refused = _programs(tmp_path, "count_event(PREFILTER_NESTED);", "count_event(*(int *)0);")
    complaint = node.run("attach", "--programs", str(refused), code=3)

    assert complaint.count("\n") == 1
    assert node.programs() == before
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_maps_of_another_version_are_left_alone(node: Node) -> None:
    """All say so in one line, and `detach` takes them away."""
    node.run("attach", INTERFACE)
    (node.pins / "maps" / "prefilter_hosts").unlink()
    complaints = [
        node.run("add", AROUND[4], "--drop", code=3),
        node.run("attach", code=3),
    ]
    node.run("detach")

    assert all("made by another version" in each and each.count("\n") == 1 for each in complaints)
    assert not node.pins.exists()


def test_whose_program_filters_is_told(node: Node, tmp_path: pathlib.Path) -> None:
    """Of this version, of another one, or with other maps; to ask changes nothing."""
    other = _programs(tmp_path, "count_event(PREFILTER_NESTED);", "")
    node.run("attach", INTERFACE)
    before = node.programs()
    found = [standing.in_force({PREFILTER: node.pins}, sources)[PREFILTER] for sources in (None, other)]
    unchanged = node.programs() == before
    (node.pins / "maps" / "prefilter_hosts").unlink()
    strange = standing.in_force({PREFILTER: node.pins})[PREFILTER]

    assert [one.version for one in (*found, strange)] == [Version.THIS, Version.OTHER, Version.STRANGE]
    assert found[1].programs != found[1].ours
    assert unchanged
    assert standing.in_force({PREFILTER: tmp_path}) == {}


def test_counts_of_another_version_are_not_read_as_ours(node: Node) -> None:
    """They may have another order: what one rule let pass is nothing that another one missed."""
    node.run("attach", INTERFACE)
    times = node.pins / "maps" / "prefilter_times"
    times.unlink()
    with contextlib.ExitStack() as stack:
        older = BpfMap.create("prefilter_times", MapShape(syscalls.PERCPU_ARRAY, 4, 16), 16)
        stack.callback(os.close, older.fd)
        pins.pin(older.fd, times)
    complaint = node.run("list", code=3)

    assert "made by another version" in complaint
    assert complaint.count("\n") == 1


def test_an_interface_that_goes_ends_its_link_and_others_are_not_touched(node: Node) -> None:
    """And one that another program has is refused."""
    node.run("attach", INTERFACE)
    namespace = node.link.receiver
    node.link.run(namespace, "ip", "link", "add", "veth-a", "type", "veth", "peer", "name", "veth-b")
    both = node.run("attach", "veth-a")
    node.link.run(namespace, "ip", "link", "delete", "veth-a")
    left = node.list()["interfaces"]
    node.run("add", AROUND[4], "--drop")
    other = node.run("attach", INTERFACE, "--pins", str(node.home / "bpf" / "other"), code=3)

    assert both == f"filtered: {INTERFACE} (generic), veth-a (generic)\n"
    assert left == [{"interface": INTERFACE, "xdp": "generic"}]
    assert "has another XDP program" in other
    assert node.link.send(SOURCE[4], TARGET[4], 5) == 0


def test_an_interface_of_the_same_number_in_another_namespace_is_another_one(node: Node) -> None:
    """Both are filtered by the same rules; each namespace shows its own, and takes away its own."""
    other = dataclasses.replace(node, link=Link(node.link.receiver, node.link.sender))
    node.run("attach", INTERFACE)
    node.run("add", AROUND[4], "--drop")
    said = other.run("attach", "exit")
    both = node.list()["interfaces"], other.list()["interfaces"]
    during = node.link.send(SOURCE[4], TARGET[4])
    other.run("detach", "exit")
    left = node.list()["interfaces"], other.list()["interfaces"]

    here = namespaces.inside(node.link.receiver, lambda: socket.if_nametoindex(INTERFACE))
    there = namespaces.inside(node.link.sender, lambda: socket.if_nametoindex("exit"))
    assert here == there
    assert said == "filtered: exit (generic)\n"
    assert both == ([{"interface": INTERFACE, "xdp": "generic"}], [{"interface": "exit", "xdp": "generic"}])
    assert (during, node.link.send(SOURCE[4], TARGET[4])) == (0, 0)
    assert left == ([{"interface": INTERFACE, "xdp": "generic"}], [])


def test_a_name_is_said_twice_and_has_no_command_of_a_terminal_in_it(node: Node) -> None:
    """Whoever makes an interface names it."""
    name = "red\x1b[31m"
    node.link.run(node.link.receiver, "ip", "link", "add", name, "type", "ifb")
    attached = node.run("attach", name, name)
    detached = node.run("detach", name, name)

    assert attached == "filtered: red\\x1b[31m (generic)\n"
    assert detached == "not filtered any more: red\\x1b[31m\n"


def test_what_cannot_be_is_said_in_one_line(node: Node) -> None:
    """With the next step, and nothing is done."""
    node.run("attach", INTERFACE)
    for arguments, words in _BAD:
        complaint = node.run(*arguments, code=2)
        assert words in complaint
        assert complaint.count("\n") == 1

    assert node.list()["rules"] == []


def test_without_a_prefilter_or_a_bpf_file_system_one_line_says_what_to_do(node: Node) -> None:
    """Nothing is begun, and what is in a list is told by its line."""
    complaints = [
        node.run("list", code=2),
        node.run("add", "10.0.0.0/8", "--drop", code=2),
        node.run("attach", INTERFACE, "--pins", str(node.home / "none" / "prefilter"), code=3),
        node.run("add", "--from", "-", "--drop", code=2, text="10.0.0.0/8\n\nten # eleven\n"),
    ]

    assert "netsre prefilter attach" in complaints[0]
    assert "netsre prefilter attach" in complaints[1]
    assert "mount -t bpf" in complaints[2]
    assert "<stdin>:3: 'ten' is no network" in complaints[3]
    assert all(each.count("\n") == 1 for each in complaints)


def test_a_list_is_shown_in_eighty_columns(node: Node) -> None:
    """Long networks are folded, and no line is longer."""
    node.run("attach", INTERFACE)
    node.run(
        "add", "2001:db8:1111:2222:3333:4444:5555:6666", "--limit", "4294967295/16777216", "--ttl", "400d"
    )
    node.run("mode", "monitor", "--ttl", "30m")
    shown = node.run("list")

    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"monitor for 2\dm[0-5]\ds", shown)


def _programs(place: pathlib.Path, old: str, new: str) -> pathlib.Path:
    """Return a copy of the C sources with another text."""
    copied = place / "bpf"
    shutil.copytree(directory("bpf"), copied)
    file = copied / "prefilter.c"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return copied
