"""Processes that this one starts: their output by lines, their end, and no way to outlive their parent."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

_KEPT_LINES: Final = 40
_LONGEST_LINE: Final = 4096


class Child:
    """A running program.

    It gets a process group of its own, so that a Ctrl-C at the terminal reaches its parent alone and the
    parent decides about the order in which things end.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], before: Callable[[], None]
    ) -> None:
        """Start it; `before` runs in the new process just before the program does."""
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._partial = b""
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509  the parent has one thread
        )
        os.set_blocking(self._output, False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    @property
    def last_line(self) -> str:
        """The last thing it said; empty when it said nothing."""
        return next((line for line in reversed(self.last_lines) if line.strip()), "")

    def lines(self) -> list[str]:
        """Return the lines written since the last call, complete ones while it runs."""
        while True:
            try:
                chunk = os.read(self._output, 65536)
            except (BlockingIOError, ValueError):
                break
            if not chunk:
                break
            self._partial += chunk
        *whole, self._partial = self._partial.split(b"\n")
        if self.exit_code is not None or len(self._partial) > _LONGEST_LINE:
            whole, self._partial = [*whole, self._partial], b""
        found = [line.decode(errors="replace").rstrip() for line in whole if line.strip()]
        self.last_lines.extend(found)
        return found

    def signal(self, sig: signal.Signals) -> None:
        """Send a signal; one that is gone already takes none."""
        self._process.send_signal(sig)

    def close(self) -> None:
        """Let go of its output."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def _output(self) -> int:
        if self._process.stdout is None:
            message = "started without a pipe"
            raise ValueError(message)
        return self._process.stdout.fileno()


def stop(
    children: Iterable[Child],
    grace: Callable[[], float],
    listen: Callable[[Child], None],
    before_killing: Callable[[Sequence[Child]], None] = lambda _: None,
) -> None:
    """End children, all at once: ask, then insist when `grace()` seconds have passed since.

    `grace` is asked again and again, so that an impatient user can shorten it meanwhile. `listen` must read
    what a child says: one whose pipe is full could not end. `before_killing` is told of those that did not
    end when they were asked, and must not raise.
    """
    left = [child for child in children if child.exit_code is None]
    for child in left:
        child.signal(signal.SIGTERM)
    began = time.monotonic()
    insisted = False
    while left := _running(left, listen):
        if not insisted and time.monotonic() - began >= grace():
            insisted = True
            before_killing(left)
            for child in left:
                child.signal(signal.SIGKILL)
        time.sleep(0.02)


def _running(children: list[Child], listen: Callable[[Child], None]) -> list[Child]:
    for child in children:
        listen(child)
    return [child for child in children if child.exit_code is None]
