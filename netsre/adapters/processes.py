"""Other processes, as procfs shows them: who lives, who is in a namespace, who was started by whom."""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from netsre.gameday.ownership import Owner

OWNER_VARIABLE: Final = "NETSRE_OWNED_BY"
"""Environment variable that carries the ownership name of a process, from its start to its end."""

_PROC: Final = Path("/proc")
_DEAD: Final = b"ZX"


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when it is gone.

    One that ended but was never waited for counts as gone: it does nothing any more.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command name may hold spaces and brackets; what follows its last bracket is regular.
    state, *fields = stat[stat.rindex(b")") + 1 :].split()
    return None if state in _DEAD else int(fields[18])


def owner(pid: int) -> Owner | None:
    """Return a process as an owner of things; None when it is gone."""
    started = start_time(pid)
    return None if started is None else Owner(pid, started)


def this_process() -> Owner:
    """Return the calling process as an owner of things."""
    pid = os.getpid()
    found = owner(pid)
    if found is None:
        message = f"/proc/{pid}/stat cannot be read: is /proc mounted for this process id namespace?"
        raise RuntimeError(message)
    return found


def lineage(pid: int) -> frozenset[int]:
    """Return a process and everything that it descends from."""
    found = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            stat = (_PROC / str(pid) / "stat").read_bytes()
        except OSError:
            break
        pid = int(stat[stat.rindex(b")") + 1 :].split()[1])
    return frozenset(found)


def command_name(pid: int) -> str:
    """Return the short name of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def in_network_namespace(identity: tuple[int, int]) -> frozenset[int]:
    """Return the processes inside the namespace with this device and inode."""
    return frozenset(pid for pid in _pids() if _namespace(pid) == identity)


def marked() -> dict[int, str]:
    """Return the processes that carry an owner's mark, and the mark."""
    return {pid: found for pid in _pids() if (found := mark(pid)) is not None}


def mark(pid: int) -> str | None:
    """Return the owner's mark of one process; None when it has none, or is gone."""
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == OWNER_VARIABLE.encode():
                return value.decode(errors="replace")
    return None


def end(pids: Iterable[int], still_meant: Callable[[int], bool], grace: float) -> frozenset[int]:
    """End processes: ask, wait `grace` seconds, then insist. Return those that are gone because of it.

    `still_meant` is asked after the process is pinned, so that a reused process id is never hit.
    """
    with contextlib.ExitStack() as stack:
        pinned = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                descriptor = os.pidfd_open(pid)
                stack.callback(os.close, descriptor)
                if still_meant(pid):
                    pinned[pid] = descriptor
        alive = set(pinned.values())
        for sig, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            for descriptor in alive:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, sig)
            alive = _wait(alive, patience)
        return frozenset(pid for pid, descriptor in pinned.items() if descriptor not in alive)


def lock_holder(device: int, inode: int) -> int | None:
    """Return the process that holds an exclusive `flock` on a file; None when nobody visible does."""
    wanted = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in (_PROC / "locks").read_text(encoding="ascii", errors="replace").splitlines():
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[5] == wanted:
            return int(fields[4])
    return None


def listener(port: int) -> int | None:
    """Return a process that listens on a TCP port of this network namespace; None when none is visible."""
    inodes = {f"socket:[{inode}]" for inode in _listening(os.getpid(), port)}
    return next((pid for pid in _pids() if inodes and inodes & _open_files(pid)), None)


def listening_sockets(pid: int, port: int) -> int:
    """Return how many sockets listen on a TCP port in the network namespace of a process."""
    return len(_listening(pid, port))


def _listening(pid: int, port: int) -> frozenset[str]:
    """Return the inodes of listening sockets; `0A` is the state LISTEN."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return frozenset(inodes)


def _wait(descriptors: set[int], seconds: float) -> set[int]:
    """Wait until the processes end; return those that did not."""
    deadline = time.monotonic() + seconds
    poller = select.poll()
    left = set(descriptors)
    for descriptor in left:
        poller.register(descriptor, select.POLLIN)
    while left and (rest := deadline - time.monotonic()) > 0:
        for descriptor, _ in poller.poll(rest * 1000):
            poller.unregister(descriptor)
            left.discard(descriptor)
    return left


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _namespace(pid: int) -> tuple[int, int] | None:
    try:
        status = (_PROC / str(pid) / "ns" / "net").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_files(pid: int) -> frozenset[str]:
    names = set()
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                names.add(str(entry.readlink()))
    return frozenset(names)
