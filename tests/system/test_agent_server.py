"""The agent's HTTP server under clients that are many, slow, silent or rude."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final

import pytest

from netsre.adapters import exposition
from netsre.adapters.agent_server import AgentServer, Reply
from netsre.adapters.endpoints import Endpoint, get
from netsre.metrics.readings import Readings
from tests.machine import PATIENCE

_SENT_AGAIN: Final = slice(100, 104)
"""Where `struct tcp_info` has how many segments were sent again in all."""


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
    client = socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE)
    return stack.enter_context(client)


def _repetitions(endpoint: Endpoint) -> int:
    """Connect; return how many packets of that were sent again."""
    with socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE) as client:
        told = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SENT_AGAIN.stop)
    return int.from_bytes(told[_SENT_AGAIN], sys.byteorder)


def test_an_ipv6_address_is_served() -> None:
    """As the option's help and `netsre up` promise."""
    with _served("::1") as endpoint:
        assert get(endpoint, "/healthz", PATIENCE).status == HTTPStatus.OK


def test_a_crowd_is_answered_at_once() -> None:
    """As many as come together: each gets an answer or a plain no, none waits for a lost packet's retry."""
    with _served() as endpoint, ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: get(endpoint, "/healthz", PATIENCE).status, range(200)))
        repeated = list(pool.map(lambda _: _repetitions(endpoint), range(200)))

    assert answers.count(HTTPStatus.OK) >= 64
    assert set(repeated) == {0}


def test_silent_clients_are_refused_beyond_a_bound_and_ended_after_ten_seconds() -> None:
    """Neither silence nor a drip of bytes holds a place for longer."""
    with _served() as endpoint, contextlib.ExitStack() as stack:
        began = time.monotonic()
        silent = [_connected(endpoint, stack) for _ in range(64)]
        time.sleep(0.5)
        with socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE) as late:
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
        after = get(endpoint, "/healthz", PATIENCE).status

    assert refusal.startswith(b"HTTP/1.0 503 ")
    # Who is not ended keeps each of them waiting for longer than this.
    assert took < 10 + PATIENCE
    assert after == HTTPStatus.OK


def test_a_client_that_hangs_up_is_not_our_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A reset in the middle of a request leaves no traceback."""
    with _served() as endpoint:
        for _ in range(5):
            with socket.create_connection((endpoint.host, endpoint.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.send(b"GET /heal")
        time.sleep(0.3)
        assert get(endpoint, "/healthz", PATIENCE).status == HTTPStatus.OK

    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", ";;q=,", "text/plain;version="]
)
def test_a_strange_wish_for_a_format_is_answered_in_the_plain_one(accept: str) -> None:
    """What a client writes into `Accept` is its business, and no reason to fail."""
    body, content_type = exposition.render(Readings(), accept)

    assert body.decode().strip("# EOF\n") == ""
    assert content_type.startswith("text/plain")
