"""Reading maps of our own: whatever their size and kind, every entry, and what the kernel says beside."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netsre.adapters.bpf import programs, syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapShape, fdinfo
from tests.kernel.map_holder import make

pytestmark = pytest.mark.requires("bpf")

_HASH, _PERCPU_HASH, _PERCPU_ARRAY, _LPM, _DEVICES = 1, 5, 6, 11, 14
_LOOPBACK = 1


@contextmanager
def opened(fd: int) -> Iterator[BpfMap]:
    """Describe a map, and let it end with the block."""
    try:
        yield BpfMap.of("t_map", fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", [_HASH, _PERCPU_HASH])
@pytest.mark.parametrize("entries", [0, 1, 127, 128, 129, 5_003])
def test_a_table_is_read_whole_however_many_batches_it_takes(kind: int, entries: int) -> None:
    """Each key once, with the slots of all CPUs, and nothing of what stands behind the last."""
    with opened(make("t_map", kind, 5_003, entries)) as table:
        found = list(table.entries())

    assert sorted(key for key, _ in found) == sorted(struct.pack("<I", number) for number in range(entries))
    assert {value for _, value in found} <= {bytes(table.stride)}


@pytest.mark.parametrize("kind", [_PERCPU_ARRAY, _DEVICES])
def test_the_slots_of_an_array_come_in_order(kind: int) -> None:
    """Also of a kind that the kernel reads in no batch, as older ones do none of per-CPU arrays."""
    shape = MapShape(kind, 4, 4 if kind == _DEVICES else 8)
    with opened(BpfMap.create("t_slots", shape, 300).fd) as array:
        value = struct.pack("<I", _LOOPBACK).ljust(array.stride, b"\0")
        array.put(struct.pack("<I", 299), value)
        slots = array.slots()

    assert len(slots) == 300
    assert [at for at, slot in enumerate(slots) if any(slot)] == [299]
    assert slots[299] == value


def test_the_memory_of_a_map_that_grows_is_that_of_now() -> None:
    """One that had all of its memory from the beginning is not asked again."""
    with opened(make("t_map", _LPM, 1_000, 0)) as trie, opened(make("t_map", _HASH, 1_000, 0)) as table:
        before = trie.memory(), table.memory()
        for number in range(500):
            trie.put(struct.pack("<I", 32) + struct.pack(">I", number), bytes(8))
            table.put(struct.pack("<I", number), bytes(8))
        after = trie.memory(), table.memory()
        told = tuple(int(fdinfo(one.fd)["memlock"]) for one in (trie, table))

    assert after == told
    assert before[0] < after[0]
    assert before[1] == after[1]


def test_the_runs_of_a_program_are_those_of_its_description() -> None:
    """Runs and their time, in the order in which the kernel has them."""
    nothing = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    loaded = programs.load("t_runs", nothing, programs.RAW_TRACEPOINT)
    statistics = syscalls.enable_run_time_statistics()
    try:
        for _ in range(13):
            syscalls.run_program(loaded.fd, bytes(96))
        runs, told = syscalls.runs(loaded.fd), fdinfo(loaded.fd)
    finally:
        os.close(statistics)
        os.close(loaded.fd)

    assert runs == tuple(int(told[key]) for key in ("run_cnt", "run_time_ns", "recursion_misses"))
    assert (runs.runs, runs.missed) == (13, 0)
    assert runs.nanoseconds > 0
