"""One controller as `make bench` starts it and asks it; what is measured is seen from outside."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PATIENCE: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Controller:
    """A controller that evaluates."""

    port: int
    pid: int

    def get(self, path: str) -> dict[str, Any]:
        """Return the document that it serves under a path; empty while it does not serve yet."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            try:
                connection.request("GET", path)
                return dict(json.loads(connection.getresponse().read()))
            except OSError:
                return {}

    def status(self) -> dict[str, Any]:
        """Return its status; raises `RuntimeError` when an evaluation failed."""
        status = self.get("/api/v1/status")
        if status.get("tick_failures"):
            raise RuntimeError(f"an evaluation failed meanwhile: {status['problem']}")
        return status


@contextmanager
def running(home: Path, *options: str, patience: float = PATIENCE) -> Iterator[Controller]:
    """Run a controller with its data in a directory; enter when it evaluates."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "netsre", "controller", "--data-dir", str(home))
    with subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{port}", *options], stderr=subprocess.DEVNULL
    ) as process:
        controller = Controller(port, process.pid)
        deadline = time.monotonic() + patience
        try:
            while not controller.status().get("last_tick_at"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the controller did not start")
                time.sleep(0.05)
            yield controller
        finally:
            process.terminate()
