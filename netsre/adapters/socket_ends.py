"""Connected UDP sockets of this network namespace, ended from outside: their next call is ECONNABORTED.

Needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY. Layouts: linux/inet_diag.h, linux/netlink.h.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Final

_SOCK_DIAG: Final = 4
"""NETLINK_SOCK_DIAG."""
_BY_FAMILY: Final = 20
_DESTROY: Final = 21
_ERROR: Final = 2
_DONE: Final = 3
_REQUEST: Final = 1
_ACKNOWLEDGE: Final = 4
_DUMP: Final = 0x300
_CONNECTED: Final = 1 << 1
"""Of UDP sockets: those with a peer are in the state of an established connection."""
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST_HEAD: Final = struct.Struct("=BBBxI")
_MESSAGE_HEAD: Final = 4
"""Bytes of `struct inet_diag_msg` before the socket's id."""
_ID: Final = struct.Struct("=2s2s16s16sIQ")
"""Ports, addresses, interface, cookie."""
_BUFFER: Final = 1 << 16
_SECONDS: Final = 10.0
_MAPPED: Final = bytes(10) + b"\xff\xff"


def end(peers: Mapping[int, tuple[bytes, bytes]]) -> int:
    """End the sockets of these cookies that are connected to these addresses (of 16 bytes) and ports.

    Returns how many; raises `OSError`.
    """
    ended = 0
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG) as channel:
        channel.settimeout(_SECONDS)
        for family in (socket.AF_INET, socket.AF_INET6):
            for identity in list(_connected(channel, family)):
                _, port, _, address, _, cookie = _ID.unpack(identity)
                whole = _MAPPED + address[:4] if family == socket.AF_INET else address
                if peers.get(cookie) == (whole, port):
                    ended += _destroyed(channel, family, identity)
    return ended


def _connected(channel: socket.socket, family: int) -> Iterator[bytes]:
    """Yield the ids of connected UDP sockets."""
    _send(channel, _BY_FAMILY, _DUMP, family, bytes(_ID.size))
    while True:
        for kind, body in _messages(channel.recv(_BUFFER)):
            if kind == _DONE:
                return
            if kind == _ERROR:
                _raise_refused(body)
            else:
                yield body[_MESSAGE_HEAD : _MESSAGE_HEAD + _ID.size]


def _destroyed(channel: socket.socket, family: int, identity: bytes) -> bool:
    """End one socket; return whether it was there still."""
    _send(channel, _DESTROY, _ACKNOWLEDGE, family, identity)
    for kind, body in _messages(channel.recv(_BUFFER)):
        if kind == _ERROR:
            try:
                _raise_refused(body)
            except FileNotFoundError:
                return False
    return True


def _send(channel: socket.socket, kind: int, flags: int, family: int, identity: bytes) -> None:
    body = _REQUEST_HEAD.pack(family, socket.IPPROTO_UDP, 0, _CONNECTED) + identity
    channel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body)


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    while len(answer) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(answer)
        if length < _HEADER.size:
            raise OSError(errno.EBADMSG, "an answer of netlink cannot be read")
        yield kind, answer[_HEADER.size : length]
        answer = answer[(length + 3) & ~3 :]


def _raise_refused(body: bytes) -> None:
    (number,) = struct.unpack_from("=i", body)
    if number:
        raise OSError(-number, os.strerror(-number))
