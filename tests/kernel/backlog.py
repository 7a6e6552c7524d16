"""Packets that were sent over a link of this machine, until whoever they are for has them."""

import os
import socket
from typing import Final

_HOPS: Final = 3
"""A packet can be handed on twice on its way, and each time comes to stand behind what is there already."""


def drain() -> None:
    """Return when all that was sent before, in whatever namespace, has arrived or was dropped.

    A processor receives in the order in which it was sent to: behind everything else comes what its own
    loopback carries. That one of the calling thread's namespace must be up.
    """
    allowed = os.sched_getaffinity(0)
    try:
        for processor in allowed:
            os.sched_setaffinity(0, {processor})
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.bind(("127.0.0.1", 0))
                for _ in range(_HOPS):
                    last.sendto(b"", last.getsockname())
                    last.recv(1)
    finally:
        os.sched_setaffinity(0, allowed)
