"""A real Alertmanager for tests, what it notifies, and peers that misbehave."""

import contextlib
import http.server
import json
import pathlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, Final

import httpx

from netsre.app.local import alertmanager as shipped
from tests.machine import PATIENCE, free_port, wait_until

TOKEN: Final = "what-the-tests-show"  # noqa: S105


class Alertmanager:
    """A running Alertmanager."""

    def __init__(self, port: int) -> None:
        """Speak to the one on this port of loopback."""
        self.url = f"http://127.0.0.1:{port}"

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that fire there."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/alerts", timeout=PATIENCE).json()
        return found

    def post(self, *alerts: dict[str, Any]) -> None:
        """Tell it of alerts."""
        httpx.post(f"{self.url}/api/v2/alerts", json=alerts, timeout=PATIENCE).raise_for_status()

    def notifications(self) -> int:
        """Return how many requests to the webhook it has tried."""
        text = httpx.get(f"{self.url}/metrics", timeout=PATIENCE).text
        name = 'alertmanager_notification_requests_total{integration="webhook"}'
        [count] = [line.split()[-1] for line in text.splitlines() if line.startswith(name)]
        return int(float(count))


@contextlib.contextmanager
def alertmanager(
    directory: pathlib.Path, webhook: str, token: str = TOKEN, port: int | None = None, **route: Any
) -> Iterator[Alertmanager]:
    """Run one with the configuration that netsre writes; `route` replaces parts of its route."""
    port = port or free_port()
    directory.mkdir(exist_ok=True)
    (directory / "token").write_text(token)
    configuration: Any = shipped.configuration(webhook, directory / "token")
    configuration["route"] |= route
    (directory / "alertmanager.yml").write_text(json.dumps(configuration))
    command = (
        str(shipped.PROGRAM),
        f"--config.file={directory}/alertmanager.yml",
        f"--storage.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    )
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        running = Alertmanager(port)
        assert wait_until(lambda: _ready(running)), (directory / "log").read_text()
        yield running
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ready(running: Alertmanager) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{running.url}/-/ready", timeout=PATIENCE).is_success
    return False


class Sink:
    """A webhook that keeps what it is sent."""

    def __init__(self) -> None:
        """Listen."""
        self.sent: list[tuple[str, str]] = []
        """The name and the status of every alert, in the order of arrival."""
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                sink.sent += [(alert["labels"]["alertname"], alert["status"]) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
                """Keep quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()


class BadPeer:
    """Something that is no good Alertmanager: it hangs, drips, fails, floods, or is not there at all.

    One that `greets` answers everything as a web server would, one that `breaks` closes in the middle.
    """

    def __init__(self, how: str) -> None:
        """Begin to misbehave: `hangs`, `drips`, `fails`, `floods`, `lies`, `greets`, `breaks` or `absent`."""
        self._how = how
        self._stopping = threading.Event()
        self.asked = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        if how == "absent":
            self._listener.close()
        else:
            self._thread(self._accept)

    def close(self) -> None:
        """End, and hold nobody up any more."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _thread(self, target: Any, *args: Any) -> None:  # noqa: ANN401
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._thread(self._answer, self._listener.accept()[0])

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            self.asked.set()
            match self._how:
                case "fails":
                    connection.sendall(b"HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\nno memory")
                case "greets":
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n<h1>Sign in.</h1>")
                case "breaks":
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[")
                case "lies":
                    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                case "floods":
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    while not self._stopping.is_set():
                        connection.sendall(b" " * 65536)
                case "drips":
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    while not self._stopping.wait(0.1):
                        connection.sendall(b" ")
                case _:
                    self._stopping.wait()
