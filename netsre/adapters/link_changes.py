"""Interfaces that come, go and change in a network namespace, as the kernel tells it (rtnetlink)."""

import errno
import socket
from types import TracebackType
from typing import Final, Self

_LINKS: Final = 1
"""RTMGRP_LINK of linux/rtnetlink.h."""
_AT_ONCE: Final = 64 << 10


class LinkChanges:
    """Says that something has happened, and not what: whoever wants to know looks; use it with `with`."""

    def __init__(self) -> None:
        """Listen in the calling thread's network namespace; raises `OSError`."""
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.setblocking(False)
        self._socket.bind((0, _LINKS))

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self._socket.close()

    def fileno(self) -> int:
        """Return what is readable when something has happened."""
        return self._socket.fileno()

    def take(self) -> bool:
        """Take what has happened since the last time; return whether anything has."""
        found = False
        while True:
            try:
                self._socket.recv(_AT_ONCE)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more has happened than there was room to tell
                    raise
            found = True
