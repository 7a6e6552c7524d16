"""The loader: a process of its own that compiles, loads and attaches through bcc, and then is gone.

It hands what it made to the agent over a Unix socket and exits, so that the serving process never has a
compiler in memory. Run as
`python -P -m netsre.adapters.bpf.loader SOCKET_FD SOURCE_DIRECTORY PARENT_PID PART`; bcc finds its headers
through BCC_KERNEL_SOURCE, which the agent sets to the shim. Of the part `flows` it hands over the descriptors
of maps, programs and attachments; of the part `block` the instructions, after it has tried them.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from netsre.adapters.bpf import filters, programs
from netsre.adapters.bpf.compiling import Failure, compile_file
from netsre.datapath import block, btf, buckets, flows, offsets

_VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_MAPS: Final = (
    *("attempts", "stalls", "denied_sources", "last_denial_ns"),
    *("flows", "flows_overflow", "attempts_overflow"),
)
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWNET: Final = 0x40000000
_LOOPBACK: Final = 1
"""The number of the first interface of every namespace."""
_TRACEPOINT: Final = "inet_sock_set_state"
_PROGRAMS: Final = {"netsre_flows": "inet_sock_set_state", "netsre_flows_b": "inet_sock_set_state_again"}
"""Names in the kernel, and the functions of the source; attached, and so run, in this order."""

_Reply = tuple[Mapping[str, Any], list[int]]


def _types() -> btf.TypeTable:
    try:
        raw = _VMLINUX.read_bytes()
    except OSError as error:
        raise Failure(
            "no_btf",
            f"kernel type information cannot be read ({_VMLINUX}: {error.strerror}); "
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y",
        ) from error
    try:
        return btf.TypeTable(raw)
    except btf.BtfError as error:
        raise Failure("unknown_layout", str(error)) from error


def _load_flows(source: Path) -> _Reply:
    types = _types()
    try:
        kind = programs.tracing(types.tracepoint(_TRACEPOINT))
        defines = flows.DEFINES | dict(offsets.flow_defines(types))
    except btf.BtfError as error:
        raise Failure("unknown_layout", str(error)) from error
    module = compile_file(source, "flows.c", defines | {"CONNECT_BUCKETS": buckets.bucket_defines()})
    try:
        loaded = [
            programs.load(name, module.dump_func(function.encode()), kind)
            for name, function in _PROGRAMS.items()
        ]
        # The others stay where they are until they are needed: see Session.reinforce.
        attachment = programs.attach_tracing(loaded[0].fd)
    except (programs.LoadRefused, OSError) as error:
        raise Failure("load_failed", f"the kernel does not take the flow probe: {error}") from error
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


def _load_block(source: Path) -> _Reply:
    module = compile_file(source, "block.c", block.DEFINES)
    places = {module[name].map_fd: place for place, name in enumerate(filters.MAPS)}
    _leave_for_a_namespace_of_our_own()
    templates, refusals = [], []
    for hook in filters.HOOKS:
        code = programs.with_maps(module.dump_func(hook.function.encode()), places.__getitem__)
        try:
            templates.append(_tried(hook, code).document())
        except (programs.LoadRefused, OSError) as error:
            refusals.append(f"{hook.name}: {error}")
    if not templates:
        raise Failure("load_failed", f"the kernel takes no program that drops: {'; '.join(refusals)}")
    return {"templates": templates}, []


def _leave_for_a_namespace_of_our_own() -> None:
    """Move to where attaching a program is of no consequence to anybody."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise Failure("load_failed", f"no network namespace to try programs in: {reason}")


def _tried(hook: filters.Hook, code: bytes) -> filters.Template:
    """Return a template that was loaded and attached once; what was made for that ends with this process."""
    tried = filters.Filter.load(hook, code)
    os.close(tried.attach(_LOOPBACK))
    return filters.Template(hook, code, tried.program.verifier_seconds, tried.program.verifier_instructions)


_PARTS: Final[Mapping[str, Callable[[Path], _Reply]]] = {"flows": _load_flows, "block": _load_block}


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
        description, fds = _PARTS[arguments[3]](Path(arguments[1]))
    except Failure as failure:
        channel.sendall(json.dumps({"reason": failure.reason, "message": str(failure)}).encode())
        os._exit(1)
    message = [json.dumps(description).encode()]
    if fds:
        socket.send_fds(channel, message, fds)
    else:
        channel.sendall(message[0])
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
