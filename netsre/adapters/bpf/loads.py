"""The reader of the probe of program loads. Not thread safe; the agent calls it under one lock."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from netsre.adapters.bpf.session import Session
from netsre.datapath import loads, missing
from netsre.datapath.loads import LoadCount, LoadFailure

_FIRST: Final = struct.pack("<I", 0)


class LoadProbe:
    """What the probe of program loads has counted since its reader began."""

    def __init__(self, session: Session) -> None:
        """Begin to count, the loads of this process left out: it counts them itself."""
        self.session = session
        # The number of a process is one of its namespace, which the kernel is told, too.
        place = Path("/proc/self/ns/pid").stat()
        session.maps["load_readers"].put(_FIRST, loads.READER.pack(place.st_dev, place.st_ino, os.getpid()))

    def counts(self) -> list[LoadCount]:
        """Return every counter."""
        return list(loads.decode(self.session.maps["loads"].entries()))

    def remove(self, keys: Iterable[bytes]) -> None:
        """Make room for others."""
        for key in keys:
            self.session.maps["loads"].delete(key)

    def overflowed(self) -> tuple[int, int]:
        """Return how many (good, failed) loads were counted without detail."""
        good, failed = (self._sum("loads_overflow", slot) for slot in (0, 1))
        return good, failed

    def unknown(self) -> int:
        """Return of how many loads nobody knows what became of them."""
        return self._sum("loads_unknown", 0)

    def failures(self) -> list[LoadFailure]:
        """Return the last failed loads, the newest first."""
        table = self.session.maps["load_failures"]
        slots = (table.lookup(struct.pack("<I", slot)) or b"" for slot in range(table.capacity))
        found = [failure for slot in slots if (failure := loads.decode_failure(slot)) is not None]
        return sorted(found, key=lambda failure: -failure.at_ns)

    def missing(self, failure: LoadFailure) -> str:
        """Return what this kernel lacks for a program; empty where nobody can tell."""
        return missing.missing(failure, self.session.enums.get(missing.TYPES_ENUM, {}))

    def _sum(self, name: str, slot: int) -> int:
        value = self.session.maps[name].lookup(struct.pack("<I", slot)) or b""
        return sum(count for (count,) in struct.iter_unpack("<Q", value))
