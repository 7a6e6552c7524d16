"""What the kernel says of loaded BPF programs, and who holds them."""

import contextlib
import ctypes
import os
import pathlib
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf import syscalls
from tests.machine import wait_until

_NEXT_ID: Final = 11
"""The bpf(2) command that walks over the ids of all loaded programs."""
_DESCRIPTOR_OF_ID: Final = 13
_DESCRIPTOR_OF_MAP: Final = 14
_DESCRIPTOR_OF_LINK: Final = 30
_INFO_OF_DESCRIPTOR: Final = 15
_NAME: Final = slice(64, 80)
"""Where `struct bpf_prog_info` has the program's name."""
_OURS: Final = "netsre_"
"""How the names of our programs begin, as the kernel keeps them."""


def ids_of_our_kind(begins: str | tuple[str, ...] = _OURS) -> frozenset[int]:
    """Return the ids of all loaded programs whose names begin as those of ours, whoever loaded them."""
    found: set[int] = set()
    last = 0
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("<III", last, 0, 0), 12)
        try:
            syscalls.bpf(_NEXT_ID, attributes)
        except FileNotFoundError:
            return frozenset(found)
        (last,) = struct.unpack_from("<I", attributes, 4)
        if _name(last).startswith(begins):
            found.add(last)


def _open(program: int) -> int | None:
    """Return a descriptor of a program; None when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        asked = ctypes.create_string_buffer(struct.pack("<III", program, 0, 0))
        return syscalls.bpf(_DESCRIPTOR_OF_ID, asked)
    return None


def _name(program: int) -> str:
    """Return the name of a program; empty when it is gone meanwhile."""
    descriptor = _open(program)
    if descriptor is None:
        return ""
    try:
        info = ctypes.create_string_buffer(_NAME.stop)
        where = struct.pack("<IIQ", descriptor, len(info), ctypes.addressof(info))
        syscalls.bpf(_INFO_OF_DESCRIPTOR, ctypes.create_string_buffer(where))
    finally:
        os.close(descriptor)
    return info.raw[_NAME].rstrip(b"\0").decode()


@dataclass(frozen=True, slots=True)
class Held:
    """Ids of what a process has descriptors of."""

    programs: frozenset[int] = frozenset()
    maps: frozenset[int] = frozenset()
    links: frozenset[int] = frozenset()

    @property
    def left(self) -> "Held":
        """Return what of it is still in the kernel."""
        return Held(
            _existing(self.programs, _DESCRIPTOR_OF_ID),
            _existing(self.maps, _DESCRIPTOR_OF_MAP),
            _existing(self.links, _DESCRIPTOR_OF_LINK),
        )


def held_by_process(pid: int) -> Held:
    """Return everything of BPF that a process has descriptors of; nothing when it is gone."""
    found = Counter[tuple[str, int]]()
    with contextlib.suppress(OSError):
        for entry in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            # A descriptor may be closed meanwhile, and one always is: that of this very listing.
            with contextlib.suppress(OSError):
                lines = entry.read_text(encoding="ascii").splitlines()
                words = (line.split() for line in lines if "_id:" in line)
                found.update((word, int(number)) for word, number in words)
    return Held(
        *(frozenset(n for word, n in found if word == kind) for kind in ("prog_id:", "map_id:", "link_id:"))
    )


def held_by(pid: int) -> frozenset[int]:
    """Return the ids of the programs that a process has descriptors of; none when it is gone."""
    return held_by_process(pid).programs


def held_by_others() -> frozenset[int]:
    """Return the ids of the programs that some other process on this machine holds."""
    others = (int(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdecimal())
    return frozenset().union(*(held_by(pid) for pid in others if pid != os.getpid()))


def freed(ids: frozenset[int]) -> bool:
    """Say whether the kernel frees all of these programs in time, a moment after their last holder."""
    return wait_until(lambda: not any(map(_is_loaded, ids)))


def _is_loaded(program: int) -> bool:
    return bool(_existing(frozenset({program}), _DESCRIPTOR_OF_ID))


def _existing(ids: frozenset[int], command: int) -> frozenset[int]:
    """Return those of which the kernel still gives out a descriptor."""
    found = set()
    for each in ids:
        with contextlib.suppress(FileNotFoundError):
            os.close(syscalls.bpf(command, ctypes.create_string_buffer(struct.pack("<III", each, 0, 0))))
            found.add(each)
    return frozenset(found)
