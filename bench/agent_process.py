"""The agent as a process: how soon it is ready, what it holds in memory, and what a scrape costs."""

import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STARTS: Final = 7
_LOAD_SECONDS: Final = 10.0
_LOAD_RATE: Final = 1_000
_CLOCK_TICKS: Final = 100


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """Medians over several starts, and one run under an open-loop load."""

    ready_seconds: float
    resident_mib: float
    """With its parts."""
    part_mib: float
    """The inventory part's share of it."""
    cpu_share: float
    """Of one core, its parts' included, at `rate` connections a second and one scrape every five seconds."""
    rate: float
    scrape_milliseconds: float


def measure() -> AgentFigures:
    """Start agents, and drive one with connections over loopback."""
    ready = []
    for _ in range(_STARTS):
        began = time.monotonic()
        with agent():
            ready.append(time.monotonic() - began)
    with agent() as (pid, port):
        _scrape(port)
        parts = _children(pid)
        before = sum(map(cpu_seconds, (pid, *parts)))
        rate = _connect_open_loop(port)
        cpu = (sum(map(cpu_seconds, (pid, *parts))) - before) / _LOAD_SECONDS
        scrapes = [_scrape(port) for _ in range(21)]
        apart = sum(map(_resident_mib, parts))
        resident = _resident_mib(pid) + apart
    median = statistics.median
    return AgentFigures(median(ready), resident, apart, cpu, rate, median(scrapes) * 1000)


def _children(pid: int) -> list[int]:
    """Return the processes that belong to an agent: its children, and theirs."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [one for child in map(int, found) for one in (child, *_children(child))]


@contextmanager
def agent() -> Iterator[tuple[int, int]]:
    """Run an agent; enter when it has announced that every probe is attached and it serves."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "netsre", "agent", "--listen", f"127.0.0.1:{port}"]
    with (
        tempfile.TemporaryDirectory(prefix="netsre-bench-") as place,
        # With the socket it also loads what blocks sources, and it keeps a flow log, as `netsre up` has it.
        subprocess.Popen(
            [
                *(*command, "--control", f"{place}/agent.sock", "--effects", f"{place}/effects"),
                *("--flow-log", f"{place}/flow-log/flows.jsonl"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                if "agent serves" in line:
                    break
            yield process.pid, port
        finally:
            process.terminate()


def _scrape(port: int) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        reply.read()
    return time.monotonic() - began


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [kib] = re.findall(r"VmRSS:\s+(\d+) kB", status)
    return int(kib) / 1024


def _connect_open_loop(port: int) -> float:
    """Connect to a closed port of loopback at a fixed rate; return the rate that was reached."""
    began = time.monotonic()
    done, scraped = 0, began
    while (now := time.monotonic()) - began < _LOAD_SECONDS:
        if now - scraped >= 5:
            _scrape(port)
            scraped = now
        due = int((now - began) * _LOAD_RATE)
        for _ in range(due - done):
            with socket.socket() as client:
                client.connect_ex(("127.0.0.1", 1))
        done = due
        time.sleep(0.002)
    return done / (time.monotonic() - began)
