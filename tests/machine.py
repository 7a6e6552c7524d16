"""What tests ask of the machine that they run on: a port, a condition come true, a process gone."""

import contextlib
import pathlib
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from netsre.adapters import processes

PATIENCE: Final = 30.0
"""Seconds for what a quiet machine does at once: a busy one is no reason to call a claim false."""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether something became true in time."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met or condition()


def gone(pids: Iterable[int]) -> bool:
    """Say whether none of the processes runs any more."""
    return all(processes.start_time(pid) is None for pid in pids)


@contextlib.contextmanager
def open_directory() -> Iterator[pathlib.Path]:
    """Yield a directory that every user can walk into; other runs of pytest close its own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="netsre-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)
