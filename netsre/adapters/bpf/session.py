"""What the agent holds of the kernel: the descriptors that a loader handed over, probe by probe.

The programs live as long as these descriptors: when this process ends, in whatever way, the kernel detaches
and frees them.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from netsre.adapters.bpf.attaching import attach_program
from netsre.adapters.bpf.filters import Template
from netsre.adapters.bpf.loading import TIMEOUT_SECONDS, Answer, ProbeUnfit, loading, unfit
from netsre.adapters.bpf.programs import attach_tracing
from netsre.adapters.bpf.syscalls import BpfMap, Runs, run_program, runs
from netsre.datapath.buckets import CLASSIC, Cells
from netsre.datapath.probes import FLOWS, NATIVE_HISTOGRAMS, PROBES, Probe

_NO_ARGUMENTS: Final = bytes(12 * 8)
"""As many as a raw tracepoint can have."""
_REFUSALS: Final = {
    errno.EINVAL: ("no_cgroup_order", "Linux 6.17 and later put a program before others at a cgroup's hook"),
    errno.ENOENT: ("no_cgroup2", "mount -t cgroup2 none /sys/fs/cgroup/unified"),
}
"""Why a probe cannot be attached that was loaded: the word for metrics, and the next step."""


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
        return {name: runs(fd) for name, fd in self.program_fds.items()}

    def are_runs_counted(self) -> bool | None:
        """Tell whether the kernel's run-time statistics are on, for whomever; None where nobody can know.

        Its switch in /proc does not say it: who holds a descriptor of BPF_ENABLE_STATS has them on too. So a
        program is run that does nothing, and looked at. Before Linux 5.10 none can be.
        """
        called = next((program.name for program in self.probe.programs if program.called), None)
        if called is None:
            return None
        fd = self.program_fds[called]
        before = runs(fd).runs
        try:
            run_program(fd, _NO_ARGUMENTS)
        except OSError:
            return None
        return runs(fd).runs > before

    @property
    def attached(self) -> int:
        """How many programs are attached now."""
        return len(self.attachment_fds)

    def missed_runs(self) -> int:
        """Return how often the kernel left the first program out, as it would have interrupted itself."""
        return runs(next(iter(self.program_fds.values()))).missed

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


def open_session(
    source: Path,
    timeout: float = TIMEOUT_SECONDS,
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
    timeout: float = TIMEOUT_SECONDS,
    cells: Cells = CLASSIC,
) -> Mapping[str, Session | ProbeUnfit]:
    """Load and attach probes, which count times in these cells; return each by name, or why it cannot run."""
    with opening_sessions(source, probes, timeout, cells) as opened:
        return opened()


@contextlib.contextmanager
def opening_sessions(
    source: Path,
    probes: Sequence[Probe] = PROBES,
    timeout: float = TIMEOUT_SECONDS,
    cells: Cells = CLASSIC,
) -> Iterator[Callable[[], Mapping[str, Session | ProbeUnfit]]]:
    """Begin what `open_sessions` does, and yield what ends it: its loader works beside us meanwhile."""
    parts = [probe.name for probe in probes]
    if cells.is_native:
        parts.append(NATIVE_HISTOGRAMS)
    with loading(source, parts, timeout) as answer:
        yield lambda: _sessions(probes, answer)


def _sessions(probes: Sequence[Probe], answer: Callable[[], Answer]) -> Mapping[str, Session | ProbeUnfit]:
    try:
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
        return unfit(reply, complaint if reply["reason"] == "compile_failed" else "", probe.source)
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


def open_templates(source: Path, timeout: float = TIMEOUT_SECONDS) -> tuple[Template, ...]:
    """Return the programs that drop blocked sources, for each hook that this kernel has, the better first.

    Each was loaded and attached once, in a namespace of its own. Raises `ProbeUnfit` with the reason and the
    next step when there is none.
    """
    with opening_templates(source, timeout) as opened:
        return opened()


@contextlib.contextmanager
def opening_templates(
    source: Path, timeout: float = TIMEOUT_SECONDS
) -> Iterator[Callable[[], tuple[Template, ...]]]:
    """Begin what `open_templates` does, and yield what ends it: its loader works beside us meanwhile."""
    with loading(source, ["block"], timeout) as answer:
        yield lambda: tuple(Template.of(document) for document in answer().document["templates"])
