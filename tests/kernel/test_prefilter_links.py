"""The prefilter on real links: the receiver's own firewall counts what it lets through."""

import contextlib
import errno
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.packet_cost import frame
from netsre.adapters import namespaces
from netsre.adapters.bpf.prefilter import BUCKETS, Prefilter
from netsre.datapath.block import NOTHING, Drops, source_key
from netsre.datapath.policy.modes import Mode, Setting
from netsre.datapath.prefilter import BUCKET, BUCKET_KEY, ENFORCED, TOKEN, Action, Event, Limit, Rule
from tests.kernel import bpffs
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, SOURCE, TARGET, Link, link, soon
from tests.kernel.programs import held_by
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])

_HEADERS = {4: 14 + 20 + 8, 6: 14 + 40 + 8}
"""Ethernet, IP and UDP."""
_PAYLOAD = 32
AROUND = {4: "10.9.0.0/24", 6: "fd09::/64"}


@pytest.fixture
def path() -> Iterator[Link]:
    """Make a link of this test's own."""
    with link() as made:
        yield made


@pytest.fixture
def prefilter(prefilter_instructions: bytes, path: Link) -> Iterator[Prefilter]:
    """Attach one where packets come in, without rules."""
    made = Prefilter.load(prefilter_instructions)
    attach(made, path)
    yield made
    made.close()


def attach(prefilter: Prefilter, path: Link) -> int:
    """Attach to the receiver's interface."""
    return namespaces.inside(path.receiver, lambda: prefilter.attach(socket.if_nametoindex(INTERFACE)))


@both_versions
def test_every_packet_of_a_network_is_dropped_and_counted_and_no_other(
    prefilter: Prefilter, path: Link, version: int
) -> None:
    """An exception for one source, whose packets are counted as well; after the rules are gone all pass."""
    source, other, target = SOURCE[version], OTHER_SOURCE[version], TARGET[version]
    before = path.send(source, target)
    around = Rule(ipaddress.ip_network(AROUND[version]), Action.DROP)
    excepted = Rule(ipaddress.ip_network(other), Action.PASS)
    prefilter.put(around)
    prefilter.put(excepted)
    during = path.send(source, target), path.send(other, target)
    counts = prefilter.rules()
    [removed] = prefilter.remove(around.network).values()
    after = path.send(source, target)

    each = Drops(COUNT, COUNT * (_HEADERS[version] + _PAYLOAD))
    assert (before, during, after) == (COUNT, (0, COUNT), COUNT)
    assert (counts[around].dropped, counts[excepted].passed) == (each, each)
    assert (counts[around].passed, counts[excepted].dropped, removed) == (NOTHING, NOTHING, counts[around])
    assert prefilter.events() == dict.fromkeys(Event, 0)


@both_versions
@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8, 0x8100)], ids=["one-tag", "two-tags"])
def test_frames_with_vlan_tags_are_read_behind_them(
    prefilter: Prefilter, path: Link, version: int, tags: tuple[int, ...]
) -> None:
    """A source is dropped in each of its VLANs."""
    prefilter.put(Rule(ipaddress.ip_network(SOURCE[version]), Action.DROP))
    arrived = (
        path.send_frames(frame(SOURCE[version], tags)),
        path.send_frames(frame(OTHER_SOURCE[version], tags)),
    )

    assert arrived == (0, COUNT)


@both_versions
def test_frames_that_are_cut_pass_and_are_counted(prefilter: Prefilter, path: Link, version: int) -> None:
    """The kernel behind it knows what to do with them."""
    prefilter.put(Rule(ipaddress.ip_network(AROUND[version]), Action.DROP))

    assert path.send_frames(frame(SOURCE[version], (0x88A8, 0x8100))[:-29]) == COUNT
    assert prefilter.events()[Event.UNREADABLE] == COUNT


@both_versions
def test_what_a_source_may_send_is_what_arithmetic_says_to_the_packet(
    prefilter: Prefilter, path: Link, version: int
) -> None:
    """Of thousands in a row as many arrive as came into its bucket; another source has one of its own."""
    source, other, target = SOURCE[version], OTHER_SOURCE[version], TARGET[version]
    # After fifty packets it takes 25 s to be full again, and to lose what comes in.
    limit = Limit(2, 60)
    rule = Rule(ipaddress.ip_network(AROUND[version]), Action.LIMIT, limit)
    prefilter.put(rule)

    def bucket() -> tuple[int, int]:
        value = prefilter.maps[BUCKETS].lookup(BUCKET_KEY.pack(source_key(source), 1))
        assert value is not None
        level, filled_ns = BUCKET.unpack(value)
        return level, filled_ns

    first = path.send(source, target, 50)
    level, since_ns = bucket()
    arrived = 0
    for _ in range(5):
        arrived += path.send(source, target, 1000)
    left, until_ns = bucket()
    beside = path.send(other, target, 60)
    counts = prefilter.rules()[rule]

    assert first == 50
    assert arrived * TOKEN == level - left + (until_ns - since_ns) * limit.rate
    assert 0 <= left < TOKEN * limit.burst
    assert beside == 60
    size = _HEADERS[version] + _PAYLOAD
    passed, dropped = first + arrived + beside, 5000 - arrived
    assert (counts.passed, counts.dropped) == (Drops(passed, passed * size), Drops(dropped, dropped * size))


def test_all_that_would_be_dropped_arrives_and_is_counted_while_all_rules_only_watch(
    prefilter: Prefilter, path: Link
) -> None:
    """Both families, and then both are dropped from the next packet on."""
    rules = [Rule(ipaddress.ip_network(SOURCE[version]), Action.DROP) for version in (4, 6)]
    for rule in rules:
        prefilter.put(rule)
    prefilter.set_mode(Setting(Mode.MONITOR))
    watched = [path.send(SOURCE[version], TARGET[version]) for version in (4, 6)]
    audited = [prefilter.rules()[rule].audited.packets for rule in rules]
    prefilter.set_mode(ENFORCED)
    dropped = [path.send(SOURCE[version], TARGET[version]) for version in (4, 6)]

    assert (watched, audited, dropped) == ([COUNT] * 2, [COUNT] * 2, [0, 0])


def test_an_interface_that_belongs_to_another_program_is_refused(
    prefilter: Prefilter, prefilter_instructions: bytes, path: Link
) -> None:
    """The first stays, and the second is held by nobody once it is closed."""
    prefilter.put(Rule(ipaddress.ip_network(SOURCE[4]), Action.DROP))
    before = held_by(os.getpid())
    second = Prefilter.load(prefilter_instructions)
    with pytest.raises(OSError, match=r"EBUSY|EEXIST") as refused:
        attach(second, path)
    second.close()

    assert refused.value.errno in {errno.EBUSY, errno.EEXIST}
    assert held_by(os.getpid()) == before
    assert not path.passes()


@contextlib.contextmanager
def holder(path: Link, file: Path, seconds: float, word: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process that leaves a prefilter to a file; enter once it works, with the end of its rules."""
    arguments = [path.receiver, INTERFACE, str(file), str(seconds), word]
    command = [sys.executable, "-m", "tests.kernel.prefilter_holder", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("word", "before", "after"),
    [("enforce", False, True), ("monitor", True, False)],
    ids=["block", "test-mode"],
)
def test_ends_come_with_every_process_dead(path: Link, word: str, *, before: bool, after: bool) -> None:
    """A block ends, and a test mode turns into a block; the program and its maps are held by a file alone."""

    def passes() -> list[bool]:
        return [path.passes(4), path.passes(6)]

    def work(directory: Path) -> tuple[bool, list[bool], list[bool]]:
        file = directory / "prefilter"
        with holder(path, file, 6, word) as (process, end):
            process.kill()
            process.wait()
            dead = passes()
            in_time = soon(0) < end
            assert wait_until(lambda: soon(0) >= end)
            over = passes()
            file.unlink()
            assert wait_until(lambda: all(passes()))
            return dead == [before] * 2 or not in_time, over, passes()

    assert bpffs.inside(work) == (True, [after] * 2, [True] * 2)
