"""Netlink as the kernel speaks it: requests, dumps in large pieces, attributes.

A channel belongs to the network namespace of the socket that it was opened with: by default the calling
thread's. Nobody has to be in that namespace to speak through it.
"""

import contextlib
import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Final, Self

ROUTE, NETFILTER = 0, 12
"""Families of netlink that are used here."""

NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP: Final = 0x300
_NLM_F_DUMP_INTR: Final = 0x10
_NLMSG_ERROR, _NLMSG_DONE, _NLMSG_OVERRUN = 2, 3, 4
_NLA_TYPE: Final = 0x3FFF
"""Without the bits that say how the content is written."""

_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_BUFFER_BYTES: Final = 8 << 20
_PIECE_BYTES: Final = 64 << 10
"""The kernel fills at most 32 KiB of a dump at once, and only where the reader offers as much."""
_PATIENCE: Final = 5
"""Seconds without a word from the kernel, which answers within the call that asked."""

HEADER: Final = struct.Struct("=IHHII")
"""Length, kind, flags, sequence number, port."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_CODE: Final = struct.Struct("=i")
_TIME: Final = struct.Struct("=qq")
_SIOCGIFNAME: Final = 0x8910
_NAME: Final = struct.Struct("=16si20x")

Opening = Callable[[int], socket.socket]
"""Opens a netlink socket of a family in some network namespace."""
Message = tuple[bytes, int, int]
"""The piece that a message came in, where its header begins, and where it ends."""


class Interrupted(OSError):
    """The kernel could not give one whole picture: what came until now is void, ask again."""

    def __init__(self) -> None:
        """Say it with the kernel's own word for it."""
        super().__init__(errno.EINTR, os.strerror(errno.EINTR))


def here(family: int) -> socket.socket:
    """Open a socket in the network namespace of the calling thread."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)


class Channel:
    """A netlink socket of one family; use it in one thread, with `with`."""

    def __init__(self, family: int, opening: Opening = here) -> None:
        """Open it; raises `OSError` where the kernel lacks the family, and what `opening` raises."""
        self._socket = opening(family)
        self._sequence = 0
        # The kernel's own patience: a timeout of Python's would cost a second call for each piece.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIME.pack(_PATIENCE, 0))
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        for option in (_SO_SNDBUFFORCE, _SO_RCVBUFFORCE):
            # Without NET_ADMIN the sizes stay the system's, which is enough for all but the largest batches.
            with contextlib.suppress(PermissionError):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)

    def __enter__(self) -> Self:
        """Return the channel."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it, whatever is still to be read."""
        self._socket.close()

    def dump(self, kind: int, body: bytes, seconds: float) -> Iterator[Message]:
        """Ask for all there is and yield its messages, until the kernel says that this was all.

        Raises `Interrupted` when the picture is not whole, and `OSError` with the kernel's reason, or when it
        takes longer than `seconds`.
        """
        self._request(kind, NLM_F_DUMP, body)
        until = time.monotonic() + seconds
        while time.monotonic() <= until:
            for message, found, flags in self._receive():
                if found > _NLMSG_OVERRUN and not flags & _NLM_F_DUMP_INTR:
                    yield message
                elif found == _NLMSG_DONE and not flags & _NLM_F_DUMP_INTR:
                    return
                else:
                    raise _refusal(message) if found == _NLMSG_ERROR else Interrupted
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    def ask(self, kind: int, body: bytes) -> Message:
        """Ask for one thing and return the answer; raises `OSError` with the kernel's reason."""
        self._request(kind, 0, body)
        for message, found, _ in self._receive():
            if found == _NLMSG_ERROR:
                raise _refusal(message)
            return message
        raise Interrupted

    def command(self, kind: int, bodies: list[bytes]) -> dict[int, int]:
        """Give several commands in one call; return how many of them failed, by the kernel's error number.

        The kernel speaks of those that failed, and of the last one in any case: then all are carried out.
        """
        last = len(bodies) - 1
        parts: list[bytes] = []
        for number, body in enumerate(bodies):
            self._sequence += 1
            flags = NLM_F_REQUEST | (NLM_F_ACK if number == last else 0)
            parts += (HEADER.pack(HEADER.size + len(body), kind, flags, self._sequence, 0), body)
        self._send(*parts)
        return self._failures()

    def _failures(self) -> dict[int, int]:
        failures: dict[int, int] = {}
        while True:
            for (data, at, _), found, _ in self._receive():
                if found != _NLMSG_ERROR:
                    continue
                code = -_CODE.unpack_from(data, at + HEADER.size)[0]
                if code:
                    failures[code] = failures.get(code, 0) + 1
                # Behind the code is the header of the command that it is about.
                if HEADER.unpack_from(data, at + HEADER.size + _CODE.size)[3] == self._sequence:
                    return failures

    def interface(self, number: int) -> str:
        """Return the name of an interface of this namespace; raises `OSError` when there is none."""
        answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, _NAME.pack(b"", number))
        return os.fsdecode(_NAME.unpack(answer)[0].partition(b"\0")[0])

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        length = HEADER.size + len(body)
        self._send(HEADER.pack(length, kind, NLM_F_REQUEST | flags, self._sequence, 0), body)

    def _send(self, *parts: bytes) -> None:
        # With an address, or the kernel asks for the privileges of whoever opened the socket as well.
        self._socket.sendmsg([b"".join(parts)], [], 0, (0, 0))

    def _receive(self) -> list[tuple[Message, int, int]]:
        """Return (message, kind, flags) of one piece."""
        data, _, flags, (sender, _) = self._socket.recvmsg(_PIECE_BYTES)
        if flags & socket.MSG_TRUNC:
            raise Interrupted
        found = []
        at, end = 0, len(data) if sender == 0 else 0
        unpack = HEADER.unpack_from
        while at + HEADER.size <= end:
            length, kind, marks, _, _ = unpack(data, at)
            if length < HEADER.size or at + length > end:
                raise Interrupted
            found.append(((data, at, at + length), kind, marks))
            at += (length + 3) & ~3
        return found


def aligned(length: int) -> int:
    """Return the bytes that something of this length takes in a message."""
    return (length + 3) & ~3


def attribute(kind: int, content: bytes) -> bytes:
    """Write one attribute, padded."""
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(aligned(length) - length)


def attributes(data: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
    """Return where the content of each attribute begins and ends; a torn one ends the list."""
    found = {}
    while at + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > end:
            break
        found[kind & _NLA_TYPE] = (at + _ATTRIBUTE.size, at + length)
        at += aligned(length)
    return found


def _refusal(message: Message) -> OSError:
    data, at, _ = message
    code = -_CODE.unpack_from(data, at + HEADER.size)[0]
    return OSError(code, os.strerror(code))
