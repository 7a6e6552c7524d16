"""Requests to real servers on loopback: whatever they do, it is over in time, and known for what it is."""

import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from netsre.adapters.alertmanager import Alertmanager, Bounds, Result
from netsre.adapters.http_calls import HttpCaller, Outcome
from tests import machine
from tests.alertmanager import BadPeer


class Server:
    """A server that keeps what it is asked, and answers with a status."""

    def __init__(self, certificate: pathlib.Path | None = None) -> None:
        """Listen; with a certificate by TLS."""
        self.asked: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.statuses: dict[str, int] = {}
        """By method and path; 200 where there is none."""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.asked.append((self.command, self.path, dict(self.headers), body))
                self.send_response(server.statuses.get(f"{self.command} {self.path}", 200))
                self.send_header("Location", f"{server.url}/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - its own names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
                """Keep quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            scheme = "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def serving(certificate: pathlib.Path | None = None) -> Iterator[Server]:
    """Serve for a while."""
    made = Server(certificate)
    try:
        yield made
    finally:
        made.close()


def test_a_request_arrives_as_it_is_meant_and_its_status_comes_back() -> None:
    """With its headers, and its body to the byte."""
    with serving() as server:
        server.statuses["PUT /x"] = 202
        headers = {"Idempotency-Key": "r/1", "Content-Type": "application/json"}
        heard = HttpCaller().send("PUT", f"{server.url}/x", headers, b'{"a":1}', 5)

    assert (heard.outcome, heard.status) == (Outcome.ANSWERED, 202)
    [(method, path, sent, body)] = server.asked
    assert (method, path, json.loads(body)) == ("PUT", "/x", {"a": 1})
    assert headers.items() <= sent.items()


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    """Wherever it leads."""
    with serving() as server:
        server.statuses["POST /x"] = 307
        heard = HttpCaller().send("POST", f"{server.url}/x", {}, b"", 5)

    assert (heard.status, [path for _, path, _, _ in server.asked]) == (307, ["/x"])


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("absent", Outcome.UNSENT),
        ("hangs", Outcome.UNKNOWN),
        ("lies", Outcome.UNKNOWN),
        ("fails", Outcome.ANSWERED),
        ("floods", Outcome.ANSWERED),
        ("drips", Outcome.ANSWERED),
        ("breaks", Outcome.ANSWERED),
    ],
)
def test_whatever_a_server_does_the_request_ends(how: str, outcome: Outcome) -> None:
    """What was not heard for certain is told from what may have been."""
    bad = BadPeer(how)
    try:
        heard = HttpCaller().send("POST", f"{bad.url}/x", {}, b"{}", 1)
    finally:
        bad.close()

    assert heard.outcome is outcome
    assert bool(heard.reason) == (outcome is not Outcome.ANSWERED)


def test_a_name_that_does_not_exist_was_not_heard() -> None:
    """Nothing was sent."""
    heard = HttpCaller().send("POST", "http://nobody.invalid/x", {}, b"", 2)

    assert heard.outcome is Outcome.UNSENT


@pytest.mark.requires("openssl")
def test_a_server_that_cannot_prove_who_it_is_hears_nothing(tmp_path: pathlib.Path) -> None:
    """A certificate that nobody we trust has signed."""
    certificate = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem"), "-days", "1"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    certificate.write_text((tmp_path / "key.pem").read_text() + (tmp_path / "cert.pem").read_text())
    with serving(certificate) as server:
        heard = HttpCaller().send("POST", f"{server.url}/x", {}, b"secret", 5)

    assert (heard.outcome, server.asked) == (Outcome.UNSENT, [])
    assert "certificate" in heard.reason.lower()


def test_a_server_that_closes_without_a_word_may_have_heard() -> None:
    """It read all of it first."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=close)
        thread.start()
        heard = HttpCaller().send("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/x", {}, b"{}", 5)
        thread.join()

    assert heard.outcome is Outcome.UNKNOWN


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have nobody say what a name stands for, until the event is set."""
    answered = threading.Event()

    def ask(*_asked: object, **_more: object) -> object:
        answered.wait(machine.PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody said")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield answered
    answered.set()


def test_names_that_nobody_resolves_keep_nobody_longer_than_the_request_may_take(
    silent_names: threading.Event,
) -> None:
    """A resolver that is away is asked for far longer than that, in a thread that nobody can end."""
    ends: list[str] = []
    clients = (
        lambda: HttpCaller().send("POST", "http://tools.example/x", {}, b"", 1).outcome,
        lambda: Alertmanager("http://tools.example", Bounds(total_seconds=1)).ready().result,
    )
    for client in clients:
        threading.Thread(target=lambda ask=client: ends.append(ask()), daemon=True).start()

    assert machine.wait_until(lambda: len(ends) == len(clients), machine.PATIENCE / 2)
    assert not silent_names.is_set()
    assert set(ends) == {Outcome.UNSENT, Result.UNREACHABLE}


@pytest.mark.parametrize("answer", [b"%s", b"HTTP/1.1 200 OK\r\n%s", b"HTTP/1.1 200 OK\r\nX: y\r\n %s"])
def test_what_a_server_says_that_is_no_http_is_told_to_nobody(answer: bytes) -> None:
    """It may say again what it heard, secrets among it."""
    listening = socket.create_server(("127.0.0.1", 0))

    def echo() -> None:
        with listening.accept()[0] as peer:
            heard = peer.recv(65_536)
            header = next(line for line in heard.split(b"\r\n") if b"hidden" in line)
            peer.sendall(answer % header.replace(b":", b" :") + b"\r\n\r\n")

    threading.Thread(target=echo, daemon=True).start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/x"
    heard = HttpCaller().send("POST", url, {"Authorization": "Bearer hidden"}, b"{}", 5)
    listening.close()

    assert "hidden" not in heard.reason
    assert (heard.outcome is Outcome.UNKNOWN) == bool(heard.reason)
