"""The loader: a process of its own that compiles, loads and attaches through bcc, and then is gone.

It hands what it made to the agent over a Unix socket and exits, so that the serving process never has a
compiler in memory. Run as
`python -P -m netsre.adapters.bpf.loader SOCKET_FD SOURCE_DIRECTORY PARENT_PID PART…`; bcc finds its headers
through BCC_KERNEL_SOURCE, which the agent sets to the shim. A part is the name of a probe: it hands over the
descriptors of its maps, programs and attachments, or says why there are none; with `native-histograms` among
them, times are counted for those too. Or it is `block`, `policy`, `prefilter` or `balance`, alone: it hands
over instructions, after it has tried them.
"""

import base64
import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from netsre.adapters.bpf import attaching, filters, programs, tracepoints
from netsre.adapters.bpf.compiled import Compiled
from netsre.adapters.bpf.compiling import Failure, compile_files
from netsre.adapters.bpf.programs import Loaded
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.adapters.bpf.tried import Part
from netsre.datapath import block, btf
from netsre.datapath.buckets import CLASSIC, CLASSIC_AND_NATIVE, Cells
from netsre.datapath.probes import NATIVE_HISTOGRAMS, PROBES, Probe, Program

_VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWNET: Final = 0x40000000
_LOOPBACK: Final = 1
"""The number of the first interface of every namespace."""

_Reply = tuple[Mapping[str, Any], list[int]]


class _Made(NamedTuple):
    """What was compiled, and the maps that were made for it."""

    compiled: Compiled
    maps: Mapping[str, BpfMap]

    def code(self, function: str) -> bytes:
        """Return the instructions of a function, as the kernel takes them."""
        return self.compiled.code(function, {name: one.fd for name, one in self.maps.items()})


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
    compiled = _compiled(source, [probe for probe in probes if probe.name in defines], defines)
    fds: list[int] = []
    known = [probe for probe in probes if probe.name in compiled]
    # The kernel verifies as many at once as there are processors.
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda probe: _made(probe, compiled[probe.name], types), known)
        for probe, (reply, descriptors) in zip(known, made, strict=True):
            replies[probe.name] = reply
            fds += descriptors
    return {"probes": replies}, fds


def _compiled(
    source: Path, probes: Sequence[Probe], defines: Mapping[str, Mapping[str, object]]
) -> dict[str, _Made | Failure]:
    """Return what holds the programs and maps of each probe, or why nothing does.

    One text compiles in little more time than one of its parts. Where it does not, each is tried alone.
    """
    if not probes:
        return {}
    every = {name: value for probe in probes for name, value in defines[probe.name].items()}
    files = dict.fromkeys(file for probe in probes for file in probe.shared)
    try:
        made = _mapped(compile_files(source, [*files, *(probe.source for probe in probes)], every))
    except Failure as failure:
        if len(probes) == 1:
            return {probes[0].name: failure}
    else:
        return {probe.name: made for probe in probes}
    alone = [_compiled(source, [probe], defines) for probe in probes]
    return {name: each for one in alone for name, each in one.items()}


def _mapped(compiled: Compiled) -> _Made:
    """Return it with its maps; raises `Failure`."""
    # Before Linux 5.11 they were memory that is locked.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        return _Made(compiled, compiled.made())
    except OSError as error:
        raise Failure("load_failed", f"the kernel does not make the maps: {error}") from error


def _made(probe: Probe, made: _Made | Failure, types: btf.TypeTable) -> _Reply:
    """Return what a probe is made of, or why it is not there."""
    try:
        if isinstance(made, Failure):
            raise made
        return _attached(probe, made, types)
    except Failure as failure:
        return _refusal(failure), []


def _attached(probe: Probe, made: _Made, types: btf.TypeTable) -> _Reply:
    """Return what a probe is made of, and its descriptors: of maps, of programs, of attachments."""
    loaded: list[Loaded] = []
    attachments: list[int] = []
    try:
        for program in probe.programs:
            kind = attaching.kind_of(program, types)
            loaded.append(programs.load(program.name, made.code(program.function), kind))
        numbers = {program.name: _number(program) for program in probe.programs if program.category}
        for program, one in zip(probe.programs, loaded, strict=True):
            if not program.spare and not program.called and not probe.on_demand:
                attachments.append(attaching.attach_program(program, one.fd, numbers))
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
    maps = [made.maps[name].fd for name in probe.maps]
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


def _template(source: Path, part: Part, *functions: str) -> dict[str, bytes]:
    """Return compiled programs that wait for their maps, which are named by their places."""
    compiled = compile_files(source, part.files, part.defines)
    places = {name: place for place, name in enumerate(part.maps)}
    return {name: compiled.code(name, places) for name in functions}


@contextlib.contextmanager
def _trying(what: str) -> Iterator[None]:
    """Turn what the kernel does not take into the reason that there is none."""
    try:
        yield
    except (programs.LoadRefused, OSError) as error:
        raise Failure("load_failed", f"the kernel does not take {what}: {error}") from error


def _block(source: Path) -> _Reply:
    functions = (hook.function for hook in filters.HOOKS)
    part = Part("block", ["block.c"], tuple(filters.MAPS), filters.HOOKS, block.DEFINES)
    code = _template(source, part, *functions)
    alone = _leave_for_a_namespace_of_our_own()
    templates, refusals = [], []
    for hook in filters.HOOKS:
        try:
            templates.append(_tried(hook, code[hook.function], attach=alone).document())
        except (programs.LoadRefused, OSError) as error:
            refusals.append(f"{hook.name}: {error}")
    if not templates:
        raise Failure("load_failed", f"the kernel takes no program that drops: {'; '.join(refusals)}")
    return {"templates": templates}, []


def _prefilter(source: Path) -> _Reply:
    # What it needs is nothing to those who load probes, and soon.
    from netsre.adapters.bpf import prefilter  # noqa: PLC0415

    template = _template(source, prefilter.PART, prefilter.FUNCTION)
    with _trying("the prefilter"):
        prefilter.Prefilter.load(template[prefilter.FUNCTION], prefilter.SMALLEST).close()
    return _written(template), []


def _policy(source: Path) -> _Reply:
    from netsre.adapters.bpf import policy  # noqa: PLC0415
    from netsre.datapath.policy import programs as ours  # noqa: PLC0415

    template = _template(source, policy.PART, *ours.PROGRAMS)
    with _trying("the policy programs"):
        policy.Datapath.load(policy.Template(template), ours.SMALLEST).close()
    return _written(template), []


def _balance(source: Path) -> _Reply:
    from netsre.adapters.bpf import balance_programs as balance  # noqa: PLC0415
    from netsre.datapath.balance import programs as ours  # noqa: PLC0415

    compiled = _template(source, balance.PART, *(one.function for one in ours.PROGRAMS))
    template = {one.name: compiled[one.function] for one in ours.PROGRAMS}
    with _trying("the balancer"):
        balance.Objects.load(template).close()
    return _written(template), []


def _written(template: Mapping[str, bytes]) -> Mapping[str, str]:
    """Return instructions as JSON can carry them."""
    return {name: base64.b64encode(code).decode() for name, code in template.items()}


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


_ALONE: Final = {"balance": _balance, "block": _block, "policy": _policy, "prefilter": _prefilter}
"""Parts that are asked for alone."""


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
        if len(parts) == 1 and parts[0] in _ALONE:
            description, fds = _ALONE[parts[0]](source)
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
