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

from netsre.adapters.part.wire import (
    HEADER,
    MOST_BYTES,
    NEWS,
    PIECE_BYTES,
    REQUEST,
    Message,
    close,
    receive,
    send,
)
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
    """The process, or the next one when it died; safe to be used by several threads, one after the other."""

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
        self._channel: socket.socket | None = None
        self.pid = 0
        """The process that is asked, or was; 0 before the first."""
        self._ended: int | None = None
        """How it ended; None for one that lives, as far as we were told."""
        self.restarts = 0
        self._news, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
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
    def keeper(self) -> int:
        """Return the id of the process that starts it, also when that is gone."""
        return self._process.pid

    def ask(self, command: int, first: int = 0, second: int = 0, descriptor: int | None = None) -> Reply:
        """Have something done; raises `OSError` with the errno that it answers, and `PartAway`."""
        with self._lock:
            channel = self._meet(self._seconds)
            if channel is None:
                raise self._silent()
            self._settle(channel)
            self._sequence = (self._sequence + 1) % _SEQUENCES
            request = REQUEST.pack(self._sequence, command, first, second)
            until = time.monotonic() + self._seconds
            try:
                channel.settimeout(self._seconds)
                send(channel, request, [] if descriptor is None else [descriptor])
                self._owed = True
                return self._collect(channel, until)
            except TimeoutError:
                raise self._silent() from None
            except (BrokenPipeError, ConnectionResetError):
                raise self._gone() from None

    def absence(self) -> PartAway | None:
        """Return why it would not answer now; None when it should."""
        if not self._lock.acquire(blocking=False):
            return None  # Somebody asks, and will be told.
        try:
            channel = self._meet(0)
            if channel is not None:
                self._settle(channel)
        except PartAway as away:
            return away
        finally:
            self._lock.release()
        return None

    def usage(self) -> Usage:
        """Return what it takes, its keeper included; of one that is gone, what it took, and no memory."""
        keeper, one = _taken(self.keeper), _taken(self.pid)
        if self._process.poll() is not None or keeper is None:
            return self._usage._replace(resident_bytes=0)
        seconds, resident = keeper.seconds + keeper.of_ended, keeper.resident_bytes
        if one is not None and one.parent == self.keeper:
            seconds, resident = seconds + one.seconds, resident + one.resident_bytes
        self._usage = Usage(max(seconds, self._usage.cpu_seconds), resident)
        return self._usage

    def close(self) -> None:
        """Have it end, and wait for that."""
        with self._lock:
            self._hang_up()
            self._news.close()
            try:
                self._process.wait(_LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _meet(self, seconds: float) -> socket.socket | None:
        """Return the socket of who answers; None if nobody ever did, and does not within so many seconds.

        Raises `PartAway` when it ended, and no other was started yet.
        """
        try:
            while self._hear(0):
                pass
            if self._channel is None and self._ended is None and seconds:
                self._hear(seconds)
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost() from None
        if self._ended is not None:
            raise self._restarting(self._ended)
        return self._channel

    def _hear(self, seconds: float) -> bool:
        """Take note of one thing that the keeper says; return whether it said anything."""
        self._news.settimeout(seconds)
        try:
            said = receive(self._news, NEWS.size)
        except (BlockingIOError, TimeoutError):
            return False
        if len(said.data) != NEWS.size:
            close(said.descriptors)
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._hang_up()
        pid, code = NEWS.unpack(said.data)
        if said.descriptors:
            self.restarts += bool(self.pid)
            self.pid, self._ended, self._owed = pid, None, False
            self._channel = socket.socket(fileno=said.descriptors[0])
            close(said.descriptors[1:])
        else:
            self._ended = code
        return True

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _collect(self, channel: socket.socket, until: float) -> Reply:
        """Return the answer to the last request."""
        data = bytearray()
        while True:
            piece = self._piece(channel, until)
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

    @staticmethod
    def _piece(channel: socket.socket, until: float) -> Message:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        channel.settimeout(left)
        piece = receive(channel, HEADER.size + PIECE_BYTES)
        if not piece.data:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if len(piece.data) < HEADER.size:
            close(piece.descriptors)
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        return piece

    def _settle(self, channel: socket.socket) -> None:
        """Throw away what came too late; raises `PartAway` while it is still to come."""
        while self._owed:
            try:
                channel.setblocking(False)
                piece = receive(channel, HEADER.size + PIECE_BYTES)
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
        """Say what became of one that speaks no more, or not as it should."""
        self._hang_up()
        try:
            while self._ended is None and self._hear(_LEAVE_SECONDS):
                pass
        except (BrokenPipeError, ConnectionResetError):
            return self._lost()
        return self._lost() if self._ended is None else self._restarting(self._ended)

    def _restarting(self, code: int) -> PartAway:
        return PartAway("restarting", f"process {self.pid} ({self._name}) {_how(code)}; it is started again")

    def _lost(self) -> PartAway:
        """Say that nobody starts it again."""
        try:
            code = self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        name = f"process {self.keeper} ({self._name})"
        return PartAway("died", f"{name} {_how(code)}; restart the agent to have it again")


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else "ended"


class _Taken(NamedTuple):
    """What the kernel says that a process took."""

    parent: int
    seconds: float
    of_ended: float
    """CPU time of children that ended."""
    resident_bytes: int


def _taken(pid: int) -> _Taken | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command name may hold spaces and brackets; what follows its last bracket is regular.
    fields = [int(field) for field in stat[stat.rindex(b")") + 4 :].split()]
    tick = os.sysconf("SC_CLK_TCK")
    pages = fields[20]
    return _Taken(
        fields[0],
        (fields[10] + fields[11]) / tick,
        (fields[12] + fields[13]) / tick,
        pages * os.sysconf("SC_PAGE_SIZE"),
    )
