"""Run a command as the terminal's foreground job, so that Ctrl-C reaches it and not the `make` around it.

`make` ends with a failure on every Ctrl-C, even when the command it runs took it as the wish to stop and
ended well. Here the command gets the terminal to itself, and its exit code is the answer.
"""

import os
import signal
import sys
import types
from typing import Final

_TERMINAL: Final = 0
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(command: list[str]) -> int:
    """Run the command and return its exit code, as a shell would give it."""
    if not _has_terminal():
        # No shell on purpose: the arguments are the command's own.
        os.execvp(command[0], command)  # noqa: S606
    ours = os.getpgrp()
    # We hand the terminal over and take it back as a background job, which this signal would stop.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    # What comes before we can pass it on waits: it would end us, and leave the command behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    usual = (signal.SIGTTOU, *_FORWARDED)
    child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0, setsigmask=(), setsigdef=usual)

    def forward(number: int, _frame: types.FrameType | None) -> None:
        os.killpg(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    os.tcsetpgrp(_TERMINAL, child)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
    try:
        return _wait(child, ours)
    finally:
        os.tcsetpgrp(_TERMINAL, ours)


def _has_terminal() -> bool:
    """Tell whether there is a terminal, and ours to give: one that belongs to another session is not."""
    try:
        os.tcgetpgrp(_TERMINAL)
    except OSError:
        return False
    return True


def _wait(child: int, ours: int) -> int:
    """Wait until the command ends; when Ctrl-Z stops it, stop with it and go on with it."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        os.tcsetpgrp(_TERMINAL, ours)
        os.killpg(ours, signal.SIGTSTP)
        os.tcsetpgrp(_TERMINAL, child)
        os.killpg(child, signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
