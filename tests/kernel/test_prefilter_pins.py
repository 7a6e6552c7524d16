"""Names in a BPF file system that a datapath goes by: there as a whole, or not at all."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from netsre.adapters.bpf import syscalls
from netsre.adapters.bpf.pins import Place
from netsre.adapters.bpf.syscalls import BpfMap, MapShape
from tests.kernel import bpffs

pytestmark = [pytest.mark.requires("root", "bpf")]

_MAPS: Final = ("one", "two", "three")
_CLEARED: Final = """
import os, pathlib, signal, sys
from netsre.adapters.bpf.pins import Place

left = int(sys.argv[2])

def die(event, arguments):
    global left
    if event in ("os.remove", "os.rmdir"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
Place(pathlib.Path(sys.argv[1]), "datapath", "begin anew").clear()
"""


def test_whoever_is_killed_while_taking_away_leaves_room_for_another_one() -> None:
    """Before each of its steps: what is there is whole, or nothing is and another one can be made."""

    def work(directory: Path) -> list[bool]:
        place = Place(directory / "datapath", "datapath", "begin anew")
        whole: list[bool] = []
        for step in itertools.count():
            if not place.is_there():
                _make(place)
            code = [sys.executable, "-c", _CLEARED, str(place.directory), str(step)]
            done = subprocess.run(code, check=False)
            assert done.returncode in {0, -signal.SIGKILL}
            if done.returncode == 0:
                assert not place.directory.exists()
                return whole
            whole.append(not place.is_there() or {one.name for one in place.maps.iterdir()} == {*_MAPS})
        raise AssertionError

    whole = bpffs.inside(work)
    assert len(whole) > len(_MAPS)
    assert all(whole)


def _make(place: Place) -> None:
    made = [BpfMap.create(f"netsre_{name}", MapShape(syscalls.ARRAY, 4, 4), 1) for name in _MAPS]
    try:
        place.make({name: each.fd for name, each in zip(_MAPS, made, strict=True)}, {})
    finally:
        for each in made:
            os.close(each.fd)
