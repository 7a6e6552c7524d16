"""Attaching: to typed raw tracepoints, to tracepoints as perf knows them, and to hooks of the root cgroup.

Each function returns a descriptor: the program stays attached as long as that is open.
Attribute layout: `union bpf_attr` in linux/bpf.h.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import programs, tracepoints
from netsre.adapters.bpf.syscalls import bpf
from netsre.datapath.btf import TypeTable
from netsre.datapath.mounts import first_of_each
from netsre.datapath.probes import Program

_MOUNTS: Final = Path("/proc/self/mounts")
_LINK_CREATE: Final = 28
FIRST: Final = 1 << 3 | 1 << 6
"""BPF_F_BEFORE and BPF_F_PREORDER, with none named: before all others of this cgroup, and before those of the
cgroups below it, which else come first. Of links since Linux 6.17."""
_QUERY: Final = 16
_EFFECTIVE: Final = 1
_MOST_PROGRAMS: Final = 64
"""The kernel runs no more of a cgroup at one hook."""
_SOCKET: Final = 9
_SOCKET_ADDRESS: Final = 18
_HOOKS: Final = {
    "connect4": programs.Kind(_SOCKET_ADDRESS, 10),
    "connect6": programs.Kind(_SOCKET_ADDRESS, 11),
    "sendmsg4": programs.Kind(_SOCKET_ADDRESS, 14),
    "sendmsg6": programs.Kind(_SOCKET_ADDRESS, 15),
    "recvmsg4": programs.Kind(_SOCKET_ADDRESS, 19),
    "recvmsg6": programs.Kind(_SOCKET_ADDRESS, 20),
    "getpeername4": programs.Kind(_SOCKET_ADDRESS, 29),
    "getpeername6": programs.Kind(_SOCKET_ADDRESS, 30),
    "sock_create": programs.Kind(_SOCKET, 2),
    "sock_release": programs.Kind(_SOCKET, 34),
}
"""Hooks of a cgroup by their names in libbpf's sections."""


def kind_of(program: Program, types: TypeTable) -> programs.Kind:
    """Return what the kernel must know of a program; raises `BtfError` where it has no such tracepoint."""
    if program.cgroup:
        return _HOOKS[program.cgroup]
    if program.category:
        return programs.TRACEPOINT
    if program.called:
        return programs.RAW_TRACEPOINT
    return programs.tracing(types.tracepoint(program.tracepoint))


def kind_at(hook: str) -> programs.Kind:
    """Return what the kernel must know of a program for a hook of a cgroup."""
    return _HOOKS[hook]


def attach_program(program: Program, program_fd: int, numbers: Mapping[str, int]) -> int:
    """Attach a loaded program where its description says; `numbers` has those of perf's, by program.

    Raises `OSError`.
    """
    if program.cgroup:
        with _opened_root() as directory:
            return attach_cgroup(program_fd, program.cgroup, directory, FIRST if program.first else 0)
    if program.category:
        return tracepoints.attach(program_fd, numbers[program.name])
    return programs.attach_tracing(program_fd)


def attach_cgroup(program_fd: int, hook: str, directory: int, flags: int = 0) -> int:
    """Attach a loaded program at a hook of a cgroup: for all processes of it and of those below.

    The cgroup is an open directory of the unified hierarchy; below its root every process is, in whatever
    namespace. Raises `OSError`.
    """
    # No other program to stand beside (relative), and any revision of the list.
    packed = struct.pack("<IIIIQQ", program_fd, directory, _HOOKS[hook].attach_type, flags, 0, 0)
    return bpf(_LINK_CREATE, ctypes.create_string_buffer(packed, len(packed)))


def orders(hooks: Iterable[str]) -> dict[str, list[int]]:
    """Return the ids of the programs at hooks of the root cgroup, as they run; raises `OSError`."""
    with _opened_root() as directory:
        return {hook: _order(directory, _HOOKS[hook].attach_type) for hook in hooks}


def _order(directory: int, hook: int) -> list[int]:
    ids = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    packed = struct.pack("<IIIIQI4x32x", directory, hook, _EFFECTIVE, 0, ctypes.addressof(ids), len(ids))
    attributes = ctypes.create_string_buffer(packed, len(packed))
    bpf(_QUERY, attributes)
    (found,) = struct.unpack_from("<I", attributes, 24)
    return ids[:found]


def root() -> Path:
    """Return the root of the unified hierarchy; raises `FileNotFoundError` where it is not mounted."""
    found = first_of_each(_MOUNTS.read_bytes()).get("cgroup2")
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "cgroup v2 is not mounted")
    return Path(os.fsdecode(found))


def cgroup_of(number: int) -> Path | None:
    """Return the directory of a cgroup by what the kernel calls it; None where there is none."""
    # A cgroup that ends while we look takes its directory along, and is none.
    return next((Path(path) for path, _, _ in os.walk(root()) if _inode(path) == number), None)


def _inode(path: str) -> int:
    with contextlib.suppress(OSError):
        return Path(path).stat().st_ino
    return 0


@contextlib.contextmanager
def _opened_root() -> Iterator[int]:
    directory = os.open(root(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)
