"""Who holds BPF maps and programs: the open files of processes, and the files of BPF file systems.

Looking through all processes is the expensive part of knowing whose a map is, so it is done in pieces: every
function here that looks at many things is an iterator that its caller may leave alone for a while. What may
not be seen is left out: without CAP_SYS_PTRACE, the files of other users' processes.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from netsre.adapters.bpf import objects
from netsre.datapath.mounts import whole

_PROC: Final = Path("/proc")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_FILES_AT_ONCE: Final = 64
_MOST_PINNED: Final = 4096
_KINDS: Final = ("anon_inode:bpf-map", "anon_inode:bpf-prog", "anon_inode:bpf_link", "anon_inode:bpf-link")

Kind = Literal["map", "prog"]


class Held(NamedTuple):
    """One thing that a process or a file keeps alive."""

    kind: Kind
    number: int
    holder: int | str
    """A process id; or the directory of a file, below the mount point of its file system."""


def by_processes() -> Iterator[Held | None]:
    """Yield what processes hold, the oldest process first; None after each piece of work without a find."""
    with os.scandir(_PROC) as entries:
        pids = sorted(int(entry.name) for entry in entries if entry.name.isdigit())
    for pid in pids:
        yield from of_process(pid)
        yield None


def of_process(pid: int) -> Iterator[Held | None]:
    """Yield what one process holds; a program also where a link or a file keeps it."""
    place = _PROC / str(pid)
    for number, name in enumerate(_bpf_files(place)):
        if number % _FILES_AT_ONCE == _FILES_AT_ONCE - 1:
            yield None
        if name is not None:
            yield from _described(place / "fdinfo" / name, pid)


def _bpf_files(place: Path) -> Iterator[str | None]:
    """Yield the number of each open file that is of BPF, None for each that is not."""
    try:
        with os.scandir(place / "fd") as entries:
            names = [entry.name for entry in entries]
        for name in names:
            kind = ""
            with contextlib.suppress(OSError):
                kind = os.readlink(f"{place}/fd/{name}")  # noqa: PTH115  # a Path for each takes four times as long
            yield name if kind in _KINDS else None
    except PermissionError:
        # Of another user's process: what each file is says only the file's description.
        with contextlib.suppress(OSError):
            yield from (entry.name for entry in (place / "fdinfo").iterdir())
    except OSError:
        return


def _described(path: Path, holder: int) -> Iterator[Held]:
    about: dict[str, str] = {}
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        about = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    if "map_id" in about:
        yield Held("map", int(about["map_id"]), holder)
    elif "prog_id" in about:
        yield Held("prog", int(about["prog_id"]), holder)


def by_files() -> Iterator[Held | None]:
    """Yield what is pinned in the BPF file systems that are mounted; None after each file without a find."""
    left = _MOST_PINNED
    for mount in _mounts():
        for directory, _, files in os.walk(mount):
            for name in files[:left]:
                yield _held_by_file(mount, Path(directory, name))
            left -= min(left, len(files))


def _held_by_file(mount: Path, path: Path) -> Held | None:
    try:
        kind, number = objects.pinned(path)
    except OSError:
        return None
    where = str(path.parent.relative_to(mount))
    return Held("map" if kind == "map" else "prog", number, where) if kind else None


def _mounts() -> list[Path]:
    """Return where BPF file systems are mounted, each of them once."""
    return [Path(place) for place in whole(_MOUNTS.read_bytes(), "bpf").values()]


def command(pid: int) -> bytes:
    """Return the command name of a process as it is; empty when it is gone."""
    try:
        return (_PROC / str(pid) / "comm").read_bytes().removesuffix(b"\n")
    except OSError:
        return b""
