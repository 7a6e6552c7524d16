"""The loader: a process of its own that compiles, loads and attaches through bcc, and then is gone.

It hands the descriptors of maps, programs and attachments to the agent over a Unix socket and exits, so
that the serving process never has a compiler in memory. Run as
`python -P -m netsre.adapters.bpf.loader SOCKET_FD SOURCE_DIRECTORY PARENT_PID`; bcc finds its headers through
BCC_KERNEL_SOURCE, which the agent sets to the shim.
"""

import ctypes
import json
import os
import platform
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from netsre.adapters.bpf import programs
from netsre.datapath import btf, buckets, offsets
from netsre.datapath.flows import DEFINES

_VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_DISTRIBUTION_PACKAGES: Final = "/usr/lib/python3/dist-packages"
_MAPS: Final = ("attempts", "stalls", "flows", "flows_overflow", "attempts_overflow")
_PR_SET_PDEATHSIG: Final = 1
_TRACEPOINT: Final = "inet_sock_set_state"
_PROGRAMS: Final = {"netsre_flows": "inet_sock_set_state", "netsre_flows_b": "inet_sock_set_state_again"}
"""Names in the kernel, and the functions of the source; attached, and so run, in this order."""


class _Failure(Exception):
    """Why the probe cannot run: a named reason and a sentence with the next step."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def import_bcc() -> ModuleType:
    """Return the bcc binding; the distribution ships it for its own Python only, so look there too.

    The package index has an unrelated `bcc`; the right one knows `BPF`.
    """
    for attempt in ("as installed", "from the distribution"):
        try:
            import bcc  # noqa: PLC0415  # Only this process may have it in memory.
        except ImportError:
            pass
        else:
            if hasattr(bcc, "BPF"):
                return bcc  # type: ignore[no-any-return]  # untyped
            del sys.modules["bcc"]
        if attempt == "as installed":
            sys.path.insert(0, _DISTRIBUTION_PACKAGES)
    raise _Failure("no_bcc", "the bcc binding is missing; install it with: apt-get install python3-bpfcc")


def _types() -> btf.TypeTable:
    try:
        raw = _VMLINUX.read_bytes()
    except OSError as error:
        raise _Failure(
            "no_btf",
            f"kernel type information cannot be read ({_VMLINUX}: {error.strerror}); "
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        ) from error
    try:
        return btf.TypeTable(raw)
    except btf.BtfError as error:
        raise _Failure("unknown_layout", str(error)) from error


def include_flags(source: Path) -> list[str]:
    """Return where the compiler finds our headers and the C library's kernel interface headers."""
    triplet = f"{platform.machine()}-linux-gnu"
    return [f"-I{source / 'include'}", "-I/usr/include", f"-I/usr/include/{triplet}"]


def _flags(source: Path, types: btf.TypeTable) -> list[str]:
    defines = DEFINES | dict(offsets.flow_defines(types))
    return [
        *include_flags(source),
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        *(f"-D{name}={value}" for name, value in defines.items()),
        f"-DCONNECT_BUCKETS={buckets.bucket_defines()}",
    ]


def _load(source: Path) -> tuple[dict[str, Any], list[int]]:
    bcc = import_bcc()
    types = _types()
    try:
        tracepoint_type = types.tracepoint(_TRACEPOINT)
        flags = _flags(source, types)
    except btf.BtfError as error:
        raise _Failure("unknown_layout", str(error)) from error
    try:
        module = bcc.BPF(text=(source / "flows.c").read_bytes(), cflags=flags)
    except Exception as error:  # bcc raises bare Exception for every failure
        raise _Failure("compile_failed", f"bcc could not compile flows.c: {error}") from error
    try:
        loaded = [
            programs.load_tracing(name, module.dump_func(function.encode()), tracepoint_type)
            for name, function in _PROGRAMS.items()
        ]
        # The others stay where they are until they are needed: see Session.reinforce.
        attachment = programs.attach_tracing(loaded[0].fd)
    except (programs.LoadRefused, OSError) as error:
        raise _Failure("load_failed", f"the kernel does not take the flow probe: {error}") from error
    description = {
        "maps": list(_MAPS),
        "programs": list(_PROGRAMS),
        "verifier_seconds": sum(program.verifier_seconds for program in loaded),
        "verifier_instructions": sum(program.verifier_instructions for program in loaded),
    }
    return description, [
        *(module[name].map_fd for name in _MAPS),
        *(program.fd for program in loaded),
        attachment,
    ]


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent; at once if that is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """Load everything, hand it over, and leave without the clean-up that would detach it again."""
    _die_with_parent(int(arguments[2]))
    channel = socket.socket(fileno=int(arguments[0]))
    try:
        description, fds = _load(Path(arguments[1]))
    except _Failure as failure:
        channel.sendall(json.dumps({"reason": failure.reason, "message": str(failure)}).encode())
        os._exit(1)
    socket.send_fds(channel, [json.dumps(description).encode()], fds)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
