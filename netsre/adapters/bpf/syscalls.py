"""The bpf(2) calls that a reader of maps needs; no library in memory, no compiler.

Attribute layouts: `union bpf_attr` in linux/bpf.h. Every function takes descriptors and bytes and raises
`OSError` with the kernel's errno.
"""

import ctypes
import errno
import functools
import platform
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

_BPF_NUMBERS: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}

_MEMBARRIER_NUMBERS: Final = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}

_MAP_CREATE: Final = 0
_MAP_LOOKUP_ELEM: Final = 1
_MAP_UPDATE_ELEM: Final = 2
_MAP_DELETE_ELEM: Final = 3
_PROG_TEST_RUN: Final = 10
_INFO: Final = 15
_MAP_TAKE_ELEM: Final = 21
_MAP_LOOKUP_BATCH: Final = 24
_MAP_UPDATE_BATCH: Final = 26
_ENABLE_STATS: Final = 32

_RUNS: Final = struct.Struct("<192xQQQ")
"""Of `struct bpf_prog_info`: nanoseconds, runs, and runs that were left out."""
_DESCRIBED: Final = ("map_type", "key_size", "value_size", "max_entries", "map_flags")
_NO_PREALLOC: Final = 1
_NOT_SUPPORTED: Final = 524
"""ENOTSUPP, which user space has no name for."""
_INDEX: Final = struct.Struct("<I")

_ANY: Final = 0
_NOEXIST: Final = 1
_MEMBARRIER_GLOBAL: Final = 1
_PER_CPU_TYPES: Final = frozenset({5, 6, 10, 21})
_CURSOR_BYTES: Final = 64
"""At least the size of any key, as the kernel's batch cursor for hash maps is one u32."""
_FIRST_BATCH: Final = 128
_MOST_BATCH: Final = 8_192
_BATCH_GROWS: Final = 8
"""Most tables hold a few entries, and room for thousands costs more to get than those to read."""


Cursor = ctypes.Array[ctypes.c_char]
"""How far somebody has come in a map; the kernel knows what it means."""


class MapFull(OSError):
    """A map has no room for another key."""


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _number() -> int:
    machine = platform.machine()
    if machine not in _BPF_NUMBERS:
        raise OSError(errno.ENOSYS, f"bpf(2) is not known for {machine}")
    return _BPF_NUMBERS[machine]


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """Make one system call; return its result, or raise `OSError` with the kernel's errno."""
    result: int = _libc().syscall(
        ctypes.c_long(_number()), ctypes.c_int(command), attributes, ctypes.c_uint(len(attributes))
    )
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, errno.errorcode.get(number, str(number)))
    return result


def wait_for_programs() -> None:
    """Return when every run of a program that had begun is over: it has counted all that it will count.

    Where the kernel does not offer that (isolated CPUs), return at once.
    """
    # A barrier in all processes is one grace period of RCU, under which programs run.
    _libc().syscall(ctypes.c_long(_MEMBARRIER_NUMBERS[platform.machine()]), _MEMBARRIER_GLOBAL, 0, 0)


@functools.cache
def possible_cpus() -> int:
    """Return how many slots a per-CPU value has: the CPUs that could ever be online."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def fdinfo(fd: int) -> dict[str, str]:
    """Return what the kernel says of a descriptor of ours (map sizes, memory, run-time statistics)."""
    lines = Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines()
    return dict((part.strip() for part in line.split(":", 1)) for line in lines if ":" in line)  # type: ignore[misc]  # every line has two parts


def info(fd: int, size: int, asked: bytes | bytearray = b"") -> bytes:
    """Return the beginning of what the kernel says of an object; what it has not is zero."""
    found = ctypes.create_string_buffer(bytes(asked), size)
    packed = struct.pack("<IIQ", fd, size, ctypes.addressof(found))
    bpf(_INFO, ctypes.create_string_buffer(packed, len(packed)))
    return found.raw


class Runs(NamedTuple):
    """What the kernel counted of one program."""

    runs: int
    nanoseconds: int
    missed: int


def runs(program_fd: int) -> Runs:
    """Return what was counted of a program; runs and their time only while the kernel is told to."""
    nanoseconds, count, missed = _RUNS.unpack(info(program_fd, _RUNS.size))
    return Runs(count, nanoseconds, missed)


@dataclass(frozen=True, slots=True)
class MapShape:
    """What the kernel must know to make a map."""

    kind: int
    """Of `enum bpf_map_type`."""
    key_size: int
    value_size: int
    flags: int = 0


HASH: Final = 1
ARRAY: Final = 2
PERCPU_HASH: Final = 5
PERCPU_ARRAY: Final = 6
LRU_HASH: Final = 9
LPM_TRIE: Final = 11
ARRAY_OF_MAPS: Final = 12
HASH_OF_MAPS: Final = 13
QUEUE: Final = 22
NO_PREALLOC: Final = 1
"""A flag: entries take memory when they are made. A trie knows no other way."""


@dataclass(frozen=True, slots=True)
class BpfMap:
    """One map that we hold a descriptor of."""

    name: str
    fd: int
    kind: int
    key_size: int
    value_size: int
    capacity: int
    fixed_memory: int | None = None
    """In bytes, of a map that had all of it from the beginning."""

    @classmethod
    def create(cls, name: str, shape: "MapShape", capacity: int, inner_fd: int = 0) -> "BpfMap":
        """Make a map; it ends with its last descriptor. One of maps takes those that are shaped as one."""
        packed = struct.pack(
            "<7I16s",
            *(shape.kind, shape.key_size, shape.value_size, capacity, shape.flags),
            *(inner_fd, 0),
            name.encode()[:15],
        )
        fd = bpf(_MAP_CREATE, ctypes.create_string_buffer(packed, len(packed)))
        return cls(name, fd, shape.kind, shape.key_size, shape.value_size, capacity)

    @classmethod
    def of(cls, name: str, fd: int) -> "BpfMap":
        """Describe a map by what the kernel says of its descriptor."""
        about = fdinfo(fd)
        kind, key_size, value_size, capacity, flags = (int(about[key], 0) for key in _DESCRIBED)
        fixed_memory = None if flags & _NO_PREALLOC else _memory(about)
        return cls(name, fd, kind, key_size, value_size, capacity, fixed_memory)

    def is_of(self, shape: MapShape) -> bool:
        """Say whether entries have the kind and the sizes of a shape."""
        return (self.kind, self.key_size, self.value_size) == (
            shape.kind,
            shape.key_size,
            shape.value_size,
        )

    @property
    def stride(self) -> int:
        """Return the bytes of one value as user space sees it: all CPUs' slots for per-CPU maps."""
        if self.kind in _PER_CPU_TYPES:
            return (self.value_size + 7) // 8 * 8 * possible_cpus()
        return self.value_size

    def memory(self) -> int:
        """Return the kernel memory that the map holds, in bytes."""
        return _memory(fdinfo(self.fd)) if self.fixed_memory is None else self.fixed_memory

    def lookup(self, key: bytes) -> bytes | None:
        """Return one value, or `None` when there is no such key."""
        keys = ctypes.create_string_buffer(key, len(key))
        value = ctypes.create_string_buffer(self.stride)
        try:
            bpf(_MAP_LOOKUP_ELEM, self._element(keys, value, 0))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.raw

    def slots(self) -> list[bytes]:
        """Return the values of an array, in order; empty where there is none."""
        try:
            return [value for _, value in self.entries()]
        except OSError as error:
            # Before Linux 5.13 per-CPU arrays know no batches.
            if error.errno != _NOT_SUPPORTED:
                raise
        return [self.lookup(_INDEX.pack(slot)) or b"" for slot in range(self.capacity)]

    def insert(self, key: bytes, value: bytes) -> bool:
        """Add a key that is not there; return whether we were the one to add it.

        A full map raises `MapFull`.
        """
        try:
            self._update(key, value, _NOEXIST)
        except FileExistsError:
            return False
        return True

    def put(self, key: bytes, value: bytes) -> None:
        """Set the value of a key, at once for everybody who reads it; a full map raises `MapFull`."""
        self._update(key, value, _ANY)

    def put_many(self, entries: Mapping[bytes, bytes]) -> None:
        """Set the values of many keys in one call: of a map of maps, the kernel waits for programs only once.

        A full map raises `MapFull`, and then some of them may be set.
        """
        if not entries:
            return
        joined = [b"".join(entries), b"".join(entries.values())]
        keys, values = (ctypes.create_string_buffer(part, len(part)) for part in joined)
        try:
            bpf(_MAP_UPDATE_BATCH, batch_attributes(self.fd, None, None, keys, values, len(entries)))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise MapFull(*error.args) from error
            raise

    def _update(self, key: bytes | None, value: bytes, flags: int) -> None:
        keys = None if key is None else ctypes.create_string_buffer(key, len(key))
        values = ctypes.create_string_buffer(value, len(value))
        try:
            bpf(_MAP_UPDATE_ELEM, self._element(keys, values, flags))
        except OSError as error:
            if error.errno == errno.E2BIG:
                raise MapFull(*error.args) from error
            raise

    def delete(self, key: bytes) -> bool:
        """Remove a key; return whether we were the one to remove it."""
        keys = ctypes.create_string_buffer(key, len(key))
        try:
            bpf(_MAP_DELETE_ELEM, self._element(keys, None, 0))
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    def take(self, key: bytes) -> bytes | None:
        """Remove a key of a hash map, and return the value that it had in that moment; None without it."""
        keys = ctypes.create_string_buffer(key, len(key))
        value = ctypes.create_string_buffer(self.stride)
        try:
            bpf(_MAP_TAKE_ELEM, self._element(keys, value, 0))
        except FileNotFoundError:
            return None
        return value.raw

    def push(self, value: bytes) -> None:
        """Put a value at the end of a queue; a full one raises `MapFull`."""
        self._update(None, value, _ANY)

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every (key, value), read in batches; values of per-CPU maps hold all CPUs' slots."""
        for keys, values in self.batches():
            yield from zip(split(keys, self.key_size), split(values, self.stride), strict=True)

    def batches(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every entry, many at a time: their keys in a row, and their values in the same order."""
        size = _FIRST_BATCH
        cursor: Cursor | None = None
        while True:
            keys, values, cursor = self.batch(cursor, size)
            yield keys, values
            if cursor is None:
                return
            size = max(size, min(size * _BATCH_GROWS, _MOST_BATCH))

    def batch(self, cursor: "Cursor | None", size: int) -> "tuple[bytes, bytes, Cursor | None]":
        """Return so many entries from a cursor on, and the cursor of the next ones; None at the end.

        More where one bucket of a hash map has more.
        """
        size = min(self.capacity, size)
        while True:
            following = ctypes.create_string_buffer(max(_CURSOR_BYTES, self.key_size))
            keys = ctypes.create_string_buffer(size * self.key_size)
            values = ctypes.create_string_buffer(size * self.stride)
            attributes = batch_attributes(self.fd, cursor, following, keys, values, size)
            finished = False
            try:
                bpf(_MAP_LOOKUP_BATCH, attributes)
            except OSError as error:
                if error.errno == errno.ENOSPC:  # One bucket holds more than a batch: ask for more.
                    size *= 2
                    continue
                if error.errno != errno.ENOENT:
                    raise
                finished = True  # The end of the map, with a valid count.
            (count,) = struct.unpack_from("<I", attributes, 32)
            found = _head(keys, count * self.key_size), _head(values, count * self.stride)
            return *found, None if finished else following

    def _element(
        self,
        key: ctypes.Array[ctypes.c_char] | None,
        value: ctypes.Array[ctypes.c_char] | None,
        flags: int,
    ) -> ctypes.Array[ctypes.c_char]:
        packed = struct.pack("<IIQQQ", self.fd, 0, _address(key), _address(value), flags)
        return ctypes.create_string_buffer(packed, len(packed))


def _memory(about: Mapping[str, str]) -> int:
    return int(about.get("memlock", "0"))


def split(joined: bytes, size: int) -> Iterator[bytes]:
    """Yield pieces of one size."""
    return chain.from_iterable(struct.iter_unpack(f"{size}s", joined))


def _head(buffer: ctypes.Array[ctypes.c_char], size: int) -> bytes:
    """Return the beginning of a buffer, and leave the rest of it untouched."""
    return ctypes.string_at(buffer, size)


def _address(buffer: ctypes.Array[ctypes.c_char] | None) -> int:
    return ctypes.addressof(buffer) if buffer is not None else 0


def batch_attributes(
    fd: int,
    cursor: ctypes.Array[ctypes.c_char] | None,
    following: ctypes.Array[ctypes.c_char] | None,
    keys: ctypes.Array[ctypes.c_char],
    values: ctypes.Array[ctypes.c_char],
    count: int,
) -> ctypes.Array[ctypes.c_char]:
    """Return the attributes of a call on many entries; the count that it leaves is a u32 at byte 32."""
    packed = struct.pack(
        "<QQQQIIQQ",
        _address(cursor),
        _address(following),
        _address(keys),
        _address(values),
        count,
        fd,
        0,
        0,
    )
    return ctypes.create_string_buffer(packed, len(packed))


def run_program(program_fd: int, context: bytes) -> None:
    """Run a program of a raw tracepoint once, here and now, with these arguments."""
    given = ctypes.create_string_buffer(context, len(context))
    sizes = (0, 0, len(context), 0)
    packed = struct.pack(
        "<4I2Q4I2Q3I4x", program_fd, 0, 0, 0, 0, 0, *sizes, ctypes.addressof(given), 0, 0, 0, 0
    )
    bpf(_PROG_TEST_RUN, ctypes.create_string_buffer(packed, len(packed)))


def enable_run_time_statistics() -> int:
    """Turn on the kernel's BPF run-time statistics for as long as the returned descriptor is open."""
    packed = struct.pack("<I", 0)
    return bpf(_ENABLE_STATS, ctypes.create_string_buffer(packed, len(packed)))
