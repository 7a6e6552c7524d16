"""Starts the process that has the privileges, and another one when it dies, until its parent is gone.

The parent has given the privileges away by then, so that it cannot. Nobody speaks to this process: it says
who answers now, and hands over the socket to ask by, of which it keeps nothing.
"""

import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

from netsre.adapters.part.wire import NEWS, send

_PAUSE_SECONDS: Final = 1.0
"""Before the next one is started; doubled each time."""
_LONGEST_PAUSE_SECONDS: Final = 60.0
_STEADY_SECONDS: Final = 60.0
"""Who lived for so long died of something new."""


def keep(parent: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    """Have a child of this process answer on a socket, and the next one when it ends."""
    pause = _PAUSE_SECONDS
    while True:
        began = time.monotonic()
        try:
            _keep_one(parent, answer)
        except (BrokenPipeError, ConnectionResetError):
            return
        except OSError:
            pass  # The kernel has no room for a process just now: perhaps that is why the last one died.
        if time.monotonic() - began > _STEADY_SECONDS:
            pause = _PAUSE_SECONDS
        # The parent says nothing, ever: what can be read is its end.
        if select.select([parent], [], [], pause)[0]:
            return
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


def _keep_one(parent: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, ours:
        pid = os.fork()
        if not pid:
            parent.close()
            theirs.close()
            _answer(answer, ours)
        send(parent, NEWS.pack(pid, 0), [theirs.fileno()])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    send(parent, NEWS.pack(pid, code))


def _answer(answer: Callable[[socket.socket], None], channel: socket.socket) -> NoReturn:
    """Answer, and end: however that goes, this process must not come to start others."""
    code = 1
    try:
        answer(channel)
        code = 0
    except Exception:  # noqa: BLE001  whatever it is, it is said as the interpreter says it at its end
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
