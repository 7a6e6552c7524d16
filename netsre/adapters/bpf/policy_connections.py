"""The table of connections of the policy datapath, exchanged for one of another size while packets pass.

First the programs get both tables: what begins goes to the new one, and what is in the old one moves with its
next packet. Then we move the rest, and never over what is there. Killed at any moment, both are known by
their names, and `finish` goes on. Whoever calls this must be alone.
"""

import contextlib
import os
import struct
import time
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import pins, syscalls
from netsre.adapters.bpf.policy import Datapath, map_shape
from netsre.adapters.bpf.syscalls import BpfMap
from netsre.datapath.policy import conntrack
from netsre.datapath.policy.conntrack import MARGIN_NS, Connection
from netsre.datapath.policy.programs import BEFORE, CONNECTIONS, MAPS, NOW, TABLES, TIMEOUTS

_WORD: Final = struct.Struct("<I")
_NEW: Final = f"{CONNECTIONS}_new"
"""A name has no dot."""


def exchange(directory: Path, datapath: Datapath, capacity: int) -> BpfMap:
    """Have another table of connections, pinned in this directory; return it, its descriptor is the caller's.

    No other exchange may be unfinished. Raises `MapFull` where they do not fit, and then the old one is there
    as before.
    """
    old = datapath.maps[CONNECTIONS]
    fresh = BpfMap.create(CONNECTIONS, map_shape(MAPS[CONNECTIONS]), capacity)
    try:
        pins.pin(fresh.fd, directory / _NEW)
        _switch(datapath, before=old, now=fresh)
        try:
            _move(old, fresh)
        except syscalls.MapFull:
            if _return(datapath, fresh):
                _forget(directory, datapath)
            raise
        (directory / _NEW).rename(directory / CONNECTIONS)
        _forget(directory, datapath)
    except BaseException:
        os.close(fresh.fd)
        raise
    return fresh


def finish(directory: Path, datapath: Datapath) -> None:
    """Go on with an exchange that was killed; `datapath` is what has the names now.

    One that had begun to move is finished, or goes back where they do not fit; before that it never was.
    Where neither table has room for all that is known by now, both stay known until some have ended.
    """
    fits = True
    with contextlib.suppress(FileNotFoundError):
        fd = pins.opened(directory / _NEW)
        try:
            fresh = BpfMap.of(CONNECTIONS, fd)
            if _number(datapath, NOW) == _id(fd):
                try:
                    _move(datapath.maps[CONNECTIONS], fresh)
                    (directory / _NEW).rename(directory / CONNECTIONS)
                except syscalls.MapFull:
                    fits = _return(datapath, fresh)
            elif _number(datapath, BEFORE) == _id(fd):
                fits = _move_back(datapath, fresh)
        finally:
            os.close(fd)
    if fits:
        _forget(directory, datapath)


def has_begun(directory: Path) -> bool:
    """Say, by the names in a directory, whether an exchange has begun and not ended."""
    return (directory / _NEW).exists()


def is_exchanged(datapath: Datapath) -> bool:
    """Say whether an exchange has begun and not ended."""
    return _number(datapath, BEFORE) is not None


def _switch(datapath: Datapath, *, before: BpfMap, now: BpfMap) -> None:
    """Give programs both; the kernel waits until none runs that has read what was there."""
    datapath.maps[TABLES].put(_WORD.pack(BEFORE), _WORD.pack(before.fd))
    datapath.maps[TABLES].put(_WORD.pack(NOW), _WORD.pack(now.fd))
    syscalls.wait_for_programs()


def _return(datapath: Datapath, fresh: BpfMap) -> bool:
    """Have the table that has the name go on, with what the other has; return whether that fits."""
    _switch(datapath, before=fresh, now=datapath.maps[CONNECTIONS])
    return _move_back(datapath, fresh)


def _move(source: BpfMap, target: BpfMap) -> None:
    for key, value in source.entries():
        target.insert(key, value)


def _move_back(datapath: Datapath, source: BpfMap) -> bool:
    """Move what has moved and is not over, over what it was before; return whether there was room for all."""
    target, fits = datapath.maps[CONNECTIONS], True
    timeouts = conntrack.timeouts(datapath.maps[TIMEOUTS].entries())
    entries = dict(source.entries())
    for key in conntrack.over(entries.items(), timeouts, time.monotonic_ns() - MARGIN_NS):
        del entries[key]
    for key, value in entries.items():
        there = target.lookup(key)
        if there is not None and Connection.of(there).seen_ns >= Connection.of(value).seen_ns:
            continue  # moved by a packet already
        try:
            target.put(key, value)
        except syscalls.MapFull:
            fits = False
    return fits


def _forget(directory: Path, datapath: Datapath) -> None:
    datapath.maps[TABLES].delete(_WORD.pack(BEFORE))
    (directory / _NEW).unlink(missing_ok=True)


def _number(datapath: Datapath, slot: int) -> int | None:
    value = datapath.maps[TABLES].lookup(_WORD.pack(slot))
    return None if value is None else int(_WORD.unpack(value)[0])


def _id(fd: int) -> int:
    return int(syscalls.fdinfo(fd)["map_id"])
