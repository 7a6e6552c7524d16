"""The agent's HTTP server under clients that are many, slow, silent or rude."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest

from netsre.adapters import exposition
from netsre.adapters.agent_server import AgentServer, Reply
from netsre.adapters.endpoints import Endpoint, get
from netsre.metrics.readings import Readings


@contextlib.contextmanager
def _served(host: str = "127.0.0.1") -> Iterator[Endpoint]:
    """Serve one path on a free port."""
    server = AgentServer(host, 0, {"/healthz": lambda _: Reply(HTTPStatus.OK, b"ok\n")})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Endpoint(host, server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _connected(endpoint: Endpoint, stack: contextlib.ExitStack) -> socket.socket:
    client = socket.create_connection((endpoint.host, endpoint.port), timeout=5)
    return stack.enter_context(client)


def test_an_ipv6_address_is_served() -> None:
    """As the option's help and `netsre up` promise."""
    with _served("::1") as endpoint:
        assert get(endpoint, "/healthz", 5).status == HTTPStatus.OK


def test_a_crowd_is_answered_at_once() -> None:
    """As many as come together: each gets an answer or a plain no, none waits for a lost packet's retry."""
    with _served() as endpoint, ThreadPoolExecutor(100) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: get(endpoint, "/healthz", 10).status, range(200)))
        took = time.monotonic() - began

    assert answers.count(HTTPStatus.OK) >= 64
    assert took < 5


def test_silent_clients_are_refused_beyond_a_bound_and_ended_after_ten_seconds() -> None:
    """Neither silence nor a drip of bytes holds a place for longer."""
    with _served() as endpoint, contextlib.ExitStack() as stack:
        began = time.monotonic()
        silent = [_connected(endpoint, stack) for _ in range(64)]
        time.sleep(0.5)
        with socket.create_connection((endpoint.host, endpoint.port), timeout=5) as late:
            refusal = late.recv(100)
        while silent and time.monotonic() - began < 9:
            for client in silent:
                client.send(b"G")
            time.sleep(0.5)
        for client in silent:
            with contextlib.suppress(OSError):
                while client.recv(1000):
                    pass
        took = time.monotonic() - began
        after = get(endpoint, "/healthz", 5).status

    assert refusal.startswith(b"HTTP/1.0 503 ")
    assert took < 13
    assert after == HTTPStatus.OK


def test_a_client_that_hangs_up_is_not_our_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A reset in the middle of a request leaves no traceback."""
    with _served() as endpoint:
        for _ in range(5):
            with socket.create_connection((endpoint.host, endpoint.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.send(b"GET /heal")
        time.sleep(0.3)
        assert get(endpoint, "/healthz", 5).status == HTTPStatus.OK

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", ";;q=,", "text/plain;version="]
)
def test_a_strange_wish_for_a_format_is_answered_in_the_plain_one(accept: str) -> None:
    """What a client writes into `Accept` is its business, and no reason to fail."""
    body, content_type = exposition.render(Readings(), accept)

    assert body.decode().strip("# EOF\n") == ""
    assert content_type.startswith("text/plain")
