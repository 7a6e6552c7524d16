"""What the kernel's own tracing says of an event, in an instance of the test's own: a second witness."""

import contextlib
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_numbers = itertools.count()
_OVERRUN: Final = re.compile(r"^overrun: ([1-9]\d*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Events:
    """The lines about one event, in an instance that watches it and nothing else."""

    instance: Path
    event: Path

    def start(self, condition: str = "") -> None:
        """Begin to write down what comes, where the condition holds if there is one."""
        if condition:
            (self.event / "filter").write_text(condition, encoding="ascii")
        (self.event / "enable").write_text("1", encoding="ascii")

    def stop(self) -> list[str]:
        """Stop, and return one line for each event; none was lost."""
        (self.event / "enable").write_text("0", encoding="ascii")
        for statistics in self.instance.glob("per_cpu/cpu*/stats"):
            assert not _OVERRUN.search(statistics.read_text(encoding="ascii"))
        lines = (self.instance / "trace").read_text(encoding="ascii", errors="replace").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def symbols(self, field: str) -> dict[int, str]:
        """Return the names that the kernel prints for the numbers of a field."""
        text = (self.event / "format").read_text(encoding="ascii")
        listed = text.partition(f"__print_symbolic(REC->{field}, ")[2].partition("})")[0]
        return {int(number): name for number, name in re.findall(r'\{ (\d+), "(\w+)" ?', listed)}


@contextlib.contextmanager
def watching(event: str) -> Iterator[Events]:
    """Make an instance for an event like `skb/kfree_skb`, and remove it again; nothing is watched yet."""
    with tempfile.TemporaryDirectory(prefix="netsre-tracefs-") as mount:
        subprocess.run(["mount", "-t", "tracefs", "nodev", mount], check=True)
        try:
            instance = Path(mount) / "instances" / f"netsre-test-{os.getpid()}-{next(_numbers)}"
            instance.mkdir()
            try:
                (instance / "buffer_size_kb").write_text("2048", encoding="ascii")
                yield Events(instance, instance / "events" / event)
            finally:
                (instance / "events" / event / "enable").write_text("0", encoding="ascii")
                instance.rmdir()
        finally:
            subprocess.run(["umount", mount], check=True)
