"""What the programs that drop blocked sources cost per packet, as the kernel times its own test runs."""

import ctypes
import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.filters import Filter
from netsre.adapters.bpf.session import open_templates
from netsre.app.resources import directory
from netsre.datapath.block import source_key

_PROG_TEST_RUN: Final = 10
_ROUNDS: Final = 15
_REPEAT: Final = 200_000
_IPV4: Final = bytes(10) + b"\xff\xff"
_FOR_EVER: Final = 2**63
_BLOCKED: Final = "10.9.0.1"
_OTHER: Final = "10.9.0.3"


@dataclass(frozen=True, slots=True)
class PacketCost:
    """Nanoseconds per packet at one hook; medians of several rounds."""

    hook: str
    passed_ns: float
    """Of a source that is not blocked, while another is."""
    dropped_ns: float


def run(program: int, packet: bytes, repeat: int = 1) -> tuple[int, int]:
    """Have the kernel run a program on a packet; return (verdict, nanoseconds of one run).

    Raises `OSError` (EINVAL) for a packet too short to be a frame.
    """
    data = ctypes.create_string_buffer(packet, len(packet))
    packed = struct.pack(
        "<IIIIQQIIIIQQ", program, 0, len(packet), 0, ctypes.addressof(data), 0, repeat, *[0] * 5
    )
    attributes = ctypes.create_string_buffer(packed, len(packed))
    syscalls.bpf(_PROG_TEST_RUN, attributes)
    (verdict,) = struct.unpack_from("<i", attributes, 4)
    (nanoseconds,) = struct.unpack_from("<I", attributes, 36)
    return verdict, nanoseconds


def frame(source: str, tags: Sequence[int] = ()) -> bytes:
    """Return an Ethernet frame with so many VLAN tags, by their protocol numbers, and a UDP packet."""
    key = source_key(source)
    outer = bytes(12) + b"".join(struct.pack(">HH", tag, 7) for tag in tags)
    if key.startswith(_IPV4):
        header = struct.pack(">BBHIBBH4s4s", 0x45, 0, 48, 0, 64, 17, 0, key[12:], bytes(4))
        return outer + b"\x08\x00" + header + bytes(28)
    return outer + b"\x86\xdd" + struct.pack(">IHBB16s16s", 6 << 28, 28, 17, 64, key, bytes(16)) + bytes(28)


def measure() -> list[PacketCost]:
    """Return the cost at every hook that this kernel has."""
    costs = []
    for template in open_templates(directory("bpf")):
        made = Filter.load(template.hook, template.instructions)
        made.put(source_key(_BLOCKED), _FOR_EVER)
        passed, dropped = (_median(made.program.fd, frame(source)) for source in (_OTHER, _BLOCKED))
        costs.append(PacketCost(template.hook.name, passed, dropped))
        made.close()
    return costs


def _median(program: int, packet: bytes) -> float:
    return statistics.median(run(program, packet, _REPEAT)[1] for _ in range(_ROUNDS))
