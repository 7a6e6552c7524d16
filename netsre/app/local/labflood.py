"""The noisy client of the lab: an unprivileged process that floods the lab's server when it is told to.

Three generations, each ended by the kernel when the one before it ends. The commander serves the control
socket, in threads. The launcher has one thread, so that it can fork safely. The workers flood; a timer of the
kernel ends each at the deadline, whatever became of everybody else.
"""

import contextlib
import functools
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from netsre.adapters import privileges
from netsre.adapters.control import ControlRefused, ControlServer
from netsre.app.local import labpackets
from netsre.clock import SECOND, Clock, SystemClock, Timestamp
from netsre.model.documents import Document

LONGEST_SECONDS: Final = 600
_LONGEST_KEY: Final = 200
_PROFILES: Final = ("tcp", "udp")

_TALLY: Final = struct.Struct("=QQ")
"""Sent and failed, of one worker."""
_ORDER_BYTES: Final = 4_096
_REAP_SECONDS: Final = 1.0


class Tally:
    """What each worker has sent, in memory that all generations share."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def clear(self) -> None:
        """Begin at zero again; no worker may run."""
        self._memory[:] = bytes(len(self._memory))

    def note(self, worker: int) -> labpackets.Note:
        """Return how a worker tells what it has sent."""
        return lambda sent, failed: _TALLY.pack_into(self._memory, worker * _TALLY.size, sent, failed)

    def total(self) -> tuple[int, int]:
        """Return what all workers together have sent, and could not send."""
        each = [_TALLY.unpack_from(self._memory, n * _TALLY.size) for n in range(labpackets.TCP_WORKERS)]
        return sum(sent for sent, _ in each), sum(failed for _, failed in each)


@dataclass(frozen=True, slots=True)
class Order:
    """What the workers are to do."""

    profile: str
    target: str
    deadline: int
    """In nanoseconds of the monotonic clock, which is the same in every process."""


class Launcher:
    """The launcher as its parent sees it; one caller at a time."""

    def __init__(self, port: int, tally: Tally) -> None:
        """Fork it; this process must have one thread still, which then has to stay."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._channel.close()
            _for_good(lambda: _launch(theirs, port, tally), parent)
        theirs.close()

    def start(self, order: Order) -> int:
        """Start the workers; return how many run."""
        about: Document = {"profile": order.profile, "target": order.target, "deadline": order.deadline}
        return self._tell({"do": "start", "order": about})

    def stop(self) -> int:
        """End the workers; return how many run still."""
        return self._tell({"do": "stop"})

    def alive(self) -> int:
        """Return how many workers run."""
        return self._tell({"do": "look"})

    def _tell(self, order: Document) -> int:
        self._channel.send(json.dumps(order).encode())
        return int(self._channel.recv(_ORDER_BYTES) or 0)


@dataclass(slots=True)
class Flood:
    """One flood that was asked for in the life of this process."""

    key: str
    profile: str
    since: Timestamp
    until: Timestamp
    sent: int = 0
    failed: int = 0


class Commander:
    """Starts each flood once, and one at a time."""

    def __init__(self, launcher: Launcher, tally: Tally, targets: Sequence[str], clock: Clock) -> None:
        """Flood the first of the targets, unless a command names another of them."""
        self._launcher = launcher
        self._tally = tally
        self._targets = tuple(targets)
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, Flood] = {}
        self._latest: Flood | None = None

    def flood(self, command: Document) -> Document:
        """Start a flood; a key that was used already starts nothing."""
        key, order, seconds = self._read(command)
        with self._lock:
            running = self._running()
            if (known := self._known.get(key)) is not None:
                return {"state": "already" if known is running else "ended", "until": known.until}
            if running is not None:
                raise ControlRefused("busy", f"flood {running.key!r} runs until it is stopped or ends")
            self._tally.clear()
            since = self._clock.now()
            flood = Flood(key, order.profile, since, Timestamp(since + seconds * SECOND))
            # Known before it runs: a second command with this key must not start it again.
            self._known[key] = self._latest = flood
            self._launcher.start(order)
            return {"state": "started", "until": flood.until}

    def stop(self, command: Document) -> Document:
        """End a flood at once; a key that was never used is remembered, and starts nothing any more."""
        key = _key(command)
        with self._lock:
            known = self._known.get(key)
            if known is None:
                now = self._clock.now()
                self._known[key] = Flood(key, "", now, now)
                return {"state": "absent"}
            if known is self._running() and self._launcher.stop():
                raise ControlRefused("not_stopped", f"workers of flood {key!r} do not end; kill this process")
            self._count()
            return {"state": "stopped", "sent": known.sent, "failed": known.failed}

    def state(self, command: Document) -> Document:
        """Return the flood that runs, if one does."""
        del command
        with self._lock:
            running = self._running()
            if running is None:
                return {"flood": None}
            figures = {"sent": running.sent, "failed": running.failed}
            times = {"since": running.since, "until": running.until}
            return {"flood": {"key": running.key, "profile": running.profile, **times, **figures}}

    def _running(self) -> Flood | None:
        self._count()
        return self._latest if self._latest is not None and self._launcher.alive() else None

    def _count(self) -> None:
        if self._latest is not None:
            self._latest.sent, self._latest.failed = self._tally.total()

    def _read(self, command: Document) -> tuple[str, Order, int]:
        key, profile, seconds = _key(command), command.get("profile"), command.get("seconds")
        target = command.get("target", self._targets[0])
        if not isinstance(profile, str) or profile not in _PROFILES:
            raise ControlRefused(
                "bad_command", f"profile {profile!r} is none; there is {', '.join(_PROFILES)}"
            )
        if type(seconds) is not int or not 1 <= seconds <= LONGEST_SECONDS:
            message = f"seconds {seconds!r} are none; write a whole number from 1 to {LONGEST_SECONDS}"
            raise ControlRefused("bad_command", message)
        if not isinstance(target, str) or target not in self._targets:
            message = f"target {target!r} is not the lab's server; that is {', '.join(self._targets)}"
            raise ControlRefused("bad_command", message)
        return key, Order(profile, target, time.monotonic_ns() + seconds * 10**9), seconds


def run(control: Path, targets: Sequence[str], port: int) -> int:
    """Serve commands until this process ends; return an exit code when the launcher ended first.

    `port` is the first of the sink's. Must be called with one thread, as the user who may command it.
    """
    tally = Tally()
    launcher = Launcher(port, tally)
    commander = Commander(launcher, tally, targets, SystemClock())
    handlers = {"flood": commander.flood, "stop": commander.stop, "state": commander.state}
    ControlServer(control, handlers, {0, os.getuid()})
    os.waitpid(launcher.pid, 0)
    sys.stderr.write("error: the launcher of floods ended; without it nothing can be started\n")
    return 1


def _key(command: Document) -> str:
    key = command.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= _LONGEST_KEY:
        raise ControlRefused("bad_command", f"key {key!r} is none; write 1 to {_LONGEST_KEY} characters")
    return key


def _for_good(work: Callable[[], None], parent: int) -> NoReturn:
    """Do what a forked process is there for, and end it with that; it never outlives its parent."""
    try:
        privileges.die_with_parent(parent, signal.SIGKILL)
        work()
    finally:
        os._exit(1)


def _launch(channel: socket.socket, port: int, tally: Tally) -> None:
    """Start and end workers as told, until the other side is gone."""
    workers: set[int] = set()
    while True:
        # Those that ended by themselves are buried soon, also when nobody asks.
        if select.select([channel], [], [], _REAP_SECONDS if workers else None)[0]:
            told = json.loads(channel.recv(_ORDER_BYTES) or b"null")
            if told is None:
                return
            if told["do"] == "start":
                workers |= _start(Order(**told["order"]), port, tally)
            elif told["do"] == "stop":
                _end(workers)
            workers -= _ended(workers)
            channel.send(str(len(workers)).encode())
        workers -= _ended(workers)


def _start(order: Order, port: int, tally: Tally) -> set[int]:
    started = set()
    parent = os.getpid()
    for number in range(labpackets.TCP_WORKERS if order.profile == "tcp" else 1):
        pid = os.fork()
        if pid == 0:
            _for_good(functools.partial(_work, order, number, port, tally), parent)
        started.add(pid)
    return started


def _work(order: Order, number: int, port: int, tally: Tally) -> None:
    """Flood until the timer, whose signal nobody catches, ends this process."""
    left = order.deadline - time.monotonic_ns()
    if left <= 0:
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, left / 10**9)
    entries, note = labpackets.room(), tally.note(number)
    if order.profile == "udp":
        labpackets.udp(order.target, entries, note)
    else:
        ports = range(port + number, port + labpackets.SINK_PORTS, labpackets.TCP_WORKERS)
        labpackets.tcp(order.target, ports, entries // labpackets.TCP_WORKERS, note)


def _end(workers: set[int]) -> None:
    """Kill workers; a pid is theirs until they are waited for."""
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    for pid in workers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    workers.clear()


def _ended(workers: set[int]) -> set[int]:
    return {pid for pid in workers if os.waitpid(pid, os.WNOHANG)[0]}
