"""Writing the flow log: whole lines, in files that never outgrow their bound together.

Every batch finds out anew what stands on disk, so that a crash, another hand, or a second writer needs no
care of its own. A file that ends in the middle of a line, of a crash or a full disk, is gone on with behind a
mark: readers know that such a line is none. It is never cut off, for somebody may be reading it just now.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.flow_log import rotated

PARTS: Final = 8
"""Files that hold the log together, when it is full; the oldest goes as a whole."""
_UNFINISHED: Final = b"!\n"
"""No beginning of a JSON object becomes one by this."""
_NEW: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Written(NamedTuple):
    """What became of a batch."""

    lines: int
    """The first of them, that are whole on disk."""
    error: OSError | None
    """Why not all."""


class FlowLogFile:
    """A log under one name, in a directory that is held open: privileges may be gone when it is written."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Keep at most so many bytes in all files together."""
        self.path = path
        self._part = most_bytes // PARTS
        self._most = most_bytes
        self._directory: int | None = None

    def open(self) -> int:
        """Return the directory; made, for us alone, where only it is missing. Raises `OSError`."""
        if self._directory is None:
            with contextlib.suppress(FileExistsError):
                self.path.parent.mkdir(mode=0o700)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
            self._directory = os.open(self.path.parent, flags)
        return self._directory

    def append(self, lines: Sequence[bytes]) -> Written:
        """Write whole lines, as far as there is room on the disk."""
        done = 0
        try:
            for batch in self._batches(lines):
                count, error = self._append(batch)
                done += count
                if error is not None:
                    return Written(done, error)
        except FileNotFoundError as error:
            # The directory was removed under us. The next batch looks for another of its name.
            self.close()
            return Written(done, error)
        except OSError as error:
            return Written(done, error)
        return Written(done, None)

    def close(self) -> None:
        """Let go of the directory."""
        if self._directory is not None:
            os.close(self._directory)
            self._directory = None

    def _batches(self, lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Cut lines into batches that fit into a file."""
        begin = size = 0
        for index, line in enumerate(lines):
            if size and size + len(line) > self._part - len(_UNFINISHED):
                yield lines[begin:index]
                begin, size = index, 0
            size += len(line)
        if begin < len(lines):
            yield lines[begin:]

    def _append(self, lines: Sequence[bytes]) -> Written:
        data = b"".join(lines)
        directory = self.open()
        descriptor = self._opened(directory)
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(data) + len(_UNFINISHED) > self._part:
                self._rotate(directory)
                os.close(descriptor)
                descriptor = self._opened(directory)
                size = os.fstat(descriptor).st_size
            unfinished = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            mark = _UNFINISHED if unfinished else b""
            taken = os.write(descriptor, mark + data)
        finally:
            os.close(descriptor)
        if taken == len(mark) + len(data):
            return Written(len(lines), None)
        error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Written(data[: max(0, taken - len(mark))].count(b"\n"), error)

    def _opened(self, directory: int) -> int:
        """Return the file that is written to; raises `OSError` when it is not ours alone."""
        descriptor = os.open(self.path.name, _NEW, 0o600, dir_fd=directory)
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink <= 1:
            return descriptor
        os.close(descriptor)
        raise OSError(errno.EPERM, "it is no plain file of this user")

    def _rotate(self, directory: int) -> None:
        """Complete the present file, and make room for another of its size."""
        files = rotated(directory, self.path.name)
        number = files[-1].number + 1 if files else 1
        name = f"{self.path.name}.{number}"
        # Gone if somebody else was quicker: then that one's number holds it.
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path.name, name, src_dir_fd=directory, dst_dir_fd=directory)
        files = rotated(directory, self.path.name)
        kept = sum(file.bytes for file in files)
        for file in files:
            if kept <= self._most - self._part:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.name, dir_fd=directory)
            kept -= file.bytes
