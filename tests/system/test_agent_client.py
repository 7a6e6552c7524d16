"""Whatever an agent answers, or does not, a reading ends in time as a scrape or as one line."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from netsre.adapters.agent_client import AgentClient, Bounds
from netsre.clock import SystemClock, Timestamp
from netsre.errors import SourceUnreachable
from netsre.model.samples import Series
from tests.machine import PATIENCE

WHOLE = Bounds(PATIENCE, PATIENCE, PATIENCE, body_bytes=10_000)
SILENT = Bounds(PATIENCE, 0.3, PATIENCE, body_bytes=10_000)
SLOW = Bounds(PATIENCE, PATIENCE, 0.8, body_bytes=10_000)
START = "process_start_time_seconds 1767225600.25\n"
Behaviour = Callable[[socket.socket], None]


@contextmanager
def server(behave: Behaviour) -> Iterator[str]:
    """Serve one behaviour on loopback; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        behave(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def answers(body: str, status: str = "200 OK") -> Behaviour:
    """Answer with a body."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        )

    return behave


def trickles(head: bytes) -> Behaviour:
    """Send a head, and then a byte now and then, for ever."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(int(20 * PATIENCE)):
            time.sleep(0.1)
            connection.sendall(b"x")

    return behave


def hangs(connection: socket.socket) -> None:
    """Say nothing."""
    connection.settimeout(2 * PATIENCE)
    connection.recv(1)


def read(url: str, bounds: Bounds = WHOLE) -> dict[Series, Decimal]:
    """Return the values of a reading."""
    return dict(AgentClient(url, "a", SystemClock(), bounds).scrape().values)


def test_values_are_the_numbers_that_were_sent() -> None:
    """Exactly, with labels sorted, buckets kept, and without times of creation and what is no number."""
    body = (
        START
        + 'x_total{b="2",a="1"} 0.1\n'
        + 'h_bucket{le="0.25"} 3\nh_bucket{le="+Inf"} 4\nh_count 4\nh_sum 1.5\n'
        + "x_created 1.7e9\ny NaN\nz +Inf\n"
    )
    with server(answers(body)) as url:
        scrape = AgentClient(url, "a", SystemClock(), WHOLE).scrape()

    assert scrape.started_at == Timestamp(1_767_225_600_250)
    values = dict(scrape.values)
    assert values[Series("x_total", (("a", "1"), ("b", "2")))] == Decimal("0.1")
    assert values[Series("h_bucket", (("le", "0.25"),))] == 3
    assert not {series.name for series in values} & {"x_created", "y", "z"}


@pytest.mark.parametrize(
    ("behave", "message", "bounds"),
    [
        (hangs, "did not answer in time", SILENT),
        (
            trickles(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
            "did not finish its answer within 0.8 s",
            SLOW,
        ),
        (trickles(b"HTTP/1.1 200 OK\r\nX-Slow: "), "did not finish its answer within 0.8 s", SLOW),
        (answers("x" * 20_000), "answered more than 10000 bytes", WHOLE),
        (answers("nope", "503 Service Unavailable"), "answered 503", WHOLE),
        (answers("<html>no metrics</html>"), "answered what is no Prometheus text", WHOLE),
        (answers("x_total 1\n"), "answered without process_start_time_seconds", WHOLE),
        (answers("process_start_time_seconds 1e300\n"), "with process_start_time_seconds 1e+300", WHOLE),
        (answers("process_start_time_seconds -5\n"), "answered with process_start_time_seconds -5", WHOLE),
        (answers(START + "x 1\nx 2\n"), "answered what is no Prometheus text (series x occurs twice)", WHOLE),
        (answers(START + 'x{a="1" 2\n'), "answered what is no Prometheus text", WHOLE),
        (lambda connection: connection.close(), "did not answer", WHOLE),
        (lambda connection: connection.sendall(b"\x00\x01\x02\r\n\r\n"), "did not answer", WHOLE),
    ],
    ids=[
        "silent",
        "trickling-body",
        "trickling-head",
        "too-large",
        "error-status",
        "no-metrics",
        "no-start-time",
        "start-beyond-time",
        "start-before-time",
        "series-twice",
        "cut-short",
        "closes",
        "no-http",
    ],
)
def test_an_agent_that_misbehaves_is_one_line_in_time(
    behave: Behaviour, message: str, bounds: Bounds
) -> None:
    """The address and the next step are in it, and the deadline holds."""
    with server(behave) as url:
        began = time.monotonic()
        with pytest.raises(SourceUnreachable) as refused:
            read(url, bounds)

        # Less than what it would have gone on for.
        assert time.monotonic() - began < PATIENCE
    assert message in str(refused.value)
    assert f"agent {url}/metrics" in str(refused.value)
    assert "check that `netsre agent` runs there" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_agent_that_is_gone_is_one_line() -> None:
    """Nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(SourceUnreachable, match=rf"127.0.0.1:{port}/metrics did not answer"):
        read(f"http://127.0.0.1:{port}")


def test_the_last_words_of_the_verifier_are_read_as_the_agent_tells_them() -> None:
    """Anything else is one line that says so."""
    with server(answers('{"failures": [{"error": "EACCES", "log": "R1 !read_ok"}]}')) as url:
        client = AgentClient(url, "a", SystemClock(), WHOLE)
        assert client.refused_loads() == [{"error": "EACCES", "log": "R1 !read_ok"}]
    for body in ("[]", '{"failures": 3}', "no", '{"failures": ["x"]}'):
        with server(answers(body)) as url, pytest.raises(SourceUnreachable, match="/bpf/failures answered"):
            AgentClient(url, "a", SystemClock(), WHOLE).refused_loads()
    with server(answers("", "404 Not Found")) as url, pytest.raises(SourceUnreachable, match="404"):
        AgentClient(url, "a", SystemClock(), WHOLE).refused_loads()
