"""`make soak`: netsre in its lab, killed again and again at random moments on one data directory.

After every death: the survivors end or recover by themselves, a sweep leaves nothing, and the database is
whole. The result goes to docs/soak.md with its date; the exit code is 1 when any round failed. Rounds and
seed: `make soak SOAK_ARGS="--rounds 200 --seed 7"`.
"""

import argparse
import contextlib
import datetime
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.clock import SystemClock, rfc3339

_PAGE: Final = Path(__file__).parent.parent / "docs" / "soak.md"
_NAMESPACES: Final = Path("/run/netns")
_START_SECONDS: Final = 60.0
_END_SECONDS: Final = 15.0
_NETSRE: Final = (sys.executable, "-m", "netsre")
_VICTIMS: Final = ("up", "agent", "controller")


class Broken(Exception):
    """What should have held after a death did not."""


@dataclass(frozen=True, slots=True)
class Running:
    """One `netsre up --lab`."""

    process: subprocess.Popen[bytes]
    controller_port: int
    agent_port: int

    def ready(self) -> bool:
        """Say whether both halves answer that they are ready."""
        return all(_answers(port) for port in (self.controller_port, self.agent_port))

    def pid_of(self, command: str) -> int:
        """Return the process id of a child by its command (`agent`, `controller`)."""
        for pid in self.children():
            words = _command_line(pid)
            if command in words:
                return pid
        raise Broken(f"no {command} among the children of netsre up")

    def children(self) -> list[int]:
        """Return the process ids of all children now."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(OSError):
            return [int(pid) for pid in path.read_text(encoding="ascii").split()]
        return []


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _command_line(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _wait(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _up(data_dir: Path) -> Iterator[Running]:
    controller_port, agent_port = _free_port(), _free_port()
    listen = ("--listen", f"127.0.0.1:{controller_port}", "--agent-listen", f"127.0.0.1:{agent_port}")
    command = [*_NETSRE, "up", "--lab", "--data-dir", str(data_dir), *listen]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Running(process, controller_port, agent_port)
        finally:
            process.kill()


def one_round(data_dir: Path, dice: random.Random) -> str:
    """Start, kill one part at a random moment, and check everything that must hold; return who was killed."""
    victim = dice.choice(_VICTIMS)
    with _up(data_dir) as running:
        if dice.random() < 0.7:
            _wait("ready after the start", _START_SECONDS, running.ready)
        time.sleep(dice.uniform(0.0, 6.0))
        if victim == "up":
            running.process.kill()
        else:
            _wait("a child to kill", _START_SECONDS, lambda: _has(running, victim))
            os.kill(running.pid_of(victim), signal.SIGKILL)
            _wait(f"ready again without its {victim}", _START_SECONDS, running.ready)
        children = running.children()
        ending = "SIGKILL" if victim == "up" else dice.choice(["SIGKILL", "SIGTERM"])
        running.process.send_signal(signal.Signals[ending])
        running.process.wait(timeout=_END_SECONDS)
        _wait("every child to end", _END_SECONDS, lambda: not any(map(_is_ours, children)))
    _check_nothing_left(running.process.pid)
    _check_database(data_dir)
    return f"{victim}, then {ending}"


def _has(running: Running, command: str) -> bool:
    return any(command in _command_line(pid) for pid in running.children())


def _is_ours(pid: int) -> bool:
    return any("netsre" in word for word in _command_line(pid))


def _check_nothing_left(owner: int) -> None:
    subprocess.run([*_NETSRE, "gameday", "sweep"], check=True, stdout=subprocess.DEVNULL)
    left = [entry.name for entry in _NAMESPACES.glob(f"netsre-*-{owner}-*")]
    if left:
        raise Broken(f"namespaces left after a sweep: {', '.join(left)}")


def _check_database(data_dir: Path) -> None:
    if not (data_dir / "netsre.db").exists():
        return
    command = [*_NETSRE, "db", "check", "--data-dir", str(data_dir), "--json"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise Broken(f"db check: {checked.stdout.strip() or checked.stderr.strip()}")
    json.loads(checked.stdout)


def _report(results: Counter[str], failures: list[str], seed: int, seconds: float) -> str:
    rows = "\n".join(f"| {who} | {count} |" for who, count in sorted(results.items()))
    listed = "\n".join(f"- {failure}" for failure in failures) or "None."
    day = rfc3339(SystemClock().now())[:10]
    return f"""# Soak

Written by `make soak` on {day}; seed {seed}, {sum(results.values()) + len(failures)} rounds in \
{datetime.timedelta(seconds=round(seconds))}. Do not edit.

Each round starts `netsre up --lab` on the same data directory, kills one process with SIGKILL at a random
moment, and then ends the rest. It holds when killed halves are replaced and ready, every child ends, a sweep
leaves no namespace, and the database and its audit chain are whole.

| killed, and how the rest ended | rounds that held |
|---|---|
{rows}

## Rounds that did not hold

{listed}
"""


def main() -> int:
    """Run the rounds, print progress, write the page; return 1 when any round failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    # A soak that is ended ends its netsre too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    dice = random.Random(options.seed)  # noqa: S311  # repeatable, not secret
    results, failures = Counter[str](), []
    directory = Path(tempfile.mkdtemp(prefix="netsre-soak-"))
    directory.chmod(0o755)
    began = time.monotonic()
    try:
        for number in range(1, options.rounds + 1):
            try:
                results[one_round(directory / "data", dice)] += 1
            except (Broken, subprocess.SubprocessError) as error:
                failures.append(f"round {number}: {error}")
                print(failures[-1], flush=True)
            print(f"round {number}/{options.rounds}: {len(failures)} failed", flush=True)
            _PAGE.write_text(
                _report(results, failures, options.seed, time.monotonic() - began), encoding="utf-8"
            )
    finally:
        shutil.rmtree(directory)
    print(f"wrote {_PAGE}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
