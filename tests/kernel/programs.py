"""What the kernel says of loaded BPF programs."""

import ctypes
import struct
import time
from typing import Final

from netsre.adapters.bpf import syscalls

_NEXT_ID: Final = 11
"""The bpf(2) command that walks over the ids of all loaded programs."""


def program_ids() -> frozenset[int]:
    """Return the ids of all loaded programs."""
    found: set[int] = set()
    last = 0
    while True:
        attributes = ctypes.create_string_buffer(struct.pack("<III", last, 0, 0), 12)
        try:
            syscalls.bpf(_NEXT_ID, attributes)
        except FileNotFoundError:
            return frozenset(found)
        (last,) = struct.unpack_from("<I", attributes, 4)
        found.add(last)


def gone(ids: frozenset[int], seconds: float = 5.0) -> bool:
    """Say whether the kernel frees all of these programs in time, a moment after their last holder."""
    deadline = time.monotonic() + seconds
    while program_ids() & ids:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
