"""The programs that drop, on frames of every kind, run by the kernel and judged by another parser."""

import errno
import random
import struct
import time
from collections.abc import Iterator
from typing import Final

import pytest

from bench.packet_cost import frame, run
from netsre.adapters.bpf.filters import HOOKS, XDP, Filter, Hook, Template
from netsre.adapters.bpf.session import open_templates
from netsre.app.resources import directory
from netsre.datapath.block import source_key

pytestmark = [pytest.mark.requires("root", "bpf", "bcc")]

_FRAMES: Final = 120_000
_FRAMES_RUN: Final = 100_000
"""At least so many of them are run; see `verdict_on`."""
_BLOCKED: Final = ("10.9.0.1", "fd09::1")
_OTHERS: Final = ("10.9.0.3", "fd09::3")
_TAGS: Final = (0x8100, 0x88A8)
_ARP: Final = 0x0806
_PASS: Final = {"tc_ingress": -1, "xdp": 2}
_DROP: Final = {"tc_ingress": 2, "xdp": 1}


@pytest.fixture(scope="module")
def templates() -> tuple[Template, ...]:
    """Compile once; every test makes its own instances."""
    return open_templates(directory("bpf"))


@pytest.fixture(params=HOOKS, ids=[hook.name for hook in HOOKS])
def program(request: pytest.FixtureRequest, templates: tuple[Template, ...]) -> Iterator[Filter]:
    """Load a program that drops two sources and is attached nowhere."""
    hook: Hook = request.param
    for template in templates:
        if template.hook == hook:
            made = Filter.load(hook, template.instructions)
            for source in _BLOCKED:
                made.put(source_key(source), time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**12)
            yield made
            made.close()
            return
    pytest.skip(f"this kernel has no {hook.name}")


def behind_tags(packet: bytes) -> tuple[int, bytes]:
    """Return the protocol behind two tags at most, and what it carries; a cut tag stands for itself."""
    at, (protocol,) = 14, struct.unpack_from(">H", packet, 12)
    for _ in range(2):
        if protocol in _TAGS and len(packet) >= at + 4:
            (protocol,) = struct.unpack_from(">H", packet, at + 2)
            at += 4
    return protocol, packet[at:]


def source_of(packet: bytes) -> bytes | None:
    """Return the source that a frame carries, or None where none can be read."""
    protocol, body = behind_tags(packet)
    if protocol == 0x0800 and len(body) >= 20 and body[0] >> 4 == 4:
        return bytes(10) + b"\xff\xff" + body[12:16]
    if protocol == 0x86DD and len(body) >= 40 and body[0] >> 4 == 6:
        return body[8:24]
    return None


def verdict_on(program: Filter, packet: bytes) -> int | None:
    """Return the verdict, or None where the kernel's test run takes no such frame.

    Newer kernels do not run TC programs on IP headers that are cut. Real links do: see the test of links.
    """
    try:
        return run(program.program.fd, packet)[0]
    except OSError as error:
        if error.errno != errno.EINVAL or program.hook == XDP or source_of(packet) is not None:
            raise
        return None


def mangled(chance: random.Random) -> bytes:
    """Return a frame that is whole, cut, changed in a few bytes, or noise."""
    tags = [chance.choice(_TAGS) for _ in range(chance.choice((0, 0, 0, 1, 2, 3)))]
    packet = bytearray(frame(chance.choice(_BLOCKED + _OTHERS), tags))
    match chance.randrange(4):
        case 0:
            del packet[chance.randrange(15, len(packet)) :]
        case 1:
            for _ in range(chance.randrange(1, 4)):
                packet[chance.randrange(len(packet))] = chance.randrange(256)
        case 2 if chance.random() < 0.2:
            packet[14:] = chance.randbytes(chance.randrange(1, 200))
        case _:
            pass
    return bytes(packet)


def test_frames_are_dropped_if_and_only_if_their_source_is_blocked(program: Filter) -> None:
    """Truncated, tagged, changed and random frames: the verdict and both counters, frame by frame."""
    chance = random.Random(9)  # noqa: S311  the same frames in every run
    blocked = {source_key(source) for source in _BLOCKED}
    hook, ran, dropped, unread = program.hook.name, 0, 0, 0
    for _ in range(_FRAMES):
        packet = mangled(chance)
        source = source_of(packet)
        verdict = verdict_on(program, packet)
        if verdict is None:
            continue
        assert verdict == (_DROP if source in blocked else _PASS)[hook], packet.hex()
        ran += 1
        dropped += source in blocked
        unread += source is None and not is_arp(packet)

    assert sum(program.drops(source_key(source)).packets for source in _BLOCKED) == dropped
    assert program.unparsed() == unread
    # Enough of each kind for the claim to mean something.
    assert ran >= _FRAMES_RUN
    assert dropped > _FRAMES // 4
    assert unread > _FRAMES // 20


def is_arp(packet: bytes) -> bool:
    """Say whether a frame says that it is ARP."""
    return behind_tags(packet)[0] == _ARP


@pytest.mark.parametrize("length", range(15, 63))
def test_a_frame_of_every_length_is_answered(program: Filter, length: int) -> None:
    """From one byte after the Ethernet header to the end of an IPv6 header behind two tags."""
    for source in _BLOCKED:
        for tags in ((), (0x8100,), (0x88A8, 0x8100)):
            packet = frame(source, tags)[:length]
            expected = (_PASS if source_of(packet) is None else _DROP)[program.hook.name]

            assert verdict_on(program, packet) in {expected, None}


def test_arp_passes_and_is_not_counted_as_unread(program: Filter) -> None:
    """It has no source to block, and every network has it."""
    packet = bytes(12) + struct.pack(">H", _ARP) + bytes(28)

    assert run(program.program.fd, packet)[0] == _PASS[program.hook.name]
    assert program.unparsed() == 0


def test_less_than_a_frame_never_gets_to_a_program(program: Filter) -> None:
    """The kernel itself refuses to run one on less than an Ethernet header."""
    with pytest.raises(OSError, match="EINVAL") as refused:
        run(program.program.fd, bytes(13))

    assert refused.value.errno == errno.EINVAL


def test_every_run_is_counted_with_its_bytes(program: Filter) -> None:
    """A thousand runs are a thousand packets."""
    packet = frame(_BLOCKED[0])
    run(program.program.fd, packet, 1000)

    assert program.drops(source_key(_BLOCKED[0])) == (1000, 1000 * len(packet))
