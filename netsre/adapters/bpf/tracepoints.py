"""Tracepoints as perf knows them: by a number that tracefs tells. Only the loader may look there.

Structure layouts: `struct perf_event_attr` in linux/perf_event.h.
"""

import ctypes
import fcntl
import os
import platform
import struct
from pathlib import Path
from typing import Final

_PLACES: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_NUMBERS: Final = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "ppc64le": 319, "s390x": 331}
_ATTRIBUTE_BYTES: Final = 64
"""As in the first kernel that had it: nothing newer is asked for."""
_TRACEPOINT: Final = 2
_CLOSE_ON_EXEC: Final = 8
_ENABLE: Final = 0x2400
_SET_BPF: Final = 0x40042408
_NEW_MOUNTS: Final = 0x00020000
_PRIVATE: Final = (1 << 14) | (1 << 18)
"""MS_REC and MS_PRIVATE."""


def number(category: str, name: str) -> int:
    """Return the number of a tracepoint; raises `OSError` where this kernel does not have it.

    Where tracefs is not mounted, it is for this process alone, in a namespace of mounts of its own.
    """
    if not any((place / "events").is_dir() for place in _PLACES):
        _mount()
    for place in _PLACES:
        path = place / "events" / category / name / "id"
        if path.exists():
            return int(path.read_text(encoding="ascii"))
    raise FileNotFoundError(2, f"tracefs has no tracepoint {category}:{name}")


def attach(program_fd: int, tracepoint: int) -> int:
    """Attach a loaded program; it stays, on every CPU, as long as the returned descriptor is open."""
    packed = struct.pack("<IIQQ", _TRACEPOINT, _ATTRIBUTE_BYTES, tracepoint, 1)
    attributes = ctypes.create_string_buffer(packed.ljust(_ATTRIBUTE_BYTES, b"\0"), _ATTRIBUTE_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    # Of one CPU, as every perf event; the program runs on all of them.
    fd = libc.syscall(_NUMBERS[platform.machine()], attributes, -1, 0, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        raise _error("perf_event_open")
    try:
        fcntl.ioctl(fd, _SET_BPF, program_fd)
        fcntl.ioctl(fd, _ENABLE, 0)
    except OSError:
        os.close(fd)
        raise
    return int(fd)


def _mount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_MOUNTS) != 0 or libc.mount(b"none", b"/", None, _PRIVATE, None) != 0:
        raise _error("a namespace of mounts of our own")
    if libc.mount(b"netsre", bytes(_PLACES[0]), b"tracefs", 0, None) != 0:
        raise _error(f"tracefs at {_PLACES[0]}")


def _error(what: str) -> OSError:
    error = ctypes.get_errno()
    return OSError(error, f"{what}: {os.strerror(error)}")
