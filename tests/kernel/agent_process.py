"""The agent as a process, for tests that read what it serves and end it in every way."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from netsre import conventions as c
from netsre.app.sensors.conntrack import ConntrackSensor
from tests.machine import PATIENCE, free_port


@dataclass(frozen=True, slots=True)
class Running:
    """An agent that serves."""

    process: subprocess.Popen[str]
    address: str

    def stop(self, number: signal.Signals) -> int:
        """End the agent by a signal and return its status."""
        with self.process:
            self.process.send_signal(number)
            return self.process.wait(timeout=2 * PATIENCE)

    def get(self, path: str) -> tuple[int, str]:
        """Return (status, body) of a path."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=PATIENCE) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return every sample of /metrics."""
        families = text_string_to_metric_families(self.get("/metrics")[1])
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }

    def failed(self) -> dict[str, float]:
        """Return how often what could not be read, by source, but for connection tables.

        Those are of the whole host: other tests fill and end theirs while they are counted.
        """
        found = {
            dict(pairs)["source"]: n
            for (name, pairs), n in self.samples().items()
            if name == c.AGENT_READ_ERRORS
        }
        assert found
        return {source: count for source, count in found.items() if count and source != ConntrackSensor.name}

    def outcomes(self, src: str) -> dict[tuple[str, str], int]:
        """Return counts by (outcome, reason) of one namespace, as the wire says."""
        found = {}
        for (name, pairs), value in self.samples().items():
            labels = dict(pairs)
            if name == c.FLOWS and labels["src"] == src:
                found[(labels["outcome"], labels["reason"])] = int(value)
        return found


def start(
    *options: str,
    through: Sequence[str] = (),
    address: str = "",
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start an agent by way of another program, and wait until it says where it serves.

    On a free port if none is given. Unless it is told where, it looks after no effects: it would go on with
    what an agent that another test kills has left.
    """
    address = address or f"127.0.0.1:{free_port()}"
    effects = () if "--effects" in options else ("--effects", "/nonexistent")
    listen = ("--listen", address)
    command = [*through, sys.executable, "-m", "netsre", "agent", *listen, *effects, *options]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "agent serves" in line:
            break
    return Running(process, address)


@contextlib.contextmanager
def running(
    *options: str,
    through: Sequence[str] = (),
    address: str = "",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run an agent, and end it if the test did not."""
    agent = start(*options, through=through, address=address, environment=environment)
    try:
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.stop(signal.SIGTERM)
