"""Being asked to end by a signal: what is being done is finished, but not for long."""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS: Final = 0.7
"""What takes longer is cut off: everything here may be killed at any moment."""


class Stop:
    """Whether somebody asked; its descriptor becomes readable then."""

    def __init__(self, descriptor: int) -> None:
        """Nobody has asked yet."""
        self.is_asked = False
        self._descriptor = descriptor

    def fileno(self) -> int:
        """Return what is readable when a signal has come."""
        return self._descriptor


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Yield what is set by Ctrl-C, and by whoever asks us to end.

    Who does not end by himself in less than a second has `KeyboardInterrupt` raised.
    """
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    stop = Stop(reading)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    # What a caller has us ignore (nohup) stays ignored.
    before = {number: one for number, one in handlers.items() if one is not signal.SIG_IGN}

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        if not stop.is_asked:
            stop.is_asked = True
            signal.setitimer(signal.ITIMER_REAL, _SECONDS)

    def cut(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, cut)
    waker = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in before.keys() - {signal.SIGALRM}:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.set_wakeup_fd(waker)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
