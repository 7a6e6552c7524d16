"""Drills in which something is killed, or stopped for a while, at a stage of its own."""

import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from bench.lab_process import (
    END_SECONDS,
    NETSRE,
    START_SECONDS,
    Broken,
    Running,
    check_database,
    check_nothing_left,
    up,
    wait,
)
from netsre.runbook.journal import NOT_APPLIED
from tests.kernel.programs import held_by_others, ids_of_our_kind

ABOUT: Final = """\
Each round runs `conntrack-flood` in a lab of its own and, at one stage of it, kills a process with SIGKILL or
stops the agent for some seconds. It holds when the drill comes to an end with a word for it, no process
floods after that, no effect was made twice, the limit of the connection tables is as before, no program that
blocks is left in the kernel, and everything holds that holds for starts."""

_VICTIMS: Final = ("agent", "controller", "up", "client", "worker", "command", "agent stopped")
_STAGES: Final = ("requested", "injected", "beyond", "detected", "mitigated", "verified")
_LIMIT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_PROFILE: Final = "udp"
_OVER_SECONDS: Final = 300.0
_STAGE_SECONDS: Final = 60.0
_GAMEDAYS: Final = "/api/v1/gamedays"
_BLOCKS: Final = "block_"


class Drills:
    """Rounds in random order: every victim at every stage once, before any comes again."""

    def __init__(self) -> None:
        """Begin with all of them."""
        self._left: list[tuple[str, str]] = []

    def __call__(self, directory: Path, dice: random.Random) -> str:
        """Run the next one; return how it went."""
        if not self._left:
            self._left = list(itertools.product(_VICTIMS, _STAGES))
            dice.shuffle(self._left)
        return _one_drill(directory, dice, *self._left.pop())


def _one_drill(directory: Path, dice: random.Random, victim: str, stage: str) -> str:
    """Run a drill, kill somebody at a stage, and check everything that must hold; return how it went."""
    data_dir = directory / "drill"
    shutil.rmtree(data_dir, ignore_errors=True)
    limit = _LIMIT.read_text(encoding="ascii")
    what = f"{victim} at {stage}"
    try:
        _check_alone()
        with up(data_dir) as running:
            ended = _drill(running, victim, stage, dice)
            if running.process.poll() is None:
                running.process.send_signal(dice.choice([signal.SIGTERM, signal.SIGKILL]))
            running.process.wait(timeout=END_SECONDS)
        check_nothing_left(running)
        _check_host(limit)
        _check_effects(data_dir)
        check_database(data_dir)
    except Broken as error:
        raise Broken(f"{what}: {error}") from error
    return f"{what}: {ended}"


def _check_alone() -> None:
    """Raise `Broken` beside another lab: the host has one limit for all tables, and it changes that."""
    others = sorted(place.name for place in Path("/run/netns").glob("netsre-*"))
    if others:
        raise Broken(f"not alone on this host: {', '.join(others)}")


def _drill(running: Running, victim: str, stage: str, dice: random.Random) -> str:
    """Return the end of a drill, `-` when nobody was left to say."""
    wait("ready and measuring", START_SECONDS, lambda: _may_begin(running))
    command = [*NETSRE, "gameday", "run", "conntrack-flood", "--controller", running.url]
    where = ["--data-dir", str(running.data_dir), "--profile", _PROFILE]
    with subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as person:
        try:
            drill = _wait_for(running, stage)
            time.sleep(dice.uniform(0.0, 1.0))
            _strike(running, person, victim, dice)
            if victim == "up":
                return "-"
            return _end_of(running, drill)
        finally:
            person.kill()


def _may_begin(running: Running) -> bool:
    """Tell whether the lab's own table was measured: a drill does not begin blind."""
    levels = running.get("/api/v1/slos") or {"slos": []}
    mark = f"-{running.process.pid}-"
    return running.ready() and any(
        level["name"] == "conntrack-headroom" and mark in level["group"].get("netns", "") and level["total"]
        for level in levels["slos"]
    )


def _newest(running: Running) -> dict[str, Any] | None:
    listed = running.get(_GAMEDAYS)
    return listed["runs"][0] if listed and listed["runs"] else None


def _wait_for(running: Running, stage: str) -> str:
    """Wait until a drill has come so far, or is over; return its name."""

    def reached() -> bool:
        drill = _newest(running)
        return drill is not None and bool(stage == "requested" or drill[f"{stage}_at"] or drill["ended_at"])

    wait(f"the drill to be {stage}", _STAGE_SECONDS, reached)
    drill = _newest(running)
    if drill is None:
        raise Broken("the drill is gone")
    if drill["state"] == "refused":
        raise Broken(f"refused: {drill['reason']} {drill['detail']}")
    return str(drill["id"])


def _strike(running: Running, person: subprocess.Popen[bytes], victim: str, dice: random.Random) -> None:
    match victim:
        case "up":
            running.process.kill()
        case "command":
            person.kill()
        case "client":
            os.kill(running.pid_of("noisy"), signal.SIGKILL)
        case "worker":
            # The youngest of the noisy client's generations; without a flood that is its launcher.
            os.kill(running.pids_of("noisy")[-1], signal.SIGKILL)
        case "agent stopped":
            agent = running.pid_of("agent")
            os.kill(agent, signal.SIGSTOP)
            time.sleep(dice.uniform(1.0, 9.0))
            with suppress(ProcessLookupError):
                os.kill(agent, signal.SIGCONT)
        case part:
            os.kill(running.pid_of(part), signal.SIGKILL)


def _end_of(running: Running, name: str) -> str:
    found: dict[str, Any] = {}

    def over() -> bool:
        told = running.get(f"{_GAMEDAYS}/{name}")
        found.update(told["drill"] if told else {})
        return bool(found.get("ended_at"))

    wait("the drill to end", _OVER_SECONDS, over)
    # Who commands and who launches stay; a third generation would be flooding.
    wait("the flood to end", END_SECONDS, lambda: len(running.pids_of("noisy")) <= 2)
    if not found["reason"]:
        raise Broken(f"the drill ended {found['state']} without a reason")
    if found["host_restored"] is False:
        raise Broken(f"the drill ended {found['state']} and left {found['left_behind']}")
    return f"{found['state']} ({found['reason']})"


def _check_host(limit: str) -> None:
    if _LIMIT.read_text(encoding="ascii") != limit:
        raise Broken(f"the limit of the connection tables is {_LIMIT.read_text(encoding='ascii').strip()}")
    wait(
        "the kernel to free what blocked",
        END_SECONDS,
        lambda: not ids_of_our_kind(_BLOCKS) - held_by_others(),
    )


def _check_effects(data_dir: Path) -> None:
    """Raise `Broken` when the audit tells of an effect twice, or one was begun again without a look."""
    with closing(sqlite3.connect(data_dir / "netsre.db")) as database:
        audited = database.execute("SELECT verb, subject FROM audit WHERE verb LIKE 'effect.%'").fetchall()
        rows = database.execute("SELECT run, step, kind, data FROM journal ORDER BY run, seq").fetchall()
    twice = [row for row, count in Counter(audited).items() if count > 1]
    meant = set()
    for run, step, kind, text in rows:
        data = json.loads(text)
        if kind == "intent" and "effect" in data:
            if (run, step) in meant:
                twice.append((run, step))
            meant.add((run, step))
        elif kind == "outcome" and data.get("reason") == NOT_APPLIED:
            meant.discard((run, step))
    if twice:
        raise Broken(f"done twice: {twice}")
