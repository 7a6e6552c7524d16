"""What the policy datapath has noted of those that no rule allows."""

import contextlib
import struct
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import policy_reading
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.datapath.policy.gains import NOWHERE
from netsre.datapath.policy.programs import REFUSED, REFUSED_SUM
from netsre.datapath.policy.refused import KEY, SUM, Refused, Sum


@dataclass(frozen=True, slots=True)
class Said:
    """Everything at about one moment."""

    number: int
    """Of the map: another datapath has another."""
    entries: tuple[Refused, ...]
    evicted: int
    lost: int


NOTHING: Final = Said(NOWHERE, (), 0, 0)
"""Of a node without a policy datapath."""


def read(maps: Mapping[str, BpfMap]) -> Said:
    """Return what maps that are open say; raises `OSError`."""
    # Entries last: one that is made meanwhile is there and not counted, so that none looks evicted.
    made, lost, removed = (_sum(maps[REFUSED_SUM], one) for one in Sum)
    entries = tuple(Refused.of(key, value) for key, value in maps[REFUSED].entries())
    return Said(policy_reading.number_of(maps[REFUSED]), entries, max(made - removed - len(entries), 0), lost)


def pinned(directory: Path) -> Said:
    """Return what is said in a directory of pinned objects: nothing where there is no such datapath."""
    with contextlib.ExitStack() as stack:
        try:
            names = (REFUSED, REFUSED_SUM)
            maps = {name: stack.enter_context(policy_reading.opened(directory, name)) for name in names}
        except FileNotFoundError:
            return NOTHING
        return read(maps)


def forget(maps: Mapping[str, BpfMap], endpoints: AbstractSet[int]) -> None:
    """Remove what was noted of all but these endpoints: their numbers are to be others' some day."""
    gone = [key for key, _ in maps[REFUSED].entries() if KEY.unpack(key)[0] not in endpoints]
    if not gone:
        return
    slot = struct.pack("<I", Sum.REMOVED)
    first, *others = SUM.iter_unpack(maps[REFUSED_SUM].lookup(slot) or bytes(maps[REFUSED_SUM].stride))
    # Counted before, so that they never look evicted.
    summed = [first[0] + len(gone), *(each for (each,) in others)]
    maps[REFUSED_SUM].put(slot, b"".join(map(SUM.pack, summed)))
    for key in gone:
        maps[REFUSED].delete(key)


def _sum(table: BpfMap, one: Sum) -> int:
    value = table.lookup(struct.pack("<I", one)) or b""
    return sum(each for (each,) in SUM.iter_unpack(value))
