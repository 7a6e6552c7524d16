"""The agent's small HTTP server: a handful of GET paths, each a function that returns a reply."""

import errno
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from netsre.errors import EnvironmentUnfit

_log: Final = logging.getLogger("netsre.agent")

_CLIENT_TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """What a path answers."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Route = Callable[[str], Reply]
"""Takes the client's `Accept` header."""


class AgentServer(ThreadingHTTPServer):
    """Serves until `shutdown()`; a client that hangs holds one thread for ten seconds, nothing more."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        """Bind at once; an address that cannot be bound raises `EnvironmentUnfit`."""
        self.routes = routes
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
            message = f"agent address {host}:{port} {why}; choose another with --listen HOST:PORT"
            raise EnvironmentUnfit(message) from error


class _Handler(BaseHTTPRequestHandler):
    server: AgentServer
    timeout = _CLIENT_TIMEOUT_SECONDS
    server_version = "netsre"
    sys_version = ""

    def do_GET(self) -> None:  # the name that the base class calls
        """Answer one request."""
        path = self.path.partition("?")[0]
        route = self.server.routes.get(path)
        if route is None:
            known = ", ".join(self.server.routes)
            reply = Reply(HTTPStatus.NOT_FOUND, f"no {path} here; there is {known}\n".encode())
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
