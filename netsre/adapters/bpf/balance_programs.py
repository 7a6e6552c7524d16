"""The programs of the balancer in the kernel, and their maps: from a template, attached nowhere."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre.adapters.bpf import attaching, programs, syscalls, tried
from netsre.adapters.bpf.loading import TIMEOUT_SECONDS
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.adapters.bpf.tried import Part
from netsre.datapath.balance import layouts
from netsre.datapath.balance import programs as names

_NUMBER: Final = layouts.NUMBER.size
_EVENT: Final = 8
_PRESENCE: Final = 1


def _hash(key: int, value: int) -> MapShape:
    return MapShape(syscalls.HASH, key, value, syscalls.NO_PREALLOC)


TABLE: Final = MapShape(syscalls.ARRAY, _NUMBER, layouts.TABLE.size)
"""Of each of the maps in `balance_tables`."""
MAPS: Final = MappingProxyType(
    {
        names.ACTIVE: MapShape(syscalls.ARRAY, _NUMBER, _NUMBER),
        names.REVISIONS: MapShape(syscalls.ARRAY, _NUMBER, layouts.REVISION.size),
        names.SERVICES: _hash(layouts.SERVICE_KEY.size, layouts.SERVICE.size),
        names.TABLES: MapShape(syscalls.HASH_OF_MAPS, _NUMBER, _NUMBER),
        names.BACKENDS: _hash(_NUMBER, layouts.END.size),
        names.MEMBERS: _hash(layouts.MEMBER.size, _PRESENCE),
        names.PEERS: _hash(layouts.PEER_KEY.size, layouts.PEER.size),
        names.COUNTS: MapShape(syscalls.PERCPU_HASH, layouts.COUNT_KEY.size, layouts.COUNT.size),
        names.EVENTS: MapShape(syscalls.PERCPU_ARRAY, _NUMBER, _EVENT),
    }
)
"""The shape of each map; programs number them in this order."""
PART: Final = Part("balance", names.SOURCES, tuple(MAPS), names.PROGRAMS, layouts.DEFINES)
CAPACITIES: Final = MappingProxyType(
    {
        names.ACTIVE: 1,
        names.REVISIONS: layouts.REVISIONS,
        names.SERVICES: layouts.MAX_SERVICES,
        names.TABLES: layouts.MAX_TABLES,
        names.BACKENDS: layouts.MAX_BACKENDS,
        names.MEMBERS: layouts.MAX_MEMBERS,
        names.PEERS: layouts.MAX_PEERS,
        names.COUNTS: layouts.MAX_COUNTS,
        names.EVENTS: len(layouts.EVENTS),
    }
)

Template = Mapping[str, bytes]
"""Compiled programs by name; maps are named by their place in `MAPS`."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Maps, and the programs that work with them; without a revision in force they let every call pass."""

    maps: Mapping[str, BpfMap]
    programs: Mapping[str, int]
    """Descriptors by name."""

    @classmethod
    def load(cls, template: Template) -> "Objects":
        """Make the maps and load the programs; raises `LoadRefused` or `OSError`, and leaves nothing then."""
        with contextlib.ExitStack() as undo:
            maps: dict[str, BpfMap] = {}
            for name, shape in MAPS.items():
                maps[name] = _made(name, shape)
                undo.callback(os.close, maps[name].fd)
            loaded = load_programs(template, maps, undo)
            undo.pop_all()
        return cls(maps, loaded)

    def close(self) -> None:
        """Let go of programs and maps; what is attached or has a name stays."""
        for fd in (*self.programs.values(), *(each.fd for each in self.maps.values())):
            os.close(fd)


def load_programs(
    template: Template, maps: Mapping[str, BpfMap], undo: contextlib.ExitStack
) -> Mapping[str, int]:
    """Load the programs with these maps; return descriptors that `undo` closes. Raises `LoadRefused`."""
    fds = [maps[name].fd for name in MAPS]
    loaded = {}
    for program in names.PROGRAMS:
        code = programs.with_maps(template[program.name], fds.__getitem__)
        loaded[program.name] = programs.load(program.name, code, attaching.kind_at(program.hook)).fd
        undo.callback(os.close, loaded[program.name])
    return loaded


def _made(name: str, shape: MapShape) -> BpfMap:
    if name != names.TABLES:
        return BpfMap.create(name, shape, CAPACITIES[name])
    # What it takes is told by an example.
    example = BpfMap.create("balance_table", TABLE, 1)
    try:
        return BpfMap.create(name, shape, CAPACITIES[name], example.fd)
    finally:
        os.close(example.fd)


def open_balance(source: Path, timeout: float = TIMEOUT_SECONDS) -> Template:
    """Return the compiled programs; raises `ProbeUnfit` when there are none."""
    return tried.opened(source, PART, timeout)
