"""A node for commands alone: a BPF file system of its own, and what all such nodes are asked."""

import contextlib
import json
import os
import pathlib
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netsre.adapters.bpf import pins, syscalls
from tests.machine import PATIENCE, open_directory


@dataclass(frozen=True)
class CommandNode(ABC):
    """Where one group of commands runs."""

    home: pathlib.Path

    @property
    @abstractmethod
    def pins(self) -> pathlib.Path:
        """Return where what they make is pinned."""

    @abstractmethod
    def start(self, *arguments: str, text: str | None = None) -> "subprocess.Popen[str]":
        """Begin one of them, which is to be given this text."""

    def run(self, *arguments: str, code: int = 0, text: str | None = None) -> str:
        """Run one to its end; return what it printed, of an error what it complained of."""
        with self.start(*arguments, text=text) as process:
            out, complaint = process.communicate(text, timeout=4 * PATIENCE)
        assert process.returncode == code, complaint
        return out if code == 0 else complaint

    def status(self) -> dict[str, Any]:
        """Return what is in force."""
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def in_force(self) -> int:
        """Return the number of the revision in force."""
        [number] = [one["revision"] for one in self.status()["revisions"] if one["inForce"]]
        assert isinstance(number, int)
        return number

    def programs(self) -> set[str]:
        """Return the ids of the programs that run."""
        found = set()
        for path in (self.pins / "links").iterdir():
            fd = pins.opened(path)
            found.add(syscalls.fdinfo(fd)["prog_id"])
            os.close(fd)
        return found


def begun(command: list[str], text: str | None = None) -> "subprocess.Popen[str]":
    """Begin a command whose words are read."""
    given = None if text is None else subprocess.PIPE
    return subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def home() -> Iterator[pathlib.Path]:
    """Make a directory with a BPF file system in it, `bpf`."""
    with open_directory() as made:
        (made / "bpf").mkdir()
        subprocess.run(["mount", "-t", "bpf", "netsre-test", str(made / "bpf")], check=True)
        try:
            yield made
        finally:
            subprocess.run(["umount", str(made / "bpf")], check=True)
