"""XDP programs on interfaces: attached in the driver or in the kernel's own path, and asked for.

Attribute layouts: linux/rtnetlink.h, linux/if_link.h. All is about the namespace of the calling thread.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Final, NamedTuple

from netsre.adapters.bpf import programs

_XDP: Final = 37
"""Of `enum bpf_attach_type`."""
_NEW_LINK: Final = 16
_GET_LINK: Final = 18
_REQUEST: Final = 1
_HEADER: Final = struct.Struct("=IHHII")
_INTERFACE: Final = struct.Struct("=BxHiII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_KIND: Final = 0x3FFF
"""What is left of the kind of an attribute without its flags."""
_IFLA_LINKINFO: Final = 18
_INFO_KIND: Final = 1
_IFLA_XDP: Final = 43
_PAIR: Final = b"veth"
_ANSWER_BYTES: Final = 1 << 16
_NO_DRIVER: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOSPC, errno.ENOMEM})
"""What drivers say that cannot, or not with packets as large, or as many queues."""


class Where(Enum):
    """Who runs a program."""

    DRIVER = "driver"
    """The driver, before the kernel makes anything of a packet."""
    GENERIC = "generic"
    """The kernel's own path, for every kind of interface."""


_FLAGS: Final = {Where.GENERIC: 1 << 1, Where.DRIVER: 1 << 2}
_PROGRAM: Final = {5: Where.DRIVER, 6: Where.GENERIC}
"""Attributes with the id of a program, by their numbers below that of XDP."""


class Attached(NamedTuple):
    """A program on an interface, for as long as its link is held."""

    link: int
    where: Where


def attach(program: int, interface: int, wanted: Where | None = None) -> Attached:
    """Attach a program to an interface, by number: in the driver where it can, unless one way is wanted.

    But not in the driver of a virtual pair: it would have the other end send packet by packet, and bulk
    traffic would lose more than is gained. Raises `OSError`, EBUSY or EEXIST where another program has the
    interface: XDP takes one.
    """
    if wanted is Where.DRIVER or (wanted is None and _kind(interface) != _PAIR):
        try:
            return Attached(_attach(program, interface, Where.DRIVER), Where.DRIVER)
        except OSError as error:
            if wanted is not None or error.errno not in _NO_DRIVER:
                raise
    return Attached(_attach(program, interface, Where.GENERIC), Where.GENERIC)


def _attach(program: int, interface: int, where: Where) -> int:
    return programs.attach_interface(program, interface, _XDP, _FLAGS[where])


def programs_on(interface: int) -> Mapping[Where, int]:
    """Return the ids of the programs on an interface, by number; none where it is not. Raises `OSError`."""
    found = dict(_attributes(_described(interface).get(_IFLA_XDP, b"")))
    return {
        where: struct.unpack("=I", found[number])[0] for number, where in _PROGRAM.items() if number in found
    }


def _kind(interface: int) -> bytes:
    """Return what kind of virtual interface it is; nothing for one of hardware."""
    found = dict(_attributes(_described(interface).get(_IFLA_LINKINFO, b"")))
    return found.get(_INFO_KIND, b"").rstrip(b"\0")


def _described(interface: int) -> Mapping[int, bytes]:
    """Return what the kernel says of an interface; nothing of one that is not there. Raises `OSError`."""
    request = _HEADER.pack(_HEADER.size + _INTERFACE.size, _GET_LINK, _REQUEST, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as kernel:
        kernel.send(request + _INTERFACE.pack(0, 0, interface, 0, 0))
        answer = kernel.recv(_ANSWER_BYTES)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _NEW_LINK:
        (number,) = struct.unpack_from("=i", answer, _HEADER.size)
        if number == -errno.ENODEV:
            return {}
        raise OSError(-number, os.strerror(-number))
    return dict(_attributes(answer[_HEADER.size + _INTERFACE.size :]))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    with contextlib.suppress(struct.error):
        while at + _ATTRIBUTE.size <= len(data):
            length, kind = _ATTRIBUTE.unpack_from(data, at)
            yield kind & _KIND, data[at + _ATTRIBUTE.size : at + length]
            at += max(length + 3 & ~3, _ATTRIBUTE.size)
