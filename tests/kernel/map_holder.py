"""A process of its own that makes BPF maps and holds them: `python -m tests.kernel.map_holder NAME_HEX MAP…`.

A map is `name:kind:capacity:entries`; with `:used` behind it, only a program that uses it is held.
It says `ready` when all are made and filled, and ends with its input.
"""

import contextlib
import ctypes
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from netsre.adapters.bpf import programs, syscalls

_PR_SET_NAME: Final = 15
_MAP_CREATE: Final = 0
_UPDATE: Final = 2
_NO_PREALLOC: Final = 1
_LPM_TRIE: Final = 11
_RING_BUFFER: Final = 27
_SOCKET_FILTER: Final = programs.Kind(1)
_SIZES: Final = {_RING_BUFFER: (0, 0), _LPM_TRIE: (8, 8)}


def make(name: str, kind: int, capacity: int, entries: int) -> int:
    """Make a map and fill it; return its descriptor."""
    key_size, value_size = _SIZES.get(kind, (4, 8))
    flags = _NO_PREALLOC if kind == _LPM_TRIE else 0
    packed = struct.pack("<7I16s", kind, key_size, value_size, capacity, flags, 0, 0, name.encode())
    fd = syscalls.bpf(_MAP_CREATE, ctypes.create_string_buffer(packed, len(packed)))
    value = ctypes.create_string_buffer(8 * syscalls.possible_cpus())
    for number in range(entries):
        key = (
            struct.pack("<I", number) if key_size == 4 else struct.pack("<I", 32) + struct.pack(">I", number)
        )
        place = ctypes.create_string_buffer(key, len(key))
        update = struct.pack("<IIQQQ", fd, 0, ctypes.addressof(place), ctypes.addressof(value), 0)
        syscalls.bpf(_UPDATE, ctypes.create_string_buffer(update, len(update)))
    return fd


def _using(fd: int) -> bytes:
    """Return a program that names a map and does nothing with it."""
    load_map = struct.pack("<BBhi", 0x18, 1 | 1 << 4, 0, fd) + bytes(8)
    return load_map + struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)


@contextlib.contextmanager
def holding(command: bytes, *maps: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a holder with this command name until the end of the block."""
    arguments = [sys.executable, "-m", "tests.kernel.map_holder", command.hex(), *maps]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.stdin.close()


def main() -> None:
    """Make the maps and wait."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, bytes.fromhex(sys.argv[1]), 0, 0, 0)
    for wanted in sys.argv[2:]:
        name, kind, capacity, entries, *used = wanted.split(":")
        fd = make(name, int(kind), int(capacity), int(entries))
        if used:
            programs.load("t_user", _using(fd), _SOCKET_FILTER)
            os.close(fd)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
