"""One `netsre up --lab` as a campaign starts, kills and checks it; everything is seen from outside."""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.machine import free_port

NETSRE: Final = (sys.executable, "-P", "-m", "netsre")
START_SECONDS: Final = 60.0
END_SECONDS: Final = 15.0
_NAMESPACES: Final = Path("/run/netns")
_PROC: Final = Path("/proc")


class Broken(Exception):
    """What should have held after a death did not."""


@dataclass(frozen=True, slots=True)
class Running:
    """One `netsre up --lab`."""

    process: subprocess.Popen[bytes]
    controller_port: int
    agent_port: int
    data_dir: Path

    @property
    def url(self) -> str:
        """Where its controller serves."""
        return f"http://127.0.0.1:{self.controller_port}"

    def ready(self) -> bool:
        """Say whether both halves answer that they are ready."""
        return all(_answers(port) for port in (self.controller_port, self.agent_port))

    def get(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Return what its controller answers to a path; None when it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.controller_port}{path}", timeout=5) as reply:
                return json.loads(reply.read())
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def pids_of(self, word: str) -> list[int]:
        """Return the process ids of this lab, whatever generation, that have a word in their command line."""
        mark = f"-{self.process.pid}-"
        return [pid for pid in processes() if word in command_line(pid) and _belongs(pid, mark)]

    def pid_of(self, word: str) -> int:
        """Return the oldest process with a word in its command line; raises `Broken` without one."""
        found = self.pids_of(word)
        if not found:
            raise Broken(f"no {word} among the processes of netsre up")
        return found[0]


def processes() -> list[int]:
    """Return the ids of all processes, oldest first."""
    return sorted(int(path.name) for path in _PROC.iterdir() if path.name.isdecimal())


def command_line(pid: int) -> list[str]:
    """Return the words with which a process was started; none when it is gone."""
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    return []


def _belongs(pid: int, mark: str) -> bool:
    """Tell by the owner that every process of a lab carries in its environment."""
    with contextlib.suppress(OSError):
        return mark.encode() in (_PROC / str(pid) / "environ").read_bytes()
    return False


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    """Wait until something holds; raises `Broken` when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Broken(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


@contextlib.contextmanager
def up(data_dir: Path, *more: str) -> Iterator[Running]:
    """Start one, and kill it if nobody ended it."""
    controller_port, agent_port = free_port(), free_port()
    listen = ("--listen", f"127.0.0.1:{controller_port}", "--agent-listen", f"127.0.0.1:{agent_port}")
    command = [*NETSRE, "up", "--lab", "--data-dir", str(data_dir), *listen, *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield Running(process, controller_port, agent_port, data_dir)
        finally:
            process.kill()


def check_nothing_left(running: Running) -> None:
    """Raise `Broken` when a process, or after a sweep a namespace, of a lab that ended is still there."""
    owner = running.process.pid
    mark = f"-{owner}-"
    wait("every process to end", END_SECONDS, lambda: not any(_belongs(pid, mark) for pid in processes()))
    subprocess.run([*NETSRE, "gameday", "sweep"], check=True, stdout=subprocess.DEVNULL)
    left = [entry.name for entry in _NAMESPACES.glob(f"netsre-*-{owner}-*")]
    if left:
        raise Broken(f"namespaces left after a sweep: {', '.join(left)}")


def check_database(data_dir: Path) -> None:
    """Raise `Broken` unless the database and its audit chain are whole."""
    if not (data_dir / "netsre.db").exists():
        return
    command = [*NETSRE, "db", "check", "--data-dir", str(data_dir), "--json"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if checked.returncode != 0:
        raise Broken(f"db check: {checked.stdout.strip() or checked.stderr.strip()}")
    json.loads(checked.stdout)
