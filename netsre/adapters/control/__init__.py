"""Commands over a unix socket: one JSON object a line each way, from peers whose user id is allowed.

The file system says who may connect, the kernel says who did (`SO_PEERCRED`). An answer is either
`{"ok": …}` or `{"refused": reason, "message": sentence}`.
"""

import contextlib
import json
import logging
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from netsre.errors import EnvironmentUnfit, NetsreError
from netsre.model.documents import Document, canonical

_log: Final = logging.getLogger("netsre.control")

LARGEST: Final = 256 * 1024
"""Bytes of one line."""
_CLIENT_SECONDS: Final = 30.0
_PROBE_SECONDS: Final = 1.0
_MOST_CLIENTS: Final = 16
_OWNER_ONLY: Final = 0o177
_OWNER_AND_GROUP: Final = 0o117
"""What a mask takes away from the rights of a new socket."""
_CREDENTIALS: Final = struct.Struct("=iII")

Handler = Callable[[Document], Document]


class ControlRefused(NetsreError):
    """The other side said no; nothing was done. `reason` is a word, the message a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep the word beside the sentence."""
        self.reason = reason
        super().__init__(message)


class ControlUnreachable(EnvironmentUnfit):
    """Nobody answered; `sent` tells whether the command may have been carried out all the same."""

    def __init__(self, message: str, *, sent: bool) -> None:
        """Keep whether the command left."""
        self.sent = sent
        super().__init__(message)


def call(path: Path, command: Document, seconds: float) -> Document:
    """Send one command and return its answer; raises `ControlRefused` or `ControlUnreachable`."""
    sent = False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(seconds)
            channel.connect(str(path))
            sent = True
            # Who is not allowed is told so before it was heard out, and then nobody listens any more.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                channel.sendall(canonical(command).encode() + b"\n")
            answer = json.loads(_line(channel))
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise ControlUnreachable(f"{path} does not answer: {reason}", sent=sent) from error
    except ValueError as error:
        raise ControlUnreachable(f"{path} answered no JSON: {error}", sent=sent) from error
    if not isinstance(answer, dict):
        raise ControlUnreachable(f"{path} answered no object", sent=sent)
    if isinstance(answer.get("ok"), dict):
        return dict(answer["ok"])
    raise ControlRefused(str(answer.get("refused", "unknown")), str(answer.get("message", "no reason given")))


def listen(path: Path, *, shared: bool = False) -> socket.socket:
    """Make the socket that a server accepts from; its owner may open it, if `shared` its group too.

    Whoever owns the directory could put another file under that name at any time, so the socket is made with
    its group and its rights; nothing is changed by name afterwards. The whole process has another mask for
    that moment. A socket that nobody serves any more gives way; anything else of that name stays. Raises
    `EnvironmentUnfit` where nothing can be bound.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(_OWNER_AND_GROUP if shared else _OWNER_ONLY)
    try:
        listener.bind(str(path))
        listener.listen(_MOST_CLIENTS)
    except OSError as error:
        listener.close()
        raise EnvironmentUnfit(f"control socket {path}: {error.strerror or error}") from error
    finally:
        os.umask(mask)
    return listener


def _clear(path: Path) -> None:
    """Remove a socket whose process is gone; raises `EnvironmentUnfit` for whatever else stands there."""
    try:
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode):
            raise EnvironmentUnfit(f"control socket {path}: something else has that name; choose another")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(_PROBE_SECONDS)
            channel.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentUnfit(f"control socket {path}: {error.strerror or error}") from error
    else:
        raise EnvironmentUnfit(f"control socket {path} is served by another process; choose another")


class ControlServer:
    """Serves commands until closed; each client in a thread, a bounded number at once."""

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        allowed: Collection[int],
        listener: socket.socket | None = None,
    ) -> None:
        """Serve at once; `allowed` are user ids.

        The name of the handler is `do` in the command. `listener` was made earlier, by `listen`, where that
        takes rights that are given away by now; else it is made here and raises what `listen` raises.
        """
        self._handlers = handlers
        self._allowed = frozenset(allowed)
        self._path = path
        self._places = threading.BoundedSemaphore(_MOST_CLIENTS)
        self._listener = listener or listen(path)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """Take no more commands, and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            if not self._places.acquire(blocking=False):
                channel.close()
                continue
            threading.Thread(target=self._serve, args=(channel,), name="command", daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        try:
            with channel:
                channel.settimeout(_CLIENT_SECONDS)
                answer = self._answer(channel)
                channel.sendall(json.dumps(answer).encode() + b"\n")
        except (OSError, ValueError):
            pass  # it went away, or never spoke our language
        finally:
            self._places.release()

    def _answer(self, channel: socket.socket) -> Document:
        credentials = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(credentials)[1]
        if uid not in self._allowed:
            return {"refused": "not_allowed", "message": f"user id {uid} may not command this process"}
        try:
            command = json.loads(_line(channel))
        except (ValueError, RecursionError) as error:
            return {"refused": "not_understood", "message": f"this is no line of JSON: {error}"}
        name = command.get("do") if isinstance(command, dict) else None
        handler = self._handlers.get(str(name))
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return {
                "refused": "unknown_command",
                "message": f"{str(name)[:80]!r} is no command; there is {known}",
            }
        try:
            return {"ok": handler(command)}
        except ControlRefused as refusal:
            return {"refused": refusal.reason, "message": str(refusal)}
        except Exception as error:  # noqa: BLE001
            # One command's mistake ends that command, and not the process.
            _log.exception("command %s failed", name)
            return {"refused": "internal_error", "message": f"{type(error).__name__}: {error}"}


def _line(channel: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = channel.recv(65536)
        if not chunk or len(received) > LARGEST:
            raise ValueError("the line has no end")
        received += chunk
    return bytes(received)
