"""A server that answers as a test tells it, for clients that must bear any answer."""

import contextlib
import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler, dict[str, list[str]]], None]


@dataclass
class Server:
    """A server that answers as it is told; what it was asked is kept."""

    answers: list[Answer]
    """One for each request, the last one for all that follow."""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def listening(handler: type[Handler]) -> Iterator[int]:
    """Have a handler answer on loopback; yields the port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield listener.server_address[1]
        finally:
            listener.shutdown()
            thread.join()


@contextlib.contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    """Serve on loopback."""
    server = Server(list(answers))

    class Handling(Handler):
        def do_GET(self) -> None:  # noqa: N802  # the name that the library calls
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            server.headers.append(dict(self.headers))
            server.asked.append(query)
            answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
            with contextlib.suppress(OSError):
                answer(self, query)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    with listening(Handling) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server


def says(body: bytes | str, status: int = 200, **headers: str) -> Answer:
    """Answer with a body."""
    data = body.encode() if isinstance(body, str) else body

    def answer(handler: Handler, _query: dict[str, list[str]]) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer
