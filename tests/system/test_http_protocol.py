"""The controller's server as others meet it on a socket: patient with requests, not with silence."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from netsre.adapters.http_protocol import BoundedProtocol
from netsre.app.control.api import Asgi, Guard, Message, Receive, Scope, Send
from tests.machine import PATIENCE

HALF = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "


class Hasty(BoundedProtocol):
    """Looks often enough for a test, and not so often that a busy machine gets nothing done in between."""

    look_seconds = 1.5


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a GET after a moment, as a busy controller does."""
    del receive
    await asyncio.sleep(0.1)
    start: Message = {"type": "http.response.start", "status": 200 if scope["method"] == "GET" else 405}
    await send({**start, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.contextmanager
def serving(application: Asgi) -> Iterator[int]:
    """Serve and return the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            application, http=Hasty, ws="none", lifespan="off", log_config=None, limit_concurrency=20
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a server behind the guard."""
    with serving(Guard(answer, frozenset({"127.0.0.1", "localhost"}))) as number:
        yield number


def status(port: int, method: str = "GET") -> tuple[int, bytes]:
    """Return status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, "/")
    found = connection.getresponse()
    body = found.read()
    connection.close()
    return found.status, body


def test_many_connections_that_say_nothing_lock_nobody_out_for_long(port: int) -> None:
    """All places are taken by halves of requests; soon after there is room again, and they are closed."""
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(25)
        ]
        for connection in silent:
            connection.sendall(HALF)
        deadline = time.monotonic() + PATIENCE
        while status(port)[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.05)

        assert status(port) == (200, b"ok")
        for connection in silent:
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_a_client_that_goes_on_asking_keeps_its_connection(port: int) -> None:
    """Several requests over several looks, all on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.connect()
    local = connection.sock.getsockname()
    for _ in range(10):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"ok"
        assert connection.sock.getsockname() == local
        time.sleep(0.4)
    connection.close()


def test_head_is_get_without_its_body(port: int) -> None:
    """Load balancers and uptime checks ask like that."""
    assert status(port, "HEAD") == (200, b"")
    assert status(port, "POST")[0] == 405
