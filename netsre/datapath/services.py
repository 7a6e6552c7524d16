"""Connections to services: the maps of their probe, what the bytes mean, and totals by name.

The layouts repeat `bpf/include/services.h`; a test compiles that file and compares.
"""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

from netsre.conventions import OTHER
from netsre.datapath.workloads import Workload

MAX_SERVICES: Final = 16_384
MAX_CALLS: Final = 1_024
"""Threads that are between the two programs of a hook at the same time."""
MAX_COUNTS: Final = 2_048
DEFINES: Final = {
    "MAX_SERVICES": MAX_SERVICES,
    "MAX_SERVICE_CALLS": MAX_CALLS,
    "MAX_SERVICE_COUNTS": MAX_COUNTS,
}
"""Preprocessor names that the probe's source needs."""

SERVICE_KEY: Final = struct.Struct("<16s2sH")
COUNT_KEY: Final = struct.Struct("<16s2sHI")
PATHS: Final = ("bpf", "other")
"""By their numbers in the kernel's maps; the values of the label `path`."""
MOST_NAMES: Final = 256
"""Services kept apart at most, first come, first served; all others are `~other`. A bound on series."""

_PROTOCOLS: Final = {6: "TCP", 17: "UDP"}
"""Those whose sockets ask the hook; by the numbers of IP."""
_MAPPED: Final = bytes(10) + b"\xff\xff"

# `struct lb4_key` and `struct lb6_key` of Cilium: address, port as on the wire, slot, protocol and scope.
# Slot 0 is the service, the others are its backends. Protocol 0 is any of them, port 0 no single one.
_CILIUM: Final = {12: struct.Struct("<4s2sHBBxx"), 24: struct.Struct("<16s2sHBBxx")}


class Service(NamedTuple):
    """Where a service is."""

    address: IPv4Address | IPv6Address
    port: int
    protocol: int

    @property
    def label(self) -> str:
        """Return `ADDRESS:PORT/PROTOCOL`."""
        address = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{address}:{self.port}/{_PROTOCOLS.get(self.protocol, self.protocol)}"

    @property
    def key(self) -> bytes:
        """Return its key in the map `services`."""
        packed = self.address.packed
        address = packed if self.address.version == 6 else _MAPPED + packed
        return SERVICE_KEY.pack(address, self.port.to_bytes(2, "big"), self.protocol)


class ServiceCount(NamedTuple):
    """One counter of the probe, summed over CPUs."""

    key: bytes
    """In the map."""
    service: Service
    path: str
    connections: int


def of_cilium(keys: Iterable[bytes]) -> Iterator[Service]:
    """Yield the services that the keys of one of Cilium's maps name; raises `ValueError` for another layout.

    What is on every address of the node (NodePort's 0.0.0.0), or on every port, is left out.
    """
    for key in keys:
        layout = _CILIUM.get(len(key))
        if layout is None:
            raise ValueError(f"a key of {len(key)} bytes is none of Cilium's services")
        packed, port, slot, protocol, _ = layout.unpack(key)
        if slot or port == b"\0\0" or not any(packed):
            continue
        for each in (protocol,) if protocol else _PROTOCOLS:
            yield Service(ip_address(packed), int.from_bytes(port, "big"), each)


def of_rules(workloads: Iterable[Workload]) -> Iterator[Service]:
    """Yield the services that people wrote down: for TCP and for UDP."""
    for workload in workloads:
        if workload.service:
            for network in workload.networks:
                for port in workload.ports:
                    yield from (Service(network.network_address, port, each) for each in _PROTOCOLS)


def name(service: Service, workloads: Iterable[Workload]) -> str:
    """Return what a service is called: as the rule for its port and the longest network, else its label."""
    fitting = [
        (network.prefixlen, workload.name)
        for workload in workloads
        if service.port in workload.ports
        for network in workload.networks
        if service.address in network
    ]
    # Of equal ones the first that was written.
    return max(fitting, key=lambda one: one[0])[1] if fitting else service.label


def decode(entries: Iterable[tuple[bytes, bytes]]) -> Iterator[ServiceCount]:
    """Turn the entries of the map `service_counts` into counters."""
    for key, value in entries:
        packed, port, protocol, path = COUNT_KEY.unpack(key)
        address = ip_address(packed.removeprefix(_MAPPED))
        service = Service(address, int.from_bytes(port, "big"), protocol)
        yield ServiceCount(key, service, PATHS[path], sum_slots(value))


def sum_slots(value: bytes) -> int:
    """Return the sum over all CPUs."""
    return sum(count for (count,) in struct.iter_unpack("<Q", value))


class ServiceTotals:
    """Connections by name and path since the agent began; they only ever grow."""

    def __init__(self, workloads: tuple[Workload, ...]) -> None:
        """Begin at nothing; `workloads` are the names that people gave."""
        self._workloads = workloads
        self.ours: Mapping[Service, str] = {}
        """Names of the services that are balanced here: they go before those that people gave to ports."""
        self._read: Mapping[bytes, int] = {}
        """What the kernel said last."""
        self._overflowed = dict.fromkeys(PATHS, 0)
        self._names: dict[Service, str] = {}
        """Of the services that were connected to."""
        self._totals: dict[str, dict[str, int]] = {}

    def add(self, counts: Collection[ServiceCount], overflowed: Mapping[str, int]) -> None:
        """Add what is new since the last reading; `overflowed` is what was counted by path alone."""
        for key, service, path, connections in counts:
            last = self._read.get(key, 0)
            # Lower than before: the service went and came back, and was counted anew.
            more = connections - last if connections >= last else connections
            self._add(self._name(service), path, more)
        self._read = {count.key: count.connections for count in counts}
        for path, connections in overflowed.items():
            if connections > self._overflowed[path]:
                self._add(OTHER, path, connections - self._overflowed[path])
        self._overflowed |= overflowed

    def keep(self, living: AbstractSet[Service]) -> None:
        """Forget the names of services that are gone."""
        self._names = {service: called for service, called in self._names.items() if service in living}
        left = {*self._names.values(), *([OTHER] if living else [])}
        self._totals = {called: by_path for called, by_path in self._totals.items() if called in left}

    def amounts(self) -> Iterator[tuple[str, str, int]]:
        """Yield (name, path, connections): of whatever was connected to, each path."""
        for called, by_path in sorted(self._totals.items()):
            yield from ((called, path, connections) for path, connections in by_path.items())

    def _name(self, service: Service) -> str:
        """Return what a service is counted as from its first connection on."""
        if service not in self._names:
            called = self.ours.get(service) or name(service, self._workloads)
            many = len(self._totals.keys() - {OTHER}) >= MOST_NAMES and called not in self._totals
            self._names[service] = OTHER if many else called
        return self._names[service]

    def _add(self, called: str, path: str, more: int) -> None:
        self._totals.setdefault(called, dict.fromkeys(PATHS, 0))[path] += more
