"""What the balancer adds to a connect(), and what nftables adds for the same service.

In the kernel, per connect() of UDP, beside an empty program at the same hook. And as a client sees it: a
connect() of TCP over loopback to a backend itself, through the balancer, and through a rule that translates.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import namespaces, processes
from netsre.adapters.bpf import programs, syscalls
from netsre.adapters.bpf.attaching import attach_cgroup
from netsre.adapters.bpf.balance import Balance
from netsre.adapters.bpf.balance_programs import Objects, open_balance
from netsre.app.resources import directory
from netsre.datapath.balance.frontends import frontends
from netsre.datapath.balance.programs import PROGRAMS
from netsre.datapath.mounts import first_of_each
from netsre.model.balance import files

_ROUNDS: Final = 9
_CALLS: Final = 3_000
_GO_ON: Final = b"\xb7\0\0\0\1\0\0\0\x95\0\0\0\0\0\0\0"
"""Two instructions: return 1."""
_BALANCED, _TRANSLATED, _BACKEND = "198.18.82.1", "198.18.82.2", "127.0.0.1"
_PORT: Final = 45_790
_RULES: Final = f"""
table ip netsre-bench {{
  chain translate {{
    type nat hook output priority -100;
    ip daddr {_TRANSLATED} tcp dport {_PORT} dnat to {_BACKEND}:{_PORT}
  }}
}}
"""
_CLIENT: Final = """
import json, socket, struct, sys, time
kind, address, port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
server = socket.create_server(("127.0.0.1", port)) if kind == socket.SOCK_STREAM else None
spent = 0
for _ in range(count):
    client = socket.socket(socket.AF_INET, kind)
    begun = time.perf_counter_ns()
    client.connect((address, port))
    spent += time.perf_counter_ns() - begun
    if server:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.accept()[0].close()
    client.close()
print(spent / count)
"""


@dataclass(frozen=True, slots=True)
class BalanceCost:
    """Nanoseconds per connect(); medians of several rounds."""

    what: str
    program_ns: float
    """Of the balancer's program, as the kernel counts."""
    empty_ns: float
    """Of the empty program at the same hook, in the same calls."""

    @property
    def added_ns(self) -> float:
        """Return the program's own share."""
        return self.program_ns - self.empty_ns


@dataclass(frozen=True, slots=True)
class ConnectCost:
    """Nanoseconds per connect() of TCP over loopback, as a client sees it; medians over rounds."""

    direct_ns: float
    """To the backend, by a process outside of the cgroup."""
    balanced_ns: float
    """What the balancer adds to that, in the same round."""
    translated_ns: float
    """What a rule of nftables adds, with the connection tracking that it needs."""


def measure() -> tuple[list[BalanceCost], ConnectCost]:
    """Return the cost of a connect() that is to no service, of one that is, and beside nftables."""
    plain, translating = names = [
        processes.this_process().name("bench", what) for what in ("balance", "translate")
    ]
    for name in names:
        namespaces.create(name)
    try:
        namespaces.run(translating, ["nft", "-f", "-"], _RULES).check_returncode()
        add = ["ip", "address", "add", f"{_TRANSLATED}/32", "dev", "lo"]
        namespaces.run(translating, add).check_returncode()
        with _cgroup() as inside, _balancing(inside) as objects:
            costs = [
                _cost(plain, inside, objects, what, address)
                for what, address in (("to no service", _BACKEND), ("to a service", _BALANCED))
            ]
            return costs, _beside(plain, translating, inside)
    finally:
        for name in names:
            namespaces.remove(name)


def _beside(plain: str, translating: str, inside: Path) -> ConnectCost:
    """Return the three ways, each measured in every round: the machine is not the same for long."""
    rounds = []
    for _ in range(_ROUNDS):
        direct = _client(plain, None, "STREAM", _BACKEND)
        balanced = _client(plain, inside, "STREAM", _BALANCED)
        translated = _client(translating, None, "STREAM", _TRANSLATED)
        rounds.append((direct, balanced - direct, translated - direct))
    return ConnectCost(*map(statistics.median, zip(*rounds, strict=True)))


def _cost(name: str, inside: Path, objects: Objects, what: str, address: str) -> BalanceCost:
    ours, nothing = [], []
    statistics_fd = syscalls.enable_run_time_statistics()
    empty = programs.load("netsre_nothing", _GO_ON, programs.Kind(18, 10)).fd
    where = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    link = attach_cgroup(empty, "connect4", where)
    each = (objects.programs["netsre_bal_con4"], empty)
    for _ in range(_ROUNDS):
        before = [_runs(fd) for fd in each]
        _client(name, inside, "DGRAM", address)
        per_run = [
            (time_ns - old_time_ns) / (runs - old_runs)
            for (runs, time_ns), (old_runs, old_time_ns) in zip(map(_runs, each), before, strict=True)
        ]
        ours.append(per_run[0])
        nothing.append(per_run[1])
    for fd in (link, where, empty, statistics_fd):
        os.close(fd)
    return BalanceCost(what, statistics.median(ours), statistics.median(nothing))


def _runs(fd: int) -> tuple[int, int]:
    info = syscalls.fdinfo(fd)
    return int(info["run_cnt"]), int(info["run_time_ns"])


@contextlib.contextmanager
def _balancing(inside: Path) -> Iterator[Objects]:
    """Balance one service of TCP and UDP, with one backend."""
    listed = [
        {
            "name": "bench",
            "addresses": [_BALANCED],
            "port": _PORT,
            "protocol": protocol,
            "backends": [{"address": _BACKEND, "port": _PORT}],
        }
        for protocol in ("TCP", "UDP")
    ]
    objects = Objects.load(open_balance(directory("bpf")))
    links: list[int] = []
    where = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        links += (attach_cgroup(objects.programs[one.name], one.hook, where) for one in PROGRAMS)
        balance = Balance(objects.maps)
        encoded = balance.encode(frontends(files.parse({"bench": json.dumps(listed)})))
        balance.switch(balance.write(encoded))
        yield objects
    finally:
        for fd in (*links, where):
            os.close(fd)
        objects.close()


@contextlib.contextmanager
def _cgroup() -> Iterator[Path]:
    root = first_of_each(Path("/proc/self/mounts").read_bytes())["cgroup2"]
    inside = Path(os.fsdecode(root)) / processes.this_process().name("bench", "balance")
    inside.mkdir()
    try:
        yield inside
    finally:
        inside.rmdir()


def _client(name: str, inside: Path | None, kind: str, address: str) -> float:
    """Return the nanoseconds of one connect() out of many, by a process of its own."""
    enter = f'echo $$ > "{inside}/cgroup.procs"; exec "$@"' if inside else 'exec "$@"'
    number = {"STREAM": 1, "DGRAM": 2}[kind]
    words = [sys.executable, "-c", _CLIENT, str(number), address, str(_PORT), str(_CALLS)]
    command = ["sh", "-c", enter, "sh", *words]
    done: subprocess.CompletedProcess[str] = namespaces.inside(
        name, lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    )
    return float(done.stdout)


if __name__ == "__main__":
    for line in measure():
        print(line)
