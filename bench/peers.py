"""bcc's own tools beside the agent, on the same connections: what an event costs them.

Debian's `bpfcc-tools` compile against kernel headers, which need not be there, or be those of this kernel.
They are given stand-ins with what they use, the members of `struct tcp_sock` where this kernel has them, and
are not changed. What they print goes nowhere: a file or a terminal would only cost them more.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import traffic
from bench.agent_process import agent, cpu_seconds
from bench.traffic import Traffic, result
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.compiling import include_flags
from netsre.app.resources import directory
from netsre.datapath.btf import TypeTable
from tests.machine import free_port

TOOLS: Final = ("tcpstates", "tcplife", "tcptracer")
RATES: Final = (1_000, 10_000)
_SECONDS: Final = 5.0
_SETTLE_SECONDS: Final = 2.0
_ATTACH_SECONDS: Final = 20.0
_HOLD_MS: Final = 2_000
_SYSTEM_PYTHON: Final = "/usr/bin/python3"
AGENT: Final = "the agent"
_TELLING: Final = re.compile(r"error:|Failed to|Exception: |cannot attach")
_LOST: Final = re.compile(r"lost (\d+) samples")

_BY_KPROBES: Final = frozenset({"tcptracer"})
_MOUNTED: Final = (
    '[ -e /sys/kernel/tracing/events ] || mount -t tracefs nodev /sys/kernel/tracing && exec "$@"'
)
"""The events of tracepoints are read there; for the tool alone, where nobody has mounted it."""
_LAUNCHER: Final = """
import runpy, sys, bcc
flags, tool = sys.argv[1].split("\\n"), sys.argv[2]
real = bcc.BPF.__init__
def given(self, *words, **named):
    real(self, *words, **{**named, "cflags": [*named.get("cflags", []), *flags]})
bcc.BPF.__init__ = given
sys.argv = [tool]
runpy.run_path(tool, run_name="__main__")
"""
_SOCK: Final = """
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define TASK_COMM_LEN 16
enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT,
       TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING, TCP_NEW_SYN_RECV };
struct sock;
struct tcp_sock {
	union {
		struct { char before_received[%d]; u64 bytes_received; };
		struct { char before_acked[%d]; u64 bytes_acked; };
	};
};
"""


@dataclass(frozen=True, slots=True)
class PeerCost:
    """What one of them took at one rate."""

    who: str
    rate: int
    event_ns: float
    """In the kernel for each run of a program, two readings of the kernel's clock included."""
    kernel: float
    """Share of a core, by all of its programs."""
    process: float
    """Share of a core, by its process."""
    lost: int
    """Events that it says it has lost."""


@dataclass(frozen=True, slots=True)
class Absent:
    """One that does not run here, and why."""

    who: str
    why: str


def measure() -> list[PeerCost | Absent]:
    """Connect at each rate beside the agent, and beside each tool."""
    statistics_fd, port = syscalls.enable_run_time_statistics(), free_port()
    found: list[PeerCost | Absent] = []
    with traffic.compiled() as program, program.serving("127.0.0.1", port), _headers() as headers:
        for rate in RATES:
            with agent() as (pid, _):
                found.append(_cost(AGENT, pid, program, port, rate))
        for tool in TOOLS:
            path = shutil.which(f"{tool}-bpfcc", path="/usr/sbin:/usr/bin")
            if path is None:
                found.append(Absent(tool, "not installed: apt-get install bpfcc-tools"))
                continue
            if tool in _BY_KPROBES and not _has_kprobes():
                found.append(Absent(tool, "attaches by kprobes, which this kernel is built without"))
                continue
            for rate in RATES:
                found.append(one := _tool(tool, path, headers, program, port, rate))
                if isinstance(one, Absent):
                    break
    os.close(statistics_fd)
    return found


def _has_kprobes() -> bool:
    """Tell whether there is what a kprobe is attached by, as perf sees it."""
    return Path("/sys/bus/event_source/devices/kprobe").exists()


def _tool(tool: str, path: str, headers: Path, program: Traffic, port: int, rate: int) -> PeerCost | Absent:
    with tempfile.TemporaryFile("w+") as said:
        with _running(path, headers, said.fileno()) as process:
            deadline = time.monotonic() + _ATTACH_SECONDS
            while not (runs := _runs(process.pid)) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            cost = _cost(tool, process.pid, program, port, rate) if runs else None
        said.seek(0)
        words = said.read()
    if cost is None:
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        last = f"it attached nothing, and said {lines[-1]!r}" if lines else "it attached nothing"
        return Absent(tool, next((line for line in lines if _TELLING.search(line)), last))
    return dataclasses.replace(cost, lost=sum(int(number) for number in _LOST.findall(words)))


@contextlib.contextmanager
def _running(path: str, headers: Path, said: int) -> Iterator[subprocess.Popen[bytes]]:
    flags = "\n".join(include_flags(directory("bpf")))
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", _SYSTEM_PYTHON, "-c", _LAUNCHER, flags, path],
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "BCC_KERNEL_SOURCE": str(headers)},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


def _cost(who: str, pid: int, program: Traffic, port: int, rate: int) -> PeerCost:
    time.sleep(_SETTLE_SECONDS)
    used, before, began = cpu_seconds(pid), _runs(pid), time.monotonic()
    result(program.start("connect", "127.0.0.1", port, rate, _SECONDS, _HOLD_MS), _SECONDS)
    passed, after = time.monotonic() - began, _runs(pid)
    runs = sum(after[each][0] - before.get(each, (0, 0))[0] for each in after)
    spent = sum(after[each][1] - before.get(each, (0, 0))[1] for each in after)
    process = (cpu_seconds(pid) - used) / passed
    return PeerCost(who, rate, spent / max(1, runs), spent / 1e9 / passed, process, 0)


def _runs(pid: int) -> dict[str, tuple[int, int]]:
    """Return (runs, nanoseconds) of every program that a process holds, by its id."""
    found = {}
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            lines = entry.read_text(encoding="ascii").splitlines()
            about = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
            if "run_cnt" in about:  # a program; an attachment has the number of one too
                found[about["prog_id"]] = int(about["run_cnt"]), int(about["run_time_ns"])
    return found


@contextlib.contextmanager
def _headers() -> Iterator[Path]:
    """Make stand-ins for the headers that the tools ask for, beside those of our own programs."""
    types = TypeTable(Path("/sys/kernel/btf/vmlinux").read_bytes())
    offsets = [types.offset("tcp_sock", member) for member in ("bytes_received", "bytes_acked")]
    with tempfile.TemporaryDirectory(prefix="netsre-bench-") as place:
        include = Path(place) / "include"
        shutil.copytree(directory("bpf") / "shim" / "include", include)
        (include / "net").mkdir()
        (include / "net" / "sock.h").write_text(_SOCK % tuple(offsets), encoding="ascii")
        for name in ("linux/tcp.h", "linux/sched.h", "net/inet_sock.h", "net/net_namespace.h"):
            (include / name).write_text("", encoding="ascii")
        yield Path(place)
