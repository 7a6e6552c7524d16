"""A fleet of agents whose counters are known at every moment: its past in a Prometheus, and its present.

Every counter is a function of time: what is scraped goes on where the past ended, and anybody can reckon
what a service level has to find.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Final, Self

from netsre import conventions
from netsre.model.samples import Labels, Series, labels
from tests.answers import listening
from tests.prometheus import labelled, running

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_BLOCK: Final = 54 * _HOUR
"""Seconds; a length of blocks that promtool makes, and that a server with our retention leaves alone."""
_COARSE: Final = 300
_FINE: Final = 15
_MARGIN: Final = 2 * _HOUR
"""Seconds before the first day, so that a window of all days begins between two samples."""
_OUTCOMES: Final = (("delivered", "none"), ("failed", "refused"))

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many services, each seen by one of so many nodes."""

    services: int
    nodes: int
    birth: int
    """Unix seconds at which every counter was 0."""

    def service(self, number: int) -> str:
        """Return the name of a service."""
        return f"svc-{number:04d}"

    def delivered(self, number: int, at: int) -> int:
        """Return how many connections to a service were delivered until then: 1 to 20 a second."""
        return (at - self.birth) * (1 + number % 20)

    def failed(self, number: int, at: int) -> int:
        """Return how many failed until then: fewer than one in a thousand, a different share for each."""
        return self.delivered(number, at) // (1200 + number)

    def target(self, node: int) -> dict[str, str]:
        """Return the labels that Prometheus adds to what a node shows."""
        return {"job": "netsre-agent", "instance": f"10.0.0.{node}:8601", "node": f"node-{node:02d}"}

    def exposition(self, node: int, at: int) -> str:
        """Return what a node shows at a moment."""
        lines = [f"{conventions.PROCESS_START_TIME} {self.birth}"]
        for number in range(node, self.services, self.nodes):
            counts = (self.delivered(number, at), self.failed(number, at))
            shown = (_name(self._flows(number, outcome)) for outcome in _OUTCOMES)
            lines += [f"{name} {count}" for name, count in zip(shown, counts, strict=True)]
        return "\n".join([*lines, ""])

    def recorded(self, node: int, times: Sequence[int]) -> Iterator[str]:
        """Yield what a Prometheus kept of a node, one piece of OpenMetrics text for each series."""
        target, stamps = self.target(node), [str(at) for at in times]
        for name, value in (("up", 1), (conventions.PROCESS_START_TIME, self.birth)):
            yield _history(_name(labelled(Series(name, ()), target)), stamps, [value] * len(stamps))
        for number in range(node, self.services, self.nodes):
            for outcome, count in zip(_OUTCOMES, (self.delivered, self.failed), strict=True):
                name = _name(labelled(self._flows(number, outcome), target))
                yield _history(name, stamps, [count(number, at) for at in times])

    def _flows(self, number: int, outcome: tuple[str, str]) -> Series:
        return Series(conventions.FLOWS, self._labels(number, *outcome))

    def _labels(self, number: int, outcome: str, reason: str) -> Labels:
        return labels(
            {
                "direction": "egress",
                "dst": self.service(number),
                "outcome": outcome,
                "protocol": "tcp",
                "reason": reason,
                "src": "host",
            }
        )


def _name(series: Series) -> str:
    pairs = ",".join(f'{name}="{text}"' for name, text in series.labels)
    return f"{series.name}{{{pairs}}}"


def _history(name: str, stamps: Sequence[str], values: Sequence[int]) -> str:
    return "".join([f"{name} {value} {at}\n" for at, value in zip(stamps, values, strict=True)])


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the past in which every node was scraped so often."""

    begin: int
    """Unix seconds, like the end, which is the first that does not belong to it."""
    end: int
    step: int

    def scrapes(self, node: int) -> range:
        """Return when a node was scraped: each at moments of its own."""
        return range(self.begin + (node * 37 - self.begin) % self.step, self.end, self.step)


@dataclass(frozen=True, slots=True)
class Served:
    """A Prometheus that holds the past of a fleet and scrapes its present."""

    port: int
    past: tuple[Piece, ...]
    samples: int
    """Of the past."""
    prepared_seconds: float

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def served(fleet: Fleet, directory: Path, days: int, interval: int, say: Progress) -> Iterator[Served]:
    """Run a Prometheus with so many days of a fleet; it scrapes every `interval` seconds until the end."""
    began = time.monotonic()
    past, samples = _write(fleet, directory, days, say)
    # A retention under which blocks of this length are the longest: there is nothing to compact meanwhile.
    kept = f"--storage.tsdb.retention.time={max(2 * days, 30)}d"
    with _live(fleet) as port:
        configuration, processors = _configuration(fleet, port, interval), os.cpu_count() or 1
        with running(directory, configuration, kept, processors=processors) as (_, listens):
            yield Served(listens, past, samples, time.monotonic() - began)


def _write(fleet: Fleet, directory: Path, days: int, say: Progress) -> tuple[tuple[Piece, ...], int]:
    """Make blocks of the past; return its pieces and how many samples they hold."""
    now = int(time.time())
    begin, recent = now - days * _DAY - _MARGIN, now - _HOUR
    past = [
        Piece(max(start, begin), min(start + _BLOCK, recent), _COARSE)
        for start in range(begin // _BLOCK * _BLOCK, recent, _BLOCK)
    ]
    samples = 0
    with _Blocks(directory) as blocks:
        for number, piece in enumerate(past):
            samples += blocks.add(fleet, piece)
            say(f"  {number + 1} of {len(past)} pieces of the past, {samples / 1e6:.1f} million samples")
        # Written last, so that no more is missing before the first live scrape than a server takes to start.
        past.append(Piece(recent, int(time.time()), _FINE))
        samples += blocks.add(fleet, past[-1])
    return tuple(past), samples


class _Blocks:
    """Makes blocks of one text after the other: at most two are on the disk, one written and one read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: tuple[Path, subprocess.Popen[str]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def add(self, fleet: Fleet, piece: Piece) -> int:
        """Write what was recorded in a piece, and have it read; return how many samples it has."""
        text = self._directory / f"{piece.begin}.om"
        samples = _text(fleet, piece, text)
        self._finish()
        command = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet")
        arguments = (f"--max-block-duration={_BLOCK // _HOUR}h", str(text), str(self._directory / "data"))
        promtool = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._read = (text, promtool)
        return samples

    def _finish(self) -> None:
        if self._read is None:
            return
        (text, promtool), self._read = self._read, None
        _, said = promtool.communicate()
        text.unlink()
        if promtool.returncode != 0:
            raise RuntimeError(f"promtool: {said.strip()}")


def _text(fleet: Fleet, piece: Piece, path: Path) -> int:
    """Write what was recorded in a piece as OpenMetrics text; return how many samples it has."""
    samples = 0
    with path.open("w", encoding="ascii") as file:
        for node in range(fleet.nodes):
            times = piece.scrapes(node)
            for series in fleet.recorded(node, times):
                file.write(series)
                samples += len(times)
        file.write("# EOF\n")
    return samples


def _configuration(fleet: Fleet, port: int, interval: int) -> str:
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"__metrics_path__": f"/{node}", **fleet.target(node)},
        }
        for node in range(fleet.nodes)
    ]
    return json.dumps(
        {
            "global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{interval}s"},
            "scrape_configs": [{"job_name": "netsre-agent", "static_configs": targets}],
        }
    )


@contextmanager
def _live(fleet: Fleet) -> Iterator[int]:
    """Show every node under a path of its own, as it is now; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = fleet.exposition(int(self.path.removeprefix("/")), int(time.time())).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each scrape."""

    with listening(Handler) as port:
        yield port
