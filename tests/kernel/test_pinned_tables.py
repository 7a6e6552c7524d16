"""Connection tables in pinned maps with Cilium's names and shapes: as many entries as were put there."""

import errno
import os
import pathlib
import signal
import sys
import time
from typing import Final

import pytest

from netsre import conventions as c
from netsre.adapters.bpf import pinned
from netsre.adapters.bpf.syscalls import HASH, PERCPU_HASH, BpfMap, MapShape
from netsre.app.sensors.pinned import PinnedTableSensor
from netsre.metrics.readings import Readings
from tests.kernel import bpffs
from tests.kernel.agent_process import start
from tests.machine import wait_until

LRU_HASH: Final = 9
ARRAY: Final = 2
FOUR: Final = MapShape(LRU_HASH, 14, 56)
"""Key and value of Cilium's IPv4 tables."""
SIX: Final = MapShape(LRU_HASH, 38, 56)
TABLES: Final = {
    "cilium_ct4_global": (FOUR, 4096, 1009),
    "cilium_ct_any4_global": (FOUR, 2048, 307),
    "cilium_ct6_global": (SIX, 4096, 503),
    "cilium_ct_any6_global": (SIX, 2048, 0),
    "cilium_snat_v4_external": (MapShape(LRU_HASH, 14, 40), 4096, 211),
    "cilium_snat_v6_external": (MapShape(HASH, 38, 56), 512, 512),
}
"""Shape, capacity and entries by name."""


def _read(sensor: PinnedTableSensor, now: float, metric: str) -> dict[str, float]:
    readings = Readings()
    sensor.read(readings, now)
    assert all(labels["netns"] == "host" for labels, _ in readings.numbers.get(metric, []))
    return {labels["table"]: value for labels, value in readings.numbers.get(metric, [])}


def _scanned(sensor: PinnedTableSensor, now: float, seconds: int) -> float:
    for _ in range(seconds * 2):
        sensor.scan(now)
        now += 0.5
    return now


def test_every_table_is_counted_to_the_entry() -> None:
    """Six maps of Cilium's, IPv4 and IPv6, empty and full; one that is no connection table is left alone."""

    def work(directory: pathlib.Path) -> None:
        for name, (shape, capacity, entries) in TABLES.items():
            bpffs.pin(directory / name, shape, capacity, entries)
        bpffs.pin(directory / "cilium_lxc", FOUR, 64, 3)
        sensor = PinnedTableSensor(directory)
        now = _scanned(sensor, 0, 60)
        assert _read(sensor, now, c.CONNTRACK_ENTRIES) == {
            f"cilium:{name}": entries for name, (_, _, entries) in TABLES.items()
        }
        assert _read(sensor, now, c.CONNTRACK_LIMIT) == {
            f"cilium:{name}": capacity for name, (_, capacity, _) in TABLES.items()
        }
        used = _read(sensor, now, c.CONNTRACK_UTILIZATION)
        assert (used["cilium:cilium_snat_v6_external"], used["cilium:cilium_ct_any6_global"]) == (1, 0)
        ages = _read(sensor, now, c.CONNTRACK_COUNT_AGE)
        assert ages.keys() == used.keys()
        assert all(0 <= age < 60 for age in ages.values())

    bpffs.inside(work)


def test_growth_and_the_time_to_full_are_told_of_a_map_too() -> None:
    """Ten entries a second, put there while time goes by: ten, and the time that is left."""

    def work(directory: pathlib.Path) -> None:
        name, label = "cilium_ct4_global", "cilium:cilium_ct4_global"
        bpffs.pin(directory / name, MapShape(HASH, 14, 56), 100_000, 0)
        sensor, now = PinnedTableSensor(directory), 0.0
        with bpffs.opened(directory / name) as table:
            while now < 420:
                bpffs.fill(table, int(10 * now))
                sensor.scan(now)
                now += 15
        pace = _read(sensor, now, c.CONNTRACK_GROWTH)[label]
        entries = _read(sensor, now, c.CONNTRACK_ENTRIES)[label]
        assert pace == pytest.approx(10, rel=0.05)
        left = _read(sensor, now, c.CONNTRACK_FULL_SECONDS)[label]
        assert left == pytest.approx((100_000 - entries) / 10, rel=0.05)

    bpffs.inside(work)


def test_a_map_that_is_made_anew_or_taken_away_is_told_as_it_is() -> None:
    """Cilium resizes a table by making another: no growth out of two maps, none of a map that is gone."""

    def work(directory: pathlib.Path) -> None:
        path = directory / "cilium_ct6_global"
        bpffs.pin(path, SIX, 1024, 100)
        sensor = PinnedTableSensor(directory)
        now = _scanned(sensor, 0, 30)
        bpffs.unpin(path)
        bpffs.pin(path, SIX, 2048, 7)
        now = _scanned(sensor, now, 30)
        assert _read(sensor, now, c.CONNTRACK_ENTRIES) == {"cilium:cilium_ct6_global": 7}
        assert _read(sensor, now, c.CONNTRACK_LIMIT) == {"cilium:cilium_ct6_global": 2048}
        bpffs.unpin(path)
        now = _scanned(sensor, now, 30)
        assert _read(sensor, now, c.CONNTRACK_ENTRIES) == {}

    bpffs.inside(work)


def test_without_cilium_there_is_no_series_and_no_error(tmp_path: pathlib.Path) -> None:
    """Neither a directory that is not there nor an empty one is worth a word."""
    for directory in (tmp_path / "nothing", tmp_path):
        sensor = PinnedTableSensor(directory)
        now = _scanned(sensor, 0, 60)
        readings = Readings()
        sensor.read(readings, now)
        assert not readings.numbers


def test_what_is_no_table_is_an_error_and_the_others_are_counted() -> None:
    """A file of that name, a map of another kind: each named once a round, never a number."""

    def work(directory: pathlib.Path) -> None:
        bpffs.pin(directory / "cilium_ct4_global", MapShape(ARRAY, 4, 8), 16, 0)
        bpffs.pin(directory / "cilium_ct6_global", SIX, 64, 11)
        sensor, failures, now = PinnedTableSensor(directory), list[int | None](), 0.0
        while now < 60:
            try:
                sensor.scan(now)
            except OSError as error:
                failures.append(error.errno)
            now += 0.5
        assert set(failures) == {errno.EINVAL}
        assert len(failures) <= 5
        assert _read(sensor, now, c.CONNTRACK_ENTRIES) == {"cilium:cilium_ct6_global": 11}

    bpffs.inside(work)


@pytest.mark.parametrize("shape", [MapShape(HASH, 14, 56), FOUR, MapShape(PERCPU_HASH, 14, 56)])
def test_a_large_map_is_counted_exactly(shape: MapShape) -> None:
    """100,000 entries in batches, of every kind of hash."""
    capacity = 400_000
    made = BpfMap.create("netsre_test", shape, capacity)
    try:
        bpffs.fill(made, 100_000)
        began = time.thread_time()
        counted = pinned.count(made, 10)
        # A figure for whoever reads; how fast is no claim of this test.
        sys.stdout.write(f"{counted} entries in {time.thread_time() - began:.3f} s\n")
        with pytest.raises(TimeoutError):
            pinned.count(made, -1)
    finally:
        os.close(made.fd)
    assert counted == 100_000


def test_a_bucket_that_is_longer_than_a_batch_is_asked_for_again() -> None:
    """A map of one entry in a batch of one has buckets with more than that."""
    made = BpfMap.create("netsre_test", MapShape(HASH, 14, 56), 64)
    try:
        bpffs.fill(made, 64)
        assert pinned.count(made, 10, batch=1) == 64
    finally:
        os.close(made.fd)


@pytest.mark.requires("setpriv")
def test_reading_needs_no_capability_of_the_owner() -> None:
    """Root without a single capability opens root's file, where BPF is closed to the unprivileged or not."""

    def work(directory: pathlib.Path) -> str:
        bpffs.pin(directory / "cilium_ct4_global", FOUR, 64, 23)
        program = (
            "import pathlib, sys; from netsre.adapters.bpf import pinned\n"
            "with pinned.opened(pathlib.Path(sys.argv[1])) as table:\n"
            "    print(pinned.count(table, 5), table.capacity)"
        )
        path = str(directory / "cilium_ct4_global")
        nothing = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        return bpffs.output([*nothing, sys.executable, "-c", program, path])

    assert bpffs.inside(work) == "23 64\n"


def test_the_agent_serves_pinned_tables_where_it_is_told_that_they_are() -> None:
    """Over the wire, with the labels of every other table."""

    def work(directory: pathlib.Path) -> float:
        bpffs.pin(directory / "cilium_ct_any4_global", FOUR, 128, 32)
        agent = start("--pinned-tables", str(directory))
        try:
            labels = (("netns", "host"), ("table", "cilium:cilium_ct_any4_global"))
            assert wait_until(lambda: (c.CONNTRACK_UTILIZATION, labels) in agent.samples())
            return agent.samples()[(c.CONNTRACK_UTILIZATION, labels)]
        finally:
            agent.stop(signal.SIGTERM)

    assert bpffs.inside(work) == 0.25
