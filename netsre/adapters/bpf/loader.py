"""The loader: a process of its own that compiles, loads and attaches through bcc, and then is gone.

It hands what it made to the agent over a Unix socket and exits, so that the serving process never has a
compiler in memory. Run as
`python -P -m netsre.adapters.bpf.loader SOCKET_FD SOURCE_DIRECTORY PARENT_PID PART…`; bcc finds its headers
through BCC_KERNEL_SOURCE, which the agent sets to the shim. A part is the name of a probe: it hands over the
descriptors of its maps, programs and attachments, or says why there are none; with `native-histograms` among
them, times are counted for those too. Or it is `block`, alone: it hands over instructions, after it has tried
them.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from netsre.adapters.bpf import attaching, filters, programs, tracepoints
from netsre.adapters.bpf.compiling import Failure, compile_files
from netsre.adapters.bpf.programs import Loaded
from netsre.datapath import block, btf
from netsre.datapath.buckets import CLASSIC, CLASSIC_AND_NATIVE, Cells
from netsre.datapath.probes import NATIVE_HISTOGRAMS, PROBES, Probe, Program

_VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWNET: Final = 0x40000000
_LOOPBACK: Final = 1
"""The number of the first interface of every namespace."""

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


def _load_probes(source: Path, probes: Sequence[Probe], cells: Cells) -> _Reply:
    """Load and attach what can be, each probe by itself."""
    types = _types()
    defines: dict[str, Mapping[str, object]] = {}
    replies: dict[str, Mapping[str, Any]] = {}
    for probe in probes:
        try:
            defines[probe.name] = {**probe.defines(types), **cells.defines()}
        except btf.BtfError as error:
            replies[probe.name] = _refusal(Failure("unknown_layout", str(error)))
    fds: list[int] = []
    compiled = _compiled(source, [probe for probe in probes if probe.name in defines], defines)
    for probe in probes:
        if probe.name in replies:
            continue
        try:
            module = compiled[probe.name]
            if isinstance(module, Failure):
                raise module
            replies[probe.name], made = _attached(probe, module, types)
        except Failure as failure:
            replies[probe.name] = _refusal(failure)
        else:
            fds += made
    return {"probes": replies}, fds


def _compiled(
    source: Path, probes: Sequence[Probe], defines: Mapping[str, Mapping[str, object]]
) -> dict[str, Any]:
    """Return what holds the programs and maps of each probe, or why nothing does.

    One text compiles in little more time than one of its parts. Where it does not, each is tried alone.
    """
    if not probes:
        return {}
    every = {name: value for probe in probes for name, value in defines[probe.name].items()}
    files = dict.fromkeys(file for probe in probes for file in probe.shared)
    try:
        module = compile_files(source, [*files, *(probe.source for probe in probes)], every)
    except Failure as failure:
        if len(probes) == 1:
            return {probes[0].name: failure}
    else:
        return {probe.name: module for probe in probes}
    alone = [_compiled(source, [probe], defines) for probe in probes]
    return {name: module for one in alone for name, module in one.items()}


def _attached(probe: Probe, module: Any, types: btf.TypeTable) -> _Reply:  # noqa: ANN401  bcc's, untyped
    """Return what a probe is made of, and its descriptors: of maps, of programs, of attachments."""
    loaded: list[Loaded] = []
    attachments: list[int] = []
    try:
        for program in probe.programs:
            kind = attaching.kind_of(program, types)
            code = module.dump_func(program.function.encode())
            loaded.append(programs.load(program.name, code, kind))
        numbers = {program.name: _number(program) for program in probe.programs if program.category}
        for program, made in zip(probe.programs, loaded, strict=True):
            if not program.spare and not program.called and not probe.on_demand:
                attachments.append(attaching.attach_program(program, made.fd, numbers))
    except btf.BtfError as error:
        raise Failure("unknown_layout", str(error)) from error
    except (programs.LoadRefused, OSError) as error:
        # What was made of it ends with this process.
        raise Failure("load_failed", f"the kernel does not take the probe {probe.name}: {error}") from error
    reply = {
        "attached": len(attachments),
        "tracepoints": numbers,
        "enums": {name: _enumerators(types, name) for name in probe.enums},
        "verifier_seconds": sum(program.verifier_seconds for program in loaded),
        "verifier_instructions": sum(program.verifier_instructions for program in loaded),
    }
    maps = [module[name].map_fd for name in probe.maps]
    return reply, [*maps, *(program.fd for program in loaded), *attachments]


def _enumerators(types: btf.TypeTable, name: str) -> Mapping[int, str]:
    try:
        return types.enumerators(name)
    except btf.BtfError:
        return {}


def _number(program: Program) -> int:
    try:
        return tracepoints.number(program.category, program.tracepoint)
    except OSError as error:
        fix = "run a kernel built with CONFIG_FTRACE_SYSCALLS=y"
        raise Failure("no_tracepoint", f"{error}; {fix}") from error


def _load_block(source: Path) -> _Reply:
    module = compile_files(source, ["block.c"], block.DEFINES)
    places = {module[name].map_fd: place for place, name in enumerate(filters.MAPS)}
    alone = _leave_for_a_namespace_of_our_own()
    templates, refusals = [], []
    for hook in filters.HOOKS:
        code = programs.with_maps(module.dump_func(hook.function.encode()), places.__getitem__)
        try:
            templates.append(_tried(hook, code, attach=alone).document())
        except (programs.LoadRefused, OSError) as error:
            refusals.append(f"{hook.name}: {error}")
    if not templates:
        raise Failure("load_failed", f"the kernel takes no program that drops: {'; '.join(refusals)}")
    return {"templates": templates}, []


def _leave_for_a_namespace_of_our_own() -> bool:
    """Move to where attaching a program is of no consequence to anybody; return whether we may."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        if code == errno.EPERM:
            return False
        raise Failure("load_failed", f"no network namespace to try programs in: {os.strerror(code)}")
    return True


def _tried(hook: filters.Hook, code: bytes, *, attach: bool) -> filters.Template:
    """Return a template that was loaded, and attached once; what was made for that ends with this process."""
    tried = filters.Filter.load(hook, code)
    if attach:
        os.close(tried.attach(_LOOPBACK))
    return filters.Template(hook, code, tried.program.verifier_seconds, tried.program.verifier_instructions)


def _refusal(failure: Failure) -> Mapping[str, Any]:
    return {"reason": failure.reason, "message": str(failure)}


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent; at once if that is gone already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """Load everything, hand it over, and leave without the clean-up that would detach it again."""
    _die_with_parent(int(arguments[2]))
    channel = socket.socket(fileno=int(arguments[0]))
    source, parts = Path(arguments[1]), arguments[3:]
    try:
        if parts == ["block"]:
            description, fds = _load_block(source)
        else:
            cells = CLASSIC_AND_NATIVE if NATIVE_HISTOGRAMS in parts else CLASSIC
            wanted = [probe for probe in PROBES if probe.name in parts]
            description, fds = _load_probes(source, wanted, cells)
    except Failure as failure:
        channel.sendall(json.dumps(_refusal(failure)).encode())
        os._exit(1)
    message = [json.dumps(description).encode()]
    if fds:
        socket.send_fds(channel, message, fds)
    else:
        channel.sendall(message[0])
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
