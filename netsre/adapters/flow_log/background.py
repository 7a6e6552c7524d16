"""A thread that writes the flow log, so that a disk that hangs keeps nobody else waiting."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from netsre.adapters.flow_log.writing import Written

_MOST_WAITING: Final = 8 << 20
"""Bytes of lines that wait for the disk: half a minute of a heavy load, then they are lost."""


class Line(NamedTuple):
    """A line, and the kind that it is counted under."""

    kind: str
    data: bytes


class LogFile(Protocol):
    """Where lines go: a `FlowLogFile`."""

    path: Path

    def open(self) -> object:
        """Find its place; raises `OSError`."""

    def append(self, lines: Sequence[bytes]) -> Written:
        """Write lines, and say how many of them."""

    def close(self) -> None:
        """Let go of its place."""


class FlowLogWriter:
    """Takes lines at any time, and brings them to disk or counts them as lost."""

    def __init__(self, file: LogFile, say: Callable[[str], None], most_waiting: int = _MOST_WAITING) -> None:
        """Write to a file; `say` is told once when that fails, and once when it works again."""
        self._file = file
        self._say = say
        self._most_waiting = most_waiting
        self._changed = threading.Condition()
        self._waiting: list[Line] = []
        self._bytes = 0
        self._lost: Counter[str] = Counter()
        self._failing = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="flow-log", daemon=True)

    def open(self) -> None:
        """Find the directory, while we have the privileges for it; the thread begins with the first line."""
        try:
            self._file.open()
        except OSError as error:
            self._report(error)

    def offer(self, lines: Sequence[Line]) -> None:
        """Have lines written soon."""
        with self._changed:
            for line in lines:
                if self._bytes + len(line.data) > self._most_waiting:
                    self._lost[line.kind] += 1
                else:
                    self._waiting.append(line)
                    self._bytes += len(line.data)
            if self._thread.ident is None:
                self._thread.start()
            self._changed.notify()

    def lost(self) -> Counter[str]:
        """Return how many lines never came to disk, by kind."""
        with self._changed:
            return self._lost.copy()

    @property
    def settled(self) -> bool:
        """Whether of every line that was offered it is known what became of it."""
        with self._changed:
            return not self._bytes

    def close(self, seconds: float) -> None:
        """Write what waits, for at most so long, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                lines, self._waiting = self._waiting, []
                if not lines:
                    break
            written = self._file.append([line.data for line in lines])
            self._settle(lines, written)
        self._file.close()

    def _settle(self, lines: Sequence[Line], written: Written) -> None:
        with self._changed:
            # Only now: while they are written they take their memory.
            self._bytes -= sum(len(line.data) for line in lines)
            self._lost.update(line.kind for line in lines[written.lines :])
        self._report(written.error)

    def _report(self, error: OSError | None) -> None:
        if error is not None and not self._failing:
            reason = error.strerror or str(error)
            self._say(
                f"the flow log {self._file.path} cannot be written: {reason}; "
                "lines are lost and counted until it can, which is said once"
            )
        elif error is None and self._failing:
            self._say(f"the flow log {self._file.path} is written again")
        self._failing = error is not None
