"""What the flow probe costs inside the kernel, beside an empty program on the same tracepoint.

Both programs are attached at once and see the same state changes, so that the machine's noise is in both.
The kernel's run-time statistics charge every run with two readings of its clock; the empty program shows
that floor.
"""

import os
import socket
import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.compiling import import_bcc, include_flags
from netsre.adapters.bpf.flow_log import FlowLog
from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.flow_log import Switch

_EMPTY: Final = "RAW_TRACEPOINT_PROBE(%s) { return 0; }"
_ROUNDS: Final = 9
_CONNECTIONS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds per state change over one kind of connection; medians of several rounds."""

    what: str
    changes_per_connection: float
    probe_ns: float
    """Of the probe's program on this tracepoint."""
    empty_ns: float
    """Of the empty program."""

    @property
    def added_ns(self) -> float:
        """Return the probe's own share: its figure less that of the empty program."""
        return self.probe_ns - self.empty_ns


class Empty:
    """An empty program on the same tracepoint."""

    def __init__(self, tracepoint: str) -> None:
        """Attach it beside whatever is attached there."""
        source = directory("bpf")
        os.environ["BCC_KERNEL_SOURCE"] = str(source / "shim")
        self._module = import_bcc().BPF(text=_EMPTY % tracepoint, cflags=include_flags(source))
        (function,) = self._module.funcs.values()
        self._fd = function.fd

    def run_statistics(self) -> tuple[int, int]:
        """Return (runs, nanoseconds)."""
        info = syscalls.fdinfo(self._fd)
        return int(info["run_cnt"]), int(info["run_time_ns"])

    def close(self) -> None:
        """Detach it."""
        self._module.cleanup()


def measure() -> list[Cost]:
    """Return the cost for answered and for refused connections over loopback."""
    statistics_fd = syscalls.enable_run_time_statistics()
    session = open_session(directory("bpf"))
    empty = Empty("inet_sock_set_state")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        address = server.getsockname()
        targets = {"answered, closed by both ends": address, "refused": ("127.0.0.1", 1)}
        costs = [_cost(what, partial(_connect, target), session, empty) for what, target in targets.items()]
        log = FlowLog(session)
        for what, target, one_in, said in (
            ("refused", ("127.0.0.1", 1), 0, "flow log of failures only"),
            ("answered, closed by both ends", address, 0, "flow log of failures only"),
            ("answered, closed by both ends", address, 1, "flow log of everything"),
        ):
            log.switch(Switch(on=True, one_in=one_in))
            costs.append(_cost(f"{what}; {said}", partial(_connect, target), session, empty, log.drain))
        log.close()
    session.close()
    os.close(statistics_fd)
    return costs


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def _connect(address: tuple[str, int]) -> None:
    with socket.socket() as client:
        if client.connect_ex(address) == 0:
            client.recv(1)


def _figures(session: Session) -> tuple[int, int]:
    """Return (runs, nanoseconds) of the program that every state change runs."""
    figures = next(iter(session.run_statistics().values()))
    return figures.runs, figures.nanoseconds


def _cost(
    what: str,
    connect: Callable[[], None],
    session: Session,
    empty: Empty,
    between: Callable[[], object] = lambda: None,
) -> Cost:
    probe_ns, empty_ns, changes = [], [], []
    for _ in range(_ROUNDS):
        before = (*_figures(session), *empty.run_statistics())
        for _ in range(_CONNECTIONS):
            connect()
        after = (*_figures(session), *empty.run_statistics())
        between()
        runs, time_ns, empty_runs, empty_time_ns = (b - a for a, b in zip(before, after, strict=True))
        probe_ns.append(time_ns / runs)
        empty_ns.append(empty_time_ns / empty_runs)
        changes.append(runs / _CONNECTIONS)
    median = statistics.median
    return Cost(what, median(changes), median(probe_ns), median(empty_ns))
