"""A BPF file system of a test's own, which nobody else sees, with maps pinned to it."""

import contextlib
import ctypes
import os
import pathlib
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapShape

_NEW_MOUNTS: Final = 0x00020000
_PRIVATE: Final = (1 << 14) | (1 << 18)
"""MS_REC and MS_PRIVATE."""
_OBJ_PIN, _OBJ_GET = 6, 7
_UPDATE_BATCH: Final = 26

_Result = TypeVar("_Result")
_libc = ctypes.CDLL(None, use_errno=True)


def inside(work: Callable[[pathlib.Path], _Result]) -> _Result:
    """Do some work in a thread with mounts of its own; what it starts sees them too, and they end with it."""
    results: list[_Result] = []
    failures: list[BaseException] = []

    def body(directory: pathlib.Path) -> None:
        try:
            _check(_libc.unshare(_NEW_MOUNTS))
            _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None))
            _check(_libc.mount(b"bpf", os.fsencode(directory), b"bpf", ctypes.c_ulong(0), None))
            results.append(work(directory))
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)

    with tempfile.TemporaryDirectory(prefix="netsre-test-") as directory:
        thread = threading.Thread(target=body, args=(pathlib.Path(directory),))
        thread.start()
        thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _check(status: int) -> None:
    if status != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def pin(path: pathlib.Path, shape: MapShape, capacity: int, entries: int) -> None:
    """Make a map with some entries and leave it to its file."""
    made = BpfMap.create("netsre_test", shape, capacity)
    try:
        fill(made, entries)
        name = ctypes.create_string_buffer(os.fsencode(path))
        packed = struct.pack("<QII", ctypes.addressof(name), made.fd, 0)
        syscalls.bpf(_OBJ_PIN, ctypes.create_string_buffer(packed, len(packed)))
    finally:
        os.close(made.fd)


def fill(into: BpfMap, entries: int) -> None:
    """Add so many entries, in one call."""
    width = into.key_size
    keys = b"".join(number.to_bytes(4, "little") + bytes(width - 4) for number in range(entries))
    if not entries:
        return
    key = ctypes.create_string_buffer(keys, len(keys))
    value = ctypes.create_string_buffer(entries * into.stride)
    packed = struct.pack(
        "<QQQQIIQQ", 0, 0, ctypes.addressof(key), ctypes.addressof(value), entries, into.fd, 0, 0
    )
    syscalls.bpf(_UPDATE_BATCH, ctypes.create_string_buffer(packed, len(packed)))


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[BpfMap]:
    """Open a pinned map for writing."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    packed = struct.pack("<QII", ctypes.addressof(name), 0, 0)
    descriptor = syscalls.bpf(_OBJ_GET, ctypes.create_string_buffer(packed, len(packed)))
    try:
        yield BpfMap.of(path.name, descriptor)
    finally:
        os.close(descriptor)


def output(command: Sequence[str]) -> str:
    """Run a program with these mounts and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


def unpin(path: pathlib.Path) -> None:
    """Take a map's name away, and the map with it."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
