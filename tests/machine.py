"""What tests ask of the machine that they run on: a port, a condition come true, a process gone."""

import contextlib
import fcntl
import itertools
import pathlib
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from netsre.adapters import processes
from netsre.adapters.control import ControlUnreachable

LIMIT: Final = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_max")
"""Of the connection tables; only the host can change it."""
PATIENCE: Final = 30.0
"""Seconds for what a quiet machine does at once: a busy one is no reason to call a claim false."""


_FIRST_PORT: Final = 10_000
_PORTS: Final = 20_000
"""Below those that the kernel hands out: it gives none away before the server that it is for listens."""
# Other workers begin elsewhere; only the system's random numbers differ between them.
_steps: Final = itertools.count(random.SystemRandom().randrange(_PORTS))


def free_port() -> int:
    """Return a port that nobody listens on now, and that is not given to anybody who asks for any port."""
    while True:
        port = _FIRST_PORT + next(_steps) % _PORTS
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Return whether something became true in time."""
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met or condition()


def when_served(ask: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Ask over a control socket until it is answered; raises what came last when it is not in time.

    A socket has its name a moment before anybody listens on it. Ask what may be asked twice.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            ask()
        except ControlUnreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def gone(pids: Iterable[int]) -> bool:
    """Say whether none of the processes runs any more."""
    return all(processes.start_time(pid) is None for pid in pids)


@contextlib.contextmanager
def alone_with_limit() -> Iterator[pathlib.Path]:
    """Yield the file with the limit of connection tables, which no other run of tests raises meanwhile.

    What another one has raised would be taken for the host's own. Needs root.
    """
    # Not among temporary files: runs of CI have a directory of their own for those.
    with pathlib.Path("/run/netsre-test-limit.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield LIMIT


@contextlib.contextmanager
def open_directory() -> Iterator[pathlib.Path]:
    """Yield a directory that every user can walk into; other runs of pytest close its own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="netsre-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)
