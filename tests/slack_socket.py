"""The server's side of a WebSocket (RFC 6455), as much of it as Slack's Socket Mode needs."""

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Final

_MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def accept_key(key: str) -> str:
    """Return what answers the key of a client."""
    return base64.b64encode(hashlib.sha1((key + _MAGIC).encode(), usedforsecurity=False).digest()).decode()


class Connection:
    """One connection that is open."""

    def __init__(self, peer: socket.socket) -> None:
        """Speak over a socket whose handshake is done."""
        self._peer = peer
        self._lock = threading.Lock()
        self.open = True

    def send(self, text: str) -> None:
        """Send a text."""
        self._frame(_TEXT, text.encode())

    def close(self) -> None:
        """End it without a word, as a network does."""
        self.open = False
        with contextlib.suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)

    def received(self) -> Iterator[str]:
        """Yield the texts that come, until it ends; answer pings."""
        try:
            while True:
                kind, data = self._read()
                if kind == _CLOSE:
                    break
                if kind == _PING:
                    self._frame(_PONG, data)
                elif kind == _TEXT:
                    yield data.decode()
        except OSError:
            pass
        finally:
            self.open = False

    def _frame(self, kind: int, data: bytes) -> None:
        size, first = len(data), 0x80 | kind
        head = struct.pack("!BB", first, size) if size < 126 else struct.pack("!BBH", first, 126, size)
        with self._lock:
            self._peer.sendall(head + data)

    def _read(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        mask = self._exactly(4)
        data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(self._exactly(size)))
        return first & 0x0F, data

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            more = self._peer.recv(size - len(found))
            if not more:
                raise ConnectionError("it ended")
            found += more
        return found
