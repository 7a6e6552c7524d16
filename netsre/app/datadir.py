"""The data directory: made, owned by the service user, closed to others, and used by one `up` at a time."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netsre.adapters import privileges, processes
from netsre.adapters.privileges import ServiceUser
from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.gameday.ownership import Owner

_PRIVATE: Final = 0o700
_ELSEWHERE: Final = "name another with --data-dir"


def prepare(path: Path, user: ServiceUser, owner: Owner) -> None:
    """Make sure that `path` is a directory that `user`, and no other user, can use.

    A directory that exists is taken over only when it is empty, root's, and not shared: a mistyped path must
    not take a system directory away from its users. Raises `EnvironmentUnfit`, having changed nothing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=_PRIVATE)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentUnfit(f"data directory {path}: {error.strerror}; {_ELSEWHERE}") from error
    try:
        _take(path, descriptor, user)
    finally:
        os.close(descriptor)
    _prove_writable(path, user, owner)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the directory against another `up`; `EnvironmentUnfit` names the process that has it.

    The lock is on the directory itself. It ends with this process, however it ends, and leaves no file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EnvironmentUnfit(
                f"data directory {path} is in use by {_holder(descriptor)}; stop it, or {_ELSEWHERE}"
            ) from None
        yield
    finally:
        os.close(descriptor)


def _take(path: Path, descriptor: int, user: ServiceUser) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in (user.uid, 0):
        raise EnvironmentUnfit(
            f"data directory {path} belongs to uid {status.st_uid}, not to {user.name}; {_ELSEWHERE}, "
            f"or run chown -R {user.name} {path}"
        )
    if status.st_uid == 0:
        shared = stat.S_IMODE(status.st_mode) & (stat.S_IWGRP | stat.S_IWOTH | stat.S_ISVTX)
        if shared or os.listdir(descriptor):
            what = "shared with other users" if shared else "not empty"
            raise EnvironmentUnfit(f"data directory {path} is root's and {what}; {_ELSEWHERE}")
        os.fchown(descriptor, user.uid, user.gid)
    if stat.S_IMODE(status.st_mode) != _PRIVATE:
        os.fchmod(descriptor, _PRIVATE)


def _prove_writable(path: Path, user: ServiceUser, owner: Owner) -> None:
    """Write a file there as the service user would: only that shows that every directory above lets it in."""
    probe = path / owner.name("up", "probe")
    child = os.fork()
    if child == 0:
        os._exit(_write_as(user, probe))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        reason = os.strerror(code) if code > 0 else f"the attempt was ended by signal {-code}"
        hint = " (a directory above it is closed)" if code == errno.EACCES else ""
        raise EnvironmentUnfit(
            f"data directory {path}: user {user.name} cannot write there: {reason}{hint}; {_ELSEWHERE}"
        )


def _write_as(user: ServiceUser, probe: Path) -> int:
    """Become the user and write; return 0, or the errno. Runs in a process of its own."""
    try:
        privileges.drop_to(user)
        probe.touch(exist_ok=False)
        probe.unlink()
    except NetsreError:
        return errno.EPERM
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _holder(descriptor: int) -> str:
    status = os.fstat(descriptor)
    pid = processes.lock_holder(status.st_dev, status.st_ino)
    return f"pid {pid} ({processes.command_name(pid)})" if pid else "another process"
