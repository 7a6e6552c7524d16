"""Interfaces as the kernel knows them, and the words for why nothing can be blocked on one."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Final, NamedTuple

from netsre.adapters.bpf.programs import LoadRefused
from netsre.errors import EnvironmentUnfit

_SIOCGIFHWADDR: Final = 0x8927
_REQUEST: Final = struct.Struct("16sH22x")
_ETHERNET: Final = frozenset({1, 772})
"""Kinds of interface whose packets begin with an Ethernet header: Ethernet itself, and loopback."""
_REASONS: Final = {
    errno.ENODEV: "no_interface",
    errno.EBUSY: "busy",
    errno.EEXIST: "busy",
    errno.EPERM: "not_permitted",
    errno.EACCES: "not_permitted",
    errno.E2BIG: "full",
    errno.ENOMEM: "no_memory",
}


class BlockRefused(EnvironmentUnfit):
    """A source cannot be blocked; nothing was done. `reason` is a short word."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the named reason beside the sentence."""
        self.reason = reason
        super().__init__(message)


class Place(NamedTuple):
    """One interface for as long as it exists, whatever is called so afterwards."""

    namespace: int
    """Inode number."""
    number: int


def look_up(interface: str) -> Place:
    """Return the interface of this name in the namespace of the calling thread.

    Raises `BlockRefused` when there is none, or when its packets have no Ethernet header: the program would
    look for addresses in the wrong place.
    """
    try:
        number = socket.if_nametoindex(interface)
    except OSError as error:
        raise BlockRefused("no_interface", f"there is no interface {interface!r} to block on") from error
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        answer = ioctl(any_socket, _SIOCGIFHWADDR, _REQUEST.pack(os.fsencode(interface), 0))
    if _REQUEST.unpack(answer)[1] not in _ETHERNET:
        message = (
            f"{interface} is no Ethernet interface; block the source on one that its packets come through"
        )
        raise BlockRefused("not_ethernet", message)
    return Place(Path("/proc/thread-self/ns/net").stat().st_ino, number)


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn whatever the kernel refuses into a `BlockRefused` that names `what` and the reason."""
    try:
        yield
    except LoadRefused as error:
        raise BlockRefused("load_failed", f"{what}: the kernel does not take the program: {error}") from error
    except FileNotFoundError as error:
        raise BlockRefused("no_namespace", f"{what}: the network namespace is gone") from error
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "refused_by_kernel")
        message = f"{what}: {reason}: the kernel says {os.strerror(error.errno or errno.EIO)}"
        raise BlockRefused(reason, message) from error
