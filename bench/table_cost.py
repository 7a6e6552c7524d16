"""What reading connection tables costs: CPU time of the reader, the kernel's share included."""

import ctypes
import os
import resource
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from netsre.adapters import conntrack, namespaces, processes
from netsre.adapters.bpf import pinned, syscalls
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from netsre.adapters.namespaces import Address, End, inventory
from netsre.datapath.conntrack import parse_statistics

_ROUNDS: Final = 5
_ENTRIES: Final = 200_000
_SAMPLE: Final = 65_536
_MAP_ENTRIES: Final = 500_000
_LRU_HASH: Final = 9
_UPDATE_BATCH: Final = 26
_SERVER, _CLIENT = "198.18.93.1", "198.18.93.2"
_TRACK: Final = "table inet b { chain c { type filter hook prerouting priority 0; ct state new counter; }; }"


@dataclass(frozen=True, slots=True)
class TableCost:
    """Medians of several rounds, in seconds of CPU time."""

    entries: int
    whole: float
    """Every entry of a full table, by source and state: what a runbook does once."""
    sample: float
    """As many entries as the agent looks at, again and again."""
    empty: float
    """A namespace without entries, beside the full one: the kernel goes through all of its buckets."""
    listed: float | None
    """The same table by `conntrack -L`; None without that program."""
    statistics: float
    """The counters of one namespace that has to be entered."""
    map_entries: int
    map: float
    """A pinned map of Cilium's shape."""


def measure() -> TableCost:
    """Fill a table and a map, read them, and take them away."""
    with _full() as (server, client):
        entries = namespaces.inside(server, lambda: conntrack.count(1)).entries
        namespace = next(each for each in inventory.namespaces().values() if each.name == server)
        return TableCost(
            entries,
            _inside(server, lambda: conntrack.count(5)),
            _inside(server, lambda: conntrack.count(5, _SAMPLE)),
            _inside(client, lambda: conntrack.count(5)),
            _listed(server),
            _together(lambda: parse_statistics(inventory.statistics_text(namespace))),
            _MAP_ENTRIES,
            _map(),
        )


def _inside(namespace: str, work: Callable[[], object]) -> float:
    def timed() -> float:
        before = time.thread_time()
        work()
        return time.thread_time() - before

    return median(namespaces.inside(namespace, timed) for _ in range(_ROUNDS))


def _together(work: Callable[[], object]) -> float:
    """Time something that uses threads of its own, many times."""
    before = time.process_time()
    for _ in range(200):
        work()
    return (time.process_time() - before) / 200


def _listed(namespace: str) -> float | None:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        for family in ("ipv4", "ipv6"):
            subprocess.run(
                ["conntrack", "-L", "-f", family],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    try:
        return median(namespaces.inside(namespace, once) for _ in range(_ROUNDS))
    except FileNotFoundError:
        return None


def _map() -> float:
    made = BpfMap.create("netsre_bench", MapShape(_LRU_HASH, 14, 56), 2 * _MAP_ENTRIES)
    try:
        keys = b"".join(number.to_bytes(4, "little") + bytes(10) for number in range(_MAP_ENTRIES))
        key, value = ctypes.create_string_buffer(keys), ctypes.create_string_buffer(_MAP_ENTRIES * 56)
        where = (0, 0, ctypes.addressof(key), ctypes.addressof(value))
        packed = struct.pack("<QQQQIIQQ", *where, _MAP_ENTRIES, made.fd, 0, 0)
        syscalls.bpf(_UPDATE_BATCH, ctypes.create_string_buffer(packed, len(packed)))
        figures = []
        for _ in range(_ROUNDS):
            before = time.thread_time()
            pinned.count(made, 10)
            figures.append(time.thread_time() - before)
        return median(figures)
    finally:
        os.close(made.fd)


@contextmanager
def _full() -> Iterator[tuple[str, str]]:
    """Make two joined namespaces, the first with a table of unanswered datagrams, and remove them."""
    owner = processes.this_process()
    server, client = owner.name("bench", "table-srv"), owner.name("bench", "table-cli")
    try:
        for name in (server, client):
            namespaces.create(name)
        namespaces.connect(
            End(server, "eth0", (Address(_SERVER, 24),)), End(client, "eth0", (Address(_CLIENT, 24),))
        )
        namespaces.run(server, ["nft", "-f", "-"], _TRACK).check_returncode()
        namespaces.inside(client, _fill)
        yield server, client
    finally:
        for name in (server, client):
            namespaces.remove(name)


def _fill() -> None:
    for _ in range(_ENTRIES // 40_000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in range(1000, 41_000):
                sender.sendto(b"", (_SERVER, port))
