"""The side that asks: starts the process, and believes nothing of what it answers beyond its form."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.part.wire import HEADER, MOST_BYTES, PIECE_BYTES, REQUEST, Message, close, receive, send
from netsre.errors import EnvironmentUnfit

ANSWER_SECONDS: Final = 5.0
"""How long to wait for an answer: looking through 100,000 processes takes a second."""
_LEAVE_SECONDS: Final = 2.0
_SEQUENCES: Final = 1 << 32


class PartAway(EnvironmentUnfit):
    """The process that could do it does not answer; what was asked was not done, or ends by itself."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep a short word beside the sentence."""
        self.reason = reason
        super().__init__(message)


class Reply(NamedTuple):
    """A good answer."""

    data: bytes
    descriptor: int | None
    """Ours to close."""


class Usage(NamedTuple):
    """What a process takes."""

    cpu_seconds: float
    """Never falls, also when the process is gone."""
    resident_bytes: int


class Part:
    """The process, for as long as it lives; safe to be used by several threads, one after the other."""

    def __init__(self, module: str, seconds: float = ANSWER_SECONDS) -> None:
        """Start a module of ours with all the privileges that we have now; it gives away what it needs not.

        It is told the descriptor of its socket and our process id.
        """
        self._name = module.rpartition(".")[2]
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sequence = 0
        self._owed = False
        """Whether an answer that nobody waited for is still to come."""
        self._usage = Usage(0.0, 0)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }
        with theirs:
            self._process = subprocess.Popen(  # our own interpreter and module
                # -P: the directory that somebody happens to stand in may be anybody's.
                [sys.executable, "-P", "-m", module, str(theirs.fileno()), str(os.getpid())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
            )

    @property
    def pid(self) -> int:
        """Return its process id, also when it is gone."""
        return self._process.pid

    def ask(self, command: int, first: int = 0, second: int = 0, descriptor: int | None = None) -> Reply:
        """Have something done; raises `OSError` with the errno that it answers, and `PartAway`."""
        with self._lock:
            self._settle()
            self._sequence = (self._sequence + 1) % _SEQUENCES
            request = REQUEST.pack(self._sequence, command, first, second)
            until = time.monotonic() + self._seconds
            try:
                self._channel.settimeout(self._seconds)
                send(self._channel, request, [] if descriptor is None else [descriptor])
                self._owed = True
                return self._collect(until)
            except TimeoutError:
                raise self._silent() from None
            except (BrokenPipeError, ConnectionResetError):
                raise self._gone() from None

    def absence(self) -> PartAway | None:
        """Return why it would not answer now; None when it should."""
        if self._process.poll() is not None:
            return self._gone()
        if not self._lock.acquire(blocking=False):
            return None  # Somebody asks, and will be told.
        try:
            self._settle()
        except PartAway as away:
            return away
        finally:
            self._lock.release()
        return None

    def usage(self) -> Usage:
        """Return what it takes; of one that is gone, what it took, and no memory."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_bytes()
        except OSError:
            stat = b""
        if self._process.poll() is not None or not stat:
            return self._usage._replace(resident_bytes=0)
        # The command name may hold spaces and brackets; what follows its last bracket is regular.
        fields = stat[stat.rindex(b")") + 2 :].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        self._usage = Usage(
            max(seconds, self._usage.cpu_seconds), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        )
        return self._usage

    def close(self) -> None:
        """Have it end, and wait for that."""
        with self._lock:
            self._channel.close()
            try:
                self._process.wait(_LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _collect(self, until: float) -> Reply:
        """Return the answer to the last request."""
        data = bytearray()
        while True:
            piece = self._piece(until)
            sequence, code, more = HEADER.unpack_from(piece.data)
            if sequence != self._sequence or len(data) > MOST_BYTES:
                close(piece.descriptors)
                continue
            data += piece.data[HEADER.size :]
            if more:
                close(piece.descriptors)
                continue
            self._owed = False
            if code:
                close(piece.descriptors)
                raise OSError(code, os.strerror(code))
            close(piece.descriptors[1:])
            return Reply(bytes(data), next(iter(piece.descriptors), None))

    def _piece(self, until: float) -> Message:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        self._channel.settimeout(left)
        piece = receive(self._channel, HEADER.size + PIECE_BYTES)
        if not piece.data:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if len(piece.data) < HEADER.size:
            close(piece.descriptors)
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return piece

    def _settle(self) -> None:
        """Throw away what came too late; raises `PartAway` while it is still to come."""
        while self._owed:
            try:
                self._channel.setblocking(False)
                piece = receive(self._channel, HEADER.size + PIECE_BYTES)
            except BlockingIOError:
                raise self._silent() from None
            except OSError:
                raise self._gone() from None
            close(piece.descriptors)
            if len(piece.data) < HEADER.size:
                raise self._gone()
            sequence, _, more = HEADER.unpack_from(piece.data)
            self._owed = bool(more) or sequence != self._sequence

    def _silent(self) -> PartAway:
        return PartAway("no_answer", f"process {self.pid} ({self._name}) does not answer; it may be stopped")

    def _gone(self) -> PartAway:
        try:
            code = self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            # It speaks to nobody any more, or not as it should.
            self._process.kill()
            code = self._process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else "ended"
        return PartAway(
            "died", f"process {self.pid} ({self._name}) {how}; restart the agent to have it again"
        )
