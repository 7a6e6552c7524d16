"""Cgroups of a test's own, and connecting from inside of one."""

import contextlib
import os
import pathlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from netsre.adapters import namespaces, processes
from tests.kernel.attempts import LOOPBACK, Place
from tests.machine import wait_until

_CONNECT: Final = """
import socket, sys
family, address, port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
server = socket.create_server((address, port), family=family, backlog=count) if port > 9100 else None
for _ in range(count):
    with socket.socket(family) as client:
        if client.connect_ex((address, port)) == 0:
            server.accept()[0].close()
"""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup of the unified hierarchy."""

    directory: pathlib.Path

    @property
    def id(self) -> int:
        """Return what the kernel calls it."""
        return self.directory.stat().st_ino

    def connect(self, place: Place, family: socket.AddressFamily, port: int, count: int) -> None:
        """Connect from inside of it to a port of a namespace: refused below 9100, accepted above."""
        self.run(place, _CONNECT, str(int(family)), LOOPBACK[family], str(port), str(count))

    def run(self, place: Place, program: str, *arguments: str) -> None:
        """Run a program in Python inside of it, in a namespace."""
        words = [sys.executable, "-c", program, *arguments]
        enter = f'echo $$ > "{self.directory}/cgroup.procs"; exec "$@"'
        namespaces.run(place.name, ["sh", "-c", enter, "sh", *words]).check_returncode()


def hierarchy() -> pathlib.Path:
    """Return where the unified hierarchy is mounted."""
    mounts = pathlib.Path("/proc/self/mounts").read_text(errors="surrogateescape").split("\n")
    return next(pathlib.Path(line.split(" ")[1]) for line in mounts if line.split(" ")[2:3] == ["cgroup2"])


@contextlib.contextmanager
def cgroup(*path: str) -> Iterator[Cgroup]:
    """Make a cgroup below one of this test's own, and remove both again."""
    own = hierarchy() / processes.this_process().name("test", "cgroup")
    directory = own.joinpath(*path)
    directory.mkdir(parents=True)
    try:
        yield Cgroup(directory)
    finally:
        # A process that has just ended may still be in it.
        assert wait_until(lambda: _removed(own))


def _removed(own: pathlib.Path) -> bool:
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(own, topdown=False):
            pathlib.Path(directory).rmdir()
    return not own.exists()
