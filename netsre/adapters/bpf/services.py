"""The reader of the probe of connections to services, and the care of where its programs stand.

Not thread safe; the agent calls it under one lock.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import attaching, pinned
from netsre.adapters.bpf.counters import MapUsage
from netsre.adapters.bpf.session import Session
from netsre.adapters.bpf.syscalls import MapFull, fdinfo
from netsre.datapath import services
from netsre.datapath.services import PATHS, Service, ServiceCount

_CILIUM: Final = re.compile(r"cilium_lb[46]_services_v\d+")
_THERE: Final = b"\1"


def in_cilium(directory: Path) -> frozenset[Service]:
    """Return the services in the maps that Cilium pinned there; none where there is no such map.

    Raises `OSError` for one that may not be read, and `ValueError` for one of another layout.
    """
    found: set[Service] = set()
    try:
        names = sorted(entry.name for entry in directory.iterdir() if _CILIUM.fullmatch(entry.name))
    except FileNotFoundError:
        return frozenset()
    for name in names:
        with pinned.opened(directory / name) as table:
            found.update(services.of_cilium(key for key, _ in table.entries()))
    return frozenset(found)


class ServiceProbe:
    """What the probe has counted of the services that it was told."""

    def __init__(self, session: Session) -> None:
        """Begin without a service; nothing is attached."""
        self.session = session
        self.known: frozenset[Service] = frozenset()
        """The services whose connections are counted."""
        self._refused: frozenset[Service] = frozenset()
        self._overflows = 0
        self._counters = 0
        self._passed: dict[str, set[int]] = {name: set() for name in session.program_fds}
        """Programs by id that each of ours was moved past, as long as they are attached."""
        self._program_ids = {name: int(fdinfo(fd)["prog_id"]) for name, fd in session.program_fds.items()}

    def know(self, wanted: frozenset[Service]) -> None:
        """Count the connections to these services from now on, and to no others."""
        table, counters = self.session.maps["services"], self.session.maps["service_counts"]
        for service in self.known - wanted:
            table.delete(service.key)
        if self.known - wanted:
            for count in self.counts():
                if count.service not in wanted:
                    counters.delete(count.key)
        refused = set()
        for service in sorted(wanted - self.known, key=lambda one: one.key):
            try:
                table.put(service.key, _THERE)
            except MapFull:
                refused.add(service)
        self._overflows += len(refused - self._refused)
        self._refused = frozenset(refused)
        self.known = wanted - self._refused

    def counts(self) -> list[ServiceCount]:
        """Return every counter."""
        found = list(services.decode(self.session.maps["service_counts"].entries()))
        self._counters = len(found)
        return found

    def overflowed(self) -> Mapping[str, int]:
        """Return how many connections were counted without the service, by path."""
        return {path: self._sum("service_overflow", slot) for slot, path in enumerate(PATHS)}

    def usage(self) -> Iterator[MapUsage]:
        """Yield how full each table was when it was last read."""
        figures = {
            "services": (len(self.known), self._overflows),
            "service_counts": (self._counters, sum(self.overflowed().values())),
            "service_calls": (0, self._sum("service_lost", 0)),
        }
        for name, (entries, overflows) in figures.items():
            table = self.session.maps[name]
            yield MapUsage(name, entries, table.capacity, table.memory(), overflows)

    def keep_order(self) -> None:
        """See to it that the programs stand before and behind all that may change an address.

        Who attaches one later comes to stand beyond ours, unless it asks for another place. Who was passed
        once and stands there again without having left wants what we want, and only looks: two agents do not
        chase each other.
        """
        hooks = {program.cgroup for program in self.session.probe.programs}
        orders = attaching.orders(hooks)
        for program in self.session.probe.programs:
            ids, ours = orders[program.cgroup], self._program_ids[program.name]
            inwards = ids[::-1] if program.first else ids
            beyond = set(inwards[inwards.index(ours) + 1 :] if ours in ids else ids)
            passed = self._passed[program.name] & set(ids)
            if ours not in ids or beyond - passed:
                self.session.move(program.name)
            self._passed[program.name] = passed | beyond

    def _sum(self, name: str, slot: int) -> int:
        return services.sum_slots(self.session.maps[name].lookup(struct.pack("<I", slot)) or b"")
