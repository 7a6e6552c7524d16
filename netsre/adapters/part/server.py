"""The side that has the privileges: answers, one request after the other, until nobody asks any more."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from netsre.adapters.part.wire import HEADER, PIECE_BYTES, REQUEST, close, receive, send


class Answer(NamedTuple):
    """What is answered."""

    data: bytes = b""
    descriptor: int | None = None
    """Handed over: this side closes it when it was sent."""


Handler = Callable[[int, int, Sequence[int]], Answer]
"""Takes the two numbers of a request and the descriptors that came with it, which it must not keep."""


def serve(channel: socket.socket, handlers: Mapping[int, Handler]) -> None:
    """Answer until the other side is gone. What is no request of ours is refused, and does nothing."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            request = receive(channel, REQUEST.size + 1)
            try:
                if not request.data:
                    return
                sequence, code, answer = _answered(request.data, request.descriptors, handlers, request.whole)
            finally:
                close(request.descriptors)
            _reply(channel, sequence, code, answer)


def _answered(
    data: bytes,
    descriptors: Sequence[int],
    handlers: Mapping[int, Handler],
    whole: bool,  # noqa: FBT001
) -> tuple[int, int, Answer]:
    """Return sequence number, errno and answer."""
    if not whole or len(data) != REQUEST.size:
        return 0, errno.EBADMSG, Answer()
    sequence, command, first, second = REQUEST.unpack(data)
    if command not in handlers:
        return sequence, errno.ENOSYS, Answer()
    try:
        return sequence, 0, handlers[command](first, second, descriptors)
    except OSError as error:
        return sequence, error.errno or errno.EIO, Answer()
    except LookupError:
        return sequence, errno.ENOENT, Answer()
    except Exception:  # noqa: BLE001  one answer that goes wrong must not end the others
        return sequence, errno.EINVAL, Answer()


def _reply(channel: socket.socket, sequence: int, code: int, answer: Answer) -> None:
    try:
        for piece, last in _pieces(answer.data):
            handed = [answer.descriptor] if last and answer.descriptor is not None else []
            send(channel, HEADER.pack(sequence, code, not last) + piece, handed)
    finally:
        if answer.descriptor is not None:
            os.close(answer.descriptor)


def _pieces(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield each piece, and whether it is the last; of nothing, one empty piece."""
    for at in range(0, max(len(data), 1), PIECE_BYTES):
        yield data[at : at + PIECE_BYTES], at + PIECE_BYTES >= len(data)
