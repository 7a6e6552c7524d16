"""A lab for one drill: `netsre up --lab` as a child of this process, and nothing of it left afterwards."""

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from netsre.adapters import children, controller_client, namespaces, privileges, processes
from netsre.adapters.children import Child
from netsre.app import gameday_run, rundir
from netsre.app.gameday_run import Screen, View, Wish
from netsre.app.local import alertmanager
from netsre.app.local.supervise import describe_exit
from netsre.app.privileges import require_root, service_user
from netsre.errors import EnvironmentUnfit
from netsre.gameday import ownership

_LIMIT: Final = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_KIND: Final = "drill"
_READY_SECONDS: Final = 90.0
_TURN_SECONDS: Final = 0.3
_GRACE_SECONDS: Final = 40.0
_SLO: Final = "conntrack-headroom"


@dataclass(frozen=True, slots=True)
class Running:
    """A controller with a lab."""

    url: str
    data_dir: str


@dataclass(frozen=True, slots=True)
class Host:
    """What of this host a lab must leave as it was."""

    limit: str
    """Of the connection tables; empty where nothing tracks connections yet."""

    def left(self, owner: int) -> list[str]:
        """Return what is still there of a process that is gone, and what is not as before."""
        found = [f"namespace {name}" for name in namespaces.names() if _is_of(name, owner)]
        with contextlib.suppress(FileNotFoundError):
            found += [f"directory {path}" for path in rundir.RUN.iterdir() if _is_of(path.name, owner)]
        now = look().limit
        if self.limit and now != self.limit:
            found.append(f"limit {now}, before {self.limit}")
        return found


def look() -> Host:
    """Return what this host is like now."""
    try:
        return Host(_LIMIT.read_text(encoding="ascii").strip())
    except OSError:
        return Host("")


def run(wish: Wish, screen: Screen) -> View:
    """Run a game day in a lab of its own, and return what came of it when the lab is down again."""
    lab = OwnLab(screen.say)
    with lab.running() as running:
        drill = gameday_run.run(running.url, running.data_dir, wish, screen, lab.listen)
    left = lab.left()
    if not left:
        return drill
    worse = {"state": "failed", "reason": "not_restored"} if gameday_run.passed(drill) else {}
    return {**drill, **worse, "host_restored": False, "left_behind": [*(drill["left_behind"] or ()), *left]}


class OwnLab:
    """A lab of its own, from `start` to `stop`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """`say` gets a line for everything a person should know."""
        self._say = say
        self._child: Child | None = None
        self._before = look()

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Start it, wait until it measures, and take it down again, whatever happens meanwhile.

        Raises `EnvironmentUnfit` when it does not come up.
        """
        require_root("netsre gameday run --lab", "to make a lab of its own")
        # Named after this process: should it be killed, the next sweep takes the directory away.
        with rundir.made(processes.this_process(), _KIND, service_user(None)) as directory:
            ports = _free_ports(3)
            url = f"http://127.0.0.1:{ports[0]}"
            self._child = self._start(ports, directory)
            try:
                self._wait(url, self._child)
                yield Running(url, str(directory))
            finally:
                self._say("taking the lab down")
                children.stop([self._child], lambda: _GRACE_SECONDS, lambda _: self.listen())
                self._child.close()

    def left(self) -> list[str]:
        """Return what is left of it after its end, and what of the host is not as before."""
        return [] if self._child is None else self._before.left(self._child.pid)

    def _start(self, ports: Sequence[int], data_dir: Path) -> Child:
        # -P keeps modules of the current directory out of a process that starts as root.
        command = [sys.executable, "-P", "-m", "netsre", "up", "--lab", "--data-dir", str(data_dir)]
        command += ["--listen", f"127.0.0.1:{ports[0]}", "--agent-listen", f"127.0.0.1:{ports[1]}"]
        if alertmanager.installed():
            command += ["--with-alertmanager", "--alertmanager-listen", f"127.0.0.1:{ports[2]}"]
        else:
            self._say(f"without Alertmanager: {alertmanager.PACKAGE} is not installed")
        # What the environment says of another controller is not meant for this one.
        passed_on = {name: value for name, value in os.environ.items() if not name.startswith("NETSRE_")}
        passed_on[processes.OWNER_VARIABLE] = processes.this_process().name(_KIND, "up")
        parent = os.getpid()
        return Child("up", command, passed_on, lambda: privileges.die_with_parent(parent, signal.SIGTERM))

    def _wait(self, url: str, child: Child) -> None:
        """Wait until the lab's own table was measured: a drill does not begin blind."""
        deadline = time.monotonic() + _READY_SECONDS
        self._say("bringing up a lab")
        while not _measures(url, child.pid):
            self.listen()
            if child.exit_code is not None:
                raise EnvironmentUnfit(f"the lab cannot start: {describe_exit(child)}")
            if time.monotonic() > deadline:
                raise EnvironmentUnfit(
                    f"the lab did not measure anything within {_READY_SECONDS:.0f} s: {describe_exit(child)}"
                )
            time.sleep(_TURN_SECONDS)

    def listen(self) -> None:
        """Take what it says, which nobody wants to read: with a full pipe it would stand still."""
        if self._child is not None:
            self._child.lines()


def _measures(url: str, owner: int) -> bool:
    try:
        found = controller_client.ask(url, "/api/v1/slos")
    except EnvironmentUnfit:
        return False
    match found:
        case {"slos": list(slos)}:
            groups = (slo["group"].get("netns", "") for slo in slos if slo["name"] == _SLO and slo["total"])
            return any(_is_of(netns, owner) and netns.endswith(f"-{ownership.SERVER}") for netns in groups)
        case _:
            return False


def _is_of(name: str, owner: int) -> bool:
    parsed = ownership.parse(name)
    return parsed is not None and parsed.owner.pid == owner


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]
