"""Which network namespaces there are, what they are called, and how to look into one.

A namespace is known by its inode number, as the kernel side counts it. Its name comes from where tools bind
it (`/run/netns`, as `ip netns` and CNI plugins do; `/run/docker/netns`). `host` is the init process's, or our
own where the init process may not be looked at.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pyroute2.netns import setns

HOST: Final = "host"
_PROC: Final = Path("/proc")
_BOUND: Final = (Path("/run/netns"), Path("/run/docker/netns"))
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace; either a process in it or the path it is bound to leads there."""

    inode: int
    name: str
    pid: int | None
    path: Path | None


def inventory() -> Mapping[int, Namespace]:
    """Return the network namespaces of this host by inode number; what may not be seen is left out."""
    found: dict[int, Namespace] = {}
    bound = dict(_bound())
    host = _inode_of("1") or _inode_of("self")
    for pid, inode in _of_processes():
        if inode not in found:
            name, path = bound.get(inode, (f"net:{inode}", None))
            found[inode] = Namespace(inode, HOST if inode == host else name, pid, path)
    for inode, (name, path) in bound.items():
        found.setdefault(inode, Namespace(inode, name, None, path))
    return found


def _bound() -> Iterator[tuple[int, tuple[str, Path]]]:
    for directory in _BOUND:
        try:
            entries = sorted(directory.iterdir())
        except OSError:
            continue
        for path in entries:
            try:
                yield path.stat().st_ino, (path.name, path)
            except OSError:
                continue


def _of_processes() -> Iterator[tuple[int, int]]:
    """Yield (pid, namespace inode), lowest pid first: the oldest process is likely to stay."""
    for pid in sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()):
        inode = _inode_of(str(pid))
        if inode is not None:
            yield pid, inode


def _inode_of(process: str) -> int | None:
    """Return the inode of a process's network namespace, `None` where it may not be looked at."""
    try:
        link = str((_PROC / process / "ns/net").readlink())
    except OSError:
        return None
    return int(link.removeprefix("net:[").removesuffix("]"))


def statistics_text(namespace: Namespace) -> str:
    """Return the conntrack statistics of a namespace; raises `OSError` when it cannot be looked into.

    Through a process's `/proc/PID/net` no privilege is needed; a namespace without a process has to be
    entered, which needs CAP_SYS_ADMIN.
    """
    if namespace.pid is not None:
        return Path(f"/proc/{namespace.pid}/net/stat/nf_conntrack").read_text(encoding="ascii")
    return _inside(namespace, _own_statistics)


def _own_statistics() -> str:
    return Path("/proc/thread-self/net/stat/nf_conntrack").read_text(encoding="ascii")


def conntrack_limit() -> int:
    """Return how many entries each namespace's table may hold; 0 means no limit."""
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text(encoding="ascii"))


def _inside(namespace: Namespace, read: Callable[[], T]) -> T:
    """Run `read` in a thread that has entered the namespace, and end the thread with it."""
    results: list[T] = []
    errors: list[OSError] = []

    def enter() -> None:
        try:
            # Without this it would make the namespace anew when it went away since we saw it.
            setns(str(namespace.path), flags=0)
            results.append(read())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=enter, name=f"netns-{namespace.inode}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
