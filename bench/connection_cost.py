"""What the agent does to connections: at a rate that does not wait for anybody, and as many as there can be.

A small client and server in C over loopback, both bounded in time. As many connections as can be are made
in turn without anything, with an empty program on the flow probe's tracepoint, with the flow probe alone, and
with the whole agent, round after round, so that the machine's noise is in all of them.
"""

import contextlib
import os
import statistics
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from bench import traffic
from bench.agent_process import agent, cpu_seconds
from bench.kernel_cost import Empty
from bench.traffic import Traffic, result
from netsre import conventions as c
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.session import open_session
from netsre.app.resources import directory
from tests.machine import free_port

_RATE: Final = 10_000
_SECONDS: Final = 5.0
_PAIRS: Final = 3
_ROUNDS: Final = 5
_ROUND_SECONDS: Final = 2.0
_HOLD_MS: Final = 2_000
_ADDRESS: Final = "127.0.0.1"
NOTHING, EMPTY, PROBE, AGENT = "nothing attached", "an empty program", "the flow probe", "the whole agent"


@dataclass(frozen=True, slots=True)
class ConnectionCost:
    """Connections a second, and shares of one core."""

    rate: int
    """What was asked for."""
    without: float
    with_agent: float
    process: float
    """Of a core, by the agent's process."""
    kernel: float
    """Of a core, by its programs, as the kernel counts."""
    readings: float
    """Of a core, by the readings of the kernel's clock in that: as many empty programs as there were runs."""
    most: dict[str, float]
    """As many as there can be, by what is attached; medians."""

    @property
    def added(self) -> float:
        """Return the share of a core that the agent takes, its programs included."""
        return self.process + self.kernel - self.readings


def measure() -> ConnectionCost:
    """Connect at a fixed rate without and with an agent in turn, and then as fast as can be."""
    statistics_fd = syscalls.enable_run_time_statistics()
    port = free_port()
    with traffic.compiled() as program, program.serving(_ADDRESS, port):

        def connect(rate: int, seconds: float) -> float:
            return _rate(program, port, rate, seconds)

        connect(0, 1.0)
        without, beside = [], []
        for _ in range(_PAIRS):
            without.append(connect(_RATE, _SECONDS))
            beside.append(_beside(lambda: connect(_RATE, _SECONDS)))
        # Not beside the agent: there it would take part of the machine.
        empty_ns = _empty_ns(lambda: connect(_RATE, _ROUND_SECONDS))
        os.close(statistics_fd)
        most = _most(lambda: connect(0, _ROUND_SECONDS))
    rates, processes, kernels, runs = (statistics.median(column) for column in zip(*beside, strict=True))
    readings = runs * empty_ns / 1e9
    return ConnectionCost(_RATE, statistics.median(without), rates, processes, kernels, readings, most)


def _beside(connect: Callable[[], float]) -> tuple[float, float, float, float]:
    """Connect beside an agent; return the rate, shares of a core (process, programs), and runs a second."""
    with agent() as (pid, serves):
        time.sleep(1)
        # The readings of the programs are scrapes as well: one before, one after, as every five seconds.
        before, began = (cpu_seconds(pid), *_programs(serves)), time.monotonic()
        rate = connect()
        after, passed = (cpu_seconds(pid), *_programs(serves)), time.monotonic() - began
    process, kernel, runs = ((later - earlier) / passed for earlier, later in zip(before, after, strict=True))
    return rate, process, kernel, runs


def _rate(program: Traffic, port: int, rate: int, seconds: float) -> float:
    made = result(program.start("connect", _ADDRESS, port, rate, seconds, _HOLD_MS), seconds)
    return made["answered"] / (made["nanoseconds"] / 1e9)


def _programs(serves: int) -> tuple[float, float]:
    """Return the seconds that the agent's programs took so far, and their runs."""
    with urllib.request.urlopen(f"http://127.0.0.1:{serves}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    sums = Counter[str]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] += sample.value  # type: ignore[assignment]  # a float
    return float(sums[c.BPF_RUN_SECONDS]), float(sums[c.BPF_RUNS])


def _empty_ns(connect: Callable[[], object]) -> float:
    """Return what an empty program takes for each run."""
    empty = Empty("inet_sock_set_state")
    runs, time_ns = empty.run_statistics()
    connect()
    more_runs, more_time_ns = empty.run_statistics()
    empty.close()
    return (more_time_ns - time_ns) / max(1, more_runs - runs)


def _most(connect: Callable[[], float]) -> dict[str, float]:
    """Return the rate at saturation with each attached in turn; run-time statistics are off, as usual."""
    cases: dict[str, Callable[[], AbstractContextManager[object]]] = {
        NOTHING: contextlib.nullcontext,
        EMPTY: _empty,
        PROBE: _probe,
        AGENT: agent,
    }
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(_ROUNDS):
        for what, attached in cases.items():
            with attached():
                rates[what].append(connect())
    return {what: statistics.median(each) for what, each in rates.items()}


@contextlib.contextmanager
def _empty() -> Iterator[None]:
    empty = Empty("inet_sock_set_state")
    try:
        yield
    finally:
        empty.close()


@contextlib.contextmanager
def _probe() -> Iterator[None]:
    session = open_session(directory("bpf"))
    try:
        yield
    finally:
        session.close()
