"""How far work has come, on stderr, once it takes longer than a second."""

import sys
import time
from types import TracebackType
from typing import Final, Self

import click

_PATIENCE: Final = 1.0
_EVERY_ON_TERMINAL: Final = 0.2
_EVERY_IN_LOG: Final = 10.0
"""Seconds between two lines: on a terminal one line changes, in a log each stays."""


class Progress:
    """Tells of one piece of work; a context, so that the line on a terminal goes away at its end."""

    def __init__(self, what: str) -> None:
        """Begin now; nothing is shown yet."""
        self._what = what
        self._stream = sys.stderr
        self._terminal = sys.stderr.isatty()
        self._every = _EVERY_ON_TERMINAL if self._terminal else _EVERY_IN_LOG
        self._next = time.monotonic() + _PATIENCE
        self._shown = ""

    def show(self, done: int, of: int) -> None:
        """Tell how many parts are done, unless that was told just now."""
        now = time.monotonic()
        if now < self._next or done >= of:
            return
        self._next = now + self._every
        line = f"{self._what}: {done} of {of} ({100 * done // of} %)"
        click.echo(
            f"\r{line:<{len(self._shown)}}" if self._terminal else line,
            file=self._stream,
            nl=not self._terminal,
        )
        self._stream.flush()
        self._shown = line

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away, so that what follows stands by itself."""
        if self._terminal and self._shown:
            click.echo(f"\r{'':<{len(self._shown)}}\r", file=self._stream, nl=False)
