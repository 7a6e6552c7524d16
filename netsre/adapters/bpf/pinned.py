"""Maps that another program pinned to a BPF file system, opened for reading and counted.

The owner of the file may open it without any capability; anybody else needs CAP_DAC_OVERRIDE where its mode
is 600. Reading changes nothing: it does not make an entry of an LRU map look as if it were used.
"""

import contextlib
import ctypes
import errno
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netsre.adapters.bpf import pins
from netsre.adapters.bpf.syscalls import BpfMap, MapShape, bpf

_MAP_LOOKUP_BATCH: Final = 24
_HASHES: Final = frozenset({1, 5, 9, 10})
"""`enum bpf_map_type`: hash and LRU hash, with and without a value for each CPU."""
_BATCH: Final = 16_384
_CURSOR_BYTES: Final = 64


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BpfMap]:
    """Open a pinned map for reading; raises `OSError` where there is none, or it may not be read."""
    descriptor = pins.opened(path, reading=True)
    try:
        yield BpfMap.of(path.name, descriptor)
    except KeyError as error:
        raise OSError(errno.EINVAL, f"{path} is no map") from error
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def opened_as(path: Path, shape: MapShape, what: str) -> Iterator[BpfMap]:
    """Open a pinned map for reading that must have a shape; `what` it is a part of is for people.

    Raises `FileNotFoundError` without it, and `OSError`.
    """
    with opened(path) as found:
        check(found, shape, what)
        yield found


def check(found: BpfMap, shape: MapShape, what: str) -> None:
    """Raise `OSError` for a map that is not as this version has it."""
    if not found.is_of(shape):
        raise OSError(errno.EINVAL, f"the {what} was made by another version (map {found.name})")


def count(table: BpfMap, seconds: float, batch: int = _BATCH) -> int:
    """Return how many entries a hash map holds; what comes and goes meanwhile may be counted or not.

    Raises `TimeoutError` when it takes longer than `seconds`, and `OSError` for another kind of map.
    """
    if table.kind not in _HASHES:
        raise OSError(errno.EINVAL, f"{table.name} is no hash map")
    until = time.monotonic() + seconds
    batch = min(table.capacity, batch)
    total, cursor = 0, None
    # The kernel copies keys and values wherever it is told to: nobody looks at them.
    size = max(_CURSOR_BYTES, table.key_size)
    keys, values = (ctypes.create_string_buffer(batch * each) for each in (table.key_size, table.stride))
    while time.monotonic() <= until:
        following = ctypes.create_string_buffer(size)
        where = [
            ctypes.addressof(each) if each is not None else 0 for each in (cursor, following, keys, values)
        ]
        packed = struct.pack("<QQQQIIQQ", *where, batch, table.fd, 0, 0)
        attributes = ctypes.create_string_buffer(packed, len(packed))
        try:
            bpf(_MAP_LOOKUP_BATCH, attributes)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # One bucket holds more than a batch: ask for more.
                batch *= 2
                keys, values = (
                    ctypes.create_string_buffer(batch * each) for each in (table.key_size, table.stride)
                )
                continue
            if error.errno != errno.ENOENT:
                raise
            return total + _counted(attributes)  # The end of the map, with a valid count.
        total += _counted(attributes)
        cursor = following
    raise TimeoutError(errno.ETIMEDOUT, f"{table.name} cannot be counted within {seconds:.0f} s")


def _counted(attributes: ctypes.Array[ctypes.c_char]) -> int:
    (found,) = struct.unpack_from("<I", attributes, 32)
    return int(found)
