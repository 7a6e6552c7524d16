"""Children that keep ending: who ends everything, who is tried for ever, and what is said of it."""

import itertools
import math
import os
import pathlib
import signal
import sys
from collections.abc import Iterator

import pytest

from netsre.adapters import children, processes
from netsre.adapters.children import Child
from netsre.app.local.supervise import MOST_FAILURES, STEADY_AFTER, Program, Supervisor
from netsre.errors import EnvironmentUnfit
from tests.machine import wait_until

ENDS = (sys.executable, "-S", "-c", "print('no luck')")
STAYS = (sys.executable, "-S", "-c", "import time; time.sleep(600)")


class Watched:
    """A supervisor, the time as this test sets it, and what was said."""

    def __init__(self) -> None:
        """Begin without a child."""
        self.said: list[str] = []
        self.now = 1_000.0
        self.supervisor = Supervisor(processes.this_process(), "test", self.said.append)

    def pid(self, name: str) -> int | None:
        """Return the process id of a child; None between two of its lives."""
        return next((child.pid for child in self.supervisor if child.name == name), None)

    def let_end(self, name: str) -> None:
        """Wait until a child has ended, and have it noticed."""
        child = next(child for child in self.supervisor if child.name == name)
        assert wait_until(lambda: child.exit_code is not None, 30)
        self.supervisor.watch(self.now)

    def after(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.supervisor.watch(self.now)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """Yield a supervisor, and end its children."""
    made = Watched()
    yield made
    made.supervisor.stop(lambda: True)


def test_a_part_that_keeps_ending_is_tried_for_ever_and_said_once(watched: Watched) -> None:
    """The other part goes on; after the fifth end there is one line, and then silence about it."""
    watched.supervisor.start(Program("other", STAYS))
    other = watched.pid("other")
    watched.supervisor.start(Program("part", ENDS))
    for number in range(2 * MOST_FAILURES):
        watched.let_end("part")
        assert watched.pid("part") is None
        watched.after(29.9 if number + 1 >= MOST_FAILURES else 8)
        if number + 1 >= MOST_FAILURES:
            assert watched.pid("part") is None
            watched.after(0.1)
        assert watched.pid("part") is not None

    pauses = [line.rpartition("; ")[2] for line in watched.said if " ended: " in line]
    assert pauses == [
        *(f"starting it again in {seconds} s" for seconds in (1, 2, 4, 8)),
        "still trying every 30 s",
    ]
    assert [line for line in watched.said if "keeps ending" in line] == watched.said[-1:]
    assert "last words: no luck" in watched.said[-1]
    assert watched.pid("other") == other


def test_a_part_that_kept_ending_and_runs_again_is_said_to(watched: Watched, tmp_path: pathlib.Path) -> None:
    """Not with its start, which proves nothing, but once it has run for a while."""
    repaired = tmp_path / "repaired"
    script = f"import os, time; os.path.exists({str(repaired)!r}) and time.sleep(600)"
    watched.supervisor.start(Program("part", (sys.executable, "-S", "-c", script)))
    for _ in range(MOST_FAILURES - 1):
        watched.let_end("part")
        watched.after(8)
    watched.let_end("part")
    repaired.touch()
    watched.after(30)
    pid = watched.pid("part")
    watched.after(STEADY_AFTER - 1)
    assert "keeps ending" in watched.said[-1]

    watched.after(1)
    assert watched.said[-1] == f"part: runs again, pid {pid}"
    watched.after(1)
    assert [line for line in watched.said if "runs again" in line] == watched.said[-1:]


def test_an_essential_part_that_keeps_ending_ends_everything(watched: Watched) -> None:
    """The fifth end in five minutes is an error that repeats its last words."""
    watched.supervisor.start(Program("part", ENDS, essential=True))
    for _ in range(MOST_FAILURES - 1):
        watched.let_end("part")
        watched.after(8)
    with pytest.raises(EnvironmentUnfit, match=r"last words: no luck; it was the 5th time .*, giving up"):
        watched.let_end("part")


def test_whoever_does_not_hear_the_wish_to_end_is_ended_as_soon_as_patience_is_over() -> None:
    """Patience is asked for again and again: one without end, cut short meanwhile, ends the child."""
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(600)"
    )
    child = Child("deaf", (sys.executable, "-S", "-u", "-c", script), os.environ, lambda: None)
    assert wait_until(lambda: child.lines() == ["deaf"])
    patience = itertools.chain([math.inf] * 20, itertools.repeat(0.0))
    children.stop([child], lambda: next(patience), lambda _: None)

    assert child.exit_code == -signal.SIGKILL
    child.close()
