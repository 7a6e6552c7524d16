"""How the two sides write: requests of one size, answers in pieces."""

import array
import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

REQUEST: Final = struct.Struct("<IIQQ")
"""Sequence number, command, two numbers."""
HEADER: Final = struct.Struct("<IiI")
"""Of each piece of an answer: the request's sequence number, an errno or 0, whether more pieces follow."""
NEWS: Final = struct.Struct("<Ii")
"""Of who keeps the process: its id, and with a descriptor it was started, else how it ended."""
PIECE_BYTES: Final = 32_768
MOST_BYTES: Final = 16 << 20
"""No answer is longer: 200,000 namespaces."""
_DESCRIPTORS_BYTES: Final = socket.CMSG_SPACE(4 * array.array("i").itemsize)


class Message(NamedTuple):
    """What came: whole, or cut by the kernel because it was longer than anything that is ever sent."""

    data: bytes
    descriptors: list[int]
    """Ours to close."""
    whole: bool


def send(channel: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message."""
    rights = array.array("i", descriptors)
    channel.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else [])


def receive(channel: socket.socket, most_bytes: int) -> Message:
    """Receive one message; an empty one is the end."""
    flags = socket.MSG_CMSG_CLOEXEC
    data, ancillary, marks, _ = channel.recvmsg(most_bytes, _DESCRIPTORS_BYTES, flags)
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return Message(data, list(descriptors), not marks & (socket.MSG_TRUNC | socket.MSG_CTRUNC))


def close(descriptors: Sequence[int]) -> None:
    """Close what was received."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)
