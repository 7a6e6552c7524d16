"""Debian's Prometheus over a history that a test wrote: blocks made by promtool, a server on loopback."""

import contextlib
import http.client
import os
import pathlib
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from netsre.clock import Timestamp
from netsre.model.samples import Series
from tests.machine import PATIENCE, free_port, wait_until

Sample = tuple[Series, Timestamp, Decimal]
Server = subprocess.Popen[bytes]


def line(sample: Sample) -> str:
    """Return one sample as OpenMetrics writes it."""
    series, at, value = sample
    pairs = ",".join(f'{name}="{text}"' for name, text in series.labels)
    return f"{series.name}{{{pairs}}} {value} {at // 1000}.{at % 1000:03d}"


def make_blocks(directory: pathlib.Path, samples: Iterable[Sample]) -> None:
    """Write samples as the blocks of a Prometheus."""
    text = directory / "history.om"
    text.write_text("\n".join([*map(line, samples), "# EOF\n"]))
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(directory / "data")],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        env={**os.environ, "GOMAXPROCS": "1"},
    )
    assert made.returncode == 0, made.stdout + made.stderr


@contextlib.contextmanager
def serve(directory: pathlib.Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Serve a history; yields the address."""
    make_blocks(directory, samples)
    with running(directory, "{}\n", "--storage.tsdb.retention.time=100y") as (_, port):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def running(
    directory: pathlib.Path, configuration: str, *options: str, processors: int = 1
) -> Iterator[tuple[Server, int]]:
    """Run a server in a directory, its log beside its data; yields it and its port when it is ready."""
    port = free_port()
    (directory / "prometheus.yml").write_text(configuration)
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *options,
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GOMAXPROCS": str(processors)},
        )
    try:
        ready = wait_until(lambda: server.poll() is not None or _status(port, "/-/ready") == 200)
        assert ready, (directory / "log").read_text()
        assert server.poll() is None, (directory / "log").read_text()
        yield server, port
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def labelled(series: Series, target: Mapping[str, str]) -> Series:
    """Return a series as Prometheus keeps it: with the labels of its target."""
    return Series(series.name, tuple(sorted({**dict(series.labels), **target}.items())))
