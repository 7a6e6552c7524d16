"""Doing work inside a network namespace: the calling thread moves, so each piece of work gets its own."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

_CLONE_NEWNET: Final = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_Result = TypeVar("_Result")


class NamespaceGone(FileNotFoundError):
    """What was seen a moment ago is not there any more: no failure, only news."""


def enter(path: Path, inode: int | None = None) -> None:
    """Move the calling thread into the namespace bound to a path, for good.

    With `inode`, only if it is still that one. Raises `NamespaceGone`, or `OSError` with the kernel's reason.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NamespaceGone(error.errno, error.strerror, str(path)) from error
    try:
        if inode is not None and os.fstat(descriptor).st_ino != inode:
            raise NamespaceGone(str(path))
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)


def inside(path: Path, work: Callable[[], _Result], inode: int | None = None) -> _Result:
    """Do some work inside and return what it returned, or raise what it raised; the caller stays outside."""
    results: list[_Result] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            enter(path, inode)
            results.append(work())
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=body, name=f"inside {path.name}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
