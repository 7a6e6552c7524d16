"""Blocks on real links: what is blocked is dropped to the last packet, nothing else, and each block ends."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.packet_cost import frame
from netsre.adapters.bpf import places
from netsre.adapters.bpf.block import Blocks, LoadKey
from netsre.adapters.bpf.filters import HOOKS, Hook, Template
from netsre.adapters.bpf.places import BlockRefused
from netsre.adapters.bpf.session import open_templates
from netsre.app.resources import directory
from netsre.datapath.block import MAX_BLOCKED, NOTHING, Drops
from tests.kernel import beyond
from tests.kernel.block_link import COUNT, INTERFACE, OTHER_SOURCE, SOURCE, TARGET, Link, link, soon
from tests.kernel.programs import held_by
from tests.machine import wait_until

pytestmark = [pytest.mark.requires("root", "bpf", "bcc", "netns", "nft", "ip")]
both_versions = pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
both_hooks = pytest.mark.parametrize("hook", HOOKS, ids=[hook.name for hook in HOOKS])

_HEADERS = {4: 14 + 20 + 8, 6: 14 + 40 + 8}
"""Ethernet, IP and UDP."""


@pytest.fixture(scope="module")
def templates() -> tuple[Template, ...]:
    """Compile once; every test makes its own instances."""
    return open_templates(directory("bpf"))


@pytest.fixture
def path() -> Iterator[Link]:
    """Make a link of this test's own."""
    with link() as made:
        yield made


@contextlib.contextmanager
def blocking(templates: tuple[Template, ...], hook: Hook = HOOKS[0]) -> Iterator[Blocks]:
    """Block by one hook, and take everything back."""
    chosen = [template for template in templates if template.hook == hook]
    if not chosen:
        pytest.skip(f"this kernel has no {hook.name}")
    blocks = Blocks(chosen, beyond.inventory().named, None)
    try:
        yield blocks
    finally:
        blocks.close()


@both_hooks
@both_versions
def test_every_packet_of_a_blocked_source_is_dropped_and_counted_and_no_other(
    templates: tuple[Template, ...], path: Link, hook: Hook, version: int
) -> None:
    """The receiver's firewall is the independent count, of packets and of their bytes."""
    source, other, target = SOURCE[version], OTHER_SOURCE[version], TARGET[version]
    with blocking(templates, hook) as blocks:
        before = path.send(source, target)
        blocks.block(path.receiver, INTERFACE, source, soon(60))
        blocked, beside = path.send(source, target), path.send(other, target)
        dropped = blocks.drops()
        returned = blocks.unblock(path.receiver, INTERFACE, source)
        after = path.send(source, target)
        totals = blocks.totals()

    expected = Drops(COUNT, COUNT * (_HEADERS[version] + 32))
    assert (before, blocked, beside, after) == (COUNT, 0, COUNT, COUNT)
    assert dropped == {(path.receiver, INTERFACE, source): expected}
    assert returned == expected
    assert totals == {(hook.name, f"{path.receiver}/{INTERFACE}"): expected}


@both_hooks
@both_versions
@pytest.mark.parametrize("tags", [(0x8100,), (0x88A8, 0x8100)], ids=["one-tag", "two-tags"])
def test_frames_with_vlan_tags_are_read_behind_them(
    templates: tuple[Template, ...], path: Link, hook: Hook, version: int, tags: tuple[int, ...]
) -> None:
    """Blocked on the interface below, a source is dropped in each of its VLANs."""
    blocked, other = frame(SOURCE[version], tags), frame(OTHER_SOURCE[version], tags)
    with blocking(templates, hook) as blocks:
        before = path.send_frames(blocked)
        blocks.block(path.receiver, INTERFACE, SOURCE[version], soon(60))
        arrived = path.send_frames(blocked), path.send_frames(other)
        [dropped] = blocks.totals().values()

    assert (before, arrived, dropped.packets) == (COUNT, (0, COUNT), COUNT)


@both_hooks
@both_versions
def test_frames_cut_before_the_end_of_their_source_pass_and_are_counted_as_unread(
    templates: tuple[Template, ...], path: Link, hook: Hook, version: int
) -> None:
    """What cannot be read is not dropped; the kernel behind it knows what to do with it."""
    cut = frame(SOURCE[version], (0x88A8, 0x8100))[:-29]
    with blocking(templates, hook) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[version], soon(60))
        unread = blocks.unparsed()
        arrived = path.send_frames(cut)
        counted = blocks.unparsed() - unread
        blocks.unblock(path.receiver, INTERFACE, SOURCE[version])

        assert (arrived, counted) == (COUNT, COUNT)
        assert blocks.unparsed() == unread + COUNT


def test_blocks_on_one_interface_end_one_by_one_and_the_program_with_the_last(
    templates: tuple[Template, ...], path: Link
) -> None:
    """A node on which nothing is blocked has nothing attached and holds no program."""
    with blocking(templates) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        blocks.block(path.receiver, INTERFACE, SOURCE[6], soon(60))
        both = path.passes(4), path.passes(6)
        blocks.unblock(path.receiver, INTERFACE, SOURCE[4])
        one = path.passes(4), path.passes(6)
        attached, held = blocks.attached(), held_by(os.getpid())
        blocks.unblock(path.receiver, INTERFACE, SOURCE[6])
        none = path.passes(4), path.passes(6)

        assert (both, one, none) == ((False, False), (True, False), (True, True))
        assert attached == {(path.receiver, INTERFACE)}
        assert held
        assert blocks.attached() == frozenset()
        assert not held_by(os.getpid()) & held


@both_hooks
def test_a_block_ends_by_its_deadline_alone_and_is_cleared_away_afterwards(
    templates: tuple[Template, ...], path: Link, hook: Hook
) -> None:
    """Nobody does anything at the deadline; the program passes packets by itself from then on."""
    with blocking(templates, hook) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        assert not path.passes()
        assert blocks.holds(path.receiver, INTERFACE, SOURCE[4])
        until = soon(0.3)
        blocks.block(path.receiver, INTERFACE, SOURCE[4], until)
        assert wait_until(lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= until)
        assert path.passes()
        assert not blocks.holds(path.receiver, INTERFACE, SOURCE[4])
        blocks.expire(until - 1)
        assert blocks.attached()
        blocks.expire(until)
        assert not blocks.attached()
        assert sum(drops.packets for drops in blocks.totals().values()) == 5


def test_a_block_asked_for_again_has_the_new_end_and_keeps_its_count(
    templates: tuple[Template, ...], path: Link
) -> None:
    """Longer, then shorter; one block it remains."""
    with blocking(templates) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(0.3))
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        time.sleep(0.4)
        assert not path.passes()
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(0))
        assert path.passes()

        assert blocks.unblock(path.receiver, INTERFACE, SOURCE[4]).packets == 5
        assert blocks.unblock(path.receiver, INTERFACE, SOURCE[4]) == NOTHING


def test_totals_never_fall_over_unblocking_and_blocking_again(
    templates: tuple[Template, ...], path: Link
) -> None:
    """Each attachment is a new program with empty maps; the total goes on where it was."""
    with blocking(templates) as blocks:
        seen = []
        for _ in range(3):
            blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
            path.send(SOURCE[4], TARGET[4])
            seen.append(dict(blocks.totals()))
            blocks.unblock(path.receiver, INTERFACE, SOURCE[4])
            seen.append(dict(blocks.totals()))
        loads = blocks.loads()

    [counts] = [[next(iter(each.values())).packets for each in seen]]
    assert counts == [COUNT, COUNT, 2 * COUNT, 2 * COUNT, 3 * COUNT, 3 * COUNT]
    assert loads[LoadKey("sched_cls", "ok", "none")].times == 4


def test_an_interface_made_anew_is_another_one(templates: tuple[Template, ...], path: Link) -> None:
    """What was blocked on the old one is gone with it; a new block takes hold of the new one."""
    with blocking(templates) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        path.run(path.receiver, "ip", "link", "delete", INTERFACE)
        held = blocks.holds(path.receiver, INTERFACE, SOURCE[4])
        path.run(path.receiver, "ip", "link", "add", INTERFACE, "type", "veth", "peer", "name", "unused")
        blocks.block(path.receiver, INTERFACE, SOURCE[6], soon(60))

        assert not held
        assert not blocks.holds(path.receiver, INTERFACE, SOURCE[4])
        assert blocks.holds(path.receiver, INTERFACE, SOURCE[6])
        path.run(path.receiver, "ip", "link", "delete", INTERFACE)
        blocks.expire(soon(0))
        assert blocks.drops() == {}


def test_a_name_in_two_namespaces_is_two_interfaces(templates: tuple[Template, ...], path: Link) -> None:
    """Same name, same number in its namespace, same source: only the one that was asked for."""
    with link() as twin, blocking(templates) as blocks:
        blocks.block(twin.receiver, INTERFACE, SOURCE[4], soon(60))

        assert path.passes()
        assert not twin.passes()


@contextlib.contextmanager
def holder(path: Link, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run a process that blocks a source and then sleeps; enter once it blocks."""
    command = [sys.executable, "-m", "tests.kernel.block_holder"]
    arguments = [path.receiver, INTERFACE, SOURCE[4], str(seconds)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "blocked\n"
            yield process
        finally:
            process.kill()


def test_kill_9_of_the_holder_ends_the_block(path: Link) -> None:
    """The kernel detaches what nobody holds any more."""
    with holder(path, 60) as process:
        held = held_by(process.pid)
        blocked = not path.passes()
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert held
        assert blocked
        assert wait_until(path.passes)


def test_a_stopped_holder_does_not_delay_the_end_of_the_block(path: Link) -> None:
    """The deadline is the kernel's business."""
    with holder(path, 2) as process:
        process.send_signal(signal.SIGSTOP)
        blocked = not path.passes()
        until = soon(2)

        assert blocked
        assert wait_until(lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= until)
        assert path.passes()


def test_what_cannot_be_blocked_is_refused_by_a_word_and_leaves_nothing(
    templates: tuple[Template, ...], path: Link
) -> None:
    """Each reason on the real thing; nothing attached, nothing loaded, nothing counted."""
    path.run(path.receiver, "ip", "tuntap", "add", "mode", "tun", "name", "tunnel")
    cases = {
        ("netsre-test-nowhere", INTERFACE, SOURCE[4]): "no_namespace",
        (path.receiver, "nothing", SOURCE[4]): "no_interface",
        (path.receiver, "tunnel", SOURCE[4]): "not_ethernet",
        (path.receiver, INTERFACE, "10.9.0.256"): "bad_source",
        (path.receiver, INTERFACE, "fe80::1%entry"): "bad_source",
    }
    before = held_by(os.getpid())
    with blocking(templates) as blocks:
        for (netns, interface, source), reason in cases.items():
            with pytest.raises(BlockRefused) as refused:
                blocks.block(netns, interface, source, soon(60))
            assert (source, refused.value.reason) == (source, reason)

        assert blocks.attached() == frozenset()
        assert held_by(os.getpid()) == before
        assert blocks.totals() == {}


def test_an_interface_that_belongs_to_another_program_is_busy(
    templates: tuple[Template, ...], path: Link
) -> None:
    """XDP takes one program; what is there stays, and nothing of ours is left beside it."""
    with blocking(templates, HOOKS[1]) as first, blocking(templates, HOOKS[1]) as second:
        first.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        before = held_by(os.getpid())
        with pytest.raises(BlockRefused) as refused:
            second.block(path.receiver, INTERFACE, SOURCE[6], soon(60))

        assert refused.value.reason == "busy"
        assert held_by(os.getpid()) == before
        assert (path.passes(4), path.passes(6)) == (False, True)


def test_a_full_table_refuses_one_more_and_keeps_the_others(
    templates: tuple[Template, ...], path: Link
) -> None:
    """As many as promised fit; ending one makes room for one."""
    with blocking(templates) as blocks:
        blocks.block(path.receiver, INTERFACE, SOURCE[4], soon(60))
        for number in range(MAX_BLOCKED - 1):
            blocks.block(path.receiver, INTERFACE, f"192.0.2.{number}", soon(60))
        with pytest.raises(BlockRefused) as refused:
            blocks.block(path.receiver, INTERFACE, SOURCE[6], soon(60))

        assert refused.value.reason == "full"
        assert (path.passes(4), path.passes(6)) == (False, True)
        blocks.unblock(path.receiver, INTERFACE, "192.0.2.1")
        blocks.block(path.receiver, INTERFACE, SOURCE[6], soon(60))
        assert not path.passes(6)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(1, "no"), "not_permitted"),
        (PermissionError(13, "no"), "not_permitted"),
        (OSError(12, "no"), "no_memory"),
        (OSError(22, "no"), "refused_by_kernel"),
        (OSError("without a number"), "refused_by_kernel"),
    ],
)
def test_whatever_the_kernel_says_becomes_one_refusal_with_a_word(error: OSError, reason: str) -> None:
    """A number without a word of its own is said as such."""
    with (
        pytest.raises(BlockRefused, match="a source cannot be blocked") as refused,
        places.refusing("a source cannot be blocked"),
    ):
        raise error

    assert refused.value.reason == reason
