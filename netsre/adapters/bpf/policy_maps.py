"""What the maps of the policy datapath hold, and how one operation changes them."""

import struct
from typing import Final

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.policy import Datapath
from netsre.datapath.policy import layouts, sync
from netsre.datapath.policy.layouts import REVISION, SLOTS, Map, Revision
from netsre.datapath.policy.programs import ACTIVE, REVISIONS
from netsre.datapath.policy.sync import Held, Operation, Put, Remove, Settle, Switch, WriteSlot

_SLOT: Final = struct.Struct("<I")
_ONLY: Final = bytes(4)


def held(datapath: Datapath) -> Held:
    """Return what the kernel holds, every entry of it; raises `OSError`."""
    return sync.read(
        slots(datapath), in_force(datapath), {where: datapath.maps[where].entries() for where in Map}
    )


def revisions(datapath: Datapath) -> Held:
    """Return the revisions that the kernel holds, without anything that they consist of."""
    return Held(slots(datapath), in_force(datapath))


def slots(datapath: Datapath) -> tuple[Revision, ...]:
    """Return every slot."""
    return tuple(_revision(datapath, slot) for slot in range(SLOTS))


def in_force(datapath: Datapath) -> int:
    """Return the slot that decides."""
    (slot,) = _SLOT.unpack(datapath.maps[ACTIVE].lookup(_ONLY) or _ONLY)
    return int(slot)


def perform(datapath: Datapath, operation: Operation) -> None:
    """Do one step of a plan; raises `MapFull` and `OSError`, with a batch done in part."""
    match operation:
        case Put(where, entries):
            datapath.maps[where].put_many(dict(entries))
        case Remove(where, keys):
            for key in keys:
                datapath.maps[where].delete(key)
        case WriteSlot(slot, revision):
            datapath.maps[REVISIONS].put(_SLOT.pack(slot), revision.pack())
        case Switch(slot):
            datapath.maps[ACTIVE].put(_ONLY, _SLOT.pack(slot))
        case Settle():
            syscalls.wait_for_programs()


def _revision(datapath: Datapath, slot: int) -> Revision:
    value = datapath.maps[REVISIONS].lookup(_SLOT.pack(slot))
    return Revision(*REVISION.unpack(value)) if value is not None else layouts.EMPTY
