"""What goes wrong in a running lab beside the fault of a drill: more floods, and an agent that is gone."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx

from netsre.adapters.control.lab import LabClient
from netsre.app.local import lab
from tests.machine import PATIENCE, open_directory, when_served
from tests.system.up_process import Up

SECONDS: Final = 90
"""After these every flood here is over, whatever became of its test."""
_USER: Final = "nobody"


def place(running: Up) -> pathlib.Path:
    """Return the directory of an `up` with the sockets of its parts."""
    (found,) = pathlib.Path("/run/netsre").glob(f"netsre-up-{running.process.pid}-*")
    return found


def server(running: Up) -> str:
    """Return the namespace of the lab's server."""
    return running.wait_for(r"between (netsre-lab-\S+-srv) and")[1]


def flood(running: Up) -> None:
    """Have the lab's own noisy client fill the table."""
    noisy = LabClient(place(running) / "lab.sock")
    when_served(lambda: noisy.flood("test", "udp", SECONDS))


@contextlib.contextmanager
def another_flood(namespace: str, target: str) -> Iterator[None]:
    """Fill the table from a namespace of the lab by a noisy client of our own."""
    with open_directory() as directory:
        home = directory / "run"
        home.mkdir(mode=0o777)
        home.chmod(0o777)
        control = home / "noisy.sock"
        command = [
            sys.executable,
            "-P",
            "-m",
            "netsre.app.local.labtraffic",
            "noisy",
            "--namespace",
            namespace,
        ]
        where = [
            "--user",
            _USER,
            "--address",
            target,
            "--port",
            str(lab.SINK_PORT),
            "--control",
            str(control),
        ]
        with subprocess.Popen([*command, *where]) as process:
            try:
                when_served(lambda: LabClient(control).flood("another", "udp", SECONDS))
                yield
            finally:
                process.kill()


class Tap:
    """Stands before the control socket of an agent until that agent is replaced, and passes everything on.

    `before` is called with each command that is to be passed on.
    """

    def __init__(self, path: pathlib.Path, before: Callable[[Any], None]) -> None:
        """Take the place of the agent's socket, as who owns that."""
        self._agent, self._before = path.with_name("agent-itself.sock"), before
        owner = path.stat()
        path.rename(self._agent)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        os.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o660)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Pass nothing on any more, so that another agent can take the place; again is nothing."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(
                    target=self._pass_on, args=(self._listener.accept()[0],), daemon=True
                ).start()

    def _pass_on(self, caller: socket.socket) -> None:
        # An agent that is killed answers nothing, and so does this.
        with caller, socket.socket(socket.AF_UNIX) as agent, contextlib.suppress(OSError):
            line = caller.makefile("rb").readline()
            if not line:
                return  # somebody who only looks whether the place is taken
            self._before(json.loads(line))
            agent.connect(str(self._agent))
            agent.sendall(line)
            caller.sendall(agent.makefile("rb").readline())


def get(running: Up, what: str) -> Any:  # noqa: ANN401
    """Return what the controller says."""
    return httpx.get(f"http://127.0.0.1:{running.listen}/api/v1/{what}", timeout=PATIENCE).json()


def run_of(running: Up, runbook: str = "conntrack-exhaustion") -> Any:  # noqa: ANN401
    """Return the only run of a runbook; None before there is one."""
    found = [run for run in get(running, "runs")["runs"] if run["runbook"] == runbook]
    assert len(found) <= 1
    return found[0] if found else None


def lines(run: Any, kind: str, step: int) -> list[Any]:  # noqa: ANN401
    """Return what the journal of a run says of a kind about a step."""
    found = run["journal"] if run else []
    return [entry["data"] for entry in found if (entry["kind"], entry["step"]) == (kind, step)]
