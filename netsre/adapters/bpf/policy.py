"""The programs of the policy datapath in the kernel, and their maps: from a template, attached nowhere."""

import contextlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from netsre.adapters.bpf import programs, syscalls, tried
from netsre.adapters.bpf.loading import TIMEOUT_SECONDS
from netsre.adapters.bpf.programs import Loaded
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.adapters.bpf.tried import Part
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.programs import (
    CONNECTIONS,
    MAPS,
    NOW,
    PROGRAMS,
    SOURCES,
    TABLES,
    TIMEOUTS,
    Map,
    MapKind,
)

_KINDS: Final = MappingProxyType(
    {
        MapKind.ARRAY: syscalls.ARRAY,
        MapKind.HASH: syscalls.HASH,
        MapKind.LRU_HASH: syscalls.LRU_HASH,
        MapKind.PREFIXES: syscalls.LPM_TRIE,
        MapKind.PERCPU_ARRAY: syscalls.PERCPU_ARRAY,
        MapKind.QUEUE: syscalls.QUEUE,
        MapKind.TABLES: syscalls.ARRAY_OF_MAPS,
    }
)
PART: Final = Part("policy", SOURCES, tuple(MAPS), PROGRAMS)


@dataclass(frozen=True, slots=True)
class Template:
    """Compiled programs that wait for their maps."""

    instructions: Mapping[str, bytes]
    """By program; maps are named by their place in `MAPS`."""


@dataclass(frozen=True, slots=True)
class Datapath:
    """Loaded programs that share their maps; without a revision in force they let everything pass."""

    maps: Mapping[str, BpfMap]
    programs: Mapping[str, Loaded]

    @classmethod
    def load(cls, template: Template, capacities: Mapping[str, int] = MappingProxyType({})) -> "Datapath":
        """Make the maps, in these capacities where they are not the usual ones, and load the programs.

        Raises `LoadRefused` or `OSError`, and leaves nothing then.
        """
        with contextlib.ExitStack() as undo:
            maps: dict[str, BpfMap] = {}
            for name, one in MAPS.items():
                inner = maps[CONNECTIONS].fd if one.kind is MapKind.TABLES else 0
                maps[name] = BpfMap.create(name, map_shape(one), capacities.get(name, one.capacity), inner)
                undo.callback(os.close, maps[name].fd)
            for state, seconds in conntrack.SECONDS.items():
                maps[TIMEOUTS].put(struct.pack("<I", state), conntrack.TIMEOUT.pack(seconds * 10**9))
            maps[TABLES].put(struct.pack("<I", NOW), struct.pack("<I", maps[CONNECTIONS].fd))
            numbers = [each.fd for each in maps.values()]
            loaded: dict[str, Loaded] = {}
            for name, code in template.instructions.items():
                loaded[name] = programs.load(
                    name, programs.with_maps(code, numbers.__getitem__), programs.SCHED_CLS
                )
                undo.callback(os.close, loaded[name].fd)
            undo.pop_all()
        return cls(maps, loaded)

    def close(self) -> None:
        """Free programs and maps, once nothing is attached."""
        for fd in (*(each.fd for each in self.programs.values()), *(each.fd for each in self.maps.values())):
            os.close(fd)


def map_shape(one: Map) -> MapShape:
    """Return what the kernel must know to make a map."""
    flags = syscalls.NO_PREALLOC if one.kind is MapKind.PREFIXES else 0
    return MapShape(_KINDS[one.kind], one.key_bytes, one.value_bytes, flags)


def open_policy(source: Path, timeout: float = TIMEOUT_SECONDS) -> Template:
    """Return the compiled programs; raises `ProbeUnfit` when there are none."""
    return Template(tried.opened(source, PART, timeout))
