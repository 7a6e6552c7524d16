"""The node agent: attaches the probes, gives its privileges away, and serves what it measures.

What cannot be measured here is a reading of its own (`netsre_agent_probe_up` 0 with the reason), never a
reason to stop the rest.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from netsre import __version__
from netsre import conventions as c
from netsre.adapters import exposition, privileges
from netsre.adapters.agent_server import AgentServer, Reply
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.block import Blocks
from netsre.adapters.bpf.filters import Template
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import ProbeUnfit, open_session, opening_templates
from netsre.adapters.namespaces import inventory
from netsre.adapters.namespaces.entering import NamespaceGone
from netsre.app import neighbours
from netsre.app.effects.host import within
from netsre.app.effects.service import EffectsService, EffectsSettings
from netsre.clock import SECOND, SystemClock
from netsre.datapath.attribution import FlowTotals
from netsre.datapath.conntrack import parse_statistics
from netsre.datapath.requirements import AGENT_CAPABILITIES
from netsre.errors import EnvironmentUnfit
from netsre.metrics.node import put_conntrack, put_flows
from netsre.metrics.readings import Readings
from netsre.metrics.share import CpuShare

_log: Final = logging.getLogger("netsre.agent")

_SCAN_SECONDS: Final = 0.5
_INVENTORY_SECONDS: Final = 5.0
_UNKNOWN_SECONDS: Final = 0.5
"""How soon to look again for the name of a namespace that was not there before."""
_RETIRE_SECONDS: Final = 300.0
"""A namespace unseen for this long is gone: its counters were read many times by then."""
_MOST_TABLES: Final = 256
"""Conntrack tables exposed at most, the fullest first; a bound on series, not on what exists."""
_OWNER: Final = "netsre"
_PROGRAM_TYPE: Final = "tracing"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How to run an agent."""

    host: str
    port: int
    programs: Path
    """Directory of the C sources."""
    run_statistics: bool
    """Keep the kernel's BPF run-time statistics on while the agent runs; costs every program a little."""
    effects: EffectsSettings


class Agent:
    """Everything the agent reads, behind one lock."""

    def __init__(
        self, probe: FlowProbe | None, absence: ProbeUnfit | None, changes: EffectsService, started: float
    ) -> None:
        """Serve a probe, or say why there is none; `started` is seconds since the Unix epoch."""
        self._probe = probe
        self._absence = absence
        self._changes = changes
        self._started = started
        self._lock = threading.Lock()
        self._errors = {"flows": 0, "conntrack": 0}
        self._collect_seconds = 0.0
        self._cpu = CpuShare()
        self._namespaces: Mapping[int, inventory.Namespace] = {}
        self._inventory_at = float("-inf")
        self._seen: dict[int, float] = {}
        self._totals = FlowTotals()
        # Most namespaces never track a connection; one that did is shown for as long as it exists.
        self._tracking: set[int] = set()

    def scan(self) -> None:
        """Look for stalled attempts, and forget namespaces that are gone."""
        if self._probe is None:
            return
        with self._lock:
            try:
                now = time.monotonic()
                self._refresh_inventory(now)
                self._probe.scan(time.monotonic_ns())
                self._count_flows(self._probe, now)
                self._forget_gone(self._probe, now)
            except OSError as error:
                self._failed("flows", error)

    def metrics(self, accept: str) -> Reply:
        """Read the kernel and answer in the form that the client asks for."""
        with self._lock:
            began = time.monotonic()
            readings = self._read(began)
            self._collect_seconds = time.monotonic() - began
        body, content_type = exposition.render(readings, accept)
        return Reply(HTTPStatus.OK, body, content_type)

    def ready(self, accept: str) -> Reply:
        """Say whether every probe is attached, and what is missing."""
        del accept
        if self._absence is None:
            return Reply(HTTPStatus.OK, b"ready\n")
        missing = f"flows: {self._absence.reason}: {self._absence}\n"
        return Reply(HTTPStatus.SERVICE_UNAVAILABLE, missing.encode())

    def healthy(self, accept: str) -> Reply:
        """Say that the process answers."""
        del self, accept
        return Reply(HTTPStatus.OK, b"ok\n")

    def _read(self, now: float) -> Readings:
        readings = Readings()
        self._refresh_inventory(now)
        self._read_flows(readings, now)
        self._read_conntrack(readings)
        self._changes.put(readings)
        self._read_self(readings)
        return readings

    def _refresh_inventory(self, now: float, longest: float = _INVENTORY_SECONDS) -> None:
        if now - self._inventory_at >= longest:
            self._namespaces = inventory.namespaces()
            self._inventory_at = now
            self._tracking &= set(self._namespaces)
            self._seen |= dict.fromkeys(self._namespaces, now)

    def _names(self) -> dict[int, str]:
        return {inode: namespace.name for inode, namespace in self._namespaces.items()}

    def _count_flows(self, probe: FlowProbe, now: float) -> None:
        """Add what the probe counted since the last time to the totals by name."""
        counts = probe.counts()
        if self._totals.unknown(counts, self._names()):
            self._refresh_inventory(now, longest=_UNKNOWN_SECONDS)
        active = self._totals.add(counts, self._names())
        self._seen |= dict.fromkeys(active, now)

    def _forget_gone(self, probe: FlowProbe, now: float) -> None:
        gone = frozenset(inode for inode, at in self._seen.items() if now - at > _RETIRE_SECONDS)
        if gone:
            probe.retire(gone)
            self._totals.forget(gone, self._names().values())
            for inode in gone:
                del self._seen[inode]

    def _read_flows(self, readings: Readings, now: float) -> None:
        reason = self._absence.reason if self._absence else ""
        readings.put(c.AGENT_PROBE_UP, ("flows", reason), 0 if self._absence else 1)
        result = ("error", reason) if self._absence else ("ok", "none")
        readings.put(c.BPF_PROGRAM_LOADS, (_OWNER, _PROGRAM_TYPE, *result), 1)
        if self._probe is None:
            return
        session = self._probe.session
        readings.put(c.BPF_VERIFIER_SECONDS, (_OWNER, _PROGRAM_TYPE, *result), session.verifier_seconds)
        readings.put(
            c.BPF_VERIFIER_INSTRUCTIONS, (_OWNER, _PROGRAM_TYPE, *result), session.verifier_instructions
        )
        try:
            self._count_flows(self._probe, now)
            put_flows(readings, self._totals.amounts())
            readings.put(c.FLOW_ATTEMPTS_IN_FLIGHT, (), self._probe.in_flight)
            for usage in self._probe.usage():
                readings.put(c.BPF_MAP_ENTRIES, (usage.name, _OWNER), usage.entries)
                readings.put(c.BPF_MAP_CAPACITY, (usage.name, _OWNER), usage.capacity)
                readings.put(c.BPF_MAP_MEMORY, (usage.name, _OWNER), usage.memory_bytes)
                readings.put(c.BPF_MAP_OVERFLOWS, (usage.name,), usage.overflows)
            for program, figures in session.run_statistics().items():
                readings.put(c.BPF_RUNS, (program,), figures.runs)
                readings.put(c.BPF_RUN_SECONDS, (program,), figures.nanoseconds / 1e9)
                readings.put(c.BPF_MISSED_RUNS, (program,), figures.missed)
        except OSError as error:
            self._failed("flows", error)

    def _read_conntrack(self, readings: Readings) -> None:
        try:
            limit = inventory.conntrack_limit()
        except (OSError, ValueError) as error:
            self._failed("conntrack", error)
            return
        tables = []
        for namespace in list(self._namespaces.values()):
            if neighbours.foreign(namespace.name):
                continue
            try:
                counters = parse_statistics(inventory.statistics_text(namespace))
                if namespace.name == inventory.HOST or counters.in_use:
                    self._tracking.add(namespace.inode)
                if namespace.inode in self._tracking:
                    tables.append((namespace.name, counters))
            except NamespaceGone:
                continue
            except (OSError, ValueError) as error:
                self._failed("conntrack", error)
        tables.sort(key=lambda table: (-table[1].entries, table[0]))
        for name, counters in sorted(tables[:_MOST_TABLES], key=lambda table: table[0]):
            put_conntrack(readings, name, counters, limit)

    def _read_self(self, readings: Readings) -> None:
        for source, count in self._errors.items():
            readings.put(c.AGENT_READ_ERRORS, (source,), count)
        readings.put(c.AGENT_COLLECT_SECONDS, (), self._collect_seconds)
        readings.put(c.BUILD_INFO, (__version__,), 1)
        readings.put(c.PROCESS_START_TIME, (), self._started)
        times = os.times()
        used = times.user + times.system
        readings.put(c.PROCESS_CPU, (), used)
        self._cpu.read(time.monotonic(), used)
        if self._cpu.value is not None:
            readings.put(c.AGENT_CPU, (), self._cpu.value)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        readings.put(c.PROCESS_RSS, (), pages * os.sysconf("SC_PAGE_SIZE"))

    def _failed(self, source: str, error: Exception) -> None:
        if not self._errors[source]:
            _log.warning("reading %s failed: %s; counted from now on, not logged again", source, error)
        self._errors[source] += 1


def run(settings: AgentSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then put back what was changed.

    Raises `EnvironmentUnfit` without root, when the address is taken, or where effects cannot be kept. A
    probe that cannot run is announced in one line and served as absent.
    """
    started = SystemClock().now() / SECOND
    _require_capabilities()
    server = AgentServer(settings.host, settings.port, {})
    statistics_fd = _run_statistics(announce) if settings.run_statistics else None
    # Two compilers side by side take hardly longer than one.
    with _filters(settings) as filters:
        probe, absence = _attach(settings.programs)
        if absence is not None:
            announce(f"flows are not measured: {absence.reason}: {absence}")
        blocks, no_blocks = _blocks(filters, probe, announce)
    changes = EffectsService(settings.effects, blocks, no_blocks)
    privileges.limit_capabilities(AGENT_CAPABILITIES)
    agent = Agent(probe, absence, changes, started)
    server.routes = {"/metrics": agent.metrics, "/healthz": agent.healthy, "/readyz": agent.ready}
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    changes.start()
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    announce(f"agent serves http://{host}:{server.server_port}/metrics")
    while not stop.wait(_SCAN_SECONDS):
        agent.scan()
        changes.scan()
    changes.close()
    server.shutdown()
    if probe is not None:
        probe.session.close()
    if statistics_fd is not None:
        os.close(statistics_fd)


def _run_statistics(announce: Callable[[str], None]) -> int | None:
    try:
        return syscalls.enable_run_time_statistics()
    except OSError as error:
        announce(f"BPF run-time statistics stay off: the kernel says {error.strerror}")
        return None


def _require_capabilities() -> None:
    missing = set(AGENT_CAPABILITIES) - privileges.effective_capabilities()
    if missing:
        names = ", ".join(f"CAP_{name}" for name in sorted(missing))
        message = f"the agent lacks {names}; run it as root: sudo netsre agent"
        raise EnvironmentUnfit(message)


def _filters(settings: AgentSettings) -> AbstractContextManager[Callable[[], tuple[Template, ...]] | None]:
    """Begin to load the programs that block; None when nobody may ask for them."""
    return opening_templates(settings.programs) if settings.effects.wanted else nullcontext()


def _blocks(
    filters: Callable[[], tuple[Template, ...]] | None,
    probe: FlowProbe | None,
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
    return Blocks(templates, within, probe.denials if probe is not None else None), None


def _attach(programs: Path) -> tuple[FlowProbe | None, ProbeUnfit | None]:
    try:
        return FlowProbe(open_session(programs)), None
    except ProbeUnfit as error:
        return None, error
