"""A process that is killed before one of the steps by which it changes what is pinned."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from netsre.adapters.bpf import pins

_CHANGES: Final = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir"})
"""What changes names, by the names that Python tells it by."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do something in a process that is killed before one of its steps; return whether it was."""
    child = os.fork()
    if child == 0:
        try:
            _kill_at(step)
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def _kill_at(step: int) -> None:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def hears(event: str, arguments: object) -> None:
        del arguments
        if event in _CHANGES:
            count()

    def counted(asks: Callable[..., None]) -> Callable[..., None]:
        def asking(*arguments: Any) -> None:
            count()
            asks(*arguments)

        return asking

    sys.addaudithook(hears)
    pins.pin, pins.update_link = counted(pins.pin), counted(pins.update_link)
