"""What the agent reads, changes and serves, once its probes are loaded."""

import functools
import gc
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Final

from netsre import __version__
from netsre import conventions as c
from netsre.adapters import exposition, privileges
from netsre.adapters.agent_server import AgentServer, Reply, Route
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.filters import Template
from netsre.adapters.bpf.loading import ProbeUnfit
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session
from netsre.app.agent_settings import AgentSettings
from netsre.app.effects.host import site_of
from netsre.app.effects.ledger import Where
from netsre.app.effects.service import EffectsService
from netsre.app.inventory.client import Inventory
from netsre.app.sensors import Closing, Lacking, Sensor, composed
from netsre.app.sensors.inventory import InventorySensor
from netsre.app.sensors.loads import LoadSensor
from netsre.app.sensors.probes import ProbeSensor
from netsre.datapath.probes import FLOWS
from netsre.datapath.requirements import AGENT_CAPABILITIES, INVENTORY
from netsre.metrics.readings import Readings
from netsre.metrics.share import CpuShare

_log: Final = logging.getLogger("netsre.agent")

_SCAN_SECONDS: Final = 0.5
_COLLECTED: Final = 20_000
"""Objects made and not yet freed before the collector looks at them: more than a scan makes."""


class Agent:
    """Everything the agent reads, behind one lock."""

    def __init__(
        self,
        probes: ProbeSensor,
        inventory: InventorySensor,
        sensors: Sequence[Sensor],
        changes: EffectsService,
        started: float,
        *,
        may_be_protobuf: bool = False,
    ) -> None:
        """Serve what these read; `started` is seconds since the Unix epoch."""
        self._inventory = inventory
        self._may_be_protobuf = may_be_protobuf
        self.changes = changes
        self._started = started
        self._lock = threading.Lock()
        self._probes = probes
        self._sensors: tuple[Sensor, ...] = (probes, inventory, *sensors)
        self._errors = {sensor.name: 0 for sensor in self._sensors}
        self._collect_seconds = 0.0
        self._cpu = CpuShare()

    @property
    def _working(self) -> list[Sensor]:
        """Return the sensors but those whose probe was given up: what stands still would look like quiet."""
        return [sensor for sensor in self._sensors if sensor.name not in self._probes.given_up]

    def routes(self) -> dict[str, Route]:
        """Return what is served at which path."""
        fixed = {"/metrics": self.metrics, "/healthz": self.healthy, "/readyz": self.ready}
        return {**fixed, c.FAILED_LOADS: self.failed_loads}

    def scan(self) -> None:
        """Have every sensor do what must not wait for a scrape."""
        with self._lock:
            now = time.monotonic()
            for sensor in self._working:
                try:
                    sensor.scan(now)
                except (OSError, ValueError) as error:
                    self._failed(sensor.name, error)

    def close(self) -> None:
        """Have the sensors finish what they have begun, and detach the probes last."""
        with self._lock:
            for sensor in reversed(self._sensors):
                if isinstance(sensor, Closing):
                    sensor.close()

    def metrics(self, accept: str) -> Reply:
        """Read the kernel and answer in the form that the client asks for."""
        with self._lock:
            began = time.monotonic()
            readings = self._read(began)
            self._collect_seconds = time.monotonic() - began
        body, content_type = exposition.render(readings, accept, may_be_protobuf=self._may_be_protobuf)
        return Reply(HTTPStatus.OK, body, content_type)

    def ready(self, accept: str) -> Reply:
        """Say whether connections are measured, which is what this is for, and all that is missing."""
        del accept
        lacking = [line for sensor in self._sensors if isinstance(sensor, Lacking) for line in sensor.lacks]
        missing = [*self._probes.absent, *lacking, *self.changes.lacks, *self._probes.left_out]
        is_ready = self._probes.may_measure(FLOWS.name)
        lines = ["ready", *missing] if is_ready else missing
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Reply(status, "".join(f"{line}\n" for line in lines).encode())

    def failed_loads(self, accept: str) -> Reply:
        """Return the last BPF programs that the kernel refused to whomever, and what the verifier said."""
        del accept
        with self._lock:
            found = [sensor.failures() for sensor in self._sensors if isinstance(sensor, LoadSensor)]
        if not found:
            return Reply(HTTPStatus.NOT_FOUND, b"loads are not measured here; /readyz says why\n")
        body = json.dumps({"failures": found[0]}, indent=1).encode()
        return Reply(HTTPStatus.OK, body, "application/json")

    def healthy(self, accept: str) -> Reply:
        """Say that the process answers."""
        del self, accept
        return Reply(HTTPStatus.OK, b"ok\n")

    def _read(self, now: float) -> Readings:
        readings = Readings()
        for sensor in self._working:
            try:
                sensor.read(readings, now)
            except (OSError, ValueError) as error:
                self._failed(sensor.name, error)
        self.changes.put(readings)
        self._read_self(readings)
        return readings

    def _read_self(self, readings: Readings) -> None:
        for source, count in self._errors.items():
            readings.put(c.AGENT_READ_ERRORS, (source,), count)
        readings.put(c.AGENT_COLLECT_SECONDS, (), self._collect_seconds)
        readings.put(c.BUILD_INFO, (__version__,), 1)
        readings.put(c.PROCESS_START_TIME, (), self._started)
        times = os.times()
        used = times.user + times.system
        readings.put(c.PROCESS_CPU, (), used)
        self._cpu.read(time.monotonic(), used + self._inventory.cpu_seconds)
        if self._cpu.value is not None:
            readings.put(c.AGENT_CPU, (), self._cpu.value)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        readings.put(c.PROCESS_RSS, (), pages * os.sysconf("SC_PAGE_SIZE"))

    def _failed(self, source: str, error: Exception) -> None:
        if not self._errors[source]:
            _log.warning("reading %s failed: %s; counted from now on, not logged again", source, error)
        self._errors[source] += 1


def bound(settings: AgentSettings) -> AgentServer:
    """Return what serves, on its address; raises `EnvironmentUnfit` where that is taken."""
    return AgentServer(settings.host, settings.port, {})


def assembled(
    settings: AgentSettings,
    opened: Mapping[str, Session | ProbeUnfit],
    filters: Callable[[], tuple[Template, ...]] | None,
    started: float,
    announce: Callable[[str], None],
) -> Agent:
    """Return an agent of what could be opened, and give the privileges away that it does not need.

    Raises `EnvironmentUnfit` where effects cannot be kept.
    """
    probes = ProbeSensor(opened, settings.without)
    inventory = Inventory(None) if INVENTORY in settings.without else Inventory.start()
    parts = InventorySensor(inventory)
    for line in (*probes.absent, *parts.lacks):
        announce(f"not measured: {line}")
    flows = opened.get(FLOWS.name)
    probe = FlowProbe(flows) if isinstance(flows, Session) else None
    blocks, no_blocks = _blocks(filters, probe, inventory, announce)
    named = settings.policy.pins, settings.policy.state, settings.prefilter
    where = Where(*(path.absolute() for path in named))
    changes = EffectsService(settings.effects, blocks, no_blocks, inventory, where)
    sensors = tuple(composed.sensors(probe, opened, probes, settings, inventory))
    privileges.limit_capabilities(AGENT_CAPABILITIES)
    return Agent(probes, parts, sensors, changes, started, may_be_protobuf=settings.native_histograms)


def serve(agent: Agent, server: AgentServer, stop: threading.Event, announce: Callable[[str], None]) -> None:
    """Serve until somebody wants us to end, then put back what was changed."""
    server.routes = agent.routes()
    server.local_paths = frozenset({c.FAILED_LOADS})
    agent.changes.start()
    # What others have counted so far is no gain; whoever hears that the agent serves may go on at once.
    agent.scan()
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    host = f"[{server.server_name}]" if ":" in server.server_name else server.server_name
    announce(f"agent serves http://{host}:{server.server_port}/metrics")
    _spare_collector()
    while not stop.wait(_SCAN_SECONDS):
        agent.scan()
        agent.changes.scan()
    agent.changes.close()
    server.shutdown()
    agent.close()


def _spare_collector() -> None:
    """Have the collector of garbage leave alone what is there for good, and look rarely at the rest.

    What a scan makes is freed when the scan is over, as none of it refers to itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECTED)


def _blocks(
    filters: Callable[[], tuple[Template, ...]] | None,
    probe: FlowProbe | None,
    inventory: Inventory,
    announce: Callable[[str], None],
) -> tuple[Blocks | None, ProbeUnfit | None]:
    """Return what blocks sources, or why nothing does."""
    if filters is None:
        return None, None
    try:
        templates = filters()
    except ProbeUnfit as error:
        announce(f"no source can be blocked: {error.reason}: {error}")
        return None, error
    denials = probe.denials if probe is not None else None
    return Blocks(templates, functools.partial(site_of, inventory), denials), None
