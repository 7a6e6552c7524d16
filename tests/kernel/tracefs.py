"""What the kernel's own tracing says of an event, in an instance of the test's own: a second witness."""

import contextlib
import itertools
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_numbers = itertools.count()
_TASK: Final = re.compile(r"^\s*(.+)-(\d+)\s+\[")
_KERNEL_THREAD: Final = 0x00200000
"""`PF_KTHREAD`."""
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


def of_others(lines: Iterable[str]) -> int:
    """Return how many events came while a process of others had the CPU: neither a test, nor a kernel thread.

    There a kernel may run no program of anybody's, and not count that as left out (docs/critiques.md).
    """
    ours = Path("/proc/self/comm").read_text(encoding="ascii").strip()
    tasks = Counter(match[0] for line in lines if (match := _TASK.findall(line)))
    return sum(
        count
        for (name, pid), count in tasks.items()
        if name not in {ours, "<idle>"} and not _is_kernel_thread(int(pid))
    )


def seen(count: int, lines: Collection[str]) -> bool:
    """Say whether so many of these events can have reached a program: all but some of others' time."""
    return len(lines) - of_others(lines) <= count <= len(lines)


def _is_kernel_thread(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return bool(int(status.rpartition(")")[2].split()[6]) & _KERNEL_THREAD)


@contextlib.contextmanager
def watching(event: str, kilobytes: int = 2048) -> Iterator[Events]:
    """Make an instance for an event like `skb/kfree_skb`, and remove it again; nothing is watched yet."""
    with tempfile.TemporaryDirectory(prefix="netsre-tracefs-") as mount:
        subprocess.run(["mount", "-t", "tracefs", "nodev", mount], check=True)
        try:
            instance = Path(mount) / "instances" / f"netsre-test-{os.getpid()}-{next(_numbers)}"
            instance.mkdir()
            try:
                (instance / "buffer_size_kb").write_text(str(kilobytes), encoding="ascii")
                yield Events(instance, instance / "events" / event)
            finally:
                (instance / "events" / event / "enable").write_text("0", encoding="ascii")
                instance.rmdir()
        finally:
            subprocess.run(["umount", mount], check=True)
