"""Interfaces as the kernel knows them, and the words for why nothing can be blocked on one."""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from fcntl import ioctl
from typing import Final, NamedTuple, Protocol

from netsre.adapters.bpf.filters import Hook
from netsre.adapters.bpf.programs import LoadRefused
from netsre.errors import EnvironmentUnfit

_SIOCGIFINDEX: Final = 0x8933
_SIOCGIFHWADDR: Final = 0x8927
_NUMBER: Final = struct.Struct("=16si20x")
_KIND: Final = struct.Struct("=16sH22x")
_NAME_BYTES: Final = 15
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


class Site(Protocol):
    """One network namespace, acted on from wherever we are."""

    @property
    def inode(self) -> int:
        """Its inode number."""

    def open_socket(self) -> socket.socket:
        """Open any socket there; raises `OSError`, ENOENT when the namespace is gone."""

    def attach(self, hook: Hook, program: int, interface: int) -> int:
        """Attach a program to an interface by number; return the link's descriptor; raises `OSError`."""


class Described(NamedTuple):
    """What the kernel says of an interface."""

    number: int
    is_ethernet: bool
    """Whether its packets begin with an Ethernet header: programs look for addresses behind one."""


def describe(any_socket: socket.socket, interface: str) -> Described:
    """Return the number and the kind of an interface in the namespace of a socket; raises `OSError`."""
    name = os.fsencode(interface)
    # The kernel cuts what is too long, and would find another interface.
    asked = name if len(name) <= _NAME_BYTES else b""
    _, number = _NUMBER.unpack(ioctl(any_socket, _SIOCGIFINDEX, _NUMBER.pack(asked, 0)))
    _, kind = _KIND.unpack(ioctl(any_socket, _SIOCGIFHWADDR, _KIND.pack(asked, 0)))
    return Described(number, kind in _ETHERNET)


def look_up(site: Site, interface: str) -> Place:
    """Return the interface of this name in a namespace.

    Raises `BlockRefused` when there is none, or when its packets have no Ethernet header: the program would
    look for addresses in the wrong place.
    """
    with site.open_socket() as any_socket:
        try:
            found = describe(any_socket, interface)
        except OSError as error:
            raise BlockRefused("no_interface", f"there is no interface {interface!r} to block on") from error
    if not found.is_ethernet:
        message = (
            f"{interface} is no Ethernet interface; block the source on one that its packets come through"
        )
        raise BlockRefused("not_ethernet", message)
    return Place(site.inode, found.number)


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
