"""Every map of the kernel, whoever made it: which there are, what they are, and how full they are.

Walking over them needs CAP_SYS_ADMIN. No descriptor outlives a call: it would keep a map alive that its owner
has given up. Attribute and structure layouts: linux/bpf.h.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters.bpf.syscalls import batch_attributes, bpf, fdinfo, info, possible_cpus
from netsre.datapath.maps import UNNAMED, MapFacts

_GET_NEXT_KEY: Final = 4
_OBJECT_GET: Final = 7
_PROGRAM_DESCRIPTOR: Final = 13
_MAP_NEXT: Final = 12
_MAP_DESCRIPTOR: Final = 14
_LOOKUP_BATCH: Final = 24
_READ_ONLY: Final = 8

_MAP_INFO: Final = struct.Struct("<6I16s")
_PROGRAM_INFO_BYTES: Final = 64
_MAPS_OF_PROGRAM: Final = 52
"""Where `struct bpf_prog_info` has how many maps it uses; the address for their ids stands behind it."""
_MOST_MAPS_OF_PROGRAM: Final = 64
_BATCH_BYTES: Final = 1 << 18
_BATCH_KEYS: Final = 4096
_WALKED_KEYS: Final = 256
_CURSOR_BYTES: Final = 64


class MapGone(LookupError):
    """A map or program ended since it was listed."""


def map_ids(last: int = 0) -> Iterator[int]:
    """Yield the id of every map behind one, in order; raises `PermissionError` without CAP_SYS_ADMIN."""
    while True:
        attributes = _packed("<III", last, 0, 0)
        try:
            bpf(_MAP_NEXT, attributes)
        except FileNotFoundError:
            return
        (last,) = struct.unpack_from("<I", attributes, 4)
        yield last


def facts(number: int) -> MapFacts:
    """Describe a map; raises `MapGone`, and `OSError` for one that may not be looked at."""
    with _descriptor(_MAP_DESCRIPTOR, number) as fd:
        kind, _, key_size, value_size, max_entries, _, name = _MAP_INFO.unpack_from(info(fd, _MAP_INFO.size))
        memory = int(fdinfo(fd).get("memlock", "0"))
    text = name.partition(b"\0")[0].decode("ascii", errors="backslashreplace")
    return MapFacts(number, text or UNNAMED, kind, key_size, value_size, max_entries, memory)


def open_map(number: int) -> int:
    """Open a map for reading alone; raises `MapGone`, and `OSError` for one that may not be read."""
    try:
        return bpf(_MAP_DESCRIPTOR, _packed("<III", number, 0, _READ_ONLY))
    except FileNotFoundError as error:
        raise MapGone(number) from error


def maps_of_program(number: int) -> tuple[int, ...]:
    """Return the ids of the maps that a program uses; none when it is gone."""
    ids = ctypes.create_string_buffer(4 * _MOST_MAPS_OF_PROGRAM)
    try:
        with _descriptor(_PROGRAM_DESCRIPTOR, number) as fd:
            asked = bytearray(_PROGRAM_INFO_BYTES)
            struct.pack_into("<IQ", asked, _MAPS_OF_PROGRAM, _MOST_MAPS_OF_PROGRAM, ctypes.addressof(ids))
            told = info(fd, len(asked), asked)
    except (MapGone, OSError):
        return ()
    (used,) = struct.unpack_from("<I", told, _MAPS_OF_PROGRAM)
    return struct.unpack_from(f"<{min(used, _MOST_MAPS_OF_PROGRAM)}I", ids)


def pinned(path: Path) -> tuple[str, int]:
    """Return what a file of a bpf file system is (`map`, `prog` or something else) and its id.

    Raises `OSError` for what may not be opened.
    """
    name = ctypes.create_string_buffer(os.fsencode(path))
    fd = bpf(_OBJECT_GET, _packed("<QII", ctypes.addressof(name), 0, _READ_ONLY))
    try:
        about = fdinfo(fd)
    finally:
        os.close(fd)
    kind = next((kind for kind in ("map", "prog") if f"{kind}_id" in about), "")
    return kind, int(about.get(f"{kind}_id", "0"))


@dataclass(slots=True)
class Count:
    """The entries of one map, counted a piece at a time; what comes and goes meanwhile may be missed."""

    facts: MapFacts
    entries: int = 0
    _cursor: ctypes.Array[ctypes.c_char] | None = None
    _batch: int = 0

    def go_on(self, fd: int) -> bool:
        """Count one piece, at most about a millisecond, by a descriptor; return whether that was the last.

        Raises `OSError` for a map that may not be read.
        """
        return self._next_batch(fd) if self.facts.batched else self._next_keys(fd)

    def _next_batch(self, fd: int) -> bool:
        key_size, stride = self.facts.key_size, self.facts.stride(possible_cpus())
        if not self._batch:
            fitting = _BATCH_BYTES // (key_size + stride)
            self._batch = max(1, min(_BATCH_KEYS, fitting, self.facts.max_entries))
        following = ctypes.create_string_buffer(max(_CURSOR_BYTES, key_size))
        keys = ctypes.create_string_buffer(self._batch * key_size)
        values = ctypes.create_string_buffer(self._batch * stride)
        attributes = batch_attributes(fd, self._cursor, following, keys, values, self._batch)
        finished = False
        try:
            bpf(_LOOKUP_BATCH, attributes)
        except OSError as error:
            if error.errno == errno.ENOSPC:  # One bucket holds more than a batch.
                self._batch *= 2
                return False
            if error.errno != errno.ENOENT:
                raise
            finished = True  # The end of the map, with a valid count.
        self.entries += struct.unpack_from("<I", attributes, 32)[0]
        self._cursor = following
        return finished

    def _next_keys(self, fd: int) -> bool:
        for _ in range(_WALKED_KEYS):
            following = ctypes.create_string_buffer(self.facts.key_size)
            key = ctypes.addressof(self._cursor) if self._cursor is not None else 0
            try:
                bpf(_GET_NEXT_KEY, _packed("<IIQQ", fd, 0, key, ctypes.addressof(following)))
            except FileNotFoundError:
                return True
            self._cursor = following
            self.entries += 1
            # A key that is gone meanwhile sends the walk back to its beginning.
            if self.entries >= self.facts.max_entries:
                return True
        return False


@contextmanager
def _descriptor(command: int, number: int) -> Iterator[int]:
    try:
        fd = bpf(command, _packed("<III", number, 0, 0))
    except FileNotFoundError as error:
        raise MapGone(number) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _packed(layout: str, *values: int) -> ctypes.Array[ctypes.c_char]:
    packed = struct.pack(layout, *values)
    return ctypes.create_string_buffer(packed, len(packed))
