"""Traffic by small programs in C, `traffic.c` and `volume.c`: a generator in Python would be the bottleneck.

`cc` compiles it where it is needed; every run is bounded in time by what it is asked for.
"""

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SOURCES: Final = Path(__file__).parent
_SPARE_SECONDS: Final = 60.0
"""For what a busy machine is late with."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """The compiled program."""

    path: Path

    def start(self, *words: object, namespace: str | None = None) -> subprocess.Popen[str]:
        """Run it with these words; in a network namespace if one is named."""
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        command = [*inside, str(self.path), *map(str, words)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def serving(
        self, address: str, port: int, namespace: str | None = None, word: str = "serve"
    ) -> Iterator[subprocess.Popen[str]]:
        """Accept connections meanwhile, or what else the word stands for."""
        with self.start(word, address, port, namespace=namespace) as server:
            try:
                if server.stdout is None or server.stdout.readline() != "ready\n":
                    message = f"nobody serves {address} port {port}"
                    raise RuntimeError(message)
                yield server
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait()


def result(process: subprocess.Popen[str], seconds: float) -> Mapping[str, int]:
    """Wait for the end of a run of so many seconds; return its numbers by their words."""
    said, _ = process.communicate(timeout=seconds + _SPARE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {word: int(number) for word, number in (line.split() for line in said.splitlines())}


@contextlib.contextmanager
def compiled(name: str = "traffic") -> Iterator[Traffic]:
    """Compile the program for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="netsre-bench-") as place:
        path = Path(place) / name
        subprocess.run(["cc", "-O2", "-o", str(path), str(_SOURCES / f"{name}.c")], check=True)
        yield Traffic(path)
