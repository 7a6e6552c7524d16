"""Maps of everybody against maps that the test made and filled itself, and what procfs says of them."""

import contextlib
import ctypes
import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netsre import conventions as c
from netsre.adapters import exposition
from netsre.adapters.bpf import syscalls
from netsre.app.sensors.maps import MapSensor
from netsre.datapath.maps import MOST_SERIES
from netsre.metrics.readings import Readings
from tests.kernel import beyond
from tests.kernel.agent_process import running
from tests.kernel.map_holder import holding, make
from tests.machine import PATIENCE, wait_until

_HASH, _ARRAY, _PERCPU_HASH, _PERCPU_ARRAY, _LRU, _LPM, _RING = 1, 2, 5, 6, 9, 11, 27
_OWNER = "maps-test"
_ROUND = 4 * PATIENCE
"""Seconds until all maps and processes of a busy machine were looked at, a millisecond at a time."""
_PIN = 6
"""The bpf(2) command that gives a map a file."""


class _Clock:
    """A sensor, and a clock of its own that makes everything due without waiting for it."""

    def __init__(self, slice_seconds: float = 0.2) -> None:
        self.sensor = MapSensor(beyond.inventory(), slice_seconds)
        self.now = 1000.0

    def read(self) -> Readings:
        self.now += 60.0
        self.sensor.scan(self.now)
        readings = Readings()
        self.sensor.read(readings, self.now)
        return readings

    def values(self, metric: str, owner: str) -> dict[str, float]:
        readings = self.read()
        return {
            labels["map"]: value for labels, value in readings.numbers[metric] if labels["owner"] == owner
        }

    def until(self, condition: Callable[[], bool]) -> bool:
        return wait_until(condition, _ROUND)


def test_every_kind_is_counted_as_far_as_it_can_be() -> None:
    """Entries to the last one, capacity, and a pressure where something can fill up."""
    maps = (
        *(f"t_hash:{_HASH}:1000:777", f"t_percpu:{_PERCPU_HASH}:500:123", f"t_lru:{_LRU}:4096:1000"),
        *(f"t_trie:{_LPM}:300:99", f"t_array:{_ARRAY}:64:0", f"t_slots:{_PERCPU_ARRAY}:8:0"),
        *(f"t_ring:{_RING}:4096:0", f"t_empty:{_HASH}:10:0", f"t_full:{_HASH}:10:10"),
    )
    clock = _Clock()
    with holding(_OWNER.encode(), *maps):
        assert clock.until(lambda: len(clock.values(c.BPF_MAP_ENTRIES, _OWNER)) == 8)
        entries = clock.values(c.BPF_MAP_ENTRIES, _OWNER)
        capacity = clock.values(c.BPF_MAP_CAPACITY, _OWNER)
        pressure = clock.values(c.BPF_MAP_PRESSURE, _OWNER)
        exhaustion = clock.values(c.BPF_MAP_EXHAUSTION, _OWNER)

    assert entries == {
        "t_hash": 777,
        "t_percpu": 123,
        "t_lru": 1000,
        "t_trie": 99,
        "t_empty": 0,
        "t_full": 10,
        "t_array": 64,
        "t_slots": 8,
    }
    assert capacity == {
        "t_hash": 1000,
        "t_percpu": 500,
        "t_lru": 4096,
        "t_trie": 300,
        "t_empty": 10,
        "t_full": 10,
        "t_array": 64,
        "t_slots": 8,
    }
    assert pressure == pytest.approx(
        {"t_hash": 0.777, "t_percpu": 0.246, "t_lru": 1000 / 4096, "t_trie": 0.33, "t_empty": 0, "t_full": 1}
    )
    assert exhaustion == {name: share for name, share in pressure.items() if name != "t_lru"}


def test_memory_is_what_procfs_says_of_the_holders_descriptors() -> None:
    """Of every map, a ring buffer too, read by the test from the holder's own files."""
    maps = (f"t_hash:{_HASH}:1000:7", f"t_ring:{_RING}:8192:0", f"t_slots:{_PERCPU_ARRAY}:8:0")
    clock = _Clock()
    with holding(_OWNER.encode(), *maps) as process:
        expected = sorted(
            int(found[1])
            for file in Path(f"/proc/{process.pid}/fdinfo").iterdir()
            if "map_id" in (text := file.read_text(encoding="ascii"))
            and (found := re.search(r"^memlock:\s*(\d+)$", text, re.MULTILINE))
        )
        assert clock.until(lambda: len(clock.values(c.BPF_MAP_MEMORY, _OWNER)) == 3)
        memory = clock.values(c.BPF_MAP_MEMORY, _OWNER)

    assert sorted(memory.values()) == expected
    assert len(expected) == 3


def test_maps_of_one_name_and_owner_are_one_series_with_the_pressure_of_the_fullest() -> None:
    """Sums of what adds up; the full one is not hidden by the empty one."""
    maps = (f"t_same:{_HASH}:10:10", f"t_same:{_HASH}:990:0")
    clock = _Clock()
    with holding(_OWNER.encode(), *maps):
        assert clock.until(lambda: clock.values(c.BPF_MAP_CAPACITY, _OWNER) == {"t_same": 1000})
        assert clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, _OWNER) == {"t_same": 10})
        assert clock.values(c.BPF_MAP_PRESSURE, _OWNER) == {"t_same": 1.0}


def test_a_map_that_fills_up_is_counted_again_and_one_that_is_gone_disappears() -> None:
    """The number follows the map, and ends with it: our looking at it keeps nothing alive."""
    clock = _Clock()
    mine = make("t_grows", _HASH, 100, 40)
    with contextlib.closing(os.fdopen(mine, "rb")):
        assert clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, c.OWNER).get("t_grows") == 40)
        assert clock.values(c.BPF_MAP_ENTRIES, c.OWNER)["t_grows"] == 40
    assert clock.until(lambda: "t_grows" not in clock.values(c.BPF_MAP_MEMORY, c.OWNER))


@pytest.mark.parametrize(
    ("command", "owner"),
    [
        (b'a"b\\c\nd', 'a"b\\c\\x0ad'),
        (b"\xff\xfe\x1b[31m", "\\xff\\xfe\\x1b[31m"),
        (b"netsre", "comm:netsre"),
        (b"~other", "comm:~other"),
    ],
)
def test_hostile_command_names_are_labels_that_say_no_more_than_they_are(command: bytes, owner: str) -> None:
    """Escaped where not printable, behind a prefix where they could be taken for ours, on one line."""
    clock = _Clock()
    with holding(command, f"t_hostile:{_HASH}:10:3"):
        # Others of this name may have maps of their own.
        assert clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, owner).get("t_hostile") == 3)
        body, _ = exposition.render(clock.read(), "")

    text = body.decode()
    lines = [line for line in text.splitlines() if "t_hostile" in line and c.BPF_MAP_ENTRIES in line]
    assert len(lines) == 1
    assert lines[0].endswith(" 3.0")
    assert "\x1b" not in text


def test_ten_thousand_short_lived_processes_neither_stop_nor_slow_the_agent() -> None:
    """While they come and go, an owner is found all the same, and one scan never takes long."""
    clock = _Clock(slice_seconds=0.01)
    # Bounded twice: by their number, and by the end of the block.
    forks = "import os\nfor _ in range(10000):\n if not (p := os.fork()): os._exit(0)\n os.waitpid(p, 0)"
    with (
        subprocess.Popen([sys.executable, "-c", forks]) as churn,
        holding(_OWNER.encode(), f"t_churn:{_HASH}:50:20"),
    ):
        found = clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, _OWNER) == {"t_churn": 20})
        scans = 0
        while churn.poll() is None:
            clock.read()
            scans += 1
        status = churn.wait()
        after = clock.values(c.BPF_MAP_ENTRIES, _OWNER)

    assert found
    assert status == 0
    assert scans > 0
    assert after == {"t_churn": 20}


def test_maps_that_come_faster_than_anybody_can_look_hide_no_other() -> None:
    """One process makes and drops hundreds a second, another has one: it is seen, and counted."""
    churn = (
        "import os, collections, itertools; from tests.kernel.map_holder import make\n"
        "alive = collections.deque()\n"
        "for n in itertools.count():\n"
        "    alive.append(make(f't_flood_{n % 1000}', 1, 2, 0))\n"
        "    if n >= 300: os.close(alive.popleft())\n"
        "    if n == 1000: print(flush=True)"
    )
    clock = _Clock(slice_seconds=0.001)
    with subprocess.Popen([sys.executable, "-c", churn], stdout=subprocess.PIPE) as flood:
        try:
            assert flood.stdout is not None
            flood.stdout.readline()
            with holding(_OWNER.encode(), f"t_beside:{_HASH}:50:20"):
                found = clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, _OWNER) == {"t_beside": 20})
        finally:
            flood.kill()

    assert found


def test_more_maps_than_series_are_folded_with_nothing_lost() -> None:
    """Beyond the bound the rest is one series; memory and capacity of all add up to what there is."""
    count = MOST_SERIES + 20
    with contextlib.ExitStack() as stack:
        for number in range(count):
            stack.callback(os.close, make(f"t_many_{number}", _HASH, 2, 1))
        clock = _Clock(slice_seconds=1.0)
        assert clock.until(lambda: len(clock.read().numbers[c.BPF_MAP_MEMORY]) == MOST_SERIES + 1)
        readings = clock.read()

    shown = {
        (labels["map"], labels["owner"]): value for labels, value in readings.numbers[c.BPF_MAP_CAPACITY]
    }
    assert (c.OTHER, c.OTHER) in shown
    assert len(readings.numbers[c.BPF_MAP_MEMORY]) == MOST_SERIES + 1
    states = sum(value for _, value in readings.numbers[c.BPF_MAPS])
    assert states >= count


@pytest.mark.requires("setpriv")
def test_without_the_capability_it_says_so_and_nothing_breaks() -> None:
    """The kernel's refusal is a reading with its reason."""
    look = (
        "from netsre.app.inventory.client import Inventory; from netsre.app.sensors.maps import MapSensor\n"
        "from netsre.metrics.readings import Readings\n"
        "s, r = MapSensor(Inventory.start()), Readings(); s.scan(1.0); s.scan(9.0); s.read(r, 9.0)\n"
        "print([(dict(l), v) for l, v in r.numbers['netsre_agent_probe_up']])"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", sys.executable, "-c", look],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("[({'probe': 'maps', 'reason': 'not_permitted'}, 0)]\n", "")


def test_a_map_that_only_a_program_holds_is_its_holders() -> None:
    """The process gave its descriptor of the map away, and has the program."""
    clock = _Clock()
    with holding(_OWNER.encode(), f"t_used:{_HASH}:10:6:used"):
        assert clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, _OWNER) == {"t_used": 6})


def test_a_map_that_only_a_file_holds_is_of_its_directory(tmp_path: Path) -> None:
    """No process has it: the place in the BPF file system says whose it is."""
    subprocess.run(["mount", "-t", "bpf", "netsre-test", str(tmp_path)], check=True)
    try:
        (tmp_path / "tc" / "globals").mkdir(parents=True)
        mine = make("t_pinned", _HASH, 10, 5)
        _pin(mine, tmp_path / "tc" / "globals" / "t_pinned")
        os.close(mine)
        clock = _Clock()
        found = clock.until(lambda: clock.values(c.BPF_MAP_ENTRIES, "pinned:tc/globals") == {"t_pinned": 5})
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)

    assert found


def _pin(fd: int, path: Path) -> None:
    name = ctypes.create_string_buffer(os.fsencode(path))
    packed = struct.pack("<QII", ctypes.addressof(name), fd, 0)
    syscalls.bpf(_PIN, ctypes.create_string_buffer(packed, len(packed)))


def test_the_agent_serves_maps_of_others_and_ours_once() -> None:
    """On the wire: another process's map with its owner, and no series of ours twice."""
    with holding(_OWNER.encode(), f"t_wire:{_HASH}:10:4"), running() as agent:
        labels = (("map", "t_wire"), ("owner", _OWNER))
        assert wait_until(lambda: agent.samples().get((c.BPF_MAP_ENTRIES, labels)) == 4, _ROUND)
        _, text = agent.get("/metrics")
        agent.stop(signal.SIGTERM)

    ours = [line.rpartition(" ")[0] for line in text.splitlines() if 'owner="netsre"' in line]
    assert len(ours) == len(set(ours))
    assert any('map="attempts"' in line for line in ours)
