"""What the agent holds of the kernel: the descriptors that a loader handed over, probe by probe.

The programs live as long as these descriptors: when this process ends, in whatever way, the kernel detaches
and frees them.
"""

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from netsre.adapters.bpf.attaching import attach_program
from netsre.adapters.bpf.filters import Template
from netsre.adapters.bpf.programs import attach_tracing
from netsre.adapters.bpf.syscalls import BpfMap, fdinfo, run_program
from netsre.datapath.buckets import CLASSIC, Cells
from netsre.datapath.probes import FLOWS, NATIVE_HISTOGRAMS, PROBES, Probe
from netsre.errors import EnvironmentUnfit

_LOADER_TIMEOUT_SECONDS: Final = 30.0
_MESSAGE_BYTES: Final = 65536
_NO_ARGUMENTS: Final = bytes(12 * 8)
"""As many as a raw tracepoint can have."""
_DESCRIPTORS: Final = 253
"""The kernel passes no more in one message."""
_REFUSALS: Final = {
    errno.EINVAL: ("no_cgroup_order", "Linux 6.17 and later put a program before others at a cgroup's hook"),
    errno.ENOENT: ("no_cgroup2", "mount -t cgroup2 none /sys/fs/cgroup/unified"),
}
"""Why a probe cannot be attached that was loaded: the word for metrics, and the next step."""
_COMPLAINT_BYTES: Final = 1 << 20
"""Of what the loader says beside its reply, this much is read; the first error is at the front."""


class _Answer(NamedTuple):
    """What a loader says, the descriptors that it hands over, and what it complained of beside that."""

    document: Mapping[str, Any]
    fds: list[int]
    complaint: str


class ProbeUnfit(EnvironmentUnfit):
    """A probe cannot run here; `reason` is the short word for metrics."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the named reason beside the sentence."""
        self.reason = reason
        super().__init__(message)


class Runs(NamedTuple):
    """What the kernel counted of one program."""

    runs: int
    nanoseconds: int
    missed: int


@dataclass(frozen=True, slots=True)
class Session:
    """A loaded and attached probe."""

    probe: Probe
    maps: dict[str, BpfMap]
    program_fds: dict[str, int]
    """By name; the first is attached, the others are when they are needed."""
    attachment_fds: list[int]
    verifier_seconds: float
    verifier_instructions: int
    enums: Mapping[str, Mapping[int, str]]
    """Names of this kernel's numbers, by enumeration."""
    tracepoints: Mapping[str, int]
    """Numbers of those that perf knows, by program."""

    def run_statistics(self) -> dict[str, Runs]:
        """Return what the kernel counted of each program; runs and their time only while it is told to."""
        return {name: _runs(fd) for name, fd in self.program_fds.items()}

    def are_runs_counted(self) -> bool | None:
        """Tell whether the kernel's run-time statistics are on, for whomever; None where nobody can know.

        Its switch in /proc does not say it: who holds a descriptor of BPF_ENABLE_STATS has them on too. So a
        program is run that does nothing, and looked at. Before Linux 5.10 none can be.
        """
        called = next((program.name for program in self.probe.programs if program.called), None)
        if called is None:
            return None
        fd = self.program_fds[called]
        before = _runs(fd).runs
        try:
            run_program(fd, _NO_ARGUMENTS)
        except OSError:
            return None
        return _runs(fd).runs > before

    @property
    def attached(self) -> int:
        """How many programs are attached now."""
        return len(self.attachment_fds)

    def missed_runs(self) -> int:
        """Return how often the kernel left the first program out, as it would have interrupted itself."""
        return _runs(next(iter(self.program_fds.values()))).missed

    @property
    def reinforced(self) -> bool:
        """Whether every program is attached that ever is."""
        return self.attached == sum(not program.called for program in self.probe.programs)

    def reinforce(self) -> None:
        """Attach the programs that make good what the first misses; each state change pays from then on."""
        for program in self.probe.programs:
            if program.spare:
                self.attachment_fds.append(attach_tracing(self.program_fds[program.name]))

    def detach(self) -> None:
        """Have nothing run any more; what was counted stays."""
        while self.attachment_fds:
            os.close(self.attachment_fds.pop())

    def attach(self) -> None:
        """Have it all run again, or nothing of it; raises `OSError`."""
        try:
            for program in self.probe.programs:
                if not program.spare and not program.called:
                    fd = self.program_fds[program.name]
                    self.attachment_fds.append(attach_program(program, fd, self.tracepoints))
        except OSError:
            self.detach()
            raise

    def attach_on_demand(self) -> None:
        """Have it run from now on; raises `ProbeUnfit` with the reason where this kernel does not take it."""
        try:
            self.attach()
        except OSError as error:
            reason, fix = _REFUSALS.get(
                error.errno or 0, ("load_failed", "netsre doctor says what is missing")
            )
            message = f"the kernel does not attach the probe {self.probe.name}: {error.strerror}; {fix}"
            raise ProbeUnfit(reason, message) from error

    def move(self, name: str) -> None:
        """Attach a program anew, where its description says, and then take it from where it was.

        Raises `OSError`, and then it stays there. Meanwhile it runs twice.
        """
        attached = [program for program in self.probe.programs if not program.spare and not program.called]
        [at] = [at for at, program in enumerate(attached) if program.name == name]
        moved = attach_program(attached[at], self.program_fds[name], self.tracepoints)
        os.close(self.attachment_fds[at])
        self.attachment_fds[at] = moved

    def close(self) -> None:
        """Detach the probe and free its maps."""
        for fd in (*self.attachment_fds, *self.program_fds.values(), *(m.fd for m in self.maps.values())):
            with contextlib.suppress(OSError):
                os.close(fd)


def _runs(program_fd: int) -> Runs:
    info = fdinfo(program_fd)
    return Runs(*(int(info.get(key, "0")) for key in ("run_cnt", "run_time_ns", "recursion_misses")))


def open_session(
    source: Path,
    timeout: float = _LOADER_TIMEOUT_SECONDS,
    probe: Probe = FLOWS,
    cells: Cells = CLASSIC,
) -> Session:
    """Load and attach one probe from the C files below `source`, within `timeout` seconds.

    Raises `ProbeUnfit` with the reason and the next step when this node cannot run it.
    """
    opened = open_sessions(source, (probe,), timeout, cells)[probe.name]
    if isinstance(opened, ProbeUnfit):
        raise opened
    return opened


def open_sessions(
    source: Path,
    probes: Sequence[Probe] = PROBES,
    timeout: float = _LOADER_TIMEOUT_SECONDS,
    cells: Cells = CLASSIC,
) -> Mapping[str, Session | ProbeUnfit]:
    """Load and attach probes, which count times in these cells; return each by name, or why it cannot run."""
    parts = [probe.name for probe in probes]
    if cells.is_native:
        parts.append(NATIVE_HISTOGRAMS)
    try:
        with _loading(source, parts, timeout) as answer:
            document, fds, complaint = answer()
    except ProbeUnfit as unfit:
        return {probe.name: unfit for probe in probes}
    handed = iter(fds)
    replies = document["probes"]
    return {probe.name: _opened(probe, replies[probe.name], handed, complaint) for probe in probes}


def _opened(
    probe: Probe, reply: Mapping[str, Any], fds: Iterator[int], complaint: str
) -> Session | ProbeUnfit:
    """Take the descriptors of one probe, in the order in which the loader hands them over."""
    if "reason" in reply:
        # What the verifier says is in the message; what the compiler says went past bcc.
        return _unfit(reply, complaint if reply["reason"] == "compile_failed" else "", probe.source)
    return Session(
        probe,
        maps={name: BpfMap.of(name, next(fds)) for name in probe.maps},
        program_fds={program.name: next(fds) for program in probe.programs},
        attachment_fds=[next(fds) for _ in range(reply["attached"])],
        verifier_seconds=float(reply["verifier_seconds"]),
        verifier_instructions=int(reply["verifier_instructions"]),
        enums={
            name: {int(number): word for number, word in words.items()}
            for name, words in reply["enums"].items()
        },
        tracepoints=reply["tracepoints"],
    )


def open_templates(source: Path, timeout: float = _LOADER_TIMEOUT_SECONDS) -> tuple[Template, ...]:
    """Return the programs that drop blocked sources, for each hook that this kernel has, the better first.

    Each was loaded and attached once, in a namespace of its own. Raises `ProbeUnfit` with the reason and the
    next step when there is none.
    """
    with opening_templates(source, timeout) as opened:
        return opened()


@contextlib.contextmanager
def opening_templates(
    source: Path, timeout: float = _LOADER_TIMEOUT_SECONDS
) -> Iterator[Callable[[], tuple[Template, ...]]]:
    """Begin what `open_templates` does, and yield what ends it: its loader works beside us meanwhile."""
    with _loading(source, ["block"], timeout) as answer:
        yield lambda: tuple(Template.of(document) for document in answer().document["templates"])


@contextlib.contextmanager
def _loading(source: Path, parts: Sequence[str], timeout: float) -> Iterator[Callable[[], _Answer]]:
    """Run a loader, and yield what waits for its answer."""
    # Whole messages only, and a memory file for what is said beside them: a pipe that nobody reads fills up.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(timeout)
    with (
        ours,
        theirs,
        os.fdopen(os.memfd_create("loader"), "w+b") as complaints,
        _loader(theirs, source, parts, complaints.fileno()) as process,
    ):
        theirs.close()

        def answer() -> _Answer:
            try:
                message, fds, _, _ = socket.recv_fds(ours, _MESSAGE_BYTES, _DESCRIPTORS)
            except TimeoutError:
                message, fds = b"", []
                ending = f"did not answer within {timeout:.0f} s and was ended"
            else:
                ending = "ended without a word"
            # It has said everything that it has to say, or never will.
            process.kill()
            process.wait()
            complaints.seek(0)
            complaint = complaints.read(_COMPLAINT_BYTES).decode(errors="replace")
            return _Answer(_document(message, complaint, ending), fds, complaint)

        yield answer


@contextlib.contextmanager
def _loader(
    channel: socket.socket, source: Path, parts: Sequence[str], complaints: int
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "BCC_KERNEL_SOURCE": str(source / "shim"),
    }
    # -P: it runs as root, and the directory that somebody happens to stand in may be anybody's.
    module = (sys.executable, "-P", "-m", "netsre.adapters.bpf.loader")
    command = [*module, str(channel.fileno()), str(source), str(os.getpid()), *parts]
    with subprocess.Popen(  # our own interpreter and module
        command,
        env=environment,
        pass_fds=[channel.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _document(message: bytes, complaint: str, ending: str) -> Mapping[str, Any]:
    if not message:
        last = complaint.strip().splitlines()[-1:] or ["it said nothing"]
        raise ProbeUnfit("load_failed", f"the BPF loader {ending}: {last[0]}")
    document: dict[str, Any] = json.loads(message)
    if "reason" in document:
        raise _unfit(document, complaint)
    return document


def _unfit(refusal: Mapping[str, Any], complaint: str, source: str = "") -> ProbeUnfit:
    detail = _first_complaint(complaint, source)
    return ProbeUnfit(str(refusal["reason"]), str(refusal["message"]) + (f" ({detail})" if detail else ""))


def _first_complaint(complaint: str, source: str) -> str:
    """Return the line of the compiler or verifier that a person should read first.

    With a source, one about that file if there is any: several are compiled by one loader.
    """
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    grave = [line for line in lines if any(word in line for word in ("error:", "not permitted", "denied"))]
    about = [line for line in grave if line.startswith(f"{source}:")] if source else []
    return next(iter((*about, *grave, *lines[-1:])), "")
