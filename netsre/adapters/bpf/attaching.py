"""Attaching: to typed raw tracepoints, to tracepoints as perf knows them, and to hooks of the root cgroup.

Each function returns a descriptor: the program stays attached as long as that is open.
Attribute layout: `union bpf_attr` in linux/bpf.h.
"""

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Mapping
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


def attach_program(program: Program, program_fd: int, numbers: Mapping[str, int]) -> int:
    """Attach a loaded program where its description says; `numbers` has those of perf's, by program.

    Raises `OSError`.
    """
    if program.cgroup:
        return _attach_cgroup(program_fd, _HOOKS[program.cgroup].attach_type, FIRST if program.first else 0)
    if program.category:
        return tracepoints.attach(program_fd, numbers[program.name])
    return programs.attach_tracing(program_fd)


def order(hook: str) -> list[int]:
    """Return the ids of the programs at a hook of the root cgroup, as they run; raises `OSError`."""
    ids = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    with _root() as directory:
        asked = (directory, _HOOKS[hook].attach_type, _EFFECTIVE, 0, ctypes.addressof(ids), len(ids))
        packed = struct.pack("<IIIIQI4x32x", *asked)
        attributes = ctypes.create_string_buffer(packed, len(packed))
        bpf(_QUERY, attributes)
    (found,) = struct.unpack_from("<I", attributes, 24)
    return ids[:found]


def _attach_cgroup(program_fd: int, hook: int, flags: int) -> int:
    """Attach to the root of the unified hierarchy: below it, every process is, in whatever namespace."""
    with _root() as directory:
        # No other program to stand beside (relative), and any revision of the list.
        packed = struct.pack("<IIIIQQ", program_fd, directory, hook, flags, 0, 0)
        return bpf(_LINK_CREATE, ctypes.create_string_buffer(packed, len(packed)))


@contextlib.contextmanager
def _root() -> Iterator[int]:
    root = first_of_each(_MOUNTS.read_bytes()).get("cgroup2")
    if root is None:
        raise FileNotFoundError(errno.ENOENT, "cgroup v2 is not mounted")
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield directory
    finally:
        os.close(directory)
