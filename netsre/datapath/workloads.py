"""Who talks to whom: the names of both ends of a connection.

A client is what its cgroup is: a container, or the unit of a service on the host. A namespace that somebody
named says more than the unit of whoever started it, and less than a container. A destination is what a rule
says of its address and port, else the class of its address. Rules are written by people (`kind: Workloads`).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network
from struct import Struct
from typing import Final

from netsre.conventions import OTHER

MOST_RULES: Final = 4_096
"""Pairs of a network and a port."""
HOST: Final = "host"
"""The name of the namespace of the host."""

WORKLOAD_KEY: Final = Struct("<I2sxx16s")
"""Bits that count, port as on the wire, address; the bits begin with the port."""
WORKLOAD: Final = Struct("<I")
RULES: Final = Struct("<I")
_BITS_BEFORE_ADDRESS: Final = 32
_MAPPED: Final = bytes(10) + b"\xff\xff"
_MAPPED_BITS: Final = 96

DEFINES: Final = {"MAX_WORKLOADS": MOST_RULES, "WORKLOAD_BITS": _BITS_BEFORE_ADDRESS + 128}

_ID: Final = r"(?P<id>[0-9a-f]{12})[0-9a-f]{52}"
_CONTAINERS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # Of systemd: docker-<id>.scope, cri-containerd-<id>.scope, crio-<id>.scope, libpod-<id>.scope.
        rf"(?:.*/)?(?:docker|cri-containerd|containerd|crio|libpod)-{_ID}\.scope(?:/.*)?",
        # Without: /docker/<id>, /kubepods/burstable/pod<uid>/<id>.
        rf"(?:.*/)?{_ID}(?:/.*)?",
        r"(?:.*/)?lxc(?:\.payload\.|/)(?P<name>[^/]+)(?:/.*)?",
        r"(?:.*/)?systemd-nspawn@(?P<name>[^/]+)\.service(?:/.*)?",
        r"(?:.*/)?machine-(?P<name>[^/]+)\.scope(?:/.*)?",
    )
)
_POD: Final = re.compile(r"pod(?P<uid>[0-9a-f]{8})[-_0-9a-f]{28}(?:\.slice)?")
_UNIT: Final = re.compile(r"(?P<name>[^/]+)\.service")
_USER: Final = re.compile(r"user-(?P<uid>[0-9]+)\.slice")


@dataclass(frozen=True, slots=True)
class Workload:
    """One name, and what has it."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    ports: tuple[int, ...] = ()
    """Of destinations in these networks; any when there are none."""
    cgroups: tuple[str, ...] = ()
    """Of clients, as patterns of their path with `*`."""
    namespaces: tuple[str, ...] = ()
    """The same of the names of namespaces."""
    service: bool = False
    """Whether its one address and port are a service, which something translates to a backend's."""


def container(path: str) -> str | None:
    """Return the name of the container that a cgroup is of, or part of; None when it is of none.

    A path has the container's id, of which twelve characters are what people see everywhere; in front of it
    is the pod, by the first eight of its own.
    """
    for pattern in _CONTAINERS:
        found = pattern.fullmatch(path)
        if found is None:
            continue
        if "name" in found.groupdict():
            return found["name"]
        pods = [_POD.search(part) for part in path.split("/")]
        pod = next((f"pod-{one['uid']}/" for one in pods if one is not None), "")
        return f"{pod}{found['id']}"
    return None


def unit(path: str) -> str | None:
    """Return the name of the service of the host, or of the user, that a cgroup is of; None for neither."""
    parts = path.split("/")
    for part in reversed(parts):
        if (user := _USER.fullmatch(part)) is not None:
            return f"user-{user['uid']}"
        if (service := _UNIT.fullmatch(part)) is not None and not service["name"].startswith("user@"):
            return service["name"]
    return None


@dataclass(frozen=True, slots=True)
class Names:
    """What is known of the ends of connections."""

    namespaces: Mapping[int, str]
    """Names of network namespaces by inode number."""
    cgroups: Mapping[int, str] = field(default_factory=dict)
    """Paths of cgroups by id, from the root of the hierarchy, which is the empty text."""
    workloads: tuple[Workload, ...] = ()
    _sources: dict[tuple[int, int], str] = field(default_factory=dict, compare=False, repr=False)
    """Clients that were asked for: a storm of events is of few of them."""

    def of_places(self) -> "Names":
        """Return the names of namespaces alone, for what happens in a place and not to somebody."""
        return Names(self.namespaces)

    def knows(self, netns: int, cgroup: int) -> bool:
        """Tell whether everything is known of a client that can be."""
        return netns in self.namespaces and (not cgroup or cgroup in self.cgroups)

    def source(self, netns: int, cgroup: int) -> str:
        """Return the name of a client; `~other` when nothing says who it is."""
        name = self._sources.get((netns, cgroup))
        if name is None:
            name = self._sources[netns, cgroup] = self._source(netns, cgroup)
        return name

    def _source(self, netns: int, cgroup: int) -> str:
        namespace, path = self.namespaces.get(netns), self.cgroups.get(cgroup, "")
        for workload in self.workloads:
            if any(fnmatchcase(path, pattern) for pattern in workload.cgroups) or any(
                fnmatchcase(namespace or "", pattern) for pattern in workload.namespaces
            ):
                return workload.name
        if (name := container(path)) is not None:
            return name
        if namespace == HOST:
            return unit(path) or HOST
        return OTHER if namespace is None else namespace

    def destination(self, workload: int, kind: str) -> str:
        """Return the name of a destination: the rule's (from 1 on), else the class of the address."""
        return self.workloads[workload - 1].name if 0 < workload <= len(self.workloads) else kind


def rules(workloads: Iterable[Workload]) -> list[tuple[bytes, bytes]]:
    """Return the entries of the kernel's map of destinations.

    The longest network wins, one with the port before any without; of equal ones, the first that was written.
    """
    found: dict[bytes, bytes] = {}
    for number, workload in enumerate(workloads, start=1):
        for network in workload.networks:
            for port in workload.ports or (0,):
                found.setdefault(_key(network, port), WORKLOAD.pack(number))
    return list(found.items())


def _key(network: IPv4Network | IPv6Network, port: int) -> bytes:
    address, bits = network.network_address.packed, network.prefixlen
    if network.version == 4:
        address, bits = _MAPPED + address, bits + _MAPPED_BITS
    return WORKLOAD_KEY.pack(_BITS_BEFORE_ADDRESS + bits, port.to_bytes(2, "big"), address)
