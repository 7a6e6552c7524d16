"""What each program of the flow, TCP and drops probes costs, beside an empty program on the same tracepoint.

As for the flow probe: both are attached at once and see the same events. Traffic and loss are in a namespace
of its own; what others on this machine do meanwhile is in the figures of both programs.
"""

import contextlib
import os
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bench.kernel_cost import Empty
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.probes import DROPS, FLOWS, TCP, Probe
from tests.kernel import attempts, firewall
from tests.kernel.attempts import Place

_ROUNDS: Final = 5
_OF_HOOKS: Final = "sock_send_length"
_PACKETS: Final = 5_000
_CONNECTIONS: Final = 1_000
_LOST: Final = 400
_PORT: Final = 45_777
_REPETITION_SECONDS: Final = 1.3
"""A SYN and a SYN-ACK are sent again after a second."""


@dataclass(frozen=True, slots=True)
class ProgramCost:
    """Nanoseconds per event; medians of several rounds."""

    program: str
    what: str
    program_ns: float
    empty_ns: float

    @property
    def added_ns(self) -> float:
        """Return the program's own share: its figure less that of the empty program."""
        return self.program_ns - self.empty_ns


def measure() -> list[ProgramCost]:
    """Return the cost of every program of both probes, by kind of event."""
    statistics_fd = syscalls.enable_run_time_statistics()
    costs = []
    with attempts.place() as place:
        drop = f"tcp sport {_PORT} tcp flags & (syn|ack) == syn|ack drop;"
        firewall.load(place.name, f"chain loss {{ type filter hook input priority -10; {drop} }}")
        for probe, program, what, work in _cases(place):
            costs.append(cost(probe, program, what, work))
    os.close(statistics_fd)
    return costs


def _cases(place: Place) -> list[tuple[Probe, str, str, Callable[[], None]]]:
    def within(work: Callable[[], None]) -> Callable[[], None]:
        return lambda: place.run(work)

    return [
        (FLOWS, "netsre_flows_in", "a closed port", within(_refused)),
        (TCP, "netsre_retrans", "a SYN sent again", within(lambda: _wait(attempts.DROPPED_PORT))),
        (TCP, "netsre_synack", "a SYN-ACK sent again", within(_wait_for_server)),
        (TCP, "netsre_rst_out", "a closed port", within(_refused)),
        (TCP, "netsre_rst_in", "a refused connection", within(_refused)),
        (
            TCP,
            "netsre_rtt",
            "a state change",
            within(lambda: attempts.accepted(socket.AF_INET, _CONNECTIONS)),
        ),
        (DROPS, "netsre_drops", "a datagram to a closed port", within(_datagrams)),
    ]


def _wait(port: int) -> None:
    """Keep connections open that nobody answers until each has asked again."""
    with contextlib.ExitStack() as sockets:
        for _ in range(_LOST):
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
        time.sleep(_REPETITION_SECONDS)


def _wait_for_server() -> None:
    with socket.create_server(("127.0.0.1", _PORT), backlog=2 * _LOST):
        _wait(_PORT)


def _refused() -> None:
    for _ in range(_CONNECTIONS):
        with socket.socket() as client:
            client.connect_ex(("127.0.0.1", attempts.REFUSED_PORT))


def _datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(_PACKETS):
            sender.sendto(b"", ("127.0.0.1", _PORT))


def cost(probe: Probe, program: str, what: str, work: Callable[[], None]) -> ProgramCost:
    """Return what one program costs while something happens; of a hook, beside a program on sends."""
    [tracepoint] = [each.tracepoint or _OF_HOOKS for each in probe.programs if each.name == program]
    session, empty = open_session(directory("bpf"), probe=probe), Empty(tracepoint)
    program_ns: list[float] = []
    empty_ns: list[float] = []
    for _ in range(_ROUNDS):
        before = _runs(session, program), empty.run_statistics()
        work()
        after = _runs(session, program), empty.run_statistics()
        for figures, (runs, time_ns), (more_runs, more_time_ns) in zip(
            (program_ns, empty_ns), before, after, strict=True
        ):
            figures.append((more_time_ns - time_ns) / (more_runs - runs))
    session.close()
    empty.close()
    return ProgramCost(program, what, statistics.median(program_ns), statistics.median(empty_ns))


def _runs(session: Session, program: str) -> tuple[int, int]:
    figures = session.run_statistics()[program]
    return figures.runs, figures.nanoseconds
