"""`netsre top` in a terminal of a test: what stands on its screen, and how it leaves the terminal."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.machine import PATIENCE

_SHELL: Final = """
import fcntl, json, os, signal, subprocess, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda *_: None)
before = termios.tcgetattr(0)
child = subprocess.Popen(sys.argv[2:])
def tell(**found):
    with open(sys.argv[1] + ".new", "w") as file:
        json.dump({"pid": child.pid, **found}, file)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
tell()
code = child.wait()
try:
    after = termios.tcgetattr(0)
except termios.error:
    after = None
tell(code=code, restored=after == before)
"""
"""What starts a command, waits for it, and goes on with the same terminal, as a shell does."""

_HOME: Final = "\x1b[H"
_CONTROL: Final = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]|\r")
_TAKEN, _GIVEN_BACK = "\x1b[?1049h", "\x1b[?1049l"


@dataclass
class Terminal:
    """A terminal with the command in it."""

    descriptor: int
    told: pathlib.Path
    written: str = ""
    _bytes: bytes = field(default=b"")

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.descriptor, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Change the size; the kernel tells the command."""
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def modes(self) -> list[Any]:
        """How the terminal treats what is typed."""
        return termios.tcgetattr(self.descriptor)

    @property
    def screen(self) -> list[str]:
        """The lines of the last complete picture."""
        written = self.written.split(_HOME)[1:]
        pictures: list[list[str]] = [[], [], *(_CONTROL.sub("", one).split("\n") for one in written)]
        # The last one may still be on its way. Of one on a smaller screen there is soon another.
        before, last = pictures[-2:]
        return last if len(last) >= len(before) else before

    @property
    def is_taken(self) -> bool:
        """Whether the screen is that of the command, and not that of the shell."""
        return self.written.rfind(_TAKEN) > self.written.rfind(_GIVEN_BACK)

    @property
    def pid(self) -> int:
        """The process of the command."""
        return int(self.result["pid"])

    @property
    def result(self) -> dict[str, Any]:
        """What the shell has to tell."""
        found: dict[str, Any] = json.loads(self.told.read_text()) if self.told.exists() else {}
        return found

    def see(self, condition: Callable[[], bool], what: str) -> None:
        """Read until something is so; fails when it is not in time."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what} is not on:\n" + "\n".join(self.screen)
            self._read()

    def see_text(self, text: str) -> list[str]:
        """Read until a text stands on the screen; return its lines."""
        self.see(lambda: any(text in line for line in self.screen), repr(text))
        return self.screen

    def end(self) -> dict[str, Any]:
        """Read until the command has ended; return what the shell found then."""
        self.see(lambda: "code" in self.result, "the end")
        # What it wrote last may still be on its way.
        self._read()
        return self.result

    def _read(self) -> None:
        ready, _, _ = select.select([self.descriptor], [], [], 0.05)
        if ready:
            with contextlib.suppress(OSError):
                self._bytes += os.read(self.descriptor, 65_536)
        self.written = self._bytes.decode(errors="ignore")


@contextlib.contextmanager
def terminal(
    directory: pathlib.Path, *arguments: str, columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """Run `netsre top` in a terminal of this size; whatever the test did, it does not run afterwards."""
    ours, theirs = pty.openpty()
    told = directory / "told.json"
    running = Terminal(ours, told)
    running.resize(columns, lines)
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-P", "-m", "netsre", "top", *arguments]
    shell = subprocess.Popen(
        [sys.executable, "-c", _SHELL, str(told), *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError, KeyError):
            if "code" not in running.result:
                os.kill(running.pid, 9)
        shell.wait(timeout=PATIENCE)
        with contextlib.suppress(OSError):
            os.close(ours)
