"""The drill of all drills: a table is really filled, and found, paged, healed and left as it was."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from netsre import clock
from netsre.adapters import namespaces
from netsre.app import rundir
from netsre.app.local.sweep import sweep
from netsre.gameday import ownership
from tests.machine import LIMIT, PATIENCE, alone_with_limit, free_port, wait_until

pytestmark = [
    pytest.mark.requires("root", "bpf", "btf", "bcc", "netns", "nft", "prometheus-alertmanager"),
]

NAME: Final = "conntrack-flood"


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """Let no other run raise the limit of the host: a drill compares it before and after."""
    with alone_with_limit():
        yield


def command(*arguments: str) -> list[str]:
    """Return the command line of a game day in a lab of its own, whatever listens on the usual port."""
    elsewhere = f"http://127.0.0.1:{free_port()}"
    netsre = [sys.executable, "-P", "-m", "netsre", "gameday", "run", NAME]
    return [*netsre, "--lab", "--controller", elsewhere, *arguments]


def left_of(pid: int) -> list[str]:
    """Return what still names a process, or one of its children, as its owner."""
    names = [*namespaces.names(), *(path.name for path in rundir.RUN.glob("*"))]
    return [name for name in names if _owner(name) == pid]


def _owner(name: str) -> int | None:
    parsed = ownership.parse(name)
    return None if parsed is None else parsed.owner.pid


@contextlib.contextmanager
def drill(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a game day in a lab of its own; whatever the test did, nothing of it is left afterwards."""
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        sweep()


def child_of(pid: int) -> int:
    """Return the `netsre up` that a drill has started."""
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    (child,) = text.split()
    return int(child)


def test_the_loop_closes_and_leaves_the_host_as_it_was() -> None:
    """Injected, detected, paged, mitigated, verified, and everything taken back."""
    before = LIMIT.read_text(encoding="ascii")
    done = subprocess.run(command("--json"), capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["state"], told["reason"]) == ("passed", "verified")
    times = [
        clock.parse_rfc3339(told[f"{stage}_at"])
        for stage in ("injected", "detected", "paged", "mitigated", "verified")
    ]
    assert times == sorted(times)
    assert told["alertmanager_received"] is True
    assert told["budget_burned"] > 0
    assert told["fault"]["sent"] > 0
    assert float(told["fault"]["peak_utilization"]) > 0.8
    assert (told["host_restored"], told["left_behind"]) == (True, [])
    assert LIMIT.read_text(encoding="ascii") == before


def test_an_interrupt_ends_the_fault_and_takes_everything_down() -> None:
    """Ctrl-C while the table is being filled: 130, and nothing left."""
    before = LIMIT.read_text(encoding="ascii")
    with drill() as process:
        assert process.stdout is not None
        line = ""
        while not line.startswith("injected"):
            line = process.stdout.readline()
            assert line, "it ended before it began"
        up = child_of(process.pid)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

        assert process.wait(60) == 130, rest
        assert "cleaning up" in rest
        assert left_of(up) + left_of(process.pid) == []
    assert LIMIT.read_text(encoding="ascii") == before


def test_a_drill_that_is_killed_takes_its_lab_with_it() -> None:
    """The kernel tells the lab, which takes itself down; a sweep takes the directory that is left."""
    with drill() as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("injected"):
            time.sleep(0.01)
        up = child_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

        assert wait_until(lambda: not left_of(up), 60)
        sweep()
        assert left_of(process.pid) == []
