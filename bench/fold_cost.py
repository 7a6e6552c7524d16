"""What it takes to read a full table of flows, fold it into totals by name, and write them for a scraper.

The map is of the flow probe's own kind and layout, of 65,536 entries, and is filled without traffic: so many
clients at once are more than a test machine has. All else is the agent's own code, from the batch that the
kernel hands over to the text that a scraper gets.
"""

import ctypes
import os
import statistics
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from netsre.adapters import exposition
from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.probe import FlowProbe
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import PERCPU_HASH, BpfMap, MapShape
from netsre.app.sensors.flows import FlowSensor
from netsre.app.sensors.places import Places
from netsre.datapath import flows
from netsre.datapath.probes import FLOWS
from netsre.datapath.workloads import Names
from netsre.metrics.readings import Readings

_ENTRIES: Final = 65_536
_CLIENTS: Final = 4_096
_NAMES: Final = 103
_EACH: Final = _ENTRIES // _CLIENTS
_NETNS: Final = 7
_ROUNDS: Final = 15
_ACCEPT: Final = "application/openmetrics-text; version=1.0.0"
"""What a Prometheus asks for."""
_UPDATE_BATCH: Final = 26
_FAILURES: Final = (111, 104, 110, 113)
_SHAPES: Final = {
    "flows": MapShape(PERCPU_HASH, flows.FLOW_KEY.size, flows.FLOW_VALUE.size),
    "flows_overflow": MapShape(syscalls.PERCPU_ARRAY, 4, flows.FLOW_VALUE.size),
    "attempts": MapShape(syscalls.HASH, 8, flows.ATTEMPT.size),
    "stalls": MapShape(syscalls.HASH, flows.STALL_CLAIM.size, 8),
    "denied_sources": MapShape(syscalls.HASH, 16, flows.DENIAL.size),
    "last_denial_ns": MapShape(2, 4, 8),
    "attempts_overflow": MapShape(syscalls.PERCPU_ARRAY, 4, 8),
    "refusals": MapShape(syscalls.HASH, 8, flows.REFUSAL.size),
    "refusals_overflow": MapShape(syscalls.PERCPU_ARRAY, 4, 8),
    "workload_rules": MapShape(2, 4, 4),
}


@dataclass(frozen=True, slots=True)
class FoldCost:
    """Medians of several rounds, in seconds, from the first batch to the last byte."""

    entries: int
    series: int
    changed: float
    """When every entry has changed since the last time."""
    standing: float
    """When none has."""
    body_bytes: int


class _Known(Places):
    """Clients that are there and have names, all of them looked up."""

    def __init__(self) -> None:
        super().__init__()
        cgroups = {
            1_000 + number: f"system.slice/service-{number % _NAMES:03d}.service"
            for number in range(_CLIENTS)
        }
        self.names = Names({_NETNS: "host"}, cgroups)

    def refresh(self, now: float, *, unknown: bool = False) -> bool:
        del now, unknown
        return False


def measure() -> FoldCost:
    """Fill a map, read it again and again, and take it away."""
    with _maps() as maps:
        enums: dict[str, dict[int, str]] = {name: {} for name in FLOWS.enums}
        sensor = FlowSensor(FlowProbe(Session(FLOWS, maps, {}, [], 0.0, 0, enums, {})), _Known())
        keys = b"".join(_keys())
        _fill(maps["flows"], keys, 1)
        _once(sensor)
        changed, standing = [], []
        for number in range(_ROUNDS):
            _fill(maps["flows"], keys, 2 + number)
            changed.append(_once(sensor))
            standing.append(_once(sensor))
        readings = _read(sensor)
        body, _ = exposition.render(readings, _ACCEPT)
        lines = sum(not line.startswith(b"#") for line in body.splitlines())
        return FoldCost(_ENTRIES, lines, statistics.median(changed), statistics.median(standing), len(body))


def _read(sensor: FlowSensor) -> Readings:
    readings = Readings()
    sensor.read(readings, time.monotonic())
    return readings


def _once(sensor: FlowSensor) -> float:
    began = time.perf_counter()
    exposition.render(_read(sensor), _ACCEPT)
    return time.perf_counter() - began


def _keys() -> Iterator[bytes]:
    """Yield as many keys as there is room for: latencies and failures of each client."""
    fields = len(flows.FLOW_KEY.unpack(bytes(flows.FLOW_KEY.size)))
    for client in range(_CLIENTS):
        for number in range(_EACH):
            failure = number - (_EACH - len(_FAILURES))
            outcome, error, bucket = (0, 0, number) if failure < 0 else (1, _FAILURES[failure], 0)
            place = 1 + client // _NAMES % 2
            known = (1_000 + client, _NETNS, 0, outcome, error, place, bucket)
            yield flows.FLOW_KEY.pack(*known, *(0,) * (fields - len(known)))


def _fill(table: BpfMap, keys: bytes, count: int) -> None:
    """Set the same count and time on every CPU."""
    values = struct.pack("<QQ", count, 1_000 * count) * (syscalls.possible_cpus() * _ENTRIES)
    key = ctypes.create_string_buffer(keys, len(keys))
    value = ctypes.create_string_buffer(values, len(values))
    where = (0, 0, ctypes.addressof(key), ctypes.addressof(value))
    packed = struct.pack("<QQQQIIQQ", *where, _ENTRIES, table.fd, 0, 0)
    syscalls.bpf(_UPDATE_BATCH, ctypes.create_string_buffer(packed, len(packed)))


@contextmanager
def _maps() -> Iterator[dict[str, BpfMap]]:
    made: dict[str, BpfMap] = {}
    try:
        for name, shape in _SHAPES.items():
            small = len(flows.ROLES) * 4 if name == "flows_overflow" else 1
            made[name] = BpfMap.create("netsre_bench", shape, _ENTRIES if name == "flows" else small)
        yield made
    finally:
        for one in made.values():
            os.close(one.fd)
