"""Reading the flow log while it is written: in order, across its files, never a line that is not whole."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netsre.adapters.flow_log import Rotated, rotated

_BLOCK: Final = 1 << 18
_LONGEST: Final = 1 << 16
"""Bytes of a line that are kept; whatever is longer is none of ours."""


class FlowLogReader:
    """Reads on from where it stopped; raises `OSError`, at first when there is no such log."""

    def __init__(self, path: Path, since_seconds: float = 0.0) -> None:
        """Begin with the oldest file that was changed after `since_seconds`, a Unix time."""
        self._path = path
        self._directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._file: int | None = None
        self._inode = 0
        self._number = 0
        """Of this file, or of the one before it when it has none yet."""
        self._rest = b""
        try:
            self._begin(since_seconds)
        except OSError:
            self.close()
            raise

    def read(self) -> Iterator[bytes]:
        """Yield every whole line, without its end, that has come to be since the last time."""
        while True:
            yield from self._lines()
            if not self._next():
                return

    def close(self) -> None:
        """Let go of the files."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self._directory)

    def _begin(self, since_seconds: float) -> None:
        number = 0
        for file in rotated(self._directory, self._path.name):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(file.name, dir_fd=self._directory, follow_symlinks=False)
                if status.st_mtime < since_seconds:
                    number = file.number
        if not self._open_after(number):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._path))

    def _open_after(self, number: int) -> bool:
        """Open the file that comes after the one with this number; return whether there is one."""
        while True:
            try:
                later = self._later(number)
                if later is not None:
                    self._open(later.name)
                    self._number = later.number
                    return True
                self._open(self._path.name)
            except FileNotFoundError:
                if later is None:
                    return False
                # Removed to make room, since we looked.
                continue
            self._number = number
            later = self._later(number)
            if later is None or later.inode == self._inode:
                return True
            # Rotated between the two looks: what was opened is not the next one.

    def _later(self, number: int) -> Rotated | None:
        files = rotated(self._directory, self._path.name)
        return next((file for file in files if file.number > number), None)

    def _open(self, name: str) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=self._directory)
        if self._file is not None:
            os.close(self._file)
        self._file = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._rest = b""

    def _lines(self) -> Iterator[bytes]:
        if self._file is not None and os.lseek(self._file, 0, os.SEEK_CUR) > os.fstat(self._file).st_size:
            # Cut off by somebody (`copytruncate`): what comes now stands at its beginning.
            os.lseek(self._file, 0, os.SEEK_SET)
            self._rest = b""
        while self._file is not None and (block := os.read(self._file, _BLOCK)):
            *lines, rest = (self._rest + block).split(b"\n")
            # Cut, not kept: a line of any length must not take memory of any size.
            self._rest = rest[:_LONGEST]
            yield from lines

    def _next(self) -> bool:
        """Go on to the file after this one, if this one is complete; return whether there is more to read."""
        number = self._own_number()
        if number is None:
            if self._present_inode() in {None, self._inode}:
                return False
            # Another has its name. It was rotated just now, or it was removed.
            number = self._own_number() or self._number
        # What was written between our last look and the rename is still to be read.
        if self._file is not None and os.lseek(self._file, 0, os.SEEK_CUR) < os.fstat(self._file).st_size:
            return True
        return self._open_after(number)

    def _own_number(self) -> int | None:
        files = rotated(self._directory, self._path.name)
        return next((file.number for file in files if file.inode == self._inode), None)

    def _present_inode(self) -> int | None:
        try:
            return os.stat(self._path.name, dir_fd=self._directory, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None
