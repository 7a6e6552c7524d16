"""`netsre up` as a process, for tests that read what it prints and end it in every way."""

import contextlib
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netsre.app.local.sweep import sweep
from tests.machine import free_port

START_SECONDS: Final = 120.0
"""What a busy machine may need until there are live numbers."""

QUICK: Final = ("--interval", "1s")
"""Numbers change five times as often as they usually do, and nobody has to wait for them."""


@dataclass
class Up:
    """One `netsre up --lab` and what it has printed so far."""

    process: subprocess.Popen[bytes]
    listen: int
    agent_listen: int
    data_dir: pathlib.Path
    printed: str = ""
    _open: bool = field(default=True)

    def wait_for(self, pattern: str, seconds: float = START_SECONDS, *, after: int = 0) -> re.Match[str]:
        """Return the first match in what is printed, from an offset on; fails when there is none in time."""
        deadline = time.monotonic() + seconds
        while (found := re.compile(pattern, re.MULTILINE).search(self.printed, after)) is None:
            rest = deadline - time.monotonic()
            assert rest > 0, f"no {pattern!r} within {seconds:.0f} s in:\n{self.printed}"
            assert self._open, f"no {pattern!r} before the end of:\n{self.printed}"
            self._read(min(rest, 0.5))
        return found

    @property
    def refusal(self) -> list[str]:
        """The lines printed, without those about what others on this machine had left behind."""
        return [
            line
            for line in self.printed.splitlines()
            if not line.startswith("left by an earlier run and removed")
        ]

    def pid(self, name: str) -> int:
        """Return the process id of a part, as it was introduced or started again last."""
        found = re.findall(rf"^{name}: started again, pid (\d+)$", self.printed, re.MULTILINE)
        if found:
            return int(found[-1])
        self.wait_for(r"^stop: ")
        # Not in what it says of others: the leftovers of an earlier run have the same names.
        found = re.findall(rf"^{name}: .*?\(pid (\d+)|^lab: .*[ :]{name} (\d+)", self.printed, re.MULTILINE)
        return int(next(filter(None, found[0])))

    def wait(self, seconds: float = START_SECONDS) -> int:
        """Read until it ends; return its exit code."""
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self._read(0.2)
        return self.process.wait(timeout=max(0.1, deadline - time.monotonic()))

    def stop(self) -> None:
        """Ask for an orderly stop, and insist on its success."""
        self.process.send_signal(signal.SIGINT)
        assert self.wait() == 0, self.printed

    def _read(self, seconds: float) -> None:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        if ready:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            self._open = bool(chunk)
            self.printed += chunk.decode()


def command(data_dir: pathlib.Path, listen: int, agent_listen: int) -> list[str]:
    """Return the command line of a lab on the given ports."""
    where = ["--listen", f"127.0.0.1:{listen}", "--agent-listen", f"127.0.0.1:{agent_listen}"]
    return [sys.executable, "-P", "-m", "netsre", "up", "--lab", "--data-dir", str(data_dir), *where]


@contextlib.contextmanager
def up(
    data_dir: pathlib.Path,
    *more: str,
    environment: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
) -> Iterator[Up]:
    """Start `netsre up --lab`; whatever the test did, nothing of it is left afterwards."""
    listen, agent_listen = ports or (free_port(), free_port())
    process = subprocess.Popen(
        [*command(data_dir, listen, agent_listen), *QUICK, *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment) if environment is not None else None,
    )
    running = Up(process, listen, agent_listen, data_dir)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                running.wait()
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()
        sweep()
