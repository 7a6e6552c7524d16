"""The agent's small HTTP server: a handful of GET paths, each a function that returns a reply."""

import contextlib
import errno
import ipaddress
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final

from netsre.errors import EnvironmentUnfit

_log: Final = logging.getLogger("netsre.agent")

_CLIENT_SECONDS: Final = 10.0
"""From the first byte to the last: a client that drips is no better than one that hangs."""
_MOST_CLIENTS: Final = 64
"""Served at once. More than one scraper is rare; this bounds what a crowd can cost."""
_WAITING: Final = 256
"""Connections that the kernel may hold while we are busy; the next would wait a second and come again."""
_BUSY: Final = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Route = Callable[[str], Reply]
"""Takes the client's `Accept` header."""


class AgentServer(ThreadingHTTPServer):
    """Serves until `shutdown()`; a client that hangs holds one of 64 places for ten seconds, no more."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = _WAITING

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Bind at once, IPv4 or IPv6; an address that cannot be bound raises `EnvironmentUnfit`."""
        self.routes = routes
        self.local_paths: frozenset[str] = frozenset()
        """Answered to clients on this node alone."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._places = threading.BoundedSemaphore(_MOST_CLIENTS)
        self._since: dict[socket.socket, float] = {}
        try:
            super().__init__((host, port), _Handler)
        except (OSError, UnicodeError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            why = "is taken" if taken else f"cannot be bound ({reason})"
            shown = f"[{host}]" if ":" in host else host
            message = f"agent address {shown}:{port} {why}; choose another with --listen HOST:PORT"
            raise EnvironmentUnfit(message) from error

    def server_bind(self) -> None:
        """Bind, without asking the resolver for our own name as the base class does: it may take long."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]  # str, int

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  the base class's
        """Serve in a thread while there is a place, else say so at once."""
        if self._places.acquire(blocking=False):
            self._since[request] = time.monotonic()
            super().process_request(request, client_address)
            return
        with contextlib.suppress(OSError):
            request.send(_BUSY, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Give the place back, however it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._since.pop(request, None)
            self._places.release()

    def service_actions(self) -> None:
        """End what takes too long; called about twice a second."""
        now = time.monotonic()
        for request, since in list(self._since.items()):
            if now - since > _CLIENT_SECONDS:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Keep quiet about clients that went away; anything else is our mistake."""
        del request
        if not isinstance(sys.exception(), OSError):
            _log.exception("serving %s failed", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: AgentServer
    timeout = _CLIENT_SECONDS
    server_version = "netsre"
    sys_version = ""

    def do_GET(self) -> None:  # the name that the base class calls
        """Answer one request."""
        path = self.path.partition("?")[0]
        route = self.server.routes.get(path)
        if route is None:
            known = ", ".join(self.server.routes)
            reply = Reply(HTTPStatus.NOT_FOUND, f"no {path} here; there is {known}\n".encode())
        elif path in self.server.local_paths and not _is_local(self.client_address[0]):
            reply = Reply(HTTPStatus.FORBIDDEN, f"{path} is for clients on this node\n".encode())
        else:
            reply = self._answer(route)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _answer(self, route: Route) -> Reply:
        try:
            return route(self.headers.get("Accept", ""))
        except Exception:  # noqa: BLE001
            # One request that failed must not look like an agent that is gone; the log has the details.
            _log.exception("answering %s failed", self.path)
            return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error; the agent's log says more\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's signature
        """Keep quiet: a line for every scrape is noise."""


def _is_local(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
