"""The loader: a process of its own that compiles, loads and attaches through bcc, and then is gone.

It hands the descriptors of maps, programs and attachments to the agent over a Unix socket and exits, so
that the serving process never has a compiler in memory. Run as
`python -m netsre.adapters.bpf.loader SOCKET_FD SOURCE_DIRECTORY`; bcc finds its headers through
BCC_KERNEL_SOURCE, which the agent sets to the shim.
"""

import json
import os
import platform
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from netsre.datapath import btf, buckets, offsets
from netsre.datapath.flows import DEFINES

_VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_DISTRIBUTION_PACKAGES: Final = "/usr/lib/python3/dist-packages"
_MAPS: Final = ("attempts", "stalls", "flows", "flows_overflow", "attempts_overflow")
_TRACEPOINT: Final = "inet_sock_set_state"
_FUNCTION: Final = f"raw_tracepoint__{_TRACEPOINT}"


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


def _offsets() -> dict[str, int]:
    try:
        raw = _VMLINUX.read_bytes()
    except OSError as error:
        raise _Failure(
            "no_btf",
            f"kernel type information cannot be read ({_VMLINUX}: {error.strerror}); "
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        ) from error
    try:
        return dict(offsets.flow_defines(btf.TypeTable(raw)))
    except btf.BtfError as error:
        raise _Failure("unknown_layout", str(error)) from error


def _flags(source: Path) -> list[str]:
    triplet = f"{platform.machine()}-linux-gnu"
    defines = DEFINES | _offsets()
    return [
        f"-I{source / 'include'}",
        "-I/usr/include",
        f"-I/usr/include/{triplet}",
        "-Wall",
        "-Werror",
        "-Wno-unused-function",
        *(f"-D{name}={value}" for name, value in defines.items()),
        f"-DCONNECT_BUCKETS={buckets.bucket_defines()}",
    ]


def _load(source: Path) -> tuple[dict[str, Any], list[int]]:
    bcc = import_bcc()
    flags = _flags(source)
    began = time.monotonic()
    try:
        text = (source / "flows.c").read_bytes()
        module = bcc.BPF(text=text, cflags=flags)
    except Exception as error:  # bcc raises bare Exception for compiler, verifier and attach alike.
        raise _Failure("load_failed", f"bcc could not load flows.c: {error}") from error
    fds = [module[name].map_fd for name in _MAPS]
    fds.append(module.funcs[_FUNCTION.encode()].fd)
    fds.append(module.raw_tracepoint_fds[_TRACEPOINT.encode()])
    description = {
        "maps": list(_MAPS),
        "program": "flows",
        "type": "raw_tracepoint",
        "load_seconds": time.monotonic() - began,
    }
    return description, fds


def main(arguments: Sequence[str]) -> None:
    """Load everything, hand it over, and leave without the clean-up that would detach it again."""
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
