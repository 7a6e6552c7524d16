"""What happens to files in some directories, as the kernel tells it (inotify).

Constants and layout: linux/inotify.h. What other machines do to a network file system is not told.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _IGNORED, _ONLY_DIRECTORIES, _IS_DIRECTORY = 0x4000, 0x8000, 0x1000000, 0x40000000
_CONTENT: Final = _MODIFY | _ATTRIB | _CLOSE_WRITE
_COMES: Final = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_MASK: Final = _CONTENT | _COMES | _DELETE_SELF | _MOVE_SELF | _ONLY_DIRECTORIES
_EVENT: Final = struct.Struct("=iIII")
_AT_ONCE: Final = 64 << 10

Names = AbstractSet[str] | None
"""Of a directory: those that matter, None for all that are of the right kind."""


class Told(NamedTuple):
    """What has happened."""

    matters: bool
    directories: bool
    """Whether directories have come or gone, which may have to be watched."""


class _Watched(NamedTuple):
    path: Path
    names: Names


class FileChanges:
    """Directories that are watched, and what happens in them; use it in one thread, with `with`."""

    def __init__(self, matters: Callable[[str], bool]) -> None:
        """Watch nothing yet; `matters` says by its name whether a file is of the right kind.

        Raises `OSError`.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")
        self._matters = matters
        self._watched: dict[int, _Watched] = {}
        self._written: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch nothing any more."""
        os.close(self._fd)

    def fileno(self) -> int:
        """Return what is readable when something has happened."""
        return self._fd

    @property
    def is_written(self) -> bool:
        """Return whether somebody has written to a file that matters, and has not closed it since."""
        return bool(self._written)

    def watch(self, directories: Mapping[Path, Names]) -> bool:
        """Watch these directories and no others; return whether one of them was not watched before.

        One that is not there is left out. Raises `OSError` where the kernel allows no more.
        """
        found: dict[int, _Watched] = {}
        for path, names in directories.items():
            number = self._libc.inotify_add_watch(self._fd, os.fsencode(path), _MASK)
            if number < 0 and ctypes.get_errno() in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                continue
            self._checked(number, str(path))
            # Two paths may lead to one directory.
            other = found.get(number, _Watched(path, frozenset())).names
            both = None if names is None or other is None else names | other
            found[number] = _Watched(path, both)
        is_new = any(self._watched.get(number) != one for number, one in found.items())
        for number in self._watched.keys() - found.keys():
            self._libc.inotify_rm_watch(self._fd, number)
        self._watched = found
        self._written = {(number, name) for number, name in self._written if number in found}
        return is_new

    def take(self) -> Told:
        """Take what has happened since the last time."""
        matters = directories = False
        for number, mask, name in self._events():
            if self._take(number, mask, name):
                matters = True
                directories = directories or not name or bool(mask & _IS_DIRECTORY)
        return Told(matters, directories)

    def _events(self) -> Iterator[tuple[int, int, str]]:
        while True:
            try:
                data = os.read(self._fd, _AT_ONCE)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                number, mask, _, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size + length
                yield number, mask, os.fsdecode(data[at - length : at].rstrip(b"\0"))

    def _take(self, number: int, mask: int, name: str) -> bool:
        if mask & _OVERFLOW:
            self._written.clear()
            return True
        watched = self._watched.get(number)
        if watched is None:
            return False
        if not name:
            return bool(mask & (_DELETE_SELF | _MOVE_SELF | _IGNORED))
        is_content = bool(mask & _CONTENT) and not mask & _IS_DIRECTORY
        if watched.names is not None:
            is_of_us = name in watched.names
        else:
            # Whatever comes and goes may be a directory, or a link to another one.
            is_of_us = not is_content or self._matters(name)
        if is_of_us:
            if mask & _MODIFY:
                self._written.add((number, name))
            elif mask & ~(_ATTRIB | _CREATE):
                self._written.discard((number, name))
        return is_of_us

    def _checked(self, answer: int, what: str) -> int:
        if answer < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)
        return answer
