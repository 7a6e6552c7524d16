"""Somebody who follows the files of a node of the test, and what he says."""

import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.kernel.policed_node import Node
from tests.machine import PATIENCE

_END: Final = ""


class Follower:
    """One process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        """Read what it says as it comes."""
        self.process = process
        self.heard: list[dict[str, Any]] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, name="follower", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(_END)

    def hears(self, event: str) -> dict[str, Any]:
        """Return the next event of a kind; what comes before is passed over."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line != _END, self.complaints()
            self.heard.append(json.loads(line))
            if self.heard[-1]["event"] == event:
                return self.heard[-1]

    def so_far(self) -> Sequence[dict[str, Any]]:
        """Return every event until now, those that were heard already as well."""
        with contextlib.suppress(queue.Empty):
            while (line := self._lines.get_nowait()) != _END:
                self.heard.append(json.loads(line))
        return self.heard

    def complaints(self) -> str:
        """Return what it complained of, after its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def kill(self) -> None:
        """End it in any case, and hear it out: what it says into is closed next."""
        self.process.kill()
        self._listener.join()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@contextlib.contextmanager
def followed(node: Node, *options: str) -> Iterator[Follower]:
    """Follow the files of a node, from when it says so."""
    with node.start(*node.applying(), "--follow", "--json", *options) as process:
        follower = Follower(process)
        try:
            follower.hears("following")
            yield follower
        finally:
            follower.kill()
