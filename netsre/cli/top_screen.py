"""The screen of `netsre top`: reads keys, draws pictures, and gives the terminal back as it was."""

import contextlib
import os
import select
import signal
import socket
import termios
import tty
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from netsre.app.top.frame import Picture, Seen, picture
from netsre.app.top.keys import Keys
from netsre.app.top.layout import Line
from netsre.app.top.reader import Asking, Reader
from netsre.app.top.state import State, pressed

_STDIN: Final = 0
_ESCAPE_SECONDS: Final = 0.05
"""What follows an escape within this time is part of one key."""
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_HEARD: Final = (*_ENDS, signal.SIGWINCH, signal.SIGTSTP)


def run(console: Console, asking: Asking, agent: str, interval: float, state: State) -> int:
    """Show an agent until a person has seen enough; return the signal that ended it, 0 without one.

    However it ends, the terminal is as it was before.
    """
    with _signals() as (heard, told), _Terminal(console) as terminal:
        reader = Reader(asking, interval, lambda: _wake(told))
        reader.start()
        try:
            return _Screen(terminal, reader, heard, Seen(agent), state).show()
        finally:
            reader.stop()


class _Terminal:
    """A terminal that shows pictures and hands over single keys; as it was again at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before = termios.tcgetattr(_STDIN)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        try:
            self.take()
        except BaseException:
            self.give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Begin; Ctrl-C and Ctrl-Z are signals still."""
        tty.setcbreak(_STDIN)
        # Drawn by our own loop, and nothing else writes meanwhile.
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def give_back(self) -> None:
        """End; a terminal that is gone needs nothing any more."""
        live, self._live = self._live, None
        try:
            if live is not None:
                with contextlib.suppress(OSError):
                    live.stop()
        finally:
            with contextlib.suppress(termios.error, OSError):
                # What was typed last is not for the shell.
                termios.tcsetattr(_STDIN, termios.TCSAFLUSH, self._before)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        return self._console.size

    def draw(self, lines: tuple[Line, ...]) -> None:
        """Show a picture."""
        if self._live is not None:
            shown = Text("\n", no_wrap=True, overflow="crop", end="").join(
                Text.assemble(*line) for line in lines
            )
            self._live.update(shown, refresh=True)


class _Screen:
    """What is shown, until somebody ends it."""

    def __init__(
        self, terminal: _Terminal, reader: Reader, heard: socket.socket, seen: Seen, state: State
    ) -> None:
        self._terminal = terminal
        self._reader = reader
        self._heard = heard
        self._seen = seen
        self._latest = seen
        self._state = state
        self._keys = Keys()
        self._signal = 0

    def show(self) -> int:
        """Draw after every event; return the signal that ended it."""
        while not (self._state.ended or self._signal):
            drawn = self._draw()
            wait = _ESCAPE_SECONDS if self._keys.waits else None
            ready, _, _ = select.select([_STDIN, self._heard.fileno()], [], [], wait)
            if not ready:
                self._press(self._keys.rest(), drawn)
            if self._heard.fileno() in ready:
                self._hear()
            if _STDIN in ready:
                self._press(self._keys.read(self._typed()), drawn)
        return self._signal if self._signal != signal.SIGINT else 0

    def _draw(self) -> Picture:
        drawn = picture(self._state, self._seen, *self._terminal.size)
        self._terminal.draw(drawn.lines)
        return drawn

    def _typed(self) -> bytes:
        try:
            data = os.read(_STDIN, 1024)
        except OSError:
            data = b""
        if not data:
            # The terminal is gone, as with a SIGHUP that somebody told us not to hear.
            self._signal = signal.SIGHUP
        return data

    def _press(self, keys: Iterator[str], drawn: Picture) -> None:
        for key in keys:
            before = self._state
            self._state = pressed(before, key, drawn.extent)
            if self._state.view != before.view or self._state.sort != before.sort:
                # The next key is about what it shows now.
                drawn = picture(self._state, self._seen, *self._terminal.size)
        if not self._state.paused:
            self._seen = self._latest

    def _hear(self) -> None:
        for number in self._heard.recv(1024):
            if number in _ENDS:
                self._signal = self._signal or number
            elif number == signal.SIGTSTP:
                self._terminal.give_back()
                # Stopped for certain, whatever is said of SIGTSTP; a shell lets us go on later.
                os.kill(os.getpid(), signal.SIGSTOP)
                self._terminal.take()
        while not self._reader.answers.empty():
            answer = self._reader.answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer.problem:
                since = self._latest.silent_since or answer.at
                self._latest = replace(self._latest, silent_since=since)
            else:
                interval = answer.interval or self._latest.interval
                self._latest = replace(self._latest, interval=interval, silent_since=None)
        self._seen = (
            replace(self._seen, silent_since=self._latest.silent_since)
            if self._state.paused
            else self._latest
        )


@contextlib.contextmanager
def _signals() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Turn signals into bytes that can be waited for beside keys; yields where they come out, and go in."""
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = {number: signal.signal(number, lambda *_: None) for number in _HEARD}
    wakeup = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        yield heard, told
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        # The reader may have its answer later: it is told by a socket that says that it is closed.
        heard.close()
        told.close()


def _wake(told: socket.socket) -> None:
    """Say that there is an answer: a byte that is no signal. One more does not matter where many wait."""
    with contextlib.suppress(OSError):
        told.send(b"\0")
