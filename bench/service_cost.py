"""What the probe of connections to services adds to a connect(): to a service, and to anything else.

Beside an empty program at the same hook, which sees the same calls: of UDP, whose connect does least.
"""

import os
import socket
import statistics
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from netsre.adapters.bpf import attaching, programs, syscalls
from netsre.adapters.bpf.services import ServiceProbe
from netsre.adapters.bpf.session import Session, open_session
from netsre.app.resources import directory
from netsre.datapath.probes import SERVICES, Program
from netsre.datapath.services import Service

_ROUNDS: Final = 9
_CALLS: Final = 10_000
_UDP: Final = 17
_SERVICE_PORT, _OTHER_PORT = 45_778, 45_779
_HOOK: Final = Program("netsre_nothing", "", "", cgroup="connect4")
_GO_ON: Final = b"\xb7\0\0\0\1\0\0\0\x95\0\0\0\0\0\0\0"
"""Two instructions: return 1."""


@dataclass(frozen=True, slots=True)
class ServiceCost:
    """Nanoseconds per connect(); medians of several rounds."""

    what: str
    probe_ns: float
    """Of both programs of the probe together."""
    empty_ns: float
    """Of the empty program, twice."""

    @property
    def added_ns(self) -> float:
        """Return the probe's own share: its figure less that of the empty program."""
        return self.probe_ns - self.empty_ns


def measure() -> list[ServiceCost]:
    """Return the cost of a connect() that is to no service, and of one that is."""
    statistics_fd = syscalls.enable_run_time_statistics()
    session = open_session(directory("bpf"), probe=SERVICES)
    ServiceProbe(session).know(frozenset({Service(ip_address("127.0.0.1"), _SERVICE_PORT, _UDP)}))
    session.attach_on_demand()
    empty = programs.load(_HOOK.name, _GO_ON, programs.Kind(18, 10)).fd
    link = attaching.attach_program(_HOOK, empty, {})
    costs = [
        _cost(session, empty, what, port)
        for what, port in (("to no service", _OTHER_PORT), ("to a service", _SERVICE_PORT))
    ]
    session.close()
    for fd in (link, empty, statistics_fd):
        os.close(fd)
    return costs


def _cost(session: Session, empty: int, what: str, port: int) -> ServiceCost:
    ours, nothing = [], []
    for _ in range(_ROUNDS):
        before = _each(session, empty)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(_CALLS):
                client.connect(("127.0.0.1", port))
        per_run = [
            (time_ns - old_time_ns) / (runs - old_runs)
            for (runs, time_ns), (old_runs, old_time_ns) in zip(_each(session, empty), before, strict=True)
        ]
        ours.append(per_run[0] + per_run[1])
        nothing.append(2 * per_run[2])
    return ServiceCost(what, statistics.median(ours), statistics.median(nothing))


def _each(session: Session, empty: int) -> list[tuple[int, int]]:
    """Return (runs, nanoseconds) of both programs of the probe, and of the empty one."""
    figures = session.run_statistics()
    ours = [(figures[name].runs, figures[name].nanoseconds) for name in ("netsre_svc_a4", "netsre_svc_l4")]
    info = syscalls.fdinfo(empty)
    return [*ours, (int(info["run_cnt"]), int(info["run_time_ns"]))]
