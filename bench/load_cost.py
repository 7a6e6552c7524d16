"""What the probe of program loads costs: every system call of the node, and the loads themselves.

Its two programs run for bpf(2) alone. But while a tracepoint of any system call is on, the kernel takes every
system call of every process through its slow path; a call that does nothing shows how much that is.
"""

import os
import statistics
import time
from dataclasses import dataclass
from typing import Final

from netsre.adapters.bpf import syscalls, tracepoints
from netsre.adapters.bpf.loads import LoadProbe
from netsre.adapters.bpf.programs import Kind, load
from netsre.adapters.bpf.session import Session, open_session
from netsre.adapters.bpf.syscalls import Runs
from netsre.app.resources import directory
from netsre.datapath.probes import LOADS

_ROUNDS: Final = 80
_CALLS: Final = 20_000
_LOADS: Final = 500
_SOCKET_FILTER: Final = Kind(1)
_NOTHING: Final = b"\xb7\0\0\0\0\0\0\0\x95\0\0\0\0\0\0\0"
"""Two instructions: return 0."""


@dataclass(frozen=True, slots=True)
class LoadCost:
    """Of the quietest quarter of many short rounds: others on the machine only ever make a call slower."""

    call_ns: float
    """Of a system call that does nothing, without the probe."""
    added_ns: float
    """What the probe adds to it."""
    load_ns: float
    """In the two programs, for one load; two readings of the clock are in each run."""


def measure() -> LoadCost:
    """Attach and detach in turn, so that the machine's noise is in both."""
    calm, paying = [], []
    session = open_session(directory("bpf"), probe=LOADS)
    numbers = [tracepoints.number(program.category, program.tracepoint) for program in LOADS.programs]
    for fd in session.attachment_fds:
        os.close(fd)
    for _ in range(_ROUNDS):
        calm.append(_null_call_ns())
        session.attachment_fds[:] = map(tracepoints.attach, session.program_fds.values(), numbers)
        paying.append(_null_call_ns())
        for fd in session.attachment_fds:
            os.close(fd)
    session.attachment_fds.clear()
    session.close()
    quiet, *_ = statistics.quantiles(calm)
    loud, *_ = statistics.quantiles(paying)
    return LoadCost(quiet, loud - quiet, _per_load_ns())


def _null_call_ns() -> float:
    call, began = os.getppid, time.perf_counter_ns()
    for _ in range(_CALLS):
        call()
    return (time.perf_counter_ns() - began) / _CALLS


def _per_load_ns() -> float:
    statistics_fd = syscalls.enable_run_time_statistics()
    session = open_session(directory("bpf"), probe=LOADS)
    LoadProbe(session)
    child = os.fork()
    if not child:
        # The loads of the process that reads are left out.
        for _ in range(_LOADS):
            os.close(load("nothing", _NOTHING, _SOCKET_FILTER).fd)
        os._exit(0)
    before = _nanoseconds(session)
    os.waitpid(child, 0)
    spent = _nanoseconds(session) - before
    session.close()
    os.close(statistics_fd)
    return spent / _LOADS


def _nanoseconds(session: Session) -> int:
    figures: list[Runs] = list(session.run_statistics().values())
    return sum(each.nanoseconds for each in figures)
