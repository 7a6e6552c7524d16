"""Which network namespaces there are, what they are called, and how to get into one.

A namespace is known by its inode number, as the kernel side counts it. Its name comes from where tools bind
it (`/run/netns`, as `ip netns` and CNI plugins do; `/run/docker/netns`). `host` is the init process's, or our
own where the init process may not be looked at.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from netsre.adapters.namespaces import entering
from netsre.conventions import OTHER

HOST: Final = "host"
_Result = TypeVar("_Result")
_PROC: Final = Path("/proc")
_BOUND: Final = (Path("/run/netns"), Path("/run/docker/netns"))


@dataclass(frozen=True, slots=True)
class Namespace:
    """One network namespace; a process in it or the path it is bound to leads there, for whoever may go."""

    inode: int
    name: str
    pid: int | None
    path: Path | None


def namespaces() -> Mapping[int, Namespace]:
    """Return the network namespaces of this host by inode number; what may not be seen is left out."""
    found: dict[int, Namespace] = {}
    bound = named()
    host = _inode_of("1") or _inode_of("self")
    for pid, inode in _of_processes():
        if inode not in found:
            name, path = bound.get(inode, (f"net:{inode}", None))
            found[inode] = Namespace(inode, HOST if inode == host else name, pid, path)
    for inode, (name, path) in bound.items():
        found.setdefault(inode, Namespace(inode, name, None, path))
    return found


def named() -> dict[int, tuple[str, Path]]:
    """Return (name, path) by inode. A name that is ours, or another namespace's already, gives way.

    Two namespaces under one name would be one series twice, which no reader of metrics accepts.
    """
    named: dict[int, tuple[str, Path]] = {}
    for inode, (name, path) in _bound().items():
        taken = {HOST, OTHER, *(other for other, _ in named.values())}
        named[inode] = (f"net:{inode}" if name in taken else name, path)
    return named


def _bound() -> dict[int, tuple[str, Path]]:
    # Any bytes may be a file's name; a label is text.
    return {
        inode: (os.fsencode(path.name).decode(errors="backslashreplace"), path)
        for path, inode in _files()
        if inode is not None
    }


def awaits_namespaces() -> bool:
    """Tell whether there is a name whose namespace is yet to be bound to it, or is no more."""
    return any(inode is None for _, inode in _files())


def _files() -> Iterator[tuple[Path, int | None]]:
    """Yield the files in the directories of names, with the inode of the namespace behind each, if any."""
    for directory in _BOUND:
        try:
            entries, own = sorted(directory.iterdir()), directory.stat().st_dev
        except OSError:
            continue
        for path in entries:
            try:
                found = path.stat()
            except OSError:
                continue
            # A namespace lives in a file system of its own, and is mounted over a file.
            yield path, None if found.st_dev == own else found.st_ino


def names_changed_at() -> tuple[int, ...]:
    """Return when a name last came or went in each directory of them, in nanoseconds since the Unix epoch.

    0 for a directory that is not there. One system call each, and no namespace is looked at.
    """
    return tuple(_changed_at(directory) for directory in _BOUND)


def _changed_at(directory: Path) -> int:
    try:
        return directory.stat().st_mtime_ns
    except OSError:
        return 0


def _of_processes() -> Iterator[tuple[int, int]]:
    """Yield (pid, namespace inode), lowest pid first: the oldest process is likely to stay."""
    with os.scandir(_PROC) as entries:
        pids = sorted(int(entry.name) for entry in entries if entry.name.isdigit())
    for pid in pids:
        inode = _inode_of(str(pid))
        if inode is not None:
            yield pid, inode


def _inode_of(process: str) -> int | None:
    """Return the inode of a process's network namespace, `None` where it may not be looked at."""
    try:
        link = os.readlink(f"{_PROC}/{process}/ns/net")  # noqa: PTH115  a Path for each takes twice as long
    except OSError:
        return None
    return int(link.removeprefix("net:[").removesuffix("]"))


def statistics_text(namespace: Namespace) -> str:
    """Return the conntrack statistics of a namespace.

    Through a process's `/proc/PID/net` no privilege is needed; a namespace without a process has to be
    entered, which needs CAP_SYS_ADMIN. Raises `NamespaceGone` when it went away since it was listed, and
    `OSError` when it cannot be looked into.
    """
    if namespace.pid is not None:
        try:
            text = Path(f"/proc/{namespace.pid}/net/stat/nf_conntrack").read_text(encoding="ascii")
        except OSError:
            if _inode_of(str(namespace.pid)) == namespace.inode:
                raise
        else:
            # The process may have ended or moved meanwhile: these are then another namespace's numbers.
            if _inode_of(str(namespace.pid)) == namespace.inode:
                return text
    return inside(namespace, own_statistics)


def inside(namespace: Namespace, work: Callable[[], _Result]) -> _Result:
    """Do some work inside a namespace; raises `NamespaceGone`, and `OSError` where that is not permitted."""
    path = namespace.path or _PROC / str(namespace.pid) / "ns/net"
    try:
        return entering.inside(path, work, namespace.inode)
    except PermissionError as error:
        # The kernel says this too of a process that ends between the look for it and the look into it.
        if namespace.path is None and _inode_of(str(namespace.pid)) != namespace.inode:
            raise entering.NamespaceGone(str(path)) from error
        raise


def own_statistics() -> str:
    """Return the conntrack statistics of the namespace that the calling thread is in."""
    return Path("/proc/thread-self/net/stat/nf_conntrack").read_text(encoding="ascii")


def conntrack_limit() -> int:
    """Return how many entries each namespace's table may hold; 0 means no limit."""
    return int(Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text(encoding="ascii"))
